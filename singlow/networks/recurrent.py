"""LSTMs, the recurrent encoder of a text, and the network of autoregressive steps of speech."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from singlow.bijections.conditions import Condition, entries, is_sequence
from singlow.networks.attention import AdditiveAttention, beta_binomial_log_prior
from singlow.networks.base import Network
from singlow.networks.encoders import Encoder
from singlow.ops.control import scan, with_backward
from singlow.ops.masks import masked, reversed_frames
from singlow.ops.tensors import Shape, Tensor, full_precision, relu, tanh

_EPSILON = 1e-5  # of instance normalisation


@keras.saving.register_keras_serializable("singlow")
class LSTM(keras.layers.Layer):
    """A long short-term memory over time that starts at zero.

        i, f, g, o = split(x_t W + h_(t-1) U + b)
        c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    The weights have the shapes and the order of those of `keras.layers.LSTM`. One product computes
    `x W` for all frames, and one the gradient of `U`; `keras.layers.LSTM` computes them frame by
    frame, which takes more time.

    Args:
        units: size of `h` and `c`.

    Call arguments:
        x: `(batch, time, channels)`.

    References:
        Hochreiter and Schmidhuber, Long Short-Term Memory, 1997,
        https://doi.org/10.1162/neco.1997.9.8.1735
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": kwargs.get("dtype") or full_precision()})
        self.units = units

    def build(self, x_shape: Shape) -> None:
        bound = self.units**-0.5
        for name, rows in (("kernel", x_shape[-1]), ("recurrent_kernel", self.units)):
            weight = self.add_weight(
                name=name,
                shape=(rows, 4 * self.units),
                initializer=keras.initializers.RandomUniform(-bound, bound),
            )
            setattr(self, name, weight)
        self.bias = self.add_weight(name="bias", shape=(4 * self.units,), initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        gates = ops.swapaxes(self._from_input(x), 0, 1)
        hidden = _lstm([gates, self._recurrent()], [])[0]
        return ops.swapaxes(hidden, 0, 1)

    def start(self, like: Tensor) -> list[Tensor]:
        """The state `h, c` before the first frame.

        Args:
            like: `(batch, channels)`, of which the batch is read.
        """
        zeros = ops.zeros_like(like[:, :1], dtype=self.compute_dtype)
        zeros = ops.matmul(zeros, ops.zeros((1, self.units), dtype=self.compute_dtype))
        return [zeros, zeros]

    def advance(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`h` after one frame `x` `(batch, channels)`, and the state `h, c`."""
        hidden, cell, _ = _cell(self._from_input(x), self._recurrent(), *state)
        return hidden, [hidden, cell]

    def _from_input(self, x: Tensor) -> Tensor:
        kernel = ops.cast(self.kernel, self.compute_dtype)
        return ops.matmul(ops.cast(x, self.compute_dtype), kernel) + ops.cast(
            self.bias, self.compute_dtype
        )

    def _recurrent(self) -> Tensor:
        return ops.cast(ops.convert_to_tensor(self.recurrent_kernel), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _cell(
    gates: Tensor, recurrent: Tensor, hidden: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The next hidden and cell states, and the activations `i, f, g, o` side by side."""
    i, f, g, o = ops.split(gates + ops.matmul(hidden, recurrent), 4, axis=-1)
    i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), tanh(g), ops.sigmoid(o)
    cell = f * cell + i * g
    return o * tanh(cell), cell, ops.concatenate([i, f, g, o], axis=-1)


def _run_lstm(learned: list[Tensor], fixed: Any) -> tuple[Tensor, ...]:
    """Hidden states, cells and activations, `(time, ...)`, from gates `(time, batch, 4 units)`."""
    gates, recurrent = learned

    def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        hidden, cell, activations = _cell(slices[0], recurrent, *carry)
        return [hidden, cell], [hidden, cell, activations]

    zeros = 0.0 * gates[0][:, : recurrent.shape[0]]
    like = [zeros, zeros, gates[0]]
    times = ops.shape(gates)[0]
    _, found = scan(turn, [zeros, zeros], [gates], times, like, differentiated=False)
    return tuple(found)


def _pull_lstm(
    outputs: tuple[Tensor, ...], learned: list[Tensor], fixed: Any, upstream: Sequence[Tensor]
) -> list[Tensor]:
    (hidden, cells, activations), (gates, recurrent) = outputs, learned
    transposed = ops.transpose(recurrent)

    def turn(carry: list[Tensor], slices: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        (dhidden, dcell), (given, cell, before, activations) = carry, slices
        i, f, g, o = ops.split(activations, 4, axis=-1)
        dhidden, bounded = dhidden + given, tanh(cell)
        dcell = dcell + dhidden * o * (1.0 - ops.square(bounded))
        dgates = ops.concatenate(
            [
                dcell * g * i * (1.0 - i),
                dcell * before * f * (1.0 - f),
                dcell * i * (1.0 - ops.square(g)),
                dhidden * bounded * o * (1.0 - o),
            ],
            axis=-1,
        )
        return [ops.matmul(dgates, transposed), dcell * f], [dgates]

    zeros = ops.zeros_like(hidden[0])
    slices = [upstream[0], cells, _one_later(cells), activations]
    times = ops.shape(gates)[0]
    _, (dgates,) = scan(
        turn, [zeros, zeros], slices, times, [gates[0]], reverse=True, differentiated=False
    )
    rows = ops.reshape(_one_later(hidden), (-1, recurrent.shape[0]))
    drecurrent = ops.matmul(ops.transpose(rows), ops.reshape(dgates, (-1, recurrent.shape[1])))
    return [dgates, drecurrent]


_lstm = with_backward(_run_lstm, _pull_lstm)


def _one_later(x: Tensor) -> Tensor:
    """`(time, ...)` with zeros first and without the last slice."""
    return ops.concatenate([ops.zeros_like(x[:1]), x[:-1]], axis=0)


@keras.saving.register_keras_serializable("singlow")
class InstanceNorm(Encoder):
    """Normalise each channel over the valid tokens of each item.

        y = gamma (x - mean) / sqrt(variance + 1e-5) + beta

    References:
        Ulyanov, Vedaldi and Lempitsky, Instance Normalization, 2016,
        https://arxiv.org/abs/1607.08022
    """

    def build(self, x_shape: Shape) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(x_shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(x_shape[-1],), initializer="zeros")

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        dtype = x.dtype
        x = ops.cast(x, self.variable_dtype)
        mask = ops.ones_like(x[..., 0]) if token_mask is None else ops.cast(token_mask, x.dtype)
        count = ops.maximum(ops.sum(mask, axis=1), 1.0)[:, None, None]
        centred = x - ops.sum(masked(x, mask), axis=1, keepdims=True) / count
        variance = ops.sum(ops.square(masked(centred, mask)), axis=1, keepdims=True) / count
        y = self.gamma * centred / ops.sqrt(variance + _EPSILON) + self.beta
        return ops.cast(masked(y, mask), dtype)


@keras.saving.register_keras_serializable("singlow")
class RecurrentEncoder(Encoder):
    """Convolutions with instance norm, and then an LSTM in each direction.

        h_i = dropout(relu(norm(conv_i(h_(i-1)))))      y = [lstm(h_n), reversed lstm(h_n)]

    Args:
        width: channels of the output, an even number; those of the input when `None`.
        layers: number of convolutions `n`.
        kernel_size: taps of each.
        dropout: share of hidden units dropped while training.

    Raises:
        ValueError: the width is odd.

    References:
        Valle, Shih, Prenger and Catanzaro, Flowtron, 2020, https://arxiv.org/abs/2005.05957
    """

    def __init__(
        self,
        width: int | None = None,
        layers: int = 3,
        kernel_size: int = 5,
        dropout: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.width = width
        self.layers = layers
        self.kernel_size = kernel_size
        self.dropout = dropout

    def build(self, x_shape: Shape) -> None:
        width, indices = self.width or x_shape[-1], range(self.layers)
        if width % 2:
            raise ValueError(f"Expected an even width of {self.name}. Received: {width}.")
        self.convolutions = [
            self._convolution(width, self.kernel_size, f"conv_{i}") for i in indices
        ]
        self.norms = [InstanceNorm(name=f"norm_{i}", dtype=self.dtype_policy) for i in indices]
        self.drops = [self._drop(self.dropout, f"dropout_{i}") for i in indices]
        self.ahead = LSTM(width // 2, name="forward", dtype=self.dtype_policy)
        self.back = LSTM(width // 2, name="backward", dtype=self.dtype_policy)
        shape = tuple(x_shape)
        for convolution, norm, drop in zip(self.convolutions, self.norms, self.drops, strict=True):
            convolution.build(shape)
            shape = (*x_shape[:-1], width)
            norm.build(shape)
            drop.build(shape)
        self.ahead.build(shape)
        self.back.build(shape)

    def call(
        self, x: Tensor, token_mask: Tensor | None = None, training: bool | None = None
    ) -> Tensor:
        hidden = masked(x, token_mask)
        for convolution, norm, drop in zip(self.convolutions, self.norms, self.drops, strict=True):
            hidden = relu(norm(convolution(hidden), token_mask))
            hidden = masked(drop(hidden, training=training), token_mask)
        back = reversed_frames(self.back(reversed_frames(hidden, token_mask)), token_mask)
        return masked(ops.concatenate([self.ahead(hidden), back], axis=-1), token_mask)

    def get_config(self) -> dict[str, Any]:
        own = {"width": self.width, "layers": self.layers, "kernel_size": self.kernel_size}
        return {**super().get_config(), **own, "dropout": self.dropout}


@keras.saving.register_keras_serializable("singlow")
class AttentiveLSTM(Network):
    """LSTMs over the frames before each frame, with attention to a text.

        h_t = lstm(x_(t-1))       c_t = attention(h_t, text)        gate_t = w . [h_t, c_t] + b
        y_t = W tanh(dense(tanh(dense(lstm(...lstm([h_t, c_t]))))))

    It is the network of `AutoregressiveAffine`: `x` has the frame before each frame. All frames are
    computed at once, or one after another by `start` and `advance`. `W` starts at zero. The
    condition is a sequence, alone or the only entry of a mapping; without one there is no `c_t`.

    Args:
        channels: output channels.
        units: of each LSTM and dense layer.
        layers: LSTMs after the attention.
        attention_units: of the attention.
        cumulative: whether the attention depends on its weights so far.
        gate: whether to compute `gate_t`, the logarithm of the odds that `t` is the last frame.
        prior_scale: scale of the beta-binomial prior of the attention in training, see
            `beta_binomial_log_prior`; no prior when `None`. The prior depends on the length, so
            that `advance` never applies it.
        original_padding: as for `AdditiveAttention`.

    References:
        Valle, Shih, Prenger and Catanzaro, Flowtron, 2020, https://arxiv.org/abs/2005.05957
    """

    def __init__(
        self,
        channels: int | None = None,
        units: int = 1024,
        layers: int = 2,
        attention_units: int = 640,
        cumulative: bool = False,
        gate: bool = False,
        prior_scale: float | None = None,
        original_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        self.units = units
        self.layers = layers
        self.attention_units = attention_units
        self.cumulative = cumulative
        self.gate = gate
        self.prior_scale = prior_scale
        self.original_padding = original_padding

    def build(self, x_shape: Shape, condition_shape: Any = None) -> None:
        self.conditioned = condition_shape is not None
        policy, read = self.dtype_policy, self.units
        self.query = LSTM(self.units, name="query_lstm", dtype=policy)
        self.query.build(tuple(x_shape))
        self.attention = None
        if self.conditioned:
            self.attention = AdditiveAttention(
                self.attention_units,
                self.cumulative,
                self.original_padding,
                name="attention",
                dtype=policy,
            )
            self.attention.build((None, None, read), _sequence(condition_shape)["values"])
            read += self.attention_units

        def dense(units: int, name: str, inputs: int, **settings: Any) -> keras.layers.Dense:
            layer = keras.layers.Dense(units, name=name, dtype=policy, **settings)
            layer.build((None, None, inputs))
            return layer

        self.gate_layer = dense(1, "gate", read) if self.gate else None
        self.lstms = []
        for i in range(self.layers):
            layer = LSTM(self.units, name=f"lstm_{i}", dtype=policy)
            layer.build((None, None, self.units if i else read))
            self.lstms.append(layer)
        inputs = self.units if self.layers else read
        self.hidden = [dense(self.units, f"dense_{i}", self.units if i else inputs) for i in (0, 1)]
        size = self._output_channels(x_shape)
        self.last = dense(size, "last", self.units, kernel_initializer="zeros")

    def _run(
        self, x: Tensor, condition: Condition, frame_mask: Tensor | None, training: bool | None
    ) -> Tensor:
        return self.observed(x, condition, frame_mask, training)[0]

    def observed(
        self,
        x: Tensor,
        condition: Condition = None,
        frame_mask: Tensor | None = None,
        training: bool | None = None,
        backward: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The output for all frames, and what the network saw on its way.

        Args:
            x: `(batch, time, channels)`, the frame before each frame.
            condition: the text.
            frame_mask: `(batch, time)`.
            training: whether the prior of the attention is applied.
            backward: whether the frames are in the opposite order.

        Returns:
            The output `(batch, time, channels)`, and by name: `gate` `(batch, time)`, `weights` and
            `log_weights` of the attention `(batch, time, tokens)`.
        """
        hidden, seen = self.query(x), {}
        if self.attention is not None:
            text, log_prior = _sequence(condition), None
            if training and self.prior_scale is not None:
                mask = ops.ones_like(x[..., 0]) if frame_mask is None else frame_mask
                log_prior = beta_binomial_log_prior(text["mask"], mask, self.prior_scale, backward)
            found = self.attention(hidden, text["values"], text["mask"], log_prior)
            seen |= {"weights": found.weights, "log_weights": found.log_weights}
            hidden = ops.concatenate([hidden, found.context], axis=-1)
        if self.gate_layer is not None:
            seen["gate"] = self.gate_layer(hidden)[..., 0]
        for layer in self.lstms:
            hidden = layer(hidden)
        return self._after(hidden), seen

    def prepared(self, condition: Condition) -> dict[str, Tensor]:
        """What `advance` reads of the condition for every frame."""
        if self.attention is None:
            return {}
        text = _sequence(condition)
        return self.attention.prepared(text["values"], text["mask"])

    def start(self, like: Tensor, read: dict[str, Tensor]) -> list[Tensor]:
        """The state before the first frame.

        Args:
            like: `(batch, channels)`, of which the batch is read.
            read: of `prepared`.
        """
        state = [s for layer in (self.query, *self.lstms) for s in layer.start(like)]
        return state + (self.attention.start(read) if self.attention is not None else [])

    def advance(
        self, x: Tensor, state: Sequence[Tensor], read: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """The output for one frame, the next state, and the gate `(batch,)` if there is one.

        Args:
            x: the frame before it, `(batch, channels)`.
            state: of `start`, or of the frame before.
            read: of `prepared`.
        """
        hidden, after = self.query.advance(x, state[:2])
        located = list(state[2 * (1 + self.layers) :])
        if self.attention is not None:
            context, located = self.attention.advance(hidden, located, read)
            hidden = ops.concatenate([hidden, context], axis=-1)
        gate = self.gate_layer(hidden)[..., 0] if self.gate_layer is not None else None
        for i, layer in enumerate(self.lstms):
            hidden, more = layer.advance(hidden, state[2 * i + 2 : 2 * i + 4])
            after = [*after, *more]
        return self._after(hidden), [*after, *located], gate

    def _after(self, hidden: Tensor) -> Tensor:
        for layer in self.hidden:
            hidden = tanh(layer(hidden))
        return self.last(hidden)

    def get_config(self) -> dict[str, Any]:
        names = ("units", "layers", "attention_units", "cumulative", "gate", "prior_scale")
        own = {name: getattr(self, name) for name in (*names, "original_padding")}
        return {**super().get_config(), **own}


def _sequence(condition: Any) -> Any:
    """The sequence of a condition, or of its shape.

    Raises:
        ValueError: the condition is not one sequence.
    """
    found = list(entries(condition).values())
    if len(found) != 1 or not is_sequence(found[0]):
        raise ValueError(
            "Expected a condition of one sequence. Received: "
            f"{', '.join(map(repr, entries(condition))) or 'none'}."
        )
    return found[0]
