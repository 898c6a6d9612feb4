"""How well labels can be told by a linear probe that never sees what it is tried on.

A probe is a linear discriminant with Ledoit and Wolf's shrunk covariance and equal priors; its
accuracy is balanced, the mean over labels of the share that is named rightly, so that chance is one
in the number of labels whatever their counts.

References:
    Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004,
    https://doi.org/10.1016/S0047-259X(03)00096-4
"""

import itertools
from collections.abc import Iterator

import numpy as np
from sklearn.covariance import ledoit_wolf

Fold = np.ndarray  # which points are held out
FOLDS, COMBINATIONS, GROUPINGS = 5, 20, 100


class Discriminant:
    """Linear discriminants of standardised points: `w_c = S^-1 m_c`, S shrunk and within labels.

    Args:
        seen: `(points, features)`.
        labels: of the points.
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

    def name(self, points: np.ndarray) -> np.ndarray:
        """The likeliest label of each of `(points, features)`."""
        scores = self._standardised(points) @ self._weights - self._offsets
        return self.labels[scores.argmax(axis=1)]

    def project(self, points: np.ndarray) -> np.ndarray:
        """`(points, labels - 1 or features)`: where labels differ most first, in deviations."""
        return self._standardised(points) @ self._axes


def balanced_accuracy(labels: np.ndarray, named: np.ndarray) -> float:
    """The mean over labels of the share of its points that is named rightly."""
    return float(np.mean([np.mean(named[labels == label] == label) for label in np.unique(labels)]))


def tell_singers(
    values: np.ndarray, singers: np.ndarray, origins: np.ndarray, seed: int, centred: bool = False
) -> float:
    """Accuracy for singers, whole recordings held out.

    Args:
        values: `(points, features)`.
        singers: of the points.
        origins: the recordings they are of; all points of one are on one side.
        seed: of the folds.
        centred: take each singer's mean away first, measured on the recordings seen.
    """
    truth, named = [], []
    for held in recording_folds(singers, origins, seed):
        x = centre(values, singers, ~held) if centred else values
        truth.append(singers[held])
        named.append(Discriminant(x[~held], singers[~held]).name(x[held]))
    return balanced_accuracy(np.concatenate(truth), np.concatenate(named))


def tell_styles(
    values: np.ndarray, styles: np.ndarray, singers: np.ndarray, seed: int, centred: bool = False
) -> float:
    """Accuracy for styles, whole singers held out.

    Args:
        values: `(points, features)`.
        styles: of the points.
        singers: of the points.
        seed: of the folds.
        centred: take each singer's mean away first, the held-out singers' too: it needs no style.
    """
    x = centre(values, singers) if centred else values
    truth, named = [], []
    for held in singer_folds(styles, singers, seed):
        truth.append(styles[held])
        named.append(Discriminant(x[~held], styles[~held]).name(x[held]))
    return balanced_accuracy(np.concatenate(truth), np.concatenate(named))


def centre(
    values: np.ndarray, singers: np.ndarray, measured: np.ndarray | None = None
) -> np.ndarray:
    """Points less the mean of their singer's points, or of those `measured`."""
    result = values.copy()
    for singer in np.unique(singers):
        own = singers == singer
        result[own] -= values[own if measured is None else own & measured].mean(axis=0)
    return result


def recording_folds(singers: np.ndarray, origins: np.ndarray, seed: int) -> Iterator[Fold]:
    """Up to five folds, in each some recordings of every singer held out."""
    rng = np.random.default_rng(seed)
    fold = {}
    dealt = {singer: np.unique(origins[singers == singer]) for singer in np.unique(singers)}
    count = min(FOLDS, min(map(len, dealt.values())))
    for singer, own in dealt.items():
        fold |= {(singer, origin): k % count for k, origin in enumerate(rng.permutation(own))}
    turns = np.array([fold[pair] for pair in zip(singers, origins, strict=True)])
    yield from (turns == k for k in range(count))


def singer_folds(styles: np.ndarray, singers: np.ndarray, seed: int = 0) -> Iterator[Fold]:
    """Folds in which whole singers are held out.

    Where every singer has one style, one singer of each style is held out in turn, in up to twenty
    combinations; elsewhere one singer, or a tenth of them.
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
    """Whether every singer has one style."""
    return all(len(np.unique(styles[singers == singer])) == 1 for singer in np.unique(singers))


def testable(styles: np.ndarray, singers: np.ndarray) -> bool:
    """Whether styles can be told with whole singers held out: each needs two singers."""
    counts = [len(np.unique(singers[styles == style])) for style in np.unique(styles)]
    return len(counts) > 1 and min(counts) > 1 and any(True for _ in singer_folds(styles, singers))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """The mean of `(b - a) / max(a, b)`: a the mean distance to one's own label, b to the nearest.

    Args:
        distances: `(points, points)`.
        labels: of the points; one that stands alone counts 0.

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
    """Singers dealt anew to the recordings, `count` times."""
    rng = np.random.default_rng(seed)
    _, first, codes = np.unique(origins, return_index=True, return_inverse=True)
    for _ in range(count):
        yield rng.permutation(singers[first])[codes]


def shuffled_styles(
    styles: np.ndarray, singers: np.ndarray, origins: np.ndarray, count: int, seed: int
) -> Iterator[np.ndarray]:
    """Styles dealt anew: to the singers where each has one, else to a singer's own recordings.

    Few singers can be parted among the styles in few ways; then every other way comes once.
    """
    rng = np.random.default_rng(seed)
    if not nested(styles, singers):
        keys = np.array([f"{s}\n{o}" for s, o in zip(singers, origins, strict=True)])
        _, first, codes = np.unique(keys, return_index=True, return_inverse=True)
        for _ in range(count):
            dealt = styles[first].copy()
            for singer in np.unique(singers):
                own = np.flatnonzero(singers[first] == singer)
                dealt[own] = rng.permutation(dealt[own])
            yield dealt[codes]
        return
    _, first, codes = np.unique(singers, return_index=True, return_inverse=True)
    for dealt in _groupings(styles[first], count, rng):
        yield dealt[codes]


def _groupings(styles: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Other ways to part singers among styles; renamed styles part them the same way."""
    seen = {_partition(styles)}
    for _ in range(20 * count):
        dealt = rng.permutation(styles)
        if (parted := _partition(dealt)) not in seen:
            seen.add(parted)
            yield dealt
        if len(seen) > count:
            return


def _partition(labels: np.ndarray) -> tuple[int, ...]:
    """Which labels are equal, whatever they are called."""
    order: dict[str, int] = {}
    return tuple(order.setdefault(label, len(order)) for label in labels.tolist())
