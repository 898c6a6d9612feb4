"""Additive attention to the tokens of a text, and a prior of its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from singlow.networks.weightnorm import Convolution
from singlow.ops.control import scan, with_backward
from singlow.ops.masks import masked
from singlow.ops.tensors import Shape, Tensor, full_precision, log_gamma, relu, tanh

_FLOOR = 1e-8  # of the weights, before their logarithm is taken
_HIDDEN, _NEVER = -1e30, -1e30  # score of a padded token, logarithm of an impossible weight
_CHUNK_VALUES = 2**21  # values of the hidden layer of all frames and tokens of a chunk
_LOCATION_FILTERS, _LOCATION_TAPS = 32, (5, 3)


class Attended(NamedTuple):
    """What attention returns.

    Attributes:
        context: `(batch, frames, units)`.
        weights: of the tokens for each frame, `(batch, frames, tokens)`.
        log_weights: their logarithms, of the same shape, with the prior added and not normalised
            again where there is one.
    """

    context: Tensor
    weights: Tensor
    log_weights: Tensor


@keras.saving.register_keras_serializable("singlow")
class AdditiveAttention(keras.layers.Layer):
    """Attention whose scores are computed by a hidden layer of each pair of frame and token.

        w_ti = softmax_i(v . tanh(Q q_t + K k_i))        context_t = sum_i w_ti V k_i

    The hidden layer has `batch * frames * tokens * units` values. It is computed for a chunk of
    frames at a time and again in the backward pass, so that it is never stored.

    With `cumulative`, the tokens of the keys are scaled by a network of the weights so far:

        K k_i -> K (k_i * sigmoid(conv(relu(conv([sum_(s < t) w_s, w_(t - 1)])))_i))

    Then a frame depends on the weights of the frames before it, and a loop computes them.

    Args:
        units: of the hidden layer and of the context.
        cumulative: whether the keys depend on the weights so far.
        original_padding: whether padded tokens change the scales of the keys near them, as in the
            published code.

    References:
        Bahdanau, Cho and Bengio, Neural Machine Translation by Jointly Learning to Align and
        Translate, 2014, https://arxiv.org/abs/1409.0473
        Chorowski et al., Attention-Based Models for Speech Recognition, 2015,
        https://arxiv.org/abs/1506.07503
    """

    def __init__(
        self,
        units: int,
        cumulative: bool = False,
        original_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        self.units = units
        self.cumulative = cumulative
        self.original_padding = original_padding

    def build(self, queries_shape: Shape, tokens_shape: Shape) -> None:
        """Create the weights for queries and tokens of these shapes."""

        def linear(name: str, shape: Shape) -> keras.layers.Dense:
            layer = keras.layers.Dense(
                self.units, use_bias=False, name=name, dtype=self.dtype_policy
            )
            layer.build(tuple(shape))
            return layer

        self.query, self.key = linear("query", queries_shape), linear("key", tokens_shape)
        self.value = linear("value", tokens_shape)
        self.score = self.add_weight(name="score", shape=(self.units,), initializer=_score_start)
        if self.cumulative:
            sizes = (_LOCATION_FILTERS, tokens_shape[-1])
            inputs = (2, _LOCATION_FILTERS)
            self.locations = []
            for i, (size, taps) in enumerate(zip(sizes, _LOCATION_TAPS, strict=True)):
                layer = Convolution(
                    size, taps, weight_norm=False, name=f"location_{i}", dtype=self.dtype_policy
                )
                layer.build((None, None, inputs[i]))
                self.locations.append(layer)

    def prepared(self, tokens: Tensor, token_mask: Tensor) -> dict[str, Tensor]:
        """What all frames read: keys, values and the mask of the tokens.

        Args:
            tokens: `(batch, tokens, features)`.
            token_mask: `(batch, tokens)`, 1 for valid tokens.
        """
        tokens = ops.cast(tokens, self.compute_dtype)
        keys = tokens if self.cumulative else self.key(tokens)
        mask = ops.cast(token_mask, self.compute_dtype)
        return {"keys": keys, "values": self.value(tokens), "mask": mask}

    def call(
        self,
        queries: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
        log_prior: Tensor | None = None,
    ) -> Attended:
        """Attend to the tokens of all frames.

        Args:
            queries: `(batch, frames, features)`.
            tokens: `(batch, tokens, features)`.
            token_mask: `(batch, tokens)`, 1 for valid tokens.
            log_prior: added to the logarithms of the weights, `(batch, frames, tokens)`.
        """
        read, hidden = self.prepared(tokens, token_mask), self.query(queries)
        if self.cumulative:
            weights = self._one_by_one(hidden, read)
        else:
            scores = additive_scores(hidden, read["keys"], self._score())
            weights = _softmax(scores, read["mask"])
        logs = ops.log(weights + _FLOOR)
        if log_prior is not None:
            logs = logs + ops.cast(log_prior, logs.dtype)
            weights = _softmax(logs, read["mask"])
        return Attended(ops.matmul(weights, read["values"]), weights, logs)

    def start(self, read: dict[str, Tensor]) -> list[Tensor]:
        """The state before the first frame: sum of the weights, and last weights, if `cumulative`.

        Args:
            read: of `prepared`.
        """
        return [0.0 * read["mask"], 0.0 * read["mask"]] if self.cumulative else []

    def advance(
        self, query: Tensor, state: Sequence[Tensor], read: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The context of one frame, `(batch, units)`, and the next state.

        Args:
            query: `(batch, features)`.
            state: of `start`, or of the frame before.
            read: of `prepared`.
        """
        weights, state = self._frame(self.query(query), state, read)
        return ops.matmul(weights[:, None], read["values"])[:, 0], state

    def _frame(
        self, hidden: Tensor, state: Sequence[Tensor], read: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        keys = read["keys"]
        if self.cumulative:
            keys = self.key(keys * self._scales(state, read["mask"]))
        pairs = tanh(hidden[:, None] + keys)
        scores = ops.matmul(pairs, self._score()[:, None])[..., 0]
        weights = _softmax(scores[:, None], read["mask"])[:, 0]
        return weights, [state[0] + weights, weights] if self.cumulative else []

    def _one_by_one(self, hidden: Tensor, read: dict[str, Tensor]) -> Tensor:
        def turn(state: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
            weights, state = self._frame(slices[0], state, read)
            return state, [weights]

        frames = ops.swapaxes(hidden, 0, 1)
        known = None not in hidden.shape
        _, (weights,) = scan(
            turn,
            self.start(read),
            [frames],
            ops.shape(frames)[0],
            [read["mask"]],
            differentiated=known,
        )
        return ops.swapaxes(weights, 0, 1)

    def _scales(self, state: Sequence[Tensor], mask: Tensor) -> Tensor:
        first, last = self.locations
        hidden = relu(first(ops.stack(list(state), axis=-1)))
        if not self.original_padding:
            hidden = masked(hidden, mask)
        return ops.sigmoid(last(hidden))

    def _score(self) -> Tensor:
        return ops.cast(self.score, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "cumulative": self.cumulative}
        return {**super().get_config(), **own, "original_padding": self.original_padding}


def additive_scores(queries: Tensor, keys: Tensor, score: Tensor) -> Tensor:
    """`v . tanh(q_t + k_i)` for every frame and token, without the hidden layer in memory.

    Args:
        queries: `(batch, frames, units)`.
        keys: `(batch, tokens, units)`.
        score: `v`, `(units,)`.

    Returns:
        `(batch, frames, tokens)`.
    """
    return _scores([queries, keys, score], [])[0]


def _run_scores(learned: list[Tensor], fixed: Any) -> tuple[Tensor, ...]:
    queries, keys, score = learned
    chunks, frames = _in_chunks(queries, keys)

    def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        pairs = tanh(slices[0][:, :, None] + keys[:, None])
        return carry, [ops.matmul(pairs, score[:, None])[..., 0]]

    like = chunks[0][..., :1] + keys[:, None, :, 0]
    _, (scores,) = scan(turn, [], [chunks], ops.shape(chunks)[0], [like], differentiated=False)
    return (_out_of_chunks(scores, frames),)


def _pull_scores(
    outputs: tuple[Tensor, ...], learned: list[Tensor], fixed: Any, upstream: Sequence[Tensor]
) -> list[Tensor]:
    queries, keys, score = learned
    chunks, frames = _in_chunks(queries, keys)
    gradients = _in_chunks(upstream[0], keys)[0]

    def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        dkeys, dscore = carry
        pairs = tanh(slices[0][:, :, None] + keys[:, None])
        ds = slices[1][..., None]
        dpairs = ds * score * (1.0 - ops.square(pairs))
        dscore = dscore + ops.sum(ds * pairs, axis=(0, 1, 2))
        return [dkeys + ops.sum(dpairs, axis=1), dscore], [ops.sum(dpairs, axis=2)]

    start = [ops.zeros_like(keys), ops.zeros_like(score)]
    (dkeys, dscore), (dqueries,) = scan(
        turn,
        start,
        [chunks, gradients],
        ops.shape(chunks)[0],
        [chunks[0]],
        differentiated=False,
    )
    return [_out_of_chunks(dqueries, frames), dkeys, dscore]


_scores = with_backward(_run_scores, _pull_scores)


def _in_chunks(x: Tensor, keys: Tensor) -> tuple[Tensor, Any]:
    """Frames as `(chunks, batch, frames of a chunk, channels)`, and the number of frames."""
    (batch, frames, channels), (_, tokens, units) = ops.shape(x), ops.shape(keys)
    size = _CHUNK_VALUES // (batch * tokens * units)
    size = max(1, size) if isinstance(size, int) else ops.maximum(1, size)
    count = -(-frames // size)
    x = ops.pad(x, ((0, 0), (0, count * size - frames), (0, 0)))
    return ops.swapaxes(ops.reshape(x, (batch, count, size, channels)), 0, 1), frames


def _out_of_chunks(x: Tensor, frames: Any) -> Tensor:
    count, batch, size, channels = ops.shape(x)
    return ops.reshape(ops.swapaxes(x, 0, 1), (batch, count * size, channels))[:, :frames]


def beta_binomial_log_prior(
    token_mask: Tensor, frame_mask: Tensor, scale: float = 1.0, backward: bool = False
) -> Tensor:
    """The logarithm of a prior of attention that follows the diagonal.

    Frame `t` of `T`, counted from 1, has token `i` of `S`, counted from 0, with the probability

        BetaBinomial(i; n = S - 1, a = scale * t, b = scale * (T + 1 - t))

    Args:
        token_mask: `(batch, tokens)`.
        frame_mask: `(batch, frames)`.
        scale: factor of `a` and `b`; the prior is narrower if it is larger.
        backward: whether the frames are in the opposite order.

    Returns:
        `(batch, frames, tokens)`; padded tokens have a large negative number.

    References:
        Shih et al., RAD-TTS, 2021, https://openreview.net/forum?id=0NQwnnwAORi
    """
    dtype = keras.backend.result_type(frame_mask.dtype, "float32")
    tokens, frames = ops.cast(token_mask, dtype), ops.cast(frame_mask, dtype)
    total = ops.sum(frames, axis=1)[:, None, None]
    n = ops.sum(tokens, axis=1)[:, None, None] - 1.0
    i = (ops.cumsum(ops.ones_like(tokens), axis=1) - 1.0)[:, None]
    t = ops.cumsum(ops.ones_like(frames), axis=1)[..., None]
    t = ops.minimum(t, total)
    a, b = scale * t, scale * (total + 1.0 - t)
    a, b = (b, a) if backward else (a, b)
    valid = tokens[:, None] > 0
    i = ops.minimum(i, n)
    choose = log_gamma(n + 1.0) - log_gamma(i + 1.0) - log_gamma(n - i + 1.0)
    own = _log_beta(i + a, n - i + b) - _log_beta(a, b)
    return ops.where(valid, choose + own, _NEVER)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return log_gamma(a) + log_gamma(b) - log_gamma(a + b)


def _softmax(scores: Tensor, token_mask: Tensor) -> Tensor:
    """Softmax over the valid tokens of `scores` `(batch, frames, tokens)`."""
    return ops.softmax(ops.where(token_mask[:, None] > 0, scores, _HIDDEN), axis=-1)


def _score_start(shape: Shape, dtype: Any = None) -> Tensor:
    return keras.initializers.GlorotUniform()((*shape, 1), dtype=dtype)[:, 0]
