"""A new voice for a trained run: one embedding fitted to recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.errors import DataError
from singlow.models.flow import LOG_2, STEPS_OF_16_BIT
from singlow.models.traced import traced
from singlow.ops.control import vjp
from singlow.ops.tensors import Tensor
from singlow.voices.excerpts import Windows, log_probs

HELD_OUT = 5  # one window of so many
_BATCH, _RATE = 8, 0.03
_EVERY, _PATIENCE, _MOST = 20, 4, 1000  # steps
_COMPARED = 64  # windows, at most, that the held-out cost and the start are measured on


@dataclass(frozen=True)
class Fitted:
    """What fitting gave.

    Attributes:
        embedding: `(embedding_size,)` float32.
        start: place of the trained speaker it started from, -1 for their mean.
        before: bits per sample of the held-out windows under the start.
        after: the same under the embedding.
        steps: of Adam.
    """

    embedding: np.ndarray
    start: int
    before: float
    after: float
    steps: int


def fit_embedding(
    flow: Any,
    windows: Windows,
    table: np.ndarray,
    seed: int = 0,
    done: Callable[[], None] = lambda: None,
) -> Fitted:
    """The embedding that maximises `log p(x | e)`, all weights of the flow as they are.

    Adam on `e` alone, in batches of windows drawn from `seed`, from the likeliest of the trained
    speakers or their mean. Every fifth window is held out; fitting ends when those cost no less for
    80 steps, and the embedding they cost least under is the result.

    Args:
        flow: of a model that takes embeddings as its condition.
        windows: of the new speaker.
        table: embeddings of the trained speakers, `(speakers, embedding_size)`.
        seed: of the batches.
        done: called after every step; `MOST_STEPS` of them at most.

    Raises:
        DataError: there are fewer than two windows, or a likelihood is not finite.
    """
    if len(windows) < 2:
        raise DataError(
            f"Expected at least two windows of sound, {2 * windows.x.shape[1]} samples at "
            f"{flow.sample_rate} Hz. Received: {len(windows)}; give more recordings."
        )
    places = np.arange(len(windows))
    apart = places % min(HELD_OUT, len(windows)) == min(HELD_OUT, len(windows)) - 1
    fitted, held_out = windows[~apart], windows[_even(places[apart])]
    starts = np.concatenate([table, table.mean(axis=0, keepdims=True)])
    costs = _bits(flow, fitted[_even(np.arange(len(fitted)))], starts)
    start = int(np.argmin(costs))
    embedding = keras.Variable(starts[start], name="embedding")
    before = best = float(_bits(flow, held_out, starts[start : start + 1])[0])
    if not (np.isfinite(costs).all() and np.isfinite(before)):
        raise DataError("Expected finite likelihoods. Received: NaN or infinite ones.")
    kept, waited, step = starts[start], 0, 0
    descent, optimizer = _descent(flow), keras.optimizers.Adam(_RATE)
    rng = np.random.default_rng(seed)
    while step < _MOST and waited < _PATIENCE:
        some = fitted[rng.integers(len(fitted), size=_BATCH)]
        slope = descent(some.x, some.frame_mask, ops.convert_to_tensor(embedding))
        optimizer.apply([slope], [embedding])
        step += 1
        done()
        if step % _EVERY == 0:
            found = ops.convert_to_numpy(embedding)
            cost = float(_bits(flow, held_out, found[None])[0])
            waited = 0 if cost < best else waited + 1
            if cost < best:
                best, kept = cost, found
    place = start if start < len(table) else -1
    return Fitted(kept.astype(np.float32), place, before, best, step)


MOST_STEPS = _MOST


def _even(places: np.ndarray) -> np.ndarray:
    """At most `_COMPARED` of them, from one end to the other."""
    return places[np.linspace(0, len(places) - 1, min(_COMPARED, len(places))).astype(int)]


def _bits(flow: Any, windows: Windows, embeddings: np.ndarray) -> np.ndarray:
    """Bits per sample of all windows under each embedding: `(embeddings,)`."""
    total = log_probs(flow, windows, embeddings).sum(axis=0)
    return -total / (LOG_2 * windows.samples.sum()) + STEPS_OF_16_BIT


def _descent(flow: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The gradient of a batch's bits per sample in the embedding `(embedding_size,)`."""

    def gradient(x: Tensor, frame_mask: Tensor, embedding: Tensor) -> Tensor:
        def bits(embedding: Tensor) -> Tensor:
            condition = embedding * ops.ones_like(x[:, :1])
            inputs = {"x": x, "frame_mask": frame_mask, "condition": condition}
            log_prob = flow(inputs, training=False)[1]
            return -ops.sum(log_prob) / (LOG_2 * ops.sum(frame_mask))

        cost, pull = vjp(bits, embedding)
        return pull(ops.ones_like(cost))[0]

    return traced(flow, gradient)
