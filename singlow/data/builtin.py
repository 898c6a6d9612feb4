"""The built-in corpus as a dataset."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import dequantize, level, quantize, resample, to_channels
from singlow.data.assemble import summary, write_dataset
from singlow.data.clip import Clip
from singlow.data.folder import STAGING, own_folder, own_shards, reusable
from singlow.data.progress import Report, progress
from singlow.data.settings import check_settings, hash_of
from singlow.errors import DataError

CLIPS_PER_SINGER = 12
_EDITION = 1


def builtin_fingerprint(settings: dict[str, Any]) -> str:
    """What changes when the corpus or a setting does."""
    return hash_of({"builtin": _EDITION, **settings})


def build_builtin(
    out: str | os.PathLike,
    *,
    sampling_rate: int = 16000,
    channel_size: int = 1,
    seed: int = 0,
    validation_share: float = 0.1,
    report: Report = print,
) -> dict[str, Any]:
    """Write the built-in corpus as a dataset; see `build.build_dataset` for everything."""
    from singlow.data import synthetic
    from singlow.data.singers import SINGERS

    settings = check_settings(sampling_rate, channel_size, seed, validation_share, None)
    mark, out = builtin_fingerprint(settings), Path(out)
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            return info
        own_shards(out)
        clips, held = [], {}
        with progress("Singing", CLIPS_PER_SINGER * len(SINGERS)) as sung:
            for made in synthetic.clips(seed, CLIPS_PER_SINGER):
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
