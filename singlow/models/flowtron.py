"""Flowtron: speech from text by an autoregressive flow with attention, with its presets."""

from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from singlow.alignment import monotonic_cost, monotonic_path
from singlow.bijections import AutoregressiveAffine, Chain
from singlow.inputs import MASK, Input
from singlow.models.flow import Inputs, Terms
from singlow.models.paper import check_choices, recipe_of, settings_of
from singlow.models.presets import Preset
from singlow.models.priors import GaussianMixture, Prior
from singlow.models.text_reader import (
    IDS,
    SPEAKER,
    TEXT,
    Speech,
    TextReader,
    tokenizer_of,
)
from singlow.models.traced import traced
from singlow.networks import AttentiveLSTM, RecurrentEncoder
from singlow.ops.masks import masked, reversed_frames
from singlow.ops.tensors import Tensor
from singlow.signals import LogMel
from singlow.spectral import RECIPES

GATE, CTC = "gate", "ctc"


class Flowtron(TextReader):
    """A flow of mel spectrograms whose steps are autoregressive and attend to a text.

    An encoder maps the tokens, with the vector of a speaker beside each, to what the steps read.
    Each step is an `AutoregressiveAffine` over frames with an `AttentiveLSTM`. Steps run forward
    and backward in time by turns:

        z = f_n(...f_1(x, text)...)        log p(x) = log p(z) + sum_i sum_t s_it

    Beside the likelihood, training lowers the cross-entropy of a gate, by which the last step
    learns where speech ends, and a CTC loss of the attention, which asks for all tokens in their
    order. In synthesis the last step runs first, frame by frame until its gate ends each clip. The
    temperature sets how varied the speech is.

    With `n_components`, the prior is a Gaussian mixture whose weights follow from the recording.
    Speech is then drawn from the mixture of a reference, or from that of the biases alone.

    Inputs beside `x` `(batch, frames, n_mel_channels)`: `text` `(batch, tokens)` with its mask
    `text_mask`; and `speaker` `(batch,)`, if `use_speaker_embedding`.

    Arguments that the published code has too keep its names.

    Args:
        num_chars: number of ids of tokens; that of the table of symbols when `None`.
        front_end: what turns a text into symbols, a name in `singlow.text.FRONT_ENDS`; or `"ids"`
            for a model that only reads ids, of which there are `num_chars`.
        language: code of the language, for the front ends that have several.
        characters: the table of symbols: a name in `singlow.text.TABLES`, or its config; that of
            the front end when `None`.
        add_blank: whether there is a blank between all symbols.
        enable_eos_bos_chars: whether a text begins and ends with a mark.
        num_speakers: number of speakers, for `use_speaker_embedding`.
        use_speaker_embedding: whether the model learns a vector for each speaker; otherwise it
            learns one for all.
        n_speaker_dim: features of a speaker's vector.
        n_text_dim: channels of the encoder of the text, an even number.
        n_encoder_layers: its convolutions.
        n_flows: steps.
        n_mel_channels: mel bins.
        n_attn_channels: units of the attention.
        n_hidden: units of each LSTM and dense layer of a step.
        n_lstm_layers: LSTMs after the attention.
        use_gate_layer: whether there is a gate.
        use_cumm_attention: whether the attention depends on its weights so far; then training runs
            frame by frame.
        use_attn_prior: whether a beta-binomial prior guides the attention in training.
        attn_prior_scale: its scale; see `singlow.networks.attention.beta_binomial_log_prior`.
        n_components: Gaussians of the mixture; 0 for a standard normal prior.
        fixed_gaussian: whether the means and deviations of the mixture are fixed.
        mean_scale: distance of fixed means from zero.
        mel_encoder_n_hidden: channels of the encoder of recordings, an even number.
        dropout: of both encoders.
        gate_weight: weight of the loss of the gate.
        ctc_weight: weight of the CTC loss.
        ctc_start: training step from which it counts.
        ctc_blank: logarithm of the weight of no token in the CTC loss.
        inference_noise_scale: default temperature of `synthesize`.
        gate_threshold: probability of the gate that ends a clip; 1 never does.
        max_seconds: largest length of a clip that `synthesize` speaks.
        scale: scale of the steps: `"bounded"`, or `"exp"` as published.
        scale_limit: bound of a `"bounded"` log-scale.
        original_padding: whether padded tokens change cumulative attention, and padded frames the
            mixture, as in the published code.
        recipe: name of the mel's recipe in `singlow.spectral.RECIPES`.
        sample_rate: Hz of the audio.
        hop_length: samples between frames.
        n_fft: samples of a Fourier transform.
        precision: `"float32"`, or `"bfloat16"` for the networks.

    Raises:
        ValueError: a setting is out of range, or settings contradict each other.

    References:
        Valle, Shih, Prenger and Catanzaro, Flowtron: an Autoregressive Flow-based Generative
        Network for Text-to-Speech Synthesis, 2020, https://arxiv.org/abs/2005.05957
    """

    adapt_batches = 1

    def __init__(
        self,
        num_chars: int | None = None,
        front_end: str = "characters",
        language: str | None = None,
        characters: str | dict[str, Any] | None = None,
        add_blank: bool = False,
        enable_eos_bos_chars: bool = False,
        num_speakers: int = 1,
        use_speaker_embedding: bool = False,
        n_speaker_dim: int = 128,
        n_text_dim: int = 512,
        n_encoder_layers: int = 3,
        n_flows: int = 2,
        n_mel_channels: int = 80,
        n_attn_channels: int = 640,
        n_hidden: int = 1024,
        n_lstm_layers: int = 2,
        use_gate_layer: bool = True,
        use_cumm_attention: bool = False,
        use_attn_prior: bool = True,
        attn_prior_scale: float = 1.0,
        n_components: int = 0,
        fixed_gaussian: bool = True,
        mean_scale: float = 3.0,
        mel_encoder_n_hidden: int = 512,
        dropout: float = 0.5,
        gate_weight: float = 1.0,
        ctc_weight: float = 0.01,
        ctc_start: int = 0,
        ctc_blank: float = -8.0,
        inference_noise_scale: float = 0.5,
        gate_threshold: float = 0.5,
        max_seconds: float = 10.0,
        scale: str = "bounded",
        scale_limit: float = 3.0,
        original_padding: bool = False,
        recipe: str = "tacotron",
        sample_rate: int = 22050,
        hop_length: int = 256,
        n_fft: int = 1024,
        precision: str = "float32",
        name: str = "flowtron",
    ) -> None:
        self._settings = settings_of(Flowtron, locals(), _LIMITS)
        _check(self._settings)
        tokenizer = tokenizer_of(self._settings)
        if tokenizer is not None:
            self._settings["characters"] = tokenizer.symbols.get_config()
            self._settings["num_chars"] = num_chars = tokenizer.size
        inputs = {TEXT: Input("sequence", "int32", num_chars)}
        if use_speaker_embedding:
            inputs[SPEAKER] = Input("item", "int32", num_speakers, embedding=n_speaker_dim)
        weights = {LogMel.metric: 1.0, CTC: ctc_weight}
        if use_gate_layer:
            weights[GATE] = gate_weight
        super().__init__(
            Chain([self._step(i) for i in range(n_flows)], name="steps"),
            LogMel(recipe_of(self._settings, n_mel_channels)),
            inputs,
            loss_weights=weights,
            name=name,
        )
        self.tokenizer = tokenizer

    def _step(self, index: int) -> AutoregressiveAffine:
        settings = self._settings
        network = AttentiveLSTM(
            None,
            settings["n_hidden"],
            settings["n_lstm_layers"],
            settings["n_attn_channels"],
            cumulative=settings["use_cumm_attention"],
            gate=settings["use_gate_layer"] and index == settings["n_flows"] - 1,
            prior_scale=settings["attn_prior_scale"] if settings["use_attn_prior"] else None,
            original_padding=settings["original_padding"],
            name="network",
            dtype=self._network_policy(),
        )
        return AutoregressiveAffine(
            network,
            settings["scale"],
            settings["scale_limit"],
            backward=index % 2 == 1,
            name=f"step_{index}",
        )

    @property
    def steps(self) -> list[AutoregressiveAffine]:
        """The steps, from data to latents."""
        return self.bijection.layers

    def build(self, input_shape: dict[str, Any]) -> None:
        settings, policy = self._settings, self._network_policy()
        width, drop = settings["n_text_dim"], settings["dropout"]
        bound = (6.0 / (settings["num_chars"] + width)) ** 0.5
        self.token_table = self.add_weight(
            name="token_table",
            shape=(settings["num_chars"], width),
            initializer=keras.initializers.RandomUniform(-bound, bound),
        )
        self.encoder = RecurrentEncoder(
            None, settings["n_encoder_layers"], dropout=drop, name="encoder", dtype=policy
        )
        self.encoder.build((None, None, width))
        if not settings["use_speaker_embedding"]:
            self.speaker_vector = self.add_weight(
                name="speaker_vector",
                shape=(settings["n_speaker_dim"],),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
            )
        if settings["ctc_start"]:
            self.trained_steps = self.add_weight(
                name="trained_steps", shape=(), initializer="zeros", trainable=False
            )
        if settings["n_components"]:
            self._build_mixture(policy)
        super().build(input_shape)

    def _build_mixture(self, policy: str | None) -> None:
        settings = self._settings
        channels, count = settings["n_mel_channels"], settings["n_components"]
        width = settings["mel_encoder_n_hidden"]
        self.mel_encoder = RecurrentEncoder(
            width, 2, 3, settings["dropout"], name="mel_encoder", dtype=policy
        )
        self.mel_encoder.build((None, None, channels))
        sizes = {"weight_head": count}
        if settings["fixed_gaussian"]:
            axes = np.linspace(0, channels, count, endpoint=False).astype(int)
            means = settings["mean_scale"] * np.eye(channels)[:, axes]
            self.fixed_means = self.add_weight(
                name="fixed_means",
                shape=means.shape,
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(means, dtype=dtype),
                trainable=False,
            )
        else:
            sizes |= {"means_head": channels * count, "log_variances_head": channels * count}
        for name, size in sizes.items():
            layer = keras.layers.Dense(size, name=name, dtype=self.dtype_policy)
            layer.build((None, width))
            setattr(self, name, layer)

    # What `Flow` calls.

    def condition(self, inputs: Inputs, training: bool | None = None) -> dict[str, Tensor]:
        """The encoded text, with the vector of the speaker beside each token: a sequence."""
        dtype = self.compute_dtype
        mask = ops.cast(inputs[TEXT + MASK], dtype)
        ids = ops.one_hot(inputs[TEXT], self._settings["num_chars"], dtype=dtype)
        # A product, because the gradient of a look-up is sparse.
        x = self.encoder(ops.matmul(ids, self.token_table), mask, training=training)
        if SPEAKER in self.inputs:
            vector = self.embed(SPEAKER, inputs)[:, None]
        else:
            vector = ops.cast(ops.convert_to_tensor(self.speaker_vector), dtype)[None, None]
        x = ops.cast(x, dtype)
        return {
            "values": ops.concatenate([x, vector + ops.zeros_like(x[..., :1])], axis=-1),
            "mask": mask,
        }

    def condition_shape(self) -> dict[str, tuple[int | None, ...]]:
        size = self._settings["n_text_dim"] + self._settings["n_speaker_dim"]
        return {"values": (None, None, size), "mask": (None, None)}

    def call(self, inputs: Inputs | Tensor, training: bool | None = None) -> tuple[Any, ...]:
        x, frame_mask = ops.convert_to_tensor(inputs["x"]), inputs.get("frame_mask")
        self.signal.check(x, frame_mask)
        if training and self._settings["ctc_start"]:
            self.trained_steps.assign(self.trained_steps + 1.0)
        condition, z, seen = self.condition(inputs, training), x, {}
        log_prob = 0.0
        for index, step in enumerate(self.steps):
            z, log_det, found = step.observed(z, condition, frame_mask, training)
            log_prob = log_prob + log_det
            logs = found["log_weights"]
            # In the order of time, whatever the direction of the step is.
            seen[f"attention_{index}"] = (
                reversed_frames(logs, frame_mask) if step.backward else logs
            )
            if GATE in found:
                seen[GATE] = found[GATE]
        prior = self.prior(inputs, [z], training)
        return [z], log_prob + prior.log_prob([z], self._latent_masks(frame_mask)), seen

    def prior(self, inputs: Inputs, z: Any = None, training: bool | None = None) -> Prior:
        """The standard normal, or the mixture of a recording `x`; that of the biases without it."""
        if not self._settings["n_components"]:
            return self.base
        if inputs.get("x") is not None:
            x = ops.convert_to_tensor(inputs["x"])
            return self._mixture(x, inputs.get("frame_mask"), training)
        return self._mixture_of(ops.zeros_like(self._batch_of(inputs)))

    def _batch_of(self, inputs: Inputs) -> Tensor:
        width = self._settings["mel_encoder_n_hidden"]
        first = ops.cast(inputs[TEXT + MASK], self.compute_dtype)[:, :1]
        return first + ops.zeros((1, width), dtype=self.compute_dtype)

    def _mixture(
        self, x: Tensor, frame_mask: Tensor | None, training: bool | None
    ) -> GaussianMixture:
        encoded = self.mel_encoder(x, frame_mask, training=training)
        encoded = ops.cast(encoded, self.compute_dtype)
        mask = ops.ones_like(x[..., 0]) if frame_mask is None else frame_mask
        mask = ops.cast(mask, encoded.dtype)
        counted = ops.ones_like(mask) if self._settings["original_padding"] else mask
        total = ops.sum(masked(encoded, mask), axis=1)
        return self._mixture_of(total / ops.sum(counted, axis=1)[:, None])

    def _mixture_of(self, encoded: Tensor) -> GaussianMixture:
        """The mixture for an encoded recording `(batch, features)`."""
        weights = ops.softmax(self.weight_head(encoded), axis=-1)
        shape = (-1, self._settings["n_mel_channels"], self._settings["n_components"])
        if self._settings["fixed_gaussian"]:
            means = ops.convert_to_tensor(self.fixed_means)[None] + 0.0 * weights[:, :1, None]
            return GaussianMixture(weights, means, ops.zeros_like(means))
        means = ops.reshape(self.means_head(encoded), shape)
        return GaussianMixture(
            weights, means, 0.5 * ops.reshape(self.log_variances_head(encoded), shape)
        )

    def loss_terms(self, inputs: Inputs, outputs: tuple[Any, ...]) -> Terms:
        z, _, seen = outputs
        frame_mask = inputs.get("frame_mask")
        mask = ops.ones_like(z[0][..., 0]) if frame_mask is None else frame_mask
        mask = ops.cast(mask, keras.backend.result_type(z[0].dtype, "float32"))
        terms = dict(super().loss_terms(inputs, outputs))
        costs = [
            monotonic_cost(logs, inputs[TEXT + MASK], mask, self._settings["ctc_blank"])
            for name, logs in seen.items()
            if name != GATE
        ]
        tokens = ops.sum(ops.cast(inputs[TEXT + MASK], mask.dtype), axis=1)
        total = sum(costs) / len(costs) / ops.maximum(tokens, 1.0)
        if self._settings["ctc_start"]:
            begun = self.trained_steps > self._settings["ctc_start"]
            total = total * ops.cast(begun, total.dtype)
        terms[CTC] = (total, ops.ones_like(total))
        if GATE in seen:
            # The gate has the order of time of its step; it is 1 at the last frame of the step.
            gate = ops.cast(seen[GATE], mask.dtype)
            after = ops.concatenate([mask[:, 1:], ops.zeros_like(mask[:, :1])], axis=1)
            target = mask - after
            errors = ops.softplus(gate) - target * gate
            terms[GATE] = (ops.sum(errors * mask, axis=1), ops.sum(mask, axis=1))
        return terms

    def checked(self, inputs: Inputs | Tensor) -> dict[str, Tensor]:
        tensors = super().checked(inputs)
        tokens = np.asarray(ops.convert_to_numpy(tensors[TEXT + MASK])).sum(axis=1)
        if not (tokens >= 1).all():
            raise ValueError("Expected texts of at least one token. Received: an empty text.")
        return tensors

    def inputs_of(self, clip: Any, x: np.ndarray) -> dict[str, np.ndarray]:
        values: dict[str, Any] = {TEXT: self.tokens(clip.text, clip.id)}
        if SPEAKER in self.inputs:
            values[SPEAKER] = np.int32(clip.singer)
        return values

    def sample(
        self,
        inputs: Inputs | None = None,
        count: int = 1,
        length: int | None = None,
        temperature: float = 0.7,
        seed: int | None = None,
    ) -> tuple[Tensor, np.ndarray]:
        if length is not None:
            return super().sample(inputs, count, length, temperature, seed)
        speech = self.synthesize(inputs or {}, temperature, seed=seed)
        return ops.convert_to_tensor(speech.x), speech.lengths

    # What users call.

    def synthesize(
        self,
        inputs: Inputs,
        temperature: float | None = None,
        length_scale: float | None = None,
        seed: int | None = None,
        gate_threshold: float | None = None,
        max_seconds: float | None = None,
        reference: Inputs | None = None,
    ) -> Speech:
        """Speak texts.

        Args:
            inputs: `text` and `text_mask`, of `text_inputs`, and the speaker, if there are several.
            temperature: scale of the deviations of the latents from their mean; the argument
                `inference_noise_scale` of the model when `None`.
            length_scale: must be `None` or 1: the flow itself decides how fast it speaks.
            seed: of the noise. The noise of an item does not depend on the other items.
            gate_threshold: probability of the gate that ends a clip; that of the model when `None`.
            max_seconds: largest length of a clip; that of the model when `None`.
            reference: `x` and `frame_mask` of recordings, one for each text, whose mixture the
                latents are drawn from, for a model with `n_components`.

        Raises:
            ValueError: an input is missing or does not fit, or a number is out of range.
        """
        settings = self._settings
        temperature = settings["inference_noise_scale"] if temperature is None else temperature
        threshold = settings["gate_threshold"] if gate_threshold is None else gate_threshold
        seconds = settings["max_seconds"] if max_seconds is None else max_seconds
        if not (temperature >= 0 and 0 < threshold <= 1 and 0 < seconds <= _LONGEST):
            raise ValueError(
                "Expected temperature of at least 0, gate_threshold above 0 and up to 1, and "
                f"max_seconds above 0 and up to {_LONGEST}. Received: temperature={temperature}, "
                f"gate_threshold={threshold}, max_seconds={seconds}."
            )
        if length_scale not in (None, 1):
            raise ValueError(
                f"Expected no length_scale for {self.name}, which decides how fast it speaks. "
                f"Received: {length_scale}."
            )
        given = {k: v for k, v in inputs.items() if k not in ("x", "frame_mask")}
        given = self.checked(given)
        batch = given[TEXT].shape[0]
        recipe = self.signal.recipe
        frames = max(1, round(seconds * recipe.sample_rate / recipe.hop_length))
        prior = self.prior({**given, **(reference or {})})
        shape = (1, frames, recipe.n_mels)
        rngs = np.random.default_rng(seed).spawn(batch)
        noise = [_one(prior, item).sample(rng, [shape], temperature)[0] for item, rng in
                 enumerate(rngs)]  # fmt: skip
        z = ops.convert_to_tensor(np.concatenate(noise), dtype=self.compute_dtype)
        return self.decode_until_gate(z, given, threshold)

    def decode_until_gate(self, z: Tensor, inputs: Inputs, gate_threshold: float = 1.0) -> Speech:
        """The speech of latents, of which those beyond the end that the gate finds are not used.

        If the last step runs backward, speech is made from its end, and the last latents are used.

        Args:
            z: `(batch, frames, channels)`.
            inputs: `text`, `text_mask` and the speaker, if there are several.
            gate_threshold: probability of the gate that ends a clip; 1 never does.

        Raises:
            ValueError: an input is missing or does not fit.
        """
        given = self.checked({k: v for k, v in inputs.items() if k not in ("x", "frame_mask")})
        z = ops.convert_to_tensor(z, dtype=self.compute_dtype)
        self._check_latents([z], given)
        lengths = np.full(z.shape[0], z.shape[1], np.int64)
        if self._settings["use_gate_layer"]:
            threshold = ops.convert_to_tensor(gate_threshold, dtype=self.compute_dtype)
            z, found = self._run("first", self._last_step)(z, given, threshold)
            lengths = ops.convert_to_numpy(found).astype(np.int64)
            z, rest = z[:, : int(lengths.max())], "others"
        else:
            rest = "all"
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(self.compute_dtype)
        given["frame_mask"] = ops.convert_to_tensor(mask)
        done = self._run(rest, self._other_steps if rest == "others" else self._all_steps)
        x = ops.convert_to_numpy(done(z, given))
        return Speech(x * mask[..., None], lengths)

    def _run(self, name: str, function: Any) -> Any:
        if name not in self._directions:
            self._directions[name] = traced(self, function)
        return self._directions[name]

    def _last_step(self, z: Tensor, inputs: Inputs, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return self.steps[-1].generate(z, self.condition(inputs), None, threshold)

    def _other_steps(self, z: Tensor, inputs: Inputs) -> Tensor:
        return self._undone(self.steps[:-1], z, inputs)

    def _all_steps(self, z: Tensor, inputs: Inputs) -> Tensor:
        return self._undone(self.steps, z, inputs)

    def _undone(self, steps: list[AutoregressiveAffine], z: Tensor, inputs: Inputs) -> Tensor:
        condition = self.condition(inputs)
        for step in reversed(steps):
            z = step.inverse(z, condition, inputs["frame_mask"])[0]
        return z

    def align(self, inputs: Inputs) -> np.ndarray:
        """The number of frames of each token of recordings with their texts: `(batch, tokens)`.

        It is the best monotonic alignment under the attention of the first step.

        Args:
            inputs: the dictionary of `call`, with `x`.

        Raises:
            ValueError: an input is missing or does not fit, or a recording has fewer frames than
                its text has tokens.
        """
        given = self.checked(inputs)
        logs = self._traced("forward")(given)[2]["attention_0"]
        mask = given.get("frame_mask", ops.ones_like(logs[..., 0]))
        path = monotonic_path(logs, given[TEXT + MASK], mask)
        return np.rint(ops.convert_to_numpy(path).sum(axis=1)).astype(np.int64)


def _one(prior: Prior, item: int) -> Prior:
    """The prior of one item of a batch."""
    if not isinstance(prior, GaussianMixture):
        return prior
    part = slice(item, item + 1)
    return GaussianMixture(prior.weights[part], prior.means[part], prior.log_scales[part])


_LONGEST = 600  # seconds that are spoken at a time
_LIMITS = {
    "num_chars": 2**16,
    "num_speakers": 2**16,
    "n_speaker_dim": 2**13,
    "n_text_dim": 2**13,
    "n_encoder_layers": 20,
    "n_flows": 100,
    "n_mel_channels": 2**12,
    "n_attn_channels": 2**13,
    "n_hidden": 2**13,
    "n_lstm_layers": 20,
    "mel_encoder_n_hidden": 2**13,
    "hop_length": 2**20,
    "n_fft": 2**20,
}
_CHOICES = {
    "scale": ("bounded", "exp"),
    "recipe": tuple(RECIPES),
    "add_blank": (False, True),
    "enable_eos_bos_chars": (False, True),
    "use_speaker_embedding": (False, True),
    "use_gate_layer": (True, False),
    "use_cumm_attention": (False, True),
    "use_attn_prior": (True, False),
    "fixed_gaussian": (True, False),
    "original_padding": (False, True),
}


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range, or arguments contradict each other.
    """
    check_choices(settings, _CHOICES)
    positive = ("scale_limit", "attn_prior_scale", "max_seconds", "gate_threshold")
    for name in positive:
        if not 0 < settings[name] < 1e6:
            raise ValueError(f"Expected {name} above 0. Received: {settings[name]}.")
    for name in ("gate_weight", "ctc_weight", "ctc_start", "inference_noise_scale"):
        if not 0 <= settings[name] < 1e9:
            raise ValueError(f"Expected {name} of at least 0. Received: {settings[name]}.")
    if not 0 <= settings["dropout"] < 1:
        raise ValueError(f"Expected dropout from 0 to 1. Received: {settings['dropout']}.")
    if settings["n_text_dim"] % 2 or settings["mel_encoder_n_hidden"] % 2:
        raise ValueError(
            "Expected an even n_text_dim and mel_encoder_n_hidden. Received: "
            f"{settings['n_text_dim']}, {settings['mel_encoder_n_hidden']}."
        )
    if not 0 <= settings["n_components"] <= settings["n_mel_channels"]:
        raise ValueError(
            f"Expected n_components from 0 to {settings['n_mel_channels']}, the number of mel "
            f"bins. Received: {settings['n_components']}."
        )
    if settings["front_end"] == IDS and settings["num_chars"] is None:
        raise ValueError('Expected num_chars with front_end="ids". Received: none.')


_SMALL = {"window_size": 8.0, "rectified": True, "clip_norm": 1.0}
Flowtron.presets = MappingProxyType(
    {
        "flowtron_small": Preset(
            "Speech at 16 kHz, 2 steps of 256 units; trains within an hour on a CPU.",
            arguments={
                "n_speaker_dim": 16,
                "n_text_dim": 128,
                "n_attn_channels": 128,
                "n_hidden": 256,
                "sample_rate": 16000,
            },
            training={
                **_SMALL,
                "batch_size": 16,
                "learning_rate": 0.001,
                "warmup_steps": 100,
                "epochs": 10,
                "steps_per_epoch": 100,
            },
            dataset="spoken",
        ),
        "flowtron_original": Preset(
            "The published Flowtron: 2 steps of 1,024 units, 185 symbols, exponential scales.",
            arguments={
                "characters": "flowtron",
                "scale": "exp",
                "ctc_start": 10000,
                "original_padding": True,
                "sample_rate": 22050,
            },
            training={
                **_SMALL,
                "window_size": 12.0,
                "batch_size": 6,
                "learning_rate": 0.001,
                "warmup_steps": 1,
                "epochs": 250,
                "steps_per_epoch": 2000,
            },
            dataset="spoken",
        ),
        "flowtron_tiny": Preset(
            "A small model of two steps for tests and first tries, too small to sound good.",
            arguments={
                "n_speaker_dim": 4,
                "n_text_dim": 16,
                "n_encoder_layers": 1,
                "n_mel_channels": 40,
                "n_attn_channels": 16,
                "n_hidden": 16,
                "n_lstm_layers": 1,
                "max_seconds": 2.0,
                "sample_rate": 16000,
            },
            training={
                **_SMALL,
                "window_size": 4.0,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 10,
                "epochs": 2,
                "steps_per_epoch": 20,
            },
            dataset="spoken",
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(Flowtron)
