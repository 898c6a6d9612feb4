"""Find pictures and their classes: folders of files, and datasets with a name."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.sources.clips import Clip, with_normal_names, with_unique_ids
from singlow.data.sources.layouts import find_files, part_source
from singlow.errors import DataError, EnvironmentFault
from singlow.pickles import LIMITS, Stateful, read_pickle
from singlow.progress import Report

_KINDS = "png jpg jpeg jpe bmp gif ppm pgm pbm pnm tif tiff webp"
SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
"""Suffixes of all files that are treated as pictures."""
_CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer"]
_CIFAR10 += ["dog", "frog", "horse", "ship", "truck"]
_CIFAR = {
    "cifar10": ("cifar-10", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "labels"),
    "cifar100": ("cifar-100", ["train"], "test", "fine_labels"),
}
_FILES = {
    "mnist": "mnist.npz",
    "cifar10": "cifar-10-python.tar.gz",
    "cifar100": "cifar-100-python.tar.gz",
}


@dataclass(frozen=True)
class NamedPictures:
    """A dataset of pictures with a name.

    Attributes:
        clips: a clip for each picture, with its class and, where the dataset defines it, its split.
        pixels: uint8 `(pictures, height, width, channels)`.
        padded: whether larger pictures are made by a black border, not by resizing.
    """

    clips: list[Clip]
    pixels: np.ndarray
    padded: bool = False


def find_pictures(
    sources: Sequence[str], report: Report = lambda _: None
) -> tuple[list[Clip], str]:
    """Find the pictures in folders; a folder with subfolders has one class for each of them.

    Args:
        sources: folders or files; `CLASS=DIR` names the class of a folder without subfolders.
        report: is called with one line for every folder that cannot be read.

    Returns:
        The pictures in a fixed order, each with a unique id, and the name of the layout.

    Raises:
        UsageError: a source does not exist.
        DataError: a source holds no picture.
    """
    clips = []
    for source in sources:
        label, root = part_source(source)
        paths = [root] if root.is_file() else list(find_files(root, SUFFIXES, report=report))
        if not paths:
            raise DataError(
                f"{root}: holds no picture ({', '.join(sorted(SUFFIXES))}). Give another folder."
            )
        for path in paths:
            inside = path.relative_to(root if root.is_dir() else root.parent)
            name = inside.parts[0] if len(inside.parts) > 1 else label or root.stem
            parts = (label or root.name, inside) if len(sources) > 1 else (inside,)
            id = Path(*parts).with_suffix("").as_posix()
            clips.append(with_normal_names(Clip(path, name, id=id)))
    return with_unique_ids(clips), "pictures"


def load_named(name: str) -> NamedPictures:
    """Load a dataset of pictures with a name.

    `digits` is a part of scikit-learn. The files of the others are looked up in Keras's folder of
    datasets, and downloaded to it by Keras if they are missing. Nothing in them is executed.

    Args:
        name: one of `PICTURES`.

    Raises:
        EnvironmentFault: the files are missing and cannot be downloaded.
        DataError: a file is damaged.
    """
    if name == "digits":
        return _digits()
    try:
        return _mnist() if name == "mnist" else _cifar(name)
    except EnvironmentFault:
        raise
    except Exception as error:  # a damaged file may raise any
        raise DataError(
            f"{_find(name) or _home() / _FILES[name]}: Expected the {name} dataset. "
            f"Received: {error}. Delete it, and give the command again."
        ) from error


def _digits() -> NamedPictures:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images * (255 / 16)).astype(np.uint8)[..., None]
    clips = [
        Clip(Path("digits"), str(label), id=f"{label}/{index:04d}")
        for index, label in enumerate(digits.target)
    ]
    return NamedPictures(clips, pixels)


def _mnist() -> NamedPictures:
    with np.load(_require("mnist"), allow_pickle=False) as file:
        parts = {s: (file[f"x_{part}"], file[f"y_{part}"]) for part, s in _SPLITS.items()}
    return _assembled("mnist", parts, [str(digit) for digit in range(10)], padded=True)


_BATCH_BYTES = 1 << 28
_SPLITS = {"train": "train", "test": "validation"}


def _cifar(name: str) -> NamedPictures:
    folder = _require(name)
    _, train, test, key = _CIFAR[name]
    batches = [_read_batch(folder / part, key) for part in (*train, test)]
    parts = {
        "train": tuple(np.concatenate([batch[i] for batch in batches[:-1]]) for i in (0, 1)),
        "validation": batches[-1],
    }
    names = _CIFAR10 if name == "cifar10" else [f"{label:02d}" for label in range(100)]
    return _assembled(name, parts, names)


def _read_batch(path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures and the labels of a batch of CIFAR, without running code of the file.

    Raises:
        ValueError: the file does not hold pictures and labels.
        DataError: the file is no pickle, or needs code to be run.
    """
    limits = LIMITS._replace(operations=_BATCH_BYTES, text=_BATCH_BYTES)
    batch, _ = read_pickle(path.read_bytes(), makers=_MAKERS, limits=limits)
    batch = {_text(name): value for name, value in batch.items()}
    pixels, labels = batch["data"], np.array(batch[key], np.int64)
    if not isinstance(pixels, _Array):
        raise ValueError(f"{path.name} without an array of pictures")
    x = np.frombuffer(pixels.content, np.uint8).reshape(-1, 3, 32, 32)
    return x.transpose(0, 2, 3, 1), labels


class _Array(Stateful):
    """An array of bytes of numpy in a pickle."""

    content = b""

    def set_state(self, state: tuple) -> None:
        _, _, kind, _, content = state
        self.content = _bytes_of(kind, content)


class _Kind(Stateful):
    """A type of numpy in a pickle."""

    def __init__(self, name: str) -> None:
        self.name = name

    def set_state(self, state: tuple) -> None:
        """Accept the state, which describes byte order and fields, which bytes do not have."""


def _bytes_of(kind: Any, content: Any) -> bytes:
    if not isinstance(kind, _Kind) or kind.name not in ("u1", "|u1", "uint8"):
        raise ValueError("pictures of another type than uint8")
    return content.encode("latin-1") if isinstance(content, str) else bytes(content)


def _made_from_buffer(args: tuple) -> _Array:
    made = _Array()
    made.content = _bytes_of(args[1], args[0])
    return made


def _text(name: Any) -> str:
    return name.decode("ascii") if isinstance(name, bytes) else str(name)


_MAKERS = {
    "numpy.core.multiarray._reconstruct": lambda args: _Array(),
    "numpy._core.multiarray._reconstruct": lambda args: _Array(),
    "numpy._core.numeric._frombuffer": _made_from_buffer,
    "numpy.core.numeric._frombuffer": _made_from_buffer,
    "numpy.dtype": lambda args: _Kind(_text(args[0])),
    "_codecs.encode": lambda args: str(args[0]).encode("latin-1"),
}


def _assembled(
    name: str,
    parts: dict[str, tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    padded: bool = False,
) -> NamedPictures:
    """Check the pictures and labels of a file, and return them as one dataset.

    Raises:
        ValueError: a shape, a type or a label is not the expected one.
    """
    clips, pixels = [], []
    for split, (x, y) in parts.items():
        x = x[..., None] if x.ndim == 3 else x
        if x.dtype != np.uint8 or x.ndim != 4 or y.shape != (len(x),) or not len(x):
            raise ValueError(
                f"{split} pictures {x.dtype} of shape {x.shape} with labels of shape {y.shape}"
            )
        if not 0 <= y.min() <= y.max() < len(names):
            raise ValueError(f"labels from {y.min()} to {y.max()}")
        pixels.append(x)
        clips += [
            Clip(Path(name), names[label], id=f"{split}/{index:05d}", split=split)
            for index, label in enumerate(y)
        ]
    return NamedPictures(clips, np.concatenate(pixels), padded)


def _home() -> Path:
    from keras.src.backend.config import keras_home

    return Path(keras_home()).expanduser() / "datasets"


def _find(name: str) -> Path | None:
    """Return the file or the folder of a dataset in Keras's folder, extracted if necessary."""
    home = _home()
    if name == "mnist":
        path = home / _FILES[name]
        return path if path.is_file() else None
    stem = _CIFAR[name][0]
    inner = f"{stem}-batches-py" if name == "cifar10" else f"{stem}-python"
    places = [home / inner]
    places += [home / f"{outer}-target" / inner for outer in (f"{stem}-batches-py", inner)]
    return next((place for place in places if place.is_dir()), None)


def _require(name: str) -> Path:
    """Return the file or the folder of a dataset, and download it first if it is missing.

    Raises:
        EnvironmentFault: it is missing and cannot be downloaded.
    """
    import keras

    found = _find(name)
    if found is not None:
        return found
    archive = _home() / _FILES[name]
    if name != "mnist" and archive.is_file():
        with tarfile.open(archive) as tar:
            tar.extractall(archive.parent, filter="data")
    else:
        try:
            getattr(keras.datasets, name).load_data()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise EnvironmentFault(
                f"{name} cannot be downloaded ({reason}). Download {_FILES[name]} on another "
                f"computer, and put it into {archive.parent}."
            ) from error
    found = _find(name)
    if found is None:
        raise ValueError(f"{_FILES[name]} without the folder of the dataset")
    return found
