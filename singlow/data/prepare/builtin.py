"""The built-in corpus as a dataset."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import dequantize, level, quantize, resample, to_channels
from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.folder import STAGING, own_folder, own_shards, reusable
from singlow.data.prepare.settings import check_settings, hash_of
from singlow.data.sources.clip import Clip
from singlow.errors import DataError
from singlow.progress import Report, progress

CLIPS_PER_SINGER = 12
_EDITION = 1


def builtin_fingerprint(settings: dict[str, Any]) -> str:
    """What changes when the corpus or a setting does."""
    return hash_of({"builtin": _EDITION, **settings})


def build_builtin(
    out: str | os.PathLike,
    *,
    sample_rate: int = 16000,
    channels: int = 1,
    seed: int = 0,
    validation_share: float = 0.1,
    report: Report = print,
) -> dict[str, Any]:
    """Write the built-in corpus as a dataset; see `build.build_dataset` for everything."""
    from singlow.choir import corpus
    from singlow.choir.singers import SINGERS

    settings = check_settings(sample_rate, channels, seed, validation_share, None)
    mark, out = builtin_fingerprint(settings), Path(out)
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            return info
        own_shards(out)
        clips, held = [], {}
        with progress("Singing", CLIPS_PER_SINGER * len(SINGERS)) as sung:
            for made in corpus.clips(seed, CLIPS_PER_SINGER):
                clip = Clip(Path(made.id), made.singer, made.style, made.text, made.id)
                clips.append(clip)
                held[clip.path] = _fit(made.audio, made.sample_rate, settings)
                if not held[clip.path].any():
                    raise DataError(f"The built-in clip {clip.id} is silent: report this fault.")
                sung()
        scratch = out / STAGING
        scratch.mkdir(exist_ok=True)
        info = write_dataset(
            out,
            scratch,
            clips,
            [len(held[clip.path]) for clip in clips],
            lambda clip: held[clip.path],
            settings,
            {"layout": "builtin", "sources": [], "fingerprint": mark, "rejected": []},
        )
        shutil.rmtree(scratch, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    return info


def _fit(audio: np.ndarray, rate: int, settings: dict[str, Any]) -> np.ndarray:
    wanted, channels = settings["sampling_rate"], settings["channel_size"]
    sound = to_channels(resample(dequantize(audio), rate, wanted), channels)
    return quantize(level(sound))
