"""Monotonic alignment of the tokens of a text with the frames of its sound."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.ops.control import compiled, scan, with_backward
from singlow.ops.tensors import Tensor

_NEVER = -1e30  # the logarithm of the probability of what cannot happen


def gaussian_scores(z: Tensor, means: Tensor, log_scales: Tensor | None = None) -> Tensor:
    """The log-density of every frame under the Gaussian of every token.

        score_(t, i) = sum_c log N(z_tc; m_ic, exp(s_ic))

    The square is expanded, so that two matrix products compute all scores, and no tensor with
    tokens, frames and channels is stored.

    Args:
        z: `(batch, frames, channels)`.
        means: `m`, `(batch, tokens, channels)`.
        log_scales: `s`, of the same shape; zeros when `None`.

    Returns:
        `(batch, frames, tokens)`, at least float32.
    """
    dtype = keras.backend.result_type(z.dtype, "float32")
    z, means = ops.cast(z, dtype), ops.cast(means, dtype)
    constant = 0.5 * math.log(2.0 * math.pi) * z.shape[-1]
    if log_scales is None:
        squares = -0.5 * ops.sum(ops.square(z), axis=-1, keepdims=True)
        own = -0.5 * ops.sum(ops.square(means), axis=-1)[:, None] - constant
        return squares + _products(z, means) + own
    log_scales = ops.cast(log_scales, dtype)
    precisions = ops.exp(-2.0 * log_scales)
    scaled = means * precisions
    own = ops.sum(-0.5 * means * scaled - log_scales, axis=-1)[:, None] - constant
    return _products(-0.5 * ops.square(z), precisions) + _products(z, scaled) + own


def _products(frames: Tensor, tokens: Tensor) -> Tensor:
    return ops.matmul(frames, ops.swapaxes(tokens, 1, 2))


def monotonic_path(scores: Tensor, token_mask: Tensor, frame_mask: Tensor) -> Tensor:
    """The alignment with the largest sum of scores, by monotonic alignment search.

    An alignment gives every frame one token. The first frame has the first token, the last frame
    the last one, and from a frame to the next the token stays or advances by one, so that every
    token has at least one frame:

        best_(t, i) = score_(t, i) + max(best_(t - 1, i), best_(t - 1, i - 1))

    Of two equally good ways the token stays. On TensorFlow without an accelerator a compiled loop
    on the host runs the search, elsewhere a loop that is compiled with the rest of the step. There
    is no gradient.

    Args:
        scores: `(batch, frames, tokens)`, for instance of `gaussian_scores`.
        token_mask: `(batch, tokens)`, ones and then zeros.
        frame_mask: `(batch, frames)`, ones and then zeros.

    Returns:
        `(batch, frames, tokens)` of the type of `scores`: 1 where a frame has a token, otherwise 0.
        Padded frames have no token. An item with more tokens than frames has no alignment; inside a
        compiled step, which cannot raise an error, its path is NaN.

    Raises:
        ValueError: an item has no token, or fewer frames than tokens.

    References:
        Kim, Kim, Kong and Yoon, Glow-TTS: A Generative Flow for Text-to-Speech via Monotonic
        Alignment Search, 2020, https://arxiv.org/abs/2005.11129
    """
    scores = ops.stop_gradient(ops.convert_to_tensor(scores))
    tokens, frames = _lengths(token_mask), _lengths(frame_mask)
    known = _values(tokens, frames)
    if known is not None:
        _check(*known)
    if keras.backend.backend() == "jax":
        return (_by_scan if known is None else compiled(_by_scan))(scores, tokens, frames)
    import tensorflow as tf

    on_accelerator = bool(tf.config.list_physical_devices("GPU"))
    return (_by_scan if on_accelerator else _on_host)(scores, tokens, frames)


def path_of(durations: Tensor, frames: Any) -> Tensor:
    """The alignment in which each token has as many frames as its duration.

    Args:
        durations: `(batch, tokens)` of any type, not negative; zero where there is no token.
        frames: number of frames of the result; an item with fewer has empty frames at its end.

    Returns:
        `(batch, frames, tokens)` of the type of `durations`: 1 where a frame has a token.
    """
    ends = ops.cumsum(durations, axis=1)[:, None]
    starts = ends - durations[:, None]
    position = ops.cast(ops.arange(frames, dtype="int32"), durations.dtype)[None, :, None]
    inside = ops.logical_and(position >= starts, position < ends)
    return ops.cast(inside, durations.dtype)


def expand(values: Tensor, path: Tensor) -> Tensor:
    """The value of the token of each frame; zeros where a frame has none.

    Args:
        values: `(batch, tokens, channels)`.
        path: `(batch, frames, tokens)`, of `monotonic_path` or `path_of`.

    Returns:
        `(batch, frames, channels)`.
    """
    return ops.matmul(ops.cast(path, values.dtype), values)


def monotonic_cost(
    log_weights: Tensor, token_mask: Tensor, frame_mask: Tensor, blank: float = -8.0
) -> Tensor:
    """How far attention is from reading all tokens in their order, by the CTC loss.

        cost = -log sum over alignments prod_t p_t(token of t)

    `p_t` is the softmax of `blank`, which stands for no token, and the logarithms of the weights.
    An alignment gives every token at least one frame, in the order of the tokens, with blanks
    between.

    Args:
        log_weights: `(batch, frames, tokens)`.
        token_mask: `(batch, tokens)`, ones and then zeros.
        frame_mask: `(batch, frames)`, ones and then zeros.
        blank: logarithm of the weight of the blank.

    Returns:
        `(batch,)`, at least float32; 0 for an item with fewer frames than tokens.

    References:
        Graves, Fernandez, Gomez and Schmidhuber, Connectionist Temporal Classification, 2006,
        https://doi.org/10.1145/1143844.1143891
    """
    dtype = keras.backend.result_type(log_weights.dtype, "float32")
    token_mask, frame_mask = ops.cast(token_mask, dtype), ops.cast(frame_mask, dtype)
    weights = ops.where(token_mask[:, None] > 0, ops.cast(log_weights, dtype), _NEVER)
    blanks = ops.zeros_like(weights[..., :1]) + blank
    logs = ops.log_softmax(ops.concatenate([blanks, weights], axis=-1), axis=-1)
    blanks, weights = logs[..., :1], logs[..., 1:]
    # States of an alignment: blank, token 1, blank, token 2, ..., blank.
    pairs = ops.stack([blanks + ops.zeros_like(weights), weights], axis=-1)
    batch, frames, tokens = ops.shape(weights)
    states = ops.reshape(pairs, (batch, frames, 2 * tokens))
    states = ops.concatenate([states, blanks], axis=-1)
    last = 2 * _lengths(token_mask)[:, None]
    place = ops.arange(2 * tokens + 1, dtype="int32")[None]
    ends = ops.where(ops.logical_or(place == last, place == last - 1), 0.0, _NEVER)
    fixed = [ops.cast(ends, dtype), ops.swapaxes(frame_mask, 0, 1)]
    return _ctc([ops.swapaxes(states, 0, 1)], fixed)[0]


def _run_ctc(learned: list[Tensor], fixed: Any) -> tuple[Tensor, ...]:
    """Costs, log-likelihoods and the forward variables `(frames, batch, states)`."""
    (states,), (ends, valid) = learned, fixed
    place = ops.arange(ops.shape(states)[2], dtype="int32")[None]

    def turn(carry: list[Tensor], row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (alpha,), (logs, mask) = carry, row
        moved = _log_sum(alpha, _shifted(alpha, 1), _skipped(alpha, 2))
        alpha = ops.where(mask[:, None] > 0, moved + logs, alpha)
        return [alpha], [alpha]

    start = ops.where(place < 2, states[0], ops.cast(_NEVER, states.dtype))
    times = ops.shape(states)[0] - 1
    (last,), (alphas,) = scan(
        turn, [start], [states[1:], valid[1:]], times, [start], differentiated=False
    )
    found = ops.logsumexp(last + ends, axis=-1)
    cost = ops.where(found > 0.5 * _NEVER, -found, ops.zeros_like(found))
    return cost, found, ops.concatenate([start[None], alphas])


def _pull_ctc(
    outputs: tuple[Tensor, ...], learned: list[Tensor], fixed: Any, upstream: Sequence[Tensor]
) -> list[Tensor]:
    (_, found, alphas), (states,), (ends, valid) = outputs, learned, fixed
    possible = ops.cast(found > 0.5 * _NEVER, found.dtype)

    def turn(carry: list[Tensor], row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (beta,), (alpha, logs, mask) = carry, row
        shares = ops.exp(ops.minimum(alpha + beta - found[:, None], 0.0)) * mask[:, None]
        ahead = beta + logs
        moved = _log_sum(ahead, _shifted(ahead, -1), _skipped(ahead, -2))
        return [ops.where(mask[:, None] > 0, moved, beta)], [shares]

    times = ops.shape(states)[0]
    _, (shares,) = scan(
        turn, [ends], [alphas, states, valid], times, [ends], reverse=True, differentiated=False
    )
    return [-shares * (upstream[0] * possible)[None, :, None]]


_ctc = with_backward(_run_ctc, _pull_ctc)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Rows moved by so many states, with impossible ones in their place."""
    nothing = _NEVER + ops.zeros_like(x[:, : abs(by)])
    parts = [nothing, x[:, :-by]] if by > 0 else [x[:, -by:], nothing]
    return ops.concatenate(parts, axis=1)


def _skipped(x: Tensor, by: int) -> Tensor:
    """Rows moved by two states for tokens, which may follow each other without a blank."""
    token = ops.arange(ops.shape(x)[1], dtype="int32")[None] % 2 == 1
    return ops.where(token, _shifted(x, by), ops.cast(_NEVER, x.dtype))


def _log_sum(*values: Tensor) -> Tensor:
    return ops.logsumexp(ops.stack(values, axis=-1), axis=-1)


def _lengths(mask: Tensor) -> Tensor:
    return ops.sum(ops.cast(mask, "int32"), axis=1)


def _values(*tensors: Tensor) -> list[np.ndarray] | None:
    """The values of tensors, or `None` inside a traced step, where they have none yet."""
    if keras.backend.backend() == "jax":
        import jax

        try:
            return [np.asarray(tensor) for tensor in tensors]
        except jax.errors.TracerArrayConversionError:
            return None
    return [t.numpy() for t in tensors] if all(hasattr(t, "numpy") for t in tensors) else None


def _check(tokens: np.ndarray, frames: np.ndarray) -> None:
    """Raise an error for items without an alignment.

    Raises:
        ValueError: an item has no token, or fewer frames than tokens.
    """
    wrong = np.flatnonzero((tokens < 1) | (tokens > frames))
    if len(wrong):
        pairs = ", ".join(f"{tokens[b]} tokens and {frames[b]} frames" for b in wrong[:3])
        raise ValueError(
            f"Expected at least one token, and at least as many frames as tokens. Received: {pairs}"
            "; use a shorter text, a longer recording or a shorter hop."
        )


def _by_scan(scores: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """The search as two loops over time, whose steps are vectorised over the batch and tokens."""
    count = scores.shape[1] or ops.shape(scores)[1]
    width = scores.shape[2] or ops.shape(scores)[2]
    by_time = ops.transpose(scores, (1, 0, 2))
    positions = ops.arange(width, dtype="int32")
    nothing = ops.cast(float("-inf"), scores.dtype)

    def advance(carry: list[Tensor], row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        stay = carry[0]
        moved = ops.concatenate([nothing + ops.zeros_like(stay[:, :1]), stay[:, :-1]], axis=1)
        advances = stay < moved
        return [ops.where(advances, moved, stay) + row[0]], [advances]

    start = ops.where(positions[None] == 0, by_time[0], nothing)
    like = ops.zeros_like(by_time[0], dtype="bool")
    _, (advances,) = scan(advance, [start], [by_time[1:]], count - 1, [like], differentiated=False)
    advances = ops.concatenate([advances, like[None]])  # of frame t: how frame t + 1 is reached

    def trace(carry: list[Tensor], row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        token, (moves, time) = carry[0], row
        reached = time < frames - 1
        chosen = ops.take_along_axis(moves, ops.maximum(token, 0)[:, None], axis=1)[:, 0]
        token = token - ops.cast(ops.logical_and(reached, chosen), "int32")
        return [token], [ops.where(time < frames, token, -1)]

    times = ops.arange(count, dtype="int32")
    _, (found,) = scan(
        trace, [tokens - 1], [advances, times], count, [tokens], True, differentiated=False
    )
    path = ops.cast(ops.transpose(found)[..., None] == positions, scores.dtype)
    possible = ops.logical_and(tokens >= 1, tokens <= frames)
    return ops.where(possible[:, None, None], path, ops.cast(float("nan"), scores.dtype))


def _on_host(scores: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """The search as a compiled loop over numpy arrays, for a traced TensorFlow step as well."""
    import tensorflow as tf

    def run(scores: np.ndarray, tokens: np.ndarray, frames: np.ndarray) -> np.ndarray:
        path = np.zeros_like(scores)
        possible = (tokens >= 1) & (tokens <= frames)
        _loop()(np.ascontiguousarray(scores), np.where(possible, tokens, 0), frames, path)
        path[~possible] = np.nan
        return path

    path = tf.numpy_function(run, [scores, tokens, frames], scores.dtype, stateful=False)
    path.set_shape(scores.shape)
    return path


@functools.cache
def _loop() -> Callable[..., None]:
    """The compiled loop, which fills `path` with ones."""
    import numba

    @numba.njit(nogil=True, error_model="numpy")
    def loop(scores: Any, tokens: Any, frames: Any, path: Any) -> None:
        batch, most, width = scores.shape
        advances = np.zeros((most, width), np.bool_)
        before = np.empty(width + 1, scores.dtype)  # shifted by one: before[0] is no token
        best = np.empty(width + 1, scores.dtype)
        for b in range(batch):
            count, length = tokens[b], frames[b]
            if count < 1:
                continue
            before[:] = -np.inf
            best[:] = -np.inf
            before[1] = scores[b, 0, 0]
            for t in range(1, length):
                first = max(0, count - length + t)  # tokens before it cannot reach the last one
                last = min(count, t + 1)
                row, moves = scores[b, t, first:last], advances[t, first:last]
                moved, stayed = before[first:last], before[first + 1 : last + 1]
                to = best[first + 1 : last + 1]
                for i in range(last - first):
                    moves[i] = moved[i] > stayed[i]
                    to[i] = row[i] + max(stayed[i], moved[i])
                before, best = best, before
            i = count - 1
            for t in range(length - 1, -1, -1):
                path[b, t, i] = 1
                if t and advances[t, i]:
                    i -= 1

    return loop
