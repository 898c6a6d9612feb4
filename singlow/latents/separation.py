"""Measure whether a latent space separates singers or styles, and compare with chance."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist, squareform

from singlow.latents import probe
from singlow.latents.pool import Points

SHUFFLES = 50
FEW = 19  # with fewer shuffles, meaningless labels exceed the limit more often than once in 20
_CLEAR = 0.1  # smallest clear difference, as a share of the distance from chance to 1


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured value, with the values of the same measurement for shuffled labels.

    Attributes:
        value: an accuracy from 0 to 1, or a silhouette from -1 to 1.
        chance: the value expected by chance: for an accuracy, `1 / number of labels`; for a
            silhouette, the mean over the shuffles.
        limit: the value that 95 % of the shuffles do not exceed.
        shuffles: number of shuffles; smaller than requested if there are only a few different ways
            to assign the labels to the singers.
    """

    value: float
    chance: float
    limit: float
    shuffles: int

    @property
    def significant(self) -> bool:
        """Whether the value exceeds both the limit and chance."""
        return self.value > max(self.limit, self.chance)

    @property
    def share(self) -> float:
        """`(value - chance) / (1 - chance)`; 0 if the value is not significant."""
        return (self.value - self.chance) / (1 - self.chance) if self.significant else 0.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """The figures for one kind of label, singers or styles.

    Attributes:
        labels: number of different labels.
        accuracy: accuracy of a linear probe; None if there are too few singers to hold some out.
        silhouette: silhouette of the standardised points.
        accuracy_centred: the accuracy after each singer's mean is subtracted.
        silhouette_centred: the silhouette after each singer's mean is subtracted.
    """

    labels: int
    accuracy: Figure | None
    silhouette: Figure
    accuracy_centred: Figure | None
    silhouette_centred: Figure


@dataclasses.dataclass(frozen=True)
class Separation:
    """The result of `separate`.

    Attributes:
        singer: figures for singers, with whole recordings held out.
        style: figures for styles, with whole singers held out; None for fewer than two styles.
        nested: whether every singer has one style, so that a singer's mean contains the style.
        parts: accuracies for singers and for styles of probes that see only some features, by name
            of the features: the means or the log variances of one level; for comparison, the
            loudness and the mean spectrum of the sound. The second accuracy is None if styles
            cannot be tested.
        words: see `Points`.
    """

    singer: Kind
    style: Kind | None
    nested: bool
    parts: dict[str, tuple[float, float | None]]
    words: tuple[str, str] = ("singer", "recording")

    def as_dict(self) -> dict[str, Any]:
        """Return the answer in words and all figures, ready for JSON."""
        return {"answer": self.answer(), **dataclasses.asdict(self)}

    def answer(self) -> str:
        """Return sentences that state whether this latent space separates singers or styles."""
        return " ".join(_sentences(self))


def separate(points: Points, seed: int = 0, shuffles: int = SHUFFLES) -> Separation:
    """Measure how well singers and styles are separated in pooled latents.

    The probe for singers is tested on recordings that it was not fitted to. The probe for styles is
    tested on singers that it was not fitted to.

    For the centred figures, each singer's mean is subtracted from the points. For singers, this is
    the mean over the recordings that the probe is fitted to. A linear probe then has nothing left
    to find, so this figure checks the method: it should be near chance. For styles, it is the mean
    over all points of the singer.

    Args:
        points: points of at least two singers.
        seed: random seed for folds and shuffles.
        shuffles: largest number of shuffles of the labels.
    """
    singers, styles, origins = points.singers, points.styles, points.origins
    testable = points.styled and probe.testable(styles, singers)

    def singer_accuracy(labels: np.ndarray, x: np.ndarray, centred: bool = False) -> float:
        return probe.singer_accuracy(x, labels, origins, seed, centred)

    def style_accuracy(labels: np.ndarray, x: np.ndarray, centred: bool = False) -> float:
        return probe.style_accuracy(x, labels, singers, seed, centred)

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
    nested = points.styled and probe.nested(styles, singers)
    return Separation(singer, style, nested, parts, points.words)


def _parts(points: Points) -> Iterable[tuple[str, np.ndarray]]:
    for level in range(points.num_levels):
        for statistic in points.statistics:
            name = statistic if points.num_levels == 1 else f"level {level}: {statistic}"
            yield name, points.block(level, statistic)
    yield from points.plain.items()


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
        probed = None
        if accuracy is not None:
            others = (accuracy(other, values, centred) for other in shuffled())
            probed = figure_of(accuracy(labels, values, centred), others, chance)
        others = (probe.silhouette(distances, other) for other in shuffled())
        figures += [probed, figure_of(probe.silhouette(distances, labels), others)]
    return Kind(len(np.unique(labels)), *figures)


def figure_of(value: float, shuffled: Iterable[float], chance: float | None = None) -> Figure:
    """Compare the figure of the true labels with the figures of shuffled labels.

    The limit is the `ceil(0.95 (n + 1))`-th smallest of the `n` shuffled figures, or the largest if
    there are too few. If the labels mean nothing, the true figure is equally likely to have any
    rank among all `n + 1` figures, so it exceeds the limit at most once in 20 times (for `n` of at
    least 19).

    Args:
        value: the figure of the true labels.
        shuffled: figures of shuffled labels.
        chance: the figure expected by chance; the mean over the shuffles when None.
    """
    others = np.sort(list(shuffled))
    if not len(others):
        return Figure(value, 0.0 if chance is None else chance, 1.0, 0)
    rank = min(len(others), math.ceil(0.95 * (len(others) + 1)))
    chance = float(others.mean()) if chance is None else chance
    return Figure(value, chance, float(others[rank - 1]), len(others))


def standardised(values: np.ndarray) -> np.ndarray:
    """Scale features `(points, features)` to mean 0 and variance 1; constant features become 0."""
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation < 1e-9, 1.0, deviation)


def _sentences(result: Separation) -> Iterable[str]:
    singer, style = result.singer.accuracy, result.style and result.style.accuracy
    label, point = result.words
    names_singer = f"predicts the {label} of a held-out {point} {_percent(singer)}"
    if style is None:
        verb = "separates" if singer.significant else "does not separate"
        yield f"This latent space {verb} {plural(label)}: a linear probe {names_singer}."
        if label != "singer":
            return
        if result.style is None:
            yield "Fewer than two styles are known, so styles were not tested."
        else:
            yield (
                "Styles were not tested: with whole singers held out, each style needs two singers."
            )
        return
    if singer.significant and style.significant:
        lead = singer.share - style.share
        first, second = ("singers", "styles") if lead > 0 else ("styles", "singers")
        clearly = f"{first} more clearly than {second}"
        verdict = f"separates {clearly if abs(lead) > _CLEAR else 'singers and styles alike'}"
    elif singer.significant or style.significant:
        first, second = ("singers", "styles") if singer.significant else ("styles", "singers")
        verdict = f"separates {first}, not {second}"
    else:
        verdict = "separates neither singers nor styles"
    yield (
        f"This latent space {verdict}: a linear probe {names_singer}, and the style of a held-out "
        f"singer {_percent(style)}."
    )
    if result.nested:
        yield (
            "Every singer has one style here, so a singer's mean contains it; after the mean is "
            "subtracted, neither the singer nor the style can be predicted."
        )
    else:
        yield _without_singers(style, result.style.accuracy_centred)
    if style.shuffles < FEW:
        yield (
            f"There are only {style.shuffles} other way(s) to assign the styles to the singers, so "
            "the evidence on styles is weak."
        )


def _without_singers(before: Figure, after: Figure) -> str:
    change = after.value - before.value
    if abs(change) <= _CLEAR * (1 - before.chance):
        meaning = "the singers make little difference to styles"
    else:
        meaning = "the singers hide the styles" if change > 0 else "the styles follow the singers"
    return (
        f"After each singer's mean is subtracted, the style is predicted "
        f"{100 * after.value:.0f} % of the time: {meaning}."
    )


def plural(noun: str) -> str:
    """Return the plural of a word in `Points.words`."""
    return f"{noun}{'es' if noun.endswith('s') else 's'}"


def _percent(figure: Figure) -> str:
    return f"{100 * figure.value:.0f} % of the time (chance {100 * figure.chance:.0f} %)"
