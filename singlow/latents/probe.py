"""Accuracy of linear probes on held-out points.

A probe is a linear discriminant with the shrunk covariance of Ledoit and Wolf and equal priors. Its
accuracy is balanced: the share of points that are predicted correctly is computed for each label
and averaged over the labels. The chance level is then 1 / labels, for any number of points of each
label.

References:
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004,
    https://doi.org/10.1016/S0047-259X(03)00096-4
"""

import itertools
from collections.abc import Iterator

import numpy as np
from sklearn.covariance import ledoit_wolf

Fold = np.ndarray
"""Mask of the points that are held out, `(points,)` bool."""

FOLDS, COMBINATIONS = 5, 20


class Discriminant:
    """Linear discriminants of standardised points, `w_c = S^-1 m_c`.

    `m_c` is the mean of the points with label c, and S is the shrunk covariance within labels.

    Args:
        seen: points to fit to, `(points, features)`.
        labels: label of each point, `(points,)`.

    Attributes:
        labels: the distinct labels, sorted.
    """

    def __init__(self, seen: np.ndarray, labels: np.ndarray) -> None:
        self._mean, self._deviation = seen.mean(axis=0), seen.std(axis=0)
        self._deviation[self._deviation < 1e-9] = 1.0
        x = self._standardised(seen)
        self.labels, codes = np.unique(labels, return_inverse=True)
        means = np.stack([x[codes == k].mean(axis=0) for k in range(len(self.labels))])
        covariance, _ = ledoit_wolf(x - means[codes], assume_centered=True)
        covariance += np.eye(len(covariance)) * (
            1e-6 * np.trace(covariance) / len(covariance) + 1e-12
        )
        root = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(root, means.T)
        self._weights = np.linalg.solve(root.T, whitened)
        self._offsets = 0.5 * np.sum(np.square(whitened), axis=0)
        between = whitened - whitened.mean(axis=1, keepdims=True)
        axes = np.linalg.svd(between, full_matrices=False)[0][:, : len(self.labels) - 1]
        self._axes = np.linalg.solve(root.T, axes)

    def _standardised(self, points: np.ndarray) -> np.ndarray:
        return (points - self._mean) / self._deviation

    def predict(self, points: np.ndarray) -> np.ndarray:
        """Return the likeliest label of each of the points `(points, features)`."""
        scores = self._standardised(points) @ self._weights - self._offsets
        return self.labels[scores.argmax(axis=1)]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points `(points, features)` to the directions in which labels differ most.

        Returns:
            Coordinates `(points, min(labels - 1, features))`, in units of the standard deviation
            within labels.
        """
        return self._standardised(points) @ self._axes


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of points that are predicted correctly, averaged over the labels."""
    shares = [np.mean(predicted[labels == label] == label) for label in np.unique(labels)]
    return float(np.mean(shares))


def singer_accuracy(
    values: np.ndarray, singers: np.ndarray, origins: np.ndarray, seed: int, centred: bool = False
) -> float:
    """Return the balanced accuracy of a probe for singers, with whole recordings held out.

    Args:
        values: features of the points, `(points, features)`.
        singers: singer of each point.
        origins: recording of each point; the points of a recording are held out together.
        seed: random seed for choosing the folds.
        centred: whether to subtract each singer's mean first; it is computed from the recordings
            that the probe is fitted to.
    """
    truth, predicted = [], []
    for held in recording_folds(singers, origins, seed):
        x = centre(values, singers, ~held) if centred else values
        truth.append(singers[held])
        predicted.append(Discriminant(x[~held], singers[~held]).predict(x[held]))
    return balanced_accuracy(np.concatenate(truth), np.concatenate(predicted))


def style_accuracy(
    values: np.ndarray, styles: np.ndarray, singers: np.ndarray, seed: int, centred: bool = False
) -> float:
    """Return the balanced accuracy of a probe for styles, with whole singers held out.

    Args:
        values: features of the points, `(points, features)`.
        styles: style of each point.
        singers: singer of each point.
        seed: random seed for choosing the folds.
        centred: whether to subtract each singer's mean first. This includes held-out singers,
            because the mean does not depend on styles.
    """
    x = centre(values, singers) if centred else values
    truth, predicted = [], []
    for held in singer_folds(styles, singers, seed):
        truth.append(styles[held])
        predicted.append(Discriminant(x[~held], styles[~held]).predict(x[held]))
    return balanced_accuracy(np.concatenate(truth), np.concatenate(predicted))


def centre(
    values: np.ndarray, singers: np.ndarray, measured: np.ndarray | None = None
) -> np.ndarray:
    """Subtract each singer's mean.

    Args:
        values: features of the points, `(points, features)`.
        singers: singer of each point.
        measured: mask of the points that means are computed from, `(points,)` bool; all when None.
    """
    result = values.copy()
    for singer in np.unique(singers):
        own = singers == singer
        result[own] -= values[own if measured is None else own & measured].mean(axis=0)
    return result


def recording_folds(singers: np.ndarray, origins: np.ndarray, seed: int) -> Iterator[Fold]:
    """Yield up to five folds, each of which holds out some recordings of every singer."""
    rng = np.random.default_rng(seed)
    fold = {}
    recordings = {singer: np.unique(origins[singers == singer]) for singer in np.unique(singers)}
    count = min(FOLDS, min(map(len, recordings.values())))
    for singer, own in recordings.items():
        fold |= {(singer, origin): k % count for k, origin in enumerate(rng.permutation(own))}
    folds = np.array([fold[pair] for pair in zip(singers, origins, strict=True)])
    yield from (folds == k for k in range(count))


def singer_folds(styles: np.ndarray, singers: np.ndarray, seed: int = 0) -> Iterator[Fold]:
    """Yield folds that hold out whole singers.

    If every singer has one style, each fold holds out one singer of each style, and there are up to
    twenty combinations of singers. Otherwise each fold holds out one singer, or a tenth of them.
    """
    rng = np.random.default_rng(seed)
    names = np.unique(singers)
    if nested(styles, singers):
        own = [np.unique(singers[styles == style]) for style in np.unique(styles)]
        total = int(np.prod([float(len(group)) for group in own]))
        if total <= COMBINATIONS:
            chosen = itertools.product(*own)
        else:
            chosen = ([rng.choice(group) for group in own] for _ in range(COMBINATIONS))
        yield from (np.isin(singers, list(held)) for held in chosen)
        return
    for held in np.array_split(rng.permutation(names), min(10, len(names))):
        fold = np.isin(singers, held)
        if set(styles[~fold]) >= set(styles[fold]):
            yield fold


def nested(styles: np.ndarray, singers: np.ndarray) -> bool:
    """Return whether every singer has exactly one style."""
    return all(len(np.unique(styles[singers == singer])) == 1 for singer in np.unique(singers))


def testable(styles: np.ndarray, singers: np.ndarray) -> bool:
    """Return whether `style_accuracy` can be computed: each style needs at least two singers."""
    counts = [len(np.unique(singers[styles == style])) for style in np.unique(styles)]
    return len(counts) > 1 and min(counts) > 1 and any(True for _ in singer_folds(styles, singers))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Return the silhouette score, the mean of `(b - a) / max(a, b)` over all points.

    a is a point's mean distance to the other points with its label, and b is its mean distance to
    the points with the nearest other label.

    Args:
        distances: distances between the points, `(points, points)`.
        labels: label of each point; a point whose label no other point has counts as 0.

    References:
        Rousseeuw, Silhouettes, 1987, https://doi.org/10.1016/0377-0427(87)90125-7
    """
    known, codes = np.unique(labels, return_inverse=True)
    one_hot = np.eye(len(known))[codes]
    counts, totals = one_hot.sum(axis=0), distances @ one_hot
    rows = np.arange(len(labels))
    own = counts[codes] - 1
    a = totals[rows, codes] / np.maximum(own, 1)
    means = totals / counts
    means[rows, codes] = np.inf
    b = means.min(axis=1)
    return float(np.mean(np.where(own > 0, (b - a) / np.maximum(np.maximum(a, b), 1e-30), 0.0)))


def shuffled_singers(
    singers: np.ndarray, origins: np.ndarray, count: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield `count` random assignments of singers to recordings, as the singer of each point."""
    rng = np.random.default_rng(seed)
    _, first, codes = np.unique(origins, return_index=True, return_inverse=True)
    for _ in range(count):
        yield rng.permutation(singers[first])[codes]


def shuffled_styles(
    styles: np.ndarray, singers: np.ndarray, origins: np.ndarray, count: int, seed: int
) -> Iterator[np.ndarray]:
    """Yield at most `count` random assignments of styles, as the style of each point.

    If every singer has one style, styles are assigned to singers. Each assignment is yielded at
    most once and differs from the true one, so few singers have few assignments. Otherwise styles
    are assigned to the recordings of each singer.
    """
    rng = np.random.default_rng(seed)
    if not nested(styles, singers):
        keys = np.array([f"{s}\n{o}" for s, o in zip(singers, origins, strict=True)])
        _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
        for _ in range(count):
            shuffled = styles[first].copy()
            for singer in np.unique(singers):
                own = np.flatnonzero(singers[first] == singer)
                shuffled[own] = rng.permutation(shuffled[own])
            yield shuffled[codes]
        return
    _, first, codes = np.unique(singers, return_index=True, return_inverse=True)
    for shuffled in _groupings(styles[first], count, rng):
        yield shuffled[codes]


def _groupings(styles: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield different groupings of singers by style; renaming styles does not change a grouping."""
    seen = {_partition(styles)}
    for _ in range(20 * count):
        shuffled = rng.permutation(styles)
        if (partition := _partition(shuffled)) not in seen:
            seen.add(partition)
            yield shuffled
        if len(seen) > count:
            return


def _partition(labels: np.ndarray) -> tuple[int, ...]:
    """Return labels as integers, numbered in order of appearance."""
    order: dict[str, int] = {}
    return tuple(order.setdefault(label, len(order)) for label in labels.tolist())
