"""Glow-TTS: speech from text by a flow that finds its own alignment, with its presets."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from singlow.alignment import expand, gaussian_scores, monotonic_path, path_of
from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    Chain,
    InvertibleConv,
    Repeat,
    Squeezed,
)
from singlow.errors import DataError
from singlow.inputs import EMBEDDING, MASK, Input
from singlow.models.flow import Inputs, Terms
from singlow.models.paper import check_choices, recipe_of, settings_of
from singlow.models.presets import Preset
from singlow.models.priors import Gaussian, Prior
from singlow.models.text_reader import (
    IDS,
    SPEAKER,
    TEXT,
    Speech,
    TextReader,
    tokenizer_of,
)
from singlow.models.traced import traced
from singlow.networks import (
    DurationPredictor,
    Encoder,
    GatedConvolutions,
    Prenet,
    RelativeTransformer,
    ResidualConvolutions,
    SeparableConvolutions,
    WaveNet,
)
from singlow.ops.masks import masked
from singlow.ops.tensors import Tensor
from singlow.signals import LogMel
from singlow.spectral import RECIPES

D_VECTOR = "d_vector"
_SIGMOID_FLOOR = 1e-6  # of the published code, for `sigmoid_scale`


class Encoded(NamedTuple):
    """What the encoder computes from a text.

    Attributes:
        means: of the latents of each token, `(batch, tokens, out_channels)`.
        log_scales: of their deviations, of the same shape; `None` for deviations of 1.
        log_durations: predicted, `(batch, tokens)`; see `durations`.
        mask: 1 for valid tokens, `(batch, tokens)`.
    """

    means: Tensor
    log_scales: Tensor | None
    log_durations: Tensor
    mask: Tensor


class GlowTTS(TextReader):
    """A flow of mel spectrograms whose latents have a mean for each token of a text.

    An encoder maps the tokens to means `m_i` (and deviations `exp(s_i)`) of latents. In training
    monotonic alignment search finds the token `a(t)` of each frame, so that no aligner is needed:

        z = f(x, e)        log p(x) = sum_t log N(z_t; m_a(t), exp(s_a(t))) + log |det dz/dx|

    and a predictor learns the number of frames of each token. In synthesis its durations repeat the
    means, and `x = f^-1(z, e)`. The flow squeezes time by `num_squeeze`, and has
    `num_flow_blocks_dec` steps of ActNorm, an invertible 1x1 convolution over groups of channels,
    and a coupling with a WaveNet. `e` is the vector of a speaker, if there are several.

    Inputs beside `x` `(batch, frames, out_channels)`: `text` `(batch, tokens)` with its mask
    `text_mask`; and `speaker` `(batch,)`, or `speaker_embedding` `(batch, c_in_channels)`, or
    `d_vector` `(batch, d_vector_dim)`.

    Arguments that Coqui TTS has too keep its names. Where a default differs (relative positions in
    the encoder, masks of all padded tokens, a temperature of 0.333), it is the published one, or a
    bound that keeps the inverse from exploding.

    Args:
        num_chars: number of ids of tokens; that of the table of symbols when `None`.
        front_end: what turns a text into symbols, a name in `singlow.text.FRONT_ENDS`; or `"ids"`
            for a model that only reads ids, of which there are `num_chars`.
        language: code of the language, for the front ends that have several.
        characters: the table of symbols: a name in `singlow.text.TABLES`, or its config; that of
            the front end when `None`.
        add_blank: whether there is a blank between all symbols.
        enable_eos_bos_chars: whether a text begins and ends with a mark.
        encoder_type: `"rel_pos_transformer"`, `"gated_conv"`, `"residual_conv_bn"` or
            `"time_depth_separable"`.
        encoder_params: arguments of the encoder by Coqui's names; see `ENCODER_PARAMS`.
        use_encoder_prenet: whether convolutions precede the encoder.
        hidden_channels_enc: channels of the encoder.
        hidden_channels_dec: channels of the WaveNets.
        hidden_channels_dp: channels of the predictor of durations.
        dropout_p_dp: dropout of the predictor of durations.
        dropout_p_dec: dropout of the WaveNets.
        mean_only: whether the deviations of all latents are 1.
        out_channels: mel bins.
        num_flow_blocks_dec: steps of the flow.
        kernel_size_dec: taps of the convolutions of a WaveNet.
        dilation_rate: factor between the dilations of its layers.
        num_block_layers: layers of a WaveNet.
        num_splits: channels of a group that share a 1x1 convolution.
        num_squeeze: frames that become one.
        sigmoid_scale: whether the scale of a coupling is a sigmoid, instead of `scale`.
        num_speakers: number of speakers, for `use_speaker_embedding`.
        use_speaker_embedding: whether the model learns a vector for each speaker.
        c_in_channels: features of a speaker's vector; `hidden_channels_enc` when `None`.
        use_d_vector_file: whether vectors of speakers are given, instead of learned.
        d_vector_dim: their features.
        d_vector_file: a JSON file with the `embedding` of each clip by its id, for training.
        data_dep_init_steps: batches from which the ActNorms are initialised.
        inference_noise_scale: default temperature of `synthesize`.
        length_scale: factor of the predicted durations; above 1, speech is slower.
        durations: `"log1p"`, the predictor learns `log(1 + d)`; or `"log"`, `log(1e-8 + d)`, as
            published.
        scale: scale of the couplings: `"bounded"`, or `"exp"` as published.
        scale_limit: bound of a `"bounded"` log-scale.
        mixing: `"plu"`, or `"plain"` for plain matrices as published, whose determinants
            TensorFlow does not compile for accelerators.
        recipe: name of the mel's recipe in `singlow.spectral.RECIPES`.
        sample_rate: Hz of the audio.
        hop_length: samples between frames.
        n_fft: samples of a Fourier transform.
        precision: `"float32"`, or `"bfloat16"` for the networks.
        backprop: `"stored"`, or `"inverted"` for memory that does not grow with the steps.

    Attributes:
        tokenizer: turns texts into ids; `None` for a model that only reads ids.

    Raises:
        ValueError: a setting is out of range, or settings contradict each other.

    References:
        Kim, Kim, Kong and Yoon, Glow-TTS: A Generative Flow for Text-to-Speech via Monotonic
        Alignment Search, 2020, https://arxiv.org/abs/2005.11129
    """

    def __init__(
        self,
        num_chars: int | None = None,
        front_end: str = "characters",
        language: str | None = None,
        characters: str | dict[str, Any] | None = None,
        add_blank: bool = False,
        enable_eos_bos_chars: bool = False,
        encoder_type: str = "rel_pos_transformer",
        encoder_params: dict[str, Any] | None = None,
        use_encoder_prenet: bool = True,
        hidden_channels_enc: int = 192,
        hidden_channels_dec: int = 192,
        hidden_channels_dp: int = 256,
        dropout_p_dp: float = 0.1,
        dropout_p_dec: float = 0.05,
        mean_only: bool = True,
        out_channels: int = 80,
        num_flow_blocks_dec: int = 12,
        kernel_size_dec: int = 5,
        dilation_rate: int = 1,
        num_block_layers: int = 4,
        num_splits: int = 4,
        num_squeeze: int = 2,
        sigmoid_scale: bool = False,
        num_speakers: int = 1,
        use_speaker_embedding: bool = False,
        c_in_channels: int | None = None,
        use_d_vector_file: bool = False,
        d_vector_dim: int = 256,
        d_vector_file: str | None = None,
        data_dep_init_steps: int = 10,
        inference_noise_scale: float = 0.333,
        length_scale: float = 1.0,
        durations: str = "log1p",
        scale: str = "bounded",
        scale_limit: float = 2.0,
        mixing: str = "plu",
        recipe: str = "tacotron",
        sample_rate: int = 22050,
        hop_length: int = 256,
        n_fft: int = 1024,
        precision: str = "float32",
        backprop: str = "stored",
        name: str = "glow_tts",
    ) -> None:
        self._settings = settings_of(GlowTTS, locals(), _LIMITS)
        _check(self._settings)
        tokenizer = tokenizer_of(self._settings)
        if tokenizer is not None:
            self._settings["characters"] = tokenizer.symbols.get_config()
            self._settings["num_chars"] = num_chars = tokenizer.size
        steps = Repeat(self._step(), num_flow_blocks_dec, backprop, name="repeat")
        inputs = {TEXT: Input("sequence", "int32", num_chars)}
        if use_speaker_embedding:
            size = c_in_channels or hidden_channels_enc
            inputs[SPEAKER] = Input("item", "int32", num_speakers, embedding=size)
        elif use_d_vector_file:
            inputs[D_VECTOR] = Input("item", "float32", d_vector_dim)
        super().__init__(
            Squeezed(steps, num_squeeze, name="decoder"),
            LogMel(recipe_of(self._settings, out_channels)),
            inputs,
            loss_weights={LogMel.metric: 1.0, "duration": 1.0},
            name=name,
        )
        self.tokenizer = tokenizer
        self.adapt_batches = data_dep_init_steps
        self._vectors: dict[str, np.ndarray] | None = None

    def _step(self) -> Chain:
        settings = self._settings
        network = WaveNet(
            settings["hidden_channels_dec"],
            settings["num_block_layers"],
            settings["kernel_size_dec"],
            settings["dilation_rate"],
            dropout=settings["dropout_p_dec"],
            plain_last=True,
            name="network",
            dtype=self._network_policy(),
        )
        scale = "floored_sigmoid" if settings["sigmoid_scale"] else settings["scale"]
        coupling = AffineCoupling(
            network, scale, limit=settings["scale_limit"], floor=_SIGMOID_FLOOR, name="coupling"
        )
        mixing = InvertibleConv(settings["mixing"], settings["num_splits"], name="mixing")
        return Chain([ActNorm(name="act_norm"), mixing, coupling], name="step")

    def build(self, input_shape: dict[str, Any]) -> None:
        settings, policy = self._settings, self._network_policy()
        width = settings["hidden_channels_enc"]
        self.token_table = self.add_weight(
            name="token_table",
            shape=(settings["num_chars"], width),
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
        )
        before, encoder = _encoders(settings, policy)
        self.prenet, self.encoder = before, encoder
        outputs = settings["out_channels"]
        self.mean_head = keras.layers.Dense(outputs, name="mean_head", dtype=policy)
        self.scale_head = None
        if not settings["mean_only"]:
            self.scale_head = keras.layers.Dense(outputs, name="scale_head", dtype=policy)
        self.duration_predictor = DurationPredictor(
            settings["hidden_channels_dp"],
            dropout=settings["dropout_p_dp"],
            name="duration_predictor",
            dtype=policy,
        )
        for layer in (self.prenet, self.encoder, self.mean_head, self.scale_head):
            if layer is not None:
                layer.build((None, None, width))
        speaker = self.condition_shape()
        self.duration_predictor.build((None, None, width + (speaker[-1] if speaker else 0)))
        super().build(input_shape)

    # Text.

    def inputs_of(self, clip: Any, x: np.ndarray) -> dict[str, np.ndarray]:
        values: dict[str, Any] = {TEXT: self.tokens(clip.text, clip.id)}
        if SPEAKER in self.inputs:
            values[SPEAKER] = np.int32(clip.singer)
        elif D_VECTOR in self.inputs:
            values[D_VECTOR] = self.d_vector(clip.id)
        return values

    def d_vector(self, clip: str) -> np.ndarray:
        """The vector of a clip in `d_vector_file`.

        Raises:
            DataError: the file cannot be read, or lacks the clip.
        """
        if self._vectors is None:
            self._vectors = _read_vectors(self._settings)
        names = (clip, Path(clip).name, Path(clip).stem)
        found = next((self._vectors[name] for name in names if name in self._vectors), None)
        if found is None:
            raise DataError(f"{self._settings['d_vector_file']}: has no embedding of {clip}.")
        return found

    def encode_text(self, inputs: Inputs, training: bool | None = None) -> Encoded:
        """The means, deviations and log-durations of the tokens of a batch."""
        settings, dtype = self._settings, self.compute_dtype
        mask = ops.cast(inputs[TEXT + MASK], dtype)
        ids = ops.one_hot(inputs[TEXT], settings["num_chars"], dtype=dtype)
        # A product, because the gradient of a look-up is sparse.
        x = ops.matmul(ids, self.token_table) * settings["hidden_channels_enc"] ** 0.5
        if self.prenet is not None:
            x = self._before(x, mask, training)
        x = masked(self.encoder(x, mask, training=training), mask)
        means = masked(ops.cast(self.mean_head(x), dtype), mask)
        log_scales = None
        if self.scale_head is not None:
            log_scales = masked(ops.cast(self.scale_head(x), dtype), mask)
        read, speaker = ops.stop_gradient(x), self.condition(inputs, training)
        if speaker is not None:
            speaker = ops.cast(speaker, read.dtype)[:, None] + 0.0 * read[..., :1]
            read = ops.concatenate([read, speaker], axis=-1)
        log_durations = self.duration_predictor(read, mask, training=training)
        return Encoded(means, log_scales, ops.cast(log_durations, dtype), mask)

    def _before(self, x: Tensor, mask: Tensor, training: bool | None) -> Tensor:
        if isinstance(self.prenet, Encoder):
            return self.prenet(x, mask, training=training)
        return masked(self.prenet(x), mask)

    # What `Flow` calls.

    def condition(self, inputs: Inputs, training: bool | None = None) -> Tensor | None:
        """The vector of the speaker, of length 1, `(batch, features)`; `None` without speakers."""
        if SPEAKER in self.inputs:
            vector = self.embed(SPEAKER, inputs)
        elif D_VECTOR in self.inputs:
            vector = ops.cast(inputs[D_VECTOR], self.compute_dtype)
        else:
            return None
        norm = ops.sqrt(ops.sum(ops.square(vector), axis=-1, keepdims=True))
        return vector / ops.maximum(norm, 1e-12)

    def condition_shape(self) -> tuple[int | None, ...] | None:
        entry = self.inputs.get(SPEAKER) or self.inputs.get(D_VECTOR)
        return None if entry is None else (None, entry.features)

    def call(self, inputs: Inputs | Tensor, training: bool | None = None) -> tuple[Any, ...]:
        x, frame_mask = ops.convert_to_tensor(inputs["x"]), inputs.get("frame_mask")
        self.signal.check(x, frame_mask)
        z, log_det = self.bijection(
            x, self.condition(inputs, training), frame_mask, training=training
        )
        encoded = self.encode_text(inputs, training)
        path = self._found_path(z, encoded, frame_mask)
        prior = self._expanded(encoded, path)
        log_prob = log_det + prior.log_prob([z], self._latent_masks(frame_mask))
        return [z], log_prob, {"path": path, "log_durations": encoded.log_durations}

    def prior(self, inputs: Inputs, z: Any = None, training: bool | None = None) -> Prior:
        """The Gaussian of each frame's token: aligned with `z`, or with predicted durations."""
        encoded, frame_mask = self.encode_text(inputs, training), inputs.get("frame_mask")
        if z is not None:
            path = self._found_path(z[0], encoded, frame_mask)
        else:
            durations = self._frames_of(encoded, self._settings["length_scale"])
            total = ops.sum(durations, axis=1, keepdims=True)
            frames = self._multiple_of(total)
            if frame_mask is not None:
                frames = ops.sum(ops.cast(frame_mask, total.dtype), axis=1, keepdims=True)
            # Durations are stretched if another length than theirs is asked for.
            asked = frames != self._multiple_of(total)
            ends = ops.round(ops.cumsum(durations, axis=1) * frames / total)
            stretched = ends - ops.pad(ends[:, :-1], ((0, 0), (1, 0)))
            durations = ops.where(asked, stretched, durations)
            length = ops.max(frames) if frame_mask is None else ops.shape(frame_mask)[1]
            path = path_of(self._filled(durations, frames), ops.cast(length, "int32"))
        return self._expanded(encoded, path)

    def loss_terms(self, inputs: Inputs, outputs: tuple[Any, ...]) -> Terms:
        found, predicted = outputs[2]["path"], outputs[2]["log_durations"]
        mask = ops.cast(inputs[TEXT + MASK], predicted.dtype)
        target = self._log_duration(ops.sum(found, axis=1)) * mask
        errors = ops.sum(ops.square(predicted - target) * mask, axis=1)
        return {
            **super().loss_terms(inputs, outputs),
            "duration": (errors, ops.sum(mask, axis=1)),
        }

    def sample_lengths(self, inputs: Inputs, count: int, length: int | None) -> np.ndarray:
        if length is not None:
            return np.full(count, length, np.int64)
        durations = self._predicted(inputs, self._settings["length_scale"])
        return self._whole(durations.sum(axis=1))

    def checked(self, inputs: Inputs | Tensor) -> dict[str, Tensor]:
        tensors = super().checked(inputs)
        tokens = np.asarray(ops.convert_to_numpy(tensors[TEXT + MASK])).sum(axis=1)
        if not (tokens >= 1).all():
            raise ValueError("Expected texts of at least one token. Received: an empty text.")
        if "x" in tensors:
            frames = np.full(len(tokens), tensors["x"].shape[1])
            if "frame_mask" in tensors:
                frames = np.asarray(ops.convert_to_numpy(tensors["frame_mask"])).sum(axis=1)
            if (tokens > frames).any():
                item = int(np.argmax(tokens > frames))
                raise ValueError(
                    "Expected recordings with at least as many frames as tokens. Received: "
                    f"{int(frames[item])} frames and {int(tokens[item])} tokens; use a shorter "
                    "text or a longer recording."
                )
        return tensors

    # Alignment and durations.

    def _found_path(self, z: Tensor, encoded: Encoded, frame_mask: Tensor | None) -> Tensor:
        """The best alignment of latents `(batch, squeezed frames, channels)` with the tokens."""
        frames = self._frames(z)
        if frame_mask is None:
            frame_mask = ops.ones_like(frames[..., 0])
        scores = gaussian_scores(frames, encoded.means, encoded.log_scales)
        return monotonic_path(scores, encoded.mask, frame_mask)

    def _frames(self, z: Tensor) -> Tensor:
        """Latents with one row for each frame of `x`."""
        channels = self._settings["out_channels"]
        return ops.reshape(z, (ops.shape(z)[0], -1, channels))

    def _latents(self, frames: Tensor) -> Tensor:
        """Rows of frames as latents, whose rows are squeezed."""
        width = self._settings["out_channels"] * self._settings["num_squeeze"]
        return ops.reshape(frames, (ops.shape(frames)[0], -1, width))

    def _expanded(self, encoded: Encoded, path: Tensor) -> Gaussian:
        means = self._latents(expand(encoded.means, path))
        if encoded.log_scales is None:
            return Gaussian([means])
        return Gaussian([means], [self._latents(expand(encoded.log_scales, path))])

    def _log_duration(self, durations: Tensor) -> Tensor:
        offset = 1.0 if self._settings["durations"] == "log1p" else 1e-8
        return ops.log(offset + durations)

    def _frames_of(self, encoded: Encoded, length_scale: float) -> Tensor:
        """Predicted whole numbers of frames, at least one for each token: `(batch, tokens)`."""
        offset = 1.0 if self._settings["durations"] == "log1p" else 0.0
        frames = (ops.exp(encoded.log_durations) - offset) * length_scale
        return ops.maximum(1.0, ops.ceil(frames)) * encoded.mask

    def _predicted(self, inputs: Inputs, length_scale: float) -> np.ndarray:
        encoded = self._encoder_of()(self._text_only(inputs))
        frames = self._frames_of(Encoded(*encoded), length_scale)
        return np.rint(ops.convert_to_numpy(frames)).astype(np.int64)

    def _text_only(self, inputs: Inputs) -> dict[str, Any]:
        left_out = ("x", "frame_mask")
        return {name: value for name, value in inputs.items() if name not in left_out}

    def _encoder_of(self) -> Any:
        if "text" not in self._directions:
            self._directions["text"] = traced(
                self, lambda inputs: tuple(self.encode_text(inputs, training=False))
            )
        return self._directions["text"]

    def _multiple_of(self, frames: Any) -> Any:
        """Numbers of frames cut to multiples of the squeeze, of which there is at least one."""
        factor = self._settings["num_squeeze"]
        return ops.maximum(ops.floor(frames / factor), 1.0) * factor

    def _whole(self, frames: np.ndarray) -> np.ndarray:
        factor = self._settings["num_squeeze"]
        return np.maximum(frames // factor, 1) * factor

    def _filled(self, durations: Tensor, frames: Tensor) -> Tensor:
        """Durations whose last one is lengthened, if they are fewer frames than asked for."""
        missing = ops.maximum(frames - ops.sum(durations, axis=1, keepdims=True), 0.0)
        valid = ops.cast(durations > 0, durations.dtype)
        after = ops.flip(ops.cumsum(ops.flip(valid, axis=1), axis=1), axis=1)
        return durations + missing * valid * ops.cast(after == 1, durations.dtype)

    # What users call.

    def synthesize(
        self,
        inputs: Inputs,
        temperature: float | None = None,
        length_scale: float | None = None,
        seed: int | None = None,
    ) -> Speech:
        """Speak texts.

        Args:
            inputs: `text` and `text_mask`, of `text_inputs`, and the speaker, if there are several.
            temperature: scale of the deviations of the latents from their means; the argument
                `inference_noise_scale` of the model when `None`.
            length_scale: factor of the durations; that of the model when `None`.
            seed: of the noise. The noise of an item does not depend on the other items.

        Raises:
            ValueError: an input is missing or does not fit, or a number is out of range.
        """
        settings = self._settings
        temperature = settings["inference_noise_scale"] if temperature is None else temperature
        length_scale = settings["length_scale"] if length_scale is None else length_scale
        if not (temperature >= 0 and 0 < length_scale < 1e3):
            raise ValueError(
                "Expected temperature of at least 0, and length_scale above 0 and below 1000. "
                f"Received: temperature={temperature}, length_scale={length_scale}."
            )
        given = self.checked({**self._text_only(inputs), "x": None})
        encoded = Encoded(*self._encoder_of()(given))
        frames = ops.convert_to_numpy(self._frames_of(encoded, length_scale))
        durations = np.rint(frames).astype(np.int64)
        lengths = self._whole(durations.sum(axis=1))
        path = path_of(
            self._filled(
                ops.cast(durations, self.compute_dtype),
                ops.cast(lengths[:, None], self.compute_dtype),
            ),
            int(lengths.max()),
        )
        prior = self._expanded(encoded, path)
        rngs = np.random.default_rng(seed).spawn(len(lengths))
        noise = np.zeros((len(lengths), int(lengths.max()), settings["out_channels"]))
        for item, (rng, length) in enumerate(zip(rngs, lengths, strict=True)):
            noise[item, :length] = rng.standard_normal((length, noise.shape[-1]))
        noise = self._latents(ops.convert_to_tensor(noise, dtype=self.compute_dtype))
        z = prior.means[0] + temperature * ops.exp(prior.log_scales[0]) * noise
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(self.compute_dtype)
        x = ops.convert_to_numpy(self.decode([z], {**given, "frame_mask": mask}))
        return Speech(x * mask[..., None], lengths, durations)

    def align(self, inputs: Inputs) -> np.ndarray:
        """The number of frames of each token of recordings with their texts: `(batch, tokens)`.

        Args:
            inputs: the dictionary of `call`, with `x`.

        Raises:
            ValueError: an input is missing or does not fit, or a recording has fewer frames than
                its text has tokens.
        """
        given = self.checked(inputs)
        path = ops.convert_to_numpy(self._traced("forward")(given)[2]["path"])
        return np.rint(path.sum(axis=1)).astype(np.int64)

    def inference_with_mas(self, inputs: Inputs) -> np.ndarray:
        """Recordings as the model would speak them with their own timing: `(batch, frames, mels)`.

        The means of the tokens, aligned with the recordings, are decoded.

        Args:
            inputs: the dictionary of `call`, with `x`.

        Raises:
            ValueError: as for `align`.
        """
        given = self.checked(inputs)
        encoded = Encoded(*self._encoder_of()(self._text_only(given)))
        durations = ops.cast(self.align(inputs), self.compute_dtype)
        prior = self._expanded(encoded, path_of(durations, given["x"].shape[1]))
        return ops.convert_to_numpy(self.decode(prior.means, given))

    def decoder_inference(self, inputs: Inputs, target: Inputs | None = None) -> np.ndarray:
        """Recordings after the flow and its inverse, `(batch, frames, mels)`.

        With another speaker as the target, this converts their voices.

        Args:
            inputs: the dictionary of `call`, with `x`.
            target: inputs that replace those of the inverse, such as `speaker`.

        Raises:
            ValueError: an input is missing or does not fit.
        """
        given = self.checked(inputs)
        z = self._traced("forward")(given)[0]
        again = {name: value for name, value in given.items() if name not in (target or {})}
        if SPEAKER + EMBEDDING in (target or {}):
            again.pop(SPEAKER, None)
        elif SPEAKER in (target or {}):
            again.pop(SPEAKER + EMBEDDING, None)
        return ops.convert_to_numpy(self.decode(z, {**again, **(target or {})}))

    @classmethod
    def from_coqui_config(cls, path: str | os.PathLike, **overrides: Any) -> "GlowTTS":
        """Create the model of a `GlowTTSConfig` of Coqui TTS, a JSON file.

        The arithmetic is that of Coqui TTS. `coqui_settings` lists the fields that are not
        arguments.

        Args:
            path: the file.
            overrides: arguments that replace those of the file.

        Raises:
            DataError: the file cannot be read, or is not such a configuration.
            ValueError: an argument is out of its range.
        """
        from singlow.models.glow_tts_config import coqui_settings

        return cls(**{**coqui_settings(path).arguments, **overrides})


ENCODER_PARAMS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "rel_pos_transformer": {
            "kernel_size": "kernel_size",
            "dropout_p": "dropout",
            "num_layers": "layers",
            "num_heads": "heads",
            "hidden_channels_ffn": "width",
            "rel_attn_window_size": "window",
            "input_length": "block",
            "heads_share": "heads_share",
            "proximal_bias": "proximity",
        },
        "gated_conv": {
            "kernel_size": "kernel_size",
            "dropout_p": "dropout",
            "num_layers": "layers",
        },
        "residual_conv_bn": {
            "kernel_size": "kernel_size",
            "dilations": "dilations",
            "num_conv_blocks": "convolutions",
            "num_res_blocks": "",
            "original_padding": "original_padding",
        },
        "time_depth_separable": {
            "kernel_size": "kernel_size",
            "num_layers": "layers",
            "original_padding": "original_padding",
        },
    }
)
"""Arguments of each type of encoder, with the names of the arguments of its class.

`num_res_blocks` is the number of dilations. `original_padding` treats padded tokens as Coqui TTS.
"""
_ENCODERS = {
    "rel_pos_transformer": RelativeTransformer,
    "gated_conv": GatedConvolutions,
    "residual_conv_bn": ResidualConvolutions,
    "time_depth_separable": SeparableConvolutions,
}
_LIMITS = {
    "num_chars": 2**16,
    "hidden_channels_enc": 2**13,
    "hidden_channels_dec": 2**13,
    "hidden_channels_dp": 2**13,
    "out_channels": 2**12,
    "num_flow_blocks_dec": 1000,
    "kernel_size_dec": 2**10,
    "dilation_rate": 2**10,
    "num_block_layers": 20,
    "num_splits": 2**12,
    "num_squeeze": 2**10,
    "num_speakers": 2**16,
    "c_in_channels": 2**13,
    "d_vector_dim": 2**13,
    "data_dep_init_steps": 2**10,
    "hop_length": 2**20,
    "n_fft": 2**20,
}
_CHOICES = {
    "encoder_type": tuple(ENCODER_PARAMS),
    "durations": ("log1p", "log"),
    "scale": ("bounded", "exp"),
    "mixing": ("plu", "plain"),
    "recipe": tuple(RECIPES),
    "mean_only": (True, False),
    "sigmoid_scale": (False, True),
    "use_encoder_prenet": (True, False),
    "use_speaker_embedding": (False, True),
    "use_d_vector_file": (False, True),
    "add_blank": (False, True),
    "enable_eos_bos_chars": (False, True),
}
_SHARES = ("dropout_p_dp", "dropout_p_dec")


def _check(settings: dict[str, Any]) -> None:
    """Check the arguments that models do not share.

    Raises:
        ValueError: an argument is out of its range, or arguments contradict each other.
    """
    check_choices(settings, _CHOICES)
    for name in _SHARES:
        if not 0 <= settings[name] < 1:
            raise ValueError(f"Expected {name} from 0 to 1. Received: {settings[name]}.")
    if not settings["scale_limit"] > 0 or not settings["length_scale"] > 0:
        raise ValueError(
            "Expected scale_limit and length_scale above 0. Received: scale_limit="
            f"{settings['scale_limit']}, length_scale={settings['length_scale']}."
        )
    if not settings["inference_noise_scale"] >= 0:
        raise ValueError(
            "Expected inference_noise_scale of at least 0. "
            f"Received: {settings['inference_noise_scale']}."
        )
    channels = settings["out_channels"] * settings["num_squeeze"]
    if settings["num_splits"] % 2 or channels % settings["num_splits"]:
        raise ValueError(
            f"Expected num_splits to be even and to divide out_channels * num_squeeze = {channels}."
            f" Received: num_splits={settings['num_splits']}."
        )
    if settings["use_speaker_embedding"] and settings["use_d_vector_file"]:
        raise ValueError("Expected use_speaker_embedding or use_d_vector_file. Received: both.")
    if settings["front_end"] == IDS and settings["num_chars"] is None:
        raise ValueError('Expected num_chars with front_end="ids". Received: none.')
    _encoder_arguments(settings)


def _encoder_arguments(settings: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the encoder's class.

    Raises:
        ValueError: `encoder_params` has a name that the type of encoder lacks.
    """
    known = ENCODER_PARAMS[settings["encoder_type"]]
    params = settings["encoder_params"] or {}
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise ValueError(
            f"Expected encoder_params of {settings['encoder_type']} in {', '.join(known)}. "
            f"Received: {', '.join(unknown)}."
        )
    blocks = params.get("num_res_blocks")
    if blocks is not None and blocks != len(params.get("dilations", range(13))):
        raise ValueError(
            f"Expected as many dilations as num_res_blocks. Received: num_res_blocks={blocks}, "
            f"dilations={params.get('dilations')}."
        )
    return {known[key]: value for key, value in params.items() if known[key]}


def _encoders(
    settings: dict[str, Any], policy: str | None
) -> tuple[keras.layers.Layer | None, Encoder]:
    """The network before the encoder, if there is one, and the encoder."""
    kind = settings["encoder_type"]
    encoder = _ENCODERS[kind](**_encoder_arguments(settings), name="encoder", dtype=policy)
    if not settings["use_encoder_prenet"] or kind == "gated_conv":
        return None, encoder
    if kind == "residual_conv_bn":
        width = settings["hidden_channels_enc"]
        return keras.layers.Dense(width, "relu", name="prenet", dtype=policy), encoder
    return Prenet(name="prenet", dtype=policy), encoder


def _read_vectors(settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read `d_vector_file`.

    Raises:
        DataError: the file cannot be read, or a vector has another size.
    """
    path, size = settings["d_vector_file"], settings["d_vector_dim"]
    if path is None:
        raise DataError("Expected d_vector_file, a file with the vectors of clips. Received: none.")
    try:
        stored = json.loads(Path(path).expanduser().read_text("utf-8"))
        vectors = {
            name: np.asarray(entry["embedding"], np.float32) for name, entry in stored.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as vectors of clips: {error}.") from error
    wrong = [name for name, vector in vectors.items() if vector.shape != (size,)]
    if wrong:
        raise DataError(
            f"{path}: Expected embeddings of {size} numbers. "
            f"Received: {vectors[wrong[0]].shape} of {wrong[0]}."
        )
    return vectors


_AS_PUBLISHED = {
    "window_size": 12.0,
    "batch_size": 32,
    "warmup_steps": 4000,
    "noam": True,
    "rectified": True,
    "steps_per_epoch": 400,
}
_TINY_WIDTHS = {"hidden_channels_enc": 16, "hidden_channels_dec": 16, "hidden_channels_dp": 16}
GlowTTS.presets = MappingProxyType(
    {
        "glow_tts_small": Preset(
            "Speech at 16 kHz, 8 steps of 128 channels; trains within minutes on a CPU.",
            arguments={
                "hidden_channels_enc": 128,
                "hidden_channels_dec": 128,
                "hidden_channels_dp": 128,
                "encoder_params": {"num_layers": 4, "hidden_channels_ffn": 512},
                "num_flow_blocks_dec": 8,
                "num_block_layers": 3,
                "sample_rate": 16000,
            },
            training={
                "window_size": 8.0,
                "batch_size": 16,
                "learning_rate": 0.001,
                "warmup_steps": 100,
                "rectified": True,
                "epochs": 10,
                "steps_per_epoch": 100,
            },
            dataset="spoken",
        ),
        "glow_tts": Preset(
            "Speech at 22,050 Hz, 12 steps of 192 channels with bounded scales.",
            arguments={"sample_rate": 22050},
            training={**_AS_PUBLISHED, "learning_rate": 0.001, "epochs": 250},
            dataset="spoken",
        ),
        "glow_tts_original": Preset(
            "The published Glow-TTS: 12 steps of 192 channels, 148 symbols, plain matrices.",
            arguments={
                "characters": "glow_tts",
                "durations": "log",
                "scale": "exp",
                "mixing": "plain",
                "inference_noise_scale": 0.667,
                "data_dep_init_steps": 1,
                "sample_rate": 22050,
            },
            training={
                **_AS_PUBLISHED,
                "learning_rate": 0.00114109,  # 192 ** -0.5 * 4000 ** -0.5
                "rectified": False,
                "beta_2": 0.98,
                "epochs": 600,
            },
            dataset="spoken",
        ),
        "glow_tts_tiny": Preset(
            "A small model of two steps for tests and first tries, too small to sound good.",
            arguments={
                **_TINY_WIDTHS,
                "encoder_params": {"num_layers": 1, "hidden_channels_ffn": 32},
                "out_channels": 40,
                "num_flow_blocks_dec": 2,
                "num_block_layers": 2,
                "data_dep_init_steps": 2,
                "sample_rate": 16000,
            },
            training={
                "window_size": 4.0,
                "batch_size": 4,
                "learning_rate": 0.001,
                "warmup_steps": 10,
                "rectified": True,
                "epochs": 2,
                "steps_per_epoch": 20,
            },
            dataset="spoken",
        ),
    }
)
keras.saving.register_keras_serializable("singlow")(GlowTTS)
