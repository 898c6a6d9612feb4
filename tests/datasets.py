"""Small datasets for tests."""

from pathlib import Path

import numpy as np

from singlow.data.prepare.build import build_dataset
from tests.shared import once
from tests.sounds import save, song


def corpus(root: Path, lengths: dict[str, list[float]] | None = None, rate: int = 16000) -> Path:
    """Write a folder of wav and flac per singer; `lengths` holds the seconds of each clip."""
    lengths = lengths or {"anna": [1.0, 0.7, 0.5, 1.3], "bert": [0.9, 0.6, 1.1]}
    for seed, (singer, seconds) in enumerate(lengths.items()):
        for number, duration in enumerate(seconds):
            suffix = ("wav", "flac")[number % 2]
            wave = song(duration, rate, seed=100 * seed + number)
            save(root / singer / f"clip{number}.{suffix}", wave, rate)
    return root


def build(sources: Path, out: Path, **settings) -> dict:
    """Build a dataset without printing."""
    return build_dataset([sources], out, **{"workers": 1, "report": lambda _: None, **settings})


def shard_bytes(out: Path) -> dict[str, bytes]:
    """Return the bytes of the files in a dataset's folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def builtin() -> Path:
    """Return the folder of the built-in corpus, which all processes of the session share."""
    return once("builtin", _prepare_builtin)[0]


def _prepare_builtin(folder: Path) -> None:
    from singlow.data.prepare.build import prepare

    prepare("builtin", data_dir=folder, report=lambda _: None)


def write_noise(
    out: Path, frames: dict[str, list[int]], channels: int = 1, singers: tuple[str, ...] = ("s",)
) -> Path:
    """Write a dataset of noise whose clips have these lengths, in samples, by split.

    Nothing is decoded. The singers take turns, clip by clip.
    """
    from singlow.data.prepare.assemble import write_dataset
    from singlow.data.sources.clips import Clip

    rng = np.random.default_rng(0)
    clips, held = [], {}
    for split, lengths in frames.items():
        for number, length in enumerate(lengths):
            singer = singers[number % len(singers)]
            clip = Clip(Path(f"{split}{number}"), singer, id=f"{split}{number}", split=split)
            clips.append(clip)
            shape = (length, channels)
            held[clip.path] = rng.integers(-(2**15), 2**15, shape).astype(np.int16)
    settings = {
        "sampling_rate": 16000,
        "channel_size": channels,
        "seed": 0,
        "validation_share": 0.1,
    }
    about = {"layout": "folders", "sources": [], "fingerprint": "", "rejected": []}
    scratch = out / "scratch"
    scratch.mkdir(parents=True)
    lengths = [len(held[clip.path]) for clip in clips]
    write_dataset(out, scratch, clips, lengths, lambda c: held[c.path], settings, about)
    return out
