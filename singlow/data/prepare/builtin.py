"""Build a dataset from the built-in corpus."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import dequantize, normalize, quantize, resample, to_channels
from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.folder import (
    STAGING,
    check_settings,
    hash_of,
    own_folder,
    own_shards,
    printable,
    reusable,
)
from singlow.data.sources.clips import Clip
from singlow.errors import DataError
from singlow.progress import Report, progress

CLIPS_PER_SINGER = 12
_EDITION = 1


def builtin_fingerprint(settings: dict[str, Any]) -> str:
    """Return a hash that changes when the corpus or a setting changes."""
    return hash_of({"builtin": _EDITION, **settings})


def build_builtin(
    out: str | os.PathLike,
    *,
    sample_rate: int = 16000,
    channels: int = 1,
    seed: int = 0,
    validation_share: float = 0.1,
    loudness: float | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Synthesize the built-in corpus and write it as a dataset.

    The arguments, the return value and the errors are those of `build_dataset`.
    """
    from singlow.choir import corpus
    from singlow.choir.singers import SINGERS

    settings = check_settings(sample_rate, channels, seed, validation_share, loudness)
    mark, out, report = builtin_fingerprint(settings), Path(out).expanduser(), printable(report)
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            return info
        own_shards(out)
        clips, stored = [], {}
        with progress("Singing", CLIPS_PER_SINGER * len(SINGERS)) as advance:
            for sung in corpus.clips(seed, CLIPS_PER_SINGER):
                clip = Clip(Path(sung.id), sung.singer, sung.style, sung.text, sung.id)
                clips.append(clip)
                stored[clip.path] = _fit(sung.audio, sung.sample_rate, settings)
                if not stored[clip.path].any():
                    raise DataError(f"The built-in clip {clip.id} is silent. Report this fault.")
                advance()
        scratch = out / STAGING
        scratch.mkdir(exist_ok=True)
        info = write_dataset(
            out,
            scratch,
            clips,
            [len(stored[clip.path]) for clip in clips],
            lambda clip: stored[clip.path],
            settings,
            {"layout": "builtin", "sources": [], "fingerprint": mark, "rejected": []},
        )
        shutil.rmtree(scratch, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    return info


def _fit(audio: np.ndarray, rate: int, settings: dict[str, Any]) -> np.ndarray:
    wanted, channels = settings["sampling_rate"], settings["channel_size"]
    sound = to_channels(resample(dequantize(audio), rate, wanted), channels)
    return quantize(normalize(sound, settings["level"]))
