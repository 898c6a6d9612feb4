"""Augmentation of windows of speech that keeps the words and the speaker."""

import numpy as np

_EMPHASIS = 0.2
_TAPS = 4


def augmented(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment a window as Blow does: emphasise it, and scale it with a random sign.

        y_n = (x_n + sign(a) sum_(k=0..3) |a|^(2^k) x_(n-k-1)) / (1 + sign(a) sum_k |a|^(2^k))
        z   = u y / max |y|             a ~ U(-0.2, 0.2), u ~ U(-1, 1)

    The exponents 1, 2, 4 and 8 are those of the published code. Its fourth augmentation, jitter in
    time, is the random offset of a window in `Windows`.

    Args:
        x: window, float32 `(time, channels)`.
        rng: random generator for `a` and `u`.

    Returns:
        The augmented window, float32 `(time, channels)`.

    References:
        Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel
        raw-audio voice conversion, 2019, https://arxiv.org/abs/1906.00794
    """
    return _scaled(_emphasised(x, rng.uniform(-_EMPHASIS, _EMPHASIS)), rng.uniform(-1, 1))


def _emphasised(x: np.ndarray, amount: float) -> np.ndarray:
    taps = np.sign(amount) * np.abs(amount) ** (2.0 ** np.arange(_TAPS))
    y = x.astype(np.float64)
    for delay, tap in enumerate(taps, 1):
        y[delay:] += tap * x[:-delay]
    return y / (1.0 + taps.sum())


def _scaled(x: np.ndarray, amount: float) -> np.ndarray:
    return (x * (amount / max(np.abs(x).max(initial=0.0), 1e-7))).astype(np.float32)
