"""Whether a latent space separates singers, styles, both or neither: figures beside chance."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform

from singlow.latents import probe
from singlow.latents.pool import STATISTICS, Points

SHUFFLES = 50
FEW = 19  # shuffles below which 95 % of them are all of them
_CLEARLY = 0.1  # of the way from chance to perfection


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure beside what the same measurement gives when labels are dealt anew.

    Attributes:
        value: an accuracy from 0 to 1, or a silhouette from -1 to 1.
        chance: one in the number of labels for an accuracy, the mean of the shuffles otherwise.
        limit: 95 % of the shuffles stay at or below it.
        shuffles: how many there were; few singers can be parted in few ways.
    """

    value: float
    chance: float
    limit: float
    shuffles: int

    @property
    def told(self) -> bool:
        """Whether the value is beyond the shuffles, and beyond chance."""
        return self.value > max(self.limit, self.chance)

    @property
    def share(self) -> float:
        """Of the way from chance to perfection; 0 where nothing is told."""
        return (self.value - self.chance) / (1 - self.chance) if self.told else 0.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """The figures of one kind of labels.

    Attributes:
        labels: how many there are.
        accuracy: of a linear probe, None where none can be held out honestly.
        silhouette: of the standardised points.
        accuracy_centred: the same with each singer's mean taken away.
        silhouette_centred: likewise.
    """

    labels: int
    accuracy: Figure | None
    silhouette: Figure
    accuracy_centred: Figure | None
    silhouette_centred: Figure


@dataclasses.dataclass(frozen=True)
class Separation:
    """What `separate` measured.

    Attributes:
        singer: figures for singers, whole recordings held out.
        style: figures for styles, whole singers held out; None without two styles.
        nested: whether every singer has one style, so that a singer's mean holds it.
        parts: accuracies for singer and style by what they are told from: a level's means, its log
            variances; and, for comparison, the sound's level and its mean spectrum.
    """

    singer: Kind
    style: Kind | None
    nested: bool
    parts: dict[str, tuple[float, float | None]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the answer in words."""
        return {"answer": self.answer(), **dataclasses.asdict(self)}

    def answer(self) -> str:
        """Does this latent space separate singers, or styles? In plain sentences."""
        return " ".join(_sentences(self))


def separate(points: Points, seed: int = 0, shuffles: int = SHUFFLES) -> Separation:
    """Measure how well singers and styles can be told apart in pooled latents.

    Singers are told with whole recordings held out, styles with whole singers held out. A singer's
    mean is taken away as measured on the recordings seen when singers are told (a linear probe then
    has nothing left to tell them by: the figure is a check), on all of the singer's points when
    styles are.

    Args:
        points: of two singers or more.
        seed: of folds and shuffles.
        shuffles: how often labels are dealt anew.
    """
    singers, styles, origins = points.singers, points.styles, points.origins
    testable = points.styled and probe.testable(styles, singers)

    def singer_accuracy(labels: np.ndarray, x: np.ndarray, centred: bool = False) -> float:
        return probe.tell_singers(x, labels, origins, seed, centred)

    def style_accuracy(labels: np.ndarray, x: np.ndarray, centred: bool = False) -> float:
        return probe.tell_styles(x, labels, singers, seed, centred)

    singer = _kind(
        points.values,
        singers,
        singers,
        singer_accuracy,
        lambda: probe.shuffled_singers(singers, origins, shuffles, seed),
    )
    style = None
    if points.styled:
        style = _kind(
            points.values,
            styles,
            singers,
            style_accuracy if testable else None,
            lambda: probe.shuffled_styles(styles, singers, origins, shuffles, seed),
        )
    parts = {
        name: (
            singer_accuracy(singers, x),
            style_accuracy(styles, x) if testable else None,
        )
        for name, x in _parts(points)
    }
    return Separation(singer, style, points.styled and probe.nested(styles, singers), parts)


def _parts(points: Points) -> Iterable[tuple[str, np.ndarray]]:
    for level in range(points.levels):
        for statistic in STATISTICS:
            name = statistic if points.levels == 1 else f"level {level}: {statistic}"
            yield name, points.block(level, statistic)
    yield "the sound's level alone", points.loudness
    yield "the sound's mean spectrum", points.spectrum


def _kind(
    values: np.ndarray,
    labels: np.ndarray,
    singers: np.ndarray,
    accuracy: Callable[[np.ndarray, np.ndarray, bool], float] | None,
    shuffled: Callable[[], Iterable[np.ndarray]],
) -> Kind:
    chance = 1 / len(np.unique(labels))
    figures = []
    for centred in (False, True):
        x = probe.centre(values, singers) if centred else values
        distances = squareform(pdist(standardised(x)))
        told = None
        if accuracy is not None:
            measured = (accuracy(dealt, values, centred) for dealt in shuffled())
            told = _figure(accuracy(labels, values, centred), measured, chance)
        alike = (probe.silhouette(distances, dealt) for dealt in shuffled())
        figures += [told, _figure(probe.silhouette(distances, labels), alike)]
    return Kind(len(np.unique(labels)), *figures)


def _figure(value: float, shuffled: Iterable[float], chance: float | None = None) -> Figure:
    others = np.sort(list(shuffled))
    if not len(others):
        return Figure(value, 0.0 if chance is None else chance, 1.0, 0)
    rank = min(len(others), math.ceil(0.95 * (len(others) + 1)))  # as if the value were one of them
    chance = float(others.mean()) if chance is None else chance
    return Figure(value, chance, float(others[rank - 1]), len(others))


def standardised(values: np.ndarray) -> np.ndarray:
    """Every feature with mean 0 and variance 1; one that never changes is 0."""
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation < 1e-9, 1.0, deviation)


def _sentences(found: Separation) -> Iterable[str]:
    singer, style = found.singer.accuracy, found.style and found.style.accuracy
    names_singer = f"names the singer of an unheard recording {_percent(singer)}"
    if style is None:
        verb = "separates" if singer.told else "does not separate"
        yield f"This latent space {verb} singers: a linear probe {names_singer}."
        if found.style is None:
            yield "No two styles are known of these recordings, so nothing is said of styles."
        else:
            yield (
                "Styles cannot be told with whole singers held out, for which each needs two "
                "singers, so nothing is said of them."
            )
        return
    if singer.told and style.told:
        lead = singer.share - style.share
        first, second = ("singers", "styles") if lead > 0 else ("styles", "singers")
        how = f"{first} more clearly than {second}"
        verdict = f"separates {how if abs(lead) > _CLEARLY else 'singers and styles alike'}"
    elif singer.told or style.told:
        first, second = ("singers", "styles") if singer.told else ("styles", "singers")
        verdict = f"separates {first}, not {second}"
    else:
        verdict = "separates neither singers nor styles"
    yield (
        f"This latent space {verdict}: a linear probe {names_singer}, and the style of an unheard "
        f"singer {_percent(style)}."
    )
    if found.nested:
        yield (
            "Every singer has one style here, so that a singer's mean holds it: with the mean "
            "taken away there is nothing left to tell either by."
        )
    else:
        yield _without_singers(style, found.style.accuracy_centred)
    if style.shuffles < FEW:
        yield (
            f"These singers can be parted among the styles in only {style.shuffles} other way(s), "
            "so that what is said of styles is weak evidence."
        )


def _without_singers(before: Figure, after: Figure) -> str:
    change = after.value - before.value
    if abs(change) <= _CLEARLY * (1 - before.chance):
        meaning = "who sings matters little to it"
    else:
        meaning = "who sings hides it" if change > 0 else "who sings told much of it"
    return (
        f"With each singer's mean taken away the style is told {100 * after.value:.0f} % "
        f"of the time instead: {meaning}."
    )


def _percent(figure: Figure) -> str:
    return f"{100 * figure.value:.0f} % of the time (chance {100 * figure.chance:.0f} %)"
