"""Encode, decode, sample, interpolate and migrate pictures with a run of images."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.store.dataset import Clips, read_info
from singlow.errors import DataError, UsageError, warn
from singlow.files import NPZ_ERRORS, atomic_write, read_npz
from singlow.latents.pool import Points
from singlow.names import find_name, shown
from singlow.pictures import decode_picture, squared
from singlow.runs.data import prepare_data
from singlow.runs.opening import TrainedRun, open_run
from singlow.signals import Image
from singlow.voices.speakers import AUTO

PathLike = str | os.PathLike
Picture = PathLike | np.ndarray
LABEL = "label"
FORMAT, VERSION = "singlow-picture-latents", 1
BATCH = 64
METHODS = ("difference",)
MOST_FEATURES = 256  # values of a level that a point has
_TEXTS = ("format", "run", "fingerprint", "label")
_NUMBERS = ("version", "epoch", "levels")
_MOST_LEVELS = 64


@dataclass(frozen=True)
class Code:
    """The latents of a picture.

    Attributes:
        latents: latents of each level, finest first, `(height, width, channels)`.
        label: name of the class that the flow was conditioned on; "" for a flow without classes.
        run: name of the run that encoded the picture.
        epoch: epoch of the checkpoint.
        fingerprint: fingerprint of the checkpoint's weights.
    """

    latents: list[np.ndarray]
    label: str = ""
    run: str = ""
    epoch: int = 0
    fingerprint: str = ""


def is_of_images(run: TrainedRun) -> bool:
    """Return whether the signal of a run is images."""
    return isinstance(run.flow.signal, Image)


def class_names(run: TrainedRun) -> list[str]:
    """Return the names of the classes that a run is conditioned on, by index; `[]` without any."""
    return list(run.config["data"]["singers"]) if LABEL in run.flow.inputs else []


def class_index(run: TrainedRun, label: str) -> int:
    """Return the index of a class.

    Raises:
        UsageError: the run has no class of this name.
    """
    names = class_names(run)
    if not names:
        raise UsageError(f"Expected a run with classes. Received: {run.name}; leave --label out.")
    return names.index(find_name(label, names, "class"))


def read_picture(run: TrainedRun, picture: Picture) -> np.ndarray:
    """Return a picture as `x`, without the batch axis.

    Args:
        run: a run of images.
        picture: path of a file, whose central square is resized; or pixels, uint8 of the run's
            height, width and channels.

    Raises:
        DataError: the picture cannot be read, or pixels have another shape or type.
    """
    signal = run.flow.signal
    if isinstance(picture, np.ndarray):
        if picture.shape != signal.shape(1)[1:] or picture.dtype != np.uint8:
            raise DataError(
                f"Expected pixels of shape {signal.shape(1)[1:]}, uint8. "
                f"Received: {picture.shape}, {picture.dtype}."
            )
        return signal.dequantize(picture, 0.5)
    return signal.dequantize(squared(decode_picture(picture, signal.channels), signal.height), 0.5)


def likeliest_class(run: TrainedRun, x: np.ndarray) -> int:
    """Return the index of the class under which an image has the largest likelihood.

    Args:
        run: a run with classes.
        x: one image, without the batch axis.
    """
    count = run.flow.inputs[LABEL].size
    inputs = {"x": np.repeat(x[None], count, axis=0), LABEL: np.arange(count, dtype=np.int32)}
    return int(np.argmax(_numpy(run.coder.log_prob(inputs))))


def inputs_for(run: TrainedRun, labels: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the inputs of a batch of images of these classes; `{}` for a run without classes."""
    return {LABEL: np.asarray(labels, np.int32)} if LABEL in run.flow.inputs else {}


def encode(run: "TrainedRun | PathLike", picture: Picture, label: str = AUTO) -> Code:
    """Encode a picture with a run of images; `decode` is the inverse.

    Args:
        run: a run of images, or its name.
        picture: see `read_picture`.
        label: for a run with classes, the class of the picture, or "auto" for the likeliest one.

    Raises:
        UsageError: the class is unknown, or is given for a run without classes.
        DataError: the picture cannot be read.
    """
    run = open_run(run)
    x, names = read_picture(run, picture), class_names(run)
    index = 0
    if names or label != AUTO:
        index = likeliest_class(run, x) if label == AUTO else class_index(run, label)
    z = run.coder.encode({"x": x[None], **inputs_for(run, [index])})
    facts = {"run": run.name, "epoch": run.checkpoint.epoch, "fingerprint": run.fingerprint}
    return Code([_numpy(latent)[0] for latent in z], names[index] if names else "", **facts)


def decode(run: "TrainedRun | PathLike", code: Code, label: str | None = None) -> np.ndarray:
    """Decode the latents of a picture to `x`, without the batch axis.

    Args:
        run: the run that encoded the picture, or its name.
        code: the latents.
        label: for a run with classes, the class of the result; that of the picture when `None`.

    Raises:
        UsageError: the class is unknown, or is given for a run without classes.
        DataError: the latents do not fit the run, or the result is not finite.
    """
    run = open_run(run)
    wanted = [tuple(shape[1:]) for shape in run.flow.latent_shapes(1, None)]
    received = [latent.shape for latent in code.latents]
    if received != wanted or (class_names(run) and not (code.label or label)):
        raise DataError(
            f"Expected latents of shapes {wanted} for {run.name}, with a class if the run has "
            f"classes. Received: {received}, class {code.label or 'none'}."
        )
    index = 0
    if label is not None or class_names(run):
        index = class_index(run, code.label if label is None else label)
    return _decoded(run, [latent[None] for latent in code.latents], [index])[0]


def sample(
    run: "TrainedRun | PathLike",
    count: int = 1,
    temperature: float = 0.7,
    seed: int = 0,
    label: str | None = None,
) -> Iterator[np.ndarray]:
    """Sample images; the random seeds are `seed`, `seed + 1`, and so on.

    Args:
        run: a run of images, or its name.
        count: number of images.
        temperature: scale of the deviations from the prior's mean; 1 samples the model itself.
        seed: random seed of the first image.
        label: for a run with classes, the class of all images; each class in turn when `None`.

    Yields:
        Images, `x` without the batch axis.

    Raises:
        UsageError: the class is unknown, or is given for a run without classes.
    """
    run = open_run(run)
    one = None if label is None else class_index(run, label)
    classes = max(1, len(class_names(run)))

    def draw(index: int) -> np.ndarray:
        given = inputs_for(run, [index % classes if one is None else one])
        return _numpy(run.coder.sample(given, temperature=temperature, seed=seed + index)[0])[0]

    return map(draw, range(count))


def interpolate(
    run: "TrainedRun | PathLike", first: Picture, second: Picture, steps: int = 5
) -> list[np.ndarray]:
    """Interpolate between two pictures, including both, on the line between their latents.

    Each image is decoded with the class of the nearer picture.

    Args:
        run: a run of images, or its name.
        first: the first picture; see `read_picture`.
        second: the second picture.
        steps: number of images, at least 2.

    Returns:
        Images, `x` without the batch axis.

    Raises:
        DataError: a picture cannot be read.
    """
    run = open_run(run)
    ends = [encode(run, picture) for picture in (first, second)]
    shares = np.linspace(0.0, 1.0, steps, dtype=np.float32)
    latents = [
        np.stack([(1 - share) * a + share * b for share in shares])
        for a, b in zip(*(end.latents for end in ends), strict=True)
    ]
    names = class_names(run)
    indices = [names.index(ends[int(s > 0.5)].label) if names else 0 for s in shares]
    return list(_decoded(run, latents, indices))


@dataclass(frozen=True)
class ClassMeans:
    """The mean latents of the pictures of each class.

    Attributes:
        names: names of the classes.
        means: for each level, `(classes, height, width, channels)`.
    """

    names: list[str]
    means: list[np.ndarray]

    def direction(self, source: str, target: str) -> list[np.ndarray]:
        """Return the difference of the means of two classes, for each level.

        Raises:
            UsageError: a class is unknown.
        """
        begin, end = (
            self.names.index(find_name(name, self.names, "class")) for name in (source, target)
        )
        return [level[end] - level[begin] for level in self.means]


def class_means(run: "TrainedRun | PathLike", data_dir: PathLike | None = None) -> ClassMeans:
    """Return the mean latents of each class of a run's training pictures.

    Args:
        run: a run of images whose data has classes, or its name.
        data_dir: folder for the records of the run's data; beside the pictures when `None`.

    Raises:
        UsageError: the data has a single class.
        DataError: the run's data cannot be used.
    """
    run = open_run(run)
    config = prepare_data(run.config, data_dir, signal=run.flow.signal)
    names = list(config["data"]["singers"])
    if len(names) < 2:
        raise UsageError(f"Expected a run on pictures of several classes. Received: {run.name}.")
    directory = Path(config["data"]["directory"])
    clips = Clips(directory, read_info(directory), "train")
    shapes = run.flow.latent_shapes(1, None)
    sums = [np.zeros((len(names), *shape[1:])) for shape in shapes]
    labels = np.array([entry.singer for entry in clips.entries])
    for indices in _batches(len(labels)):
        x = np.stack([run.flow.signal.dequantize(clips.samples(i), 0.5) for i in indices])
        own = labels[indices]
        known = own if class_names(run) else np.zeros_like(own)
        for total, latent in zip(
            sums, run.coder.encode({"x": x, **inputs_for(run, known)}), strict=True
        ):
            np.add.at(total, own, _numpy(latent))
    counts = np.bincount(labels, minlength=len(names))[:, None, None, None]
    return ClassMeans(names, [(total / counts).astype(np.float32) for total in sums])


def migrate(
    run: "TrainedRun | PathLike",
    pictures: Iterable[Picture],
    means: ClassMeans,
    source: str,
    target: str,
    strength: float = 1.0,
) -> list[np.ndarray]:
    """Move pictures of one class towards another by an attribute vector.

        z' = z + strength * (mean of the target's latents - mean of the source's latents)

    A run whose couplings depend on the class decodes with the target's class.

    Args:
        run: a run of images, or its name.
        pictures: see `read_picture`.
        means: the result of `class_means`.
        source: class of the pictures.
        target: class to move to.
        strength: 0 returns the pictures; 1 moves by the whole difference.

    Returns:
        Images, `x` without the batch axis.

    Raises:
        UsageError: a class is unknown.
        DataError: a picture cannot be read, or a result is not finite.

    References:
        Kingma and Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018,
        https://arxiv.org/abs/1807.03039
    """
    run = open_run(run)
    direction = means.direction(source, target)
    classes = [class_index(run, name) if class_names(run) else 0 for name in (source, target)]
    x = np.stack([read_picture(run, picture) for picture in pictures])
    moved = []
    for indices in _batches(len(x)):
        given = inputs_for(run, [classes[0]] * len(indices))
        z = run.coder.encode({"x": x[indices], **given})
        z = [
            _numpy(latent) + np.float32(strength) * d
            for latent, d in zip(z, direction, strict=True)
        ]
        moved.append(_decoded(run, z, [classes[int(strength != 0)]] * len(indices)))
    return list(np.concatenate(moved))


def check_migration(
    source: str | None, target: str | None, method: str, others: Collection[Any]
) -> None:
    """Check that arguments of `singlow.migrate` fit pictures.

    Raises:
        UsageError: a class is missing, or an argument is only for sound.
    """
    if source is None or target is None:
        raise UsageError(
            "Expected source and target (--from and --to), the classes, for pictures. "
            f"Received: source {source}, target {target}."
        )
    if method not in METHODS or others:
        raise UsageError(
            f"Expected method {METHODS[0]}, without reference and levels, for pictures. "
            f"Received: {method}{', reference or levels' if others else ''}."
        )


def check_classes(run: TrainedRun, *names: str) -> None:
    """Check that the data of a run has these classes.

    Raises:
        UsageError: it has no class of a name.
    """
    for name in names:
        find_name(name, list(run.config["data"]["singers"]), "class")


def file_migration(
    run: TrainedRun,
    source: str,
    target: str,
    strength: float = 1.0,
    data_dir: PathLike | None = None,
) -> Callable[[PathLike, PathLike], None]:
    """Return a function that migrates a picture in a file and writes a png file; see `migrate`.

    Raises:
        UsageError: a class is unknown.
        DataError: the run's data cannot be used.
    """
    check_classes(run, source, target)
    means = class_means(run, data_dir)

    def write(picture: PathLike, result: PathLike) -> None:
        run.flow.signal.write(result, migrate(run, [picture], means, source, target, strength)[0])

    return write


def _decoded(run: TrainedRun, z: Sequence[np.ndarray], labels: Sequence[int]) -> np.ndarray:
    """Decode latents of a batch.

    Raises:
        DataError: the result is not finite.
    """
    x = _numpy(run.coder.decode(z, inputs_for(run, labels)))
    if not np.isfinite(x).all():
        raise DataError(
            f"Expected finite images. Received: NaN or infinite ones; check {run.name} with "
            "python3 -m singlow check."
        )
    return x


def _batches(count: int) -> Iterator[np.ndarray]:
    return (np.arange(start, min(start + BATCH, count)) for start in range(0, count, BATCH))


def pool_pictures(
    run: "TrainedRun | PathLike", pixels: np.ndarray, names: Sequence[str], ids: Sequence[str]
) -> Points:
    """Return the latents of pictures as points, one for each picture.

    Latents of a level with more than `MOST_FEATURES` values are averaged over squares of positions.

    Args:
        run: a run of images, or its name.
        pixels: uint8 `(pictures, height, width, channels)`.
        names: name of the class of each picture.
        ids: id of each picture.
    """
    run = open_run(run)
    known, signal = class_names(run), run.flow.signal
    parts: list[list[np.ndarray]] = []
    for indices in _batches(len(pixels)):
        x = signal.dequantize(pixels[indices], 0.5)
        labels = [known.index(names[index]) if names[index] in known else 0 for index in indices]
        z = run.coder.encode({"x": x, **inputs_for(run, labels)})
        parts.append([_flat(_numpy(latent)) for latent in z])
    levels = [np.concatenate(level) for level in zip(*parts, strict=True)]
    blocks = [(level, "latents") for level, x in enumerate(levels) for _ in range(x.shape[1])]
    bright = pixels.reshape(len(pixels), -1).astype(np.float64)
    plain = {
        "the picture's brightness alone": bright.mean(axis=1, keepdims=True),
        "the picture's pixels": _flat(pixels.astype(np.float64)),
    }
    ids, styles = np.array([shown(id) for id in ids]), np.array([""] * len(ids))
    labels = np.array([shown(name) for name in names])
    values = np.concatenate(levels, axis=1).astype(np.float64)
    return Points(values, blocks, plain, ids, ids, labels, styles, ("class", "picture"))


def _flat(latent: np.ndarray) -> np.ndarray:
    """Return latents `(batch, height, width, channels)` as at most `MOST_FEATURES` each."""
    count, height, width, channels = latent.shape
    while height * width * channels > MOST_FEATURES and not (height % 2 or width % 2):
        latent = latent.reshape(count, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        height, width = latent.shape[1:3]
    return latent.reshape(count, -1)


def write_code(path: Path, code: Code) -> None:
    """Write the latents of a picture as an npz file, atomically.

    Raises:
        DataError: a latent is not finite.
    """
    if not all(np.isfinite(latent).all() for latent in code.latents):
        raise DataError(
            f"{path}: Expected finite latents. Received: NaN or infinite values; check the run "
            "with python3 -m singlow check."
        )
    texts = {"format": FORMAT, "run": code.run, "fingerprint": code.fingerprint}
    arrays = {key: np.array(text) for key, text in {**texts, "label": code.label}.items()}
    numbers = {"version": VERSION, "epoch": code.epoch, "levels": len(code.latents)}
    arrays |= {key: np.array(number, np.int64) for key, number in numbers.items()}
    arrays |= {f"z_{index}": latent for index, latent in enumerate(code.latents)}
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def read_code(path: Path) -> Code:
    """Read an npz file of the latents of a picture; nothing in the file is executed.

    Raises:
        DataError: the file is damaged or does not contain such latents; the message says why.
    """
    try:
        content = read_npz(path)
        if any(content[key].dtype.kind != "U" or content[key].shape for key in _TEXTS):
            raise ValueError("a text is missing")
        if any(content[key].dtype != np.int64 or content[key].shape for key in _NUMBERS):
            raise ValueError("a number is missing")
        facts: Mapping[str, Any] = {key: content[key].item() for key in (*_TEXTS, *_NUMBERS)}
        if (facts["format"], facts["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it is {facts['format'][:40]!a} of version {facts['version']}")
        names = [f"z_{index}" for index in range(min(max(0, facts["levels"]), _MOST_LEVELS))]
        if not names or set(content) != {*_TEXTS, *_NUMBERS, *names}:
            raise ValueError(f"it holds {', '.join(sorted(content))[:200]}")
        for name in names:
            latent = content[name]
            if latent.dtype != np.float32 or latent.ndim != 3 or not np.isfinite(latent).all():
                raise ValueError(f"{name} is not finite float32 of three axes")
    except NPZ_ERRORS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{path}: Expected latents of a picture. Received: another file ({reason})."
        ) from None
    chosen = {key: facts[key] for key in ("label", "run", "epoch", "fingerprint")}
    return Code([content[name] for name in names], **chosen)


def warn_of_other_weights(run: TrainedRun, code: Code, source: Path) -> None:
    """Warn if latents were encoded with other weights than those of a run."""
    if code.fingerprint != run.fingerprint:
        warn(
            f"{source} was encoded by epoch {code.epoch} of run {shown(code.run)[:80]}: its "
            f"weights are not those of epoch {run.checkpoint.epoch} of {run.name}."
        )


def _numpy(tensor: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(tensor)
