"""Measure migrations of pictures between classes, and samples by class, with a classifier."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.data.store.dataset import Clips, read_info
from singlow.errors import DataError, UsageError
from singlow.evaluation import page
from singlow.evaluation.figures import Estimate, share_estimate
from singlow.files import write_text
from singlow.latents import pictures
from singlow.names import find_name, shown
from singlow.pictures import grid, picture_bytes
from singlow.progress import progress
from singlow.tables import table as text_table

if TYPE_CHECKING:
    from rich.table import Table

    from singlow.runs.opening import TrainedRun

STRENGTHS = (0.0, 0.5, 1.0, 1.5)
MOST, SHOWN = 100, 12  # pictures that are moved for each pair of classes, and in a row of the page
SAMPLES, MOST_FITTED = 500, 5000
TEMPERATURE = 0.7
_SIDE = 48  # smallest side of a picture on the page, in pixels


@dataclass(frozen=True)
class Moved:
    """Pictures of one class on their way to another.

    Attributes:
        source: class of the pictures.
        target: class that they are moved to.
        images: images by strength, `(pictures, height, width, channels)`.
        recognised: number of images at each strength that are classified as the target.
    """

    source: str
    target: str
    images: dict[float, np.ndarray]
    recognised: dict[float, int]


@dataclass(frozen=True)
class PictureReport:
    """Migrations between classes, and samples by class, as a classifier recognises them.

    Attributes:
        title: source and target, in words.
        about: sentences that describe how the migrations were measured.
        accuracy: share of held-out pictures that the classifier recognises as their class.
        samples: share of samples at temperature 0.7 that are recognised as their class; `None` for
            a run without classes.
        pairs: the migrations, for each pair of classes.
    """

    title: str
    about: tuple[str, ...]
    accuracy: Estimate
    samples: Estimate | None
    pairs: list[Moved]

    def recognised(self, strength: float) -> Estimate:
        """The share of moved pictures that are recognised as their target."""
        count = sum(len(pair.images[strength]) for pair in self.pairs)
        return share_estimate(sum(pair.recognised[strength] for pair in self.pairs), count)


def evaluate_pictures(
    run: "TrainedRun",
    config: dict[str, Any],
    source: str | None,
    target: str | None,
    strength: float,
    output: Path,
    data_dir: str | os.PathLike | None = None,
) -> PictureReport:
    """Migrate held-out pictures between classes, and measure how a classifier recognises them.

    The classifier, a support vector machine with a Gaussian kernel on pixels, is fitted to training
    pictures. It has no part in the flow.

    Args:
        run: an opened run of images.
        config: its settings as `prepare_data` returns them.
        source: class of the pictures; every class when None.
        target: class to move to; every other class when None.
        strength: a strength that is measured beside `STRENGTHS`.
        output: the HTML file of the page.
        data_dir: folder for the records of the run's own data, from whose means pictures move.

    Raises:
        UsageError: a class is unknown, or source and target are the same.
        DataError: there are too few pictures.
    """
    names = list(config["data"]["singers"])
    chosen = [name and find_name(name, names, "class") for name in (source, target)]
    pairs = [
        (a, b)
        for a, b in itertools.permutations(names, 2)
        if chosen[0] in (None, a) and chosen[1] in (None, b)
    ]
    if not pairs:
        raise UsageError(f"Expected two different classes. Received: {source} and {target}.")
    directory = Path(config["data"]["directory"])
    train, held = (_stored(directory, split) for split in ("train", "validation"))
    classifier = _fitted(*train)
    accuracy = _right(classifier, *held)
    means = pictures.class_means(run, data_dir)
    strengths = sorted({*STRENGTHS, strength})
    moved = []
    with progress("Moving", len(pairs)) as advance:
        for a, b in pairs:
            own = held[0][held[1] == names.index(a)][: max(1, MOST // max(1, len(names) - 1))]
            if len(own):
                moved.append(_moved(run, own, means, (a, b), strengths, classifier, names))
            advance()
    if not moved:
        raise DataError(f"{directory}: Expected held-out pictures to move. Received: none.")
    samples = None
    if pictures.class_names(run):
        samples = _recognised_samples(run, classifier, len(names))
    report = PictureReport(
        f"{chosen[0] or 'each class'} to {chosen[1] or 'each other'}",
        (
            f"Run {run.name}, epoch {run.checkpoint.epoch}; attribute vectors: the difference of "
            "the mean latents of the training pictures of two classes.",
            "The pictures were held out from training. The classifier was fitted to training "
            "pictures and is no part of the flow.",
        ),
        accuracy,
        samples,
        moved,
    )
    write_text(output, _page(report, run.flow.signal))
    return report


def table(report: PictureReport) -> "Table":
    """Return the shares of pictures that the classifier recognises as a table."""
    rows = [("held-out pictures as their class", report.accuracy.shown_range("{:.1%}"))]
    if report.samples is not None:
        name = f"samples at temperature {TEMPERATURE:g} as their class"
        rows.append((name, report.samples.shown_range("{:.1%}")))
    for strength in report.pairs[0].images:
        name = "unmoved pictures" if strength == 0 else f"moved by {strength:g}"
        rows.append((f"{name} as the target", report.recognised(strength).shown_range("{:.1%}")))
    count = sum(len(pair.images[0.0]) for pair in report.pairs)
    caption = (
        f"{count} migrations of held-out pictures, {report.title}. In brackets: 95 % intervals."
    )
    return text_table("Recognised by a classifier", ("", "share"), rows, caption)


def _stored(directory: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MOST_FITTED` pictures of a split, spread over it, with their classes."""
    clips = Clips(directory, read_info(directory), split)
    step = -(-len(clips.entries) // MOST_FITTED)
    indices = range(0, len(clips.entries), step)
    labels = np.array([clips.entries[index].singer for index in indices])
    return np.stack([clips.samples(index) for index in indices]), labels


def _features(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float64) / 255.0


def _fitted(pixels: np.ndarray, labels: np.ndarray) -> Any:
    from sklearn.svm import SVC

    return SVC(C=10.0, gamma="scale").fit(_features(pixels), labels)


def _right(classifier: Any, pixels: np.ndarray, labels: np.ndarray) -> Estimate:
    right = int((classifier.predict(_features(pixels)) == labels).sum())
    return share_estimate(right, len(labels))


def _moved(
    run: "TrainedRun",
    own: np.ndarray,
    means: pictures.ClassMeans,
    pair: tuple[str, str],
    strengths: Sequence[float],
    classifier: Any,
    names: list[str],
) -> Moved:
    signal, target = run.flow.signal, names.index(pair[1])
    images, recognised = {}, {}
    for strength in strengths:
        x = np.stack(pictures.migrate(run, own, means, *pair, strength))
        images[strength] = x
        found = classifier.predict(_features(np.stack([signal.pixels(each) for each in x])))
        recognised[strength] = int((found == target).sum())
    return Moved(*pair, images, recognised)


def _recognised_samples(run: "TrainedRun", classifier: Any, classes: int) -> Estimate:
    labels = np.arange(SAMPLES, dtype=np.int32) % classes
    given = pictures.inputs_for(run, labels)
    from keras import ops

    x = ops.convert_to_numpy(run.coder.sample(given, temperature=TEMPERATURE, seed=0)[0])
    pixels = np.stack([run.flow.signal.pixels(each) for each in x])
    return _right(classifier, pixels, labels)


def _page(report: PictureReport, signal: Any) -> str:
    rows = [(f"{a}", b) for a, b in _rows(report)]
    parts = [page.table(("", "share"), rows)]
    for pair in report.pairs:
        strengths, count = list(pair.images), min(SHOWN, len(pair.images[0.0]))
        shown_images = [
            signal.picture(pair.images[strength][index])
            for strength in strengths
            for index in range(count)
        ]
        scale = max(1, -(-_SIDE // shown_images[0].shape[0]))
        sheet = picture_bytes(grid(shown_images, count, scale))
        parts.append(page.heading(f"{shown(pair.source)} to {shown(pair.target)}"))
        caption = "Rows: strengths " + ", ".join(f"{strength:g}" for strength in strengths)
        parts.append(page.picture(sheet, caption))
    return page.document(f"Pictures moved: {report.title}", report.about, parts)


def _rows(report: PictureReport) -> list[tuple[str, str]]:
    columns = table(report).columns
    return list(zip(*([str(cell) for cell in column.cells] for column in columns), strict=True))
