"""Test Glow-TTS: the published arithmetic, sizes, synthesis, alignment and speakers."""

import functools
import json
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from singlow.alignment import path_of
from singlow.bijections.linear import _for_groups
from singlow.errors import DataError, UsageError
from singlow.models import GlowTTS, preset
from singlow.models.glow_tts_config import coqui_settings
from singlow.originals.glow_tts import arguments_of, load, load_encoder
from singlow.testing import nudge
from tests.conftest import BACKEND, in_precision
from tests.test_flow import to_numpy
from tests.test_parity import EXACT, state_of, stored, swapped

float64 = pytest.mark.skipif(BACKEND != "tensorflow", reason="float64 runs on TensorFlow")
WHOLE = ("glow_tts", "glow_tts_speakers")
ENCODERS = ("gated_conv", "rel_pos_transformer", "residual_conv_bn", "time_depth_separable")


def mask_of(lengths, size: int) -> np.ndarray:
    return (np.arange(size) < np.asarray(lengths)[:, None]).astype("float64")


@functools.cache
def original(name: str) -> GlowTTS:
    with in_precision("float64"):
        state, config = state_of(name), json.loads(str(stored(name)["config"]))
        arguments = {"dilation_rate": config["dilation_rate"]} | arguments_of(state)
        arguments["sigmoid_scale"] = config.get("sigmoid_scale", False)
        arguments |= {"length_scale": float(stored(name)["in/length_scale"])}
        flow = GlowTTS.from_preset("glow_tts_original", **{**arguments, "characters": None})
        load(flow, state)
    return flow


def given(name: str) -> dict[str, np.ndarray]:
    numbers = stored(name)
    frames = numbers["in/mel"].shape[2] // 2 * 2
    inputs = {
        "x": swapped(numbers["in/mel"])[:, :frames],
        "frame_mask": mask_of(numbers["in/mel_lengths"] // 2 * 2, frames),
        "text": numbers["in/text"].astype("int32"),
        "text_mask": mask_of(numbers["in/text_lengths"], numbers["in/text"].shape[1]),
    }
    return {**inputs, **({"speaker": numbers["in/speaker"]} if "in/speaker" in numbers else {})}


def close(found, expected, mask=None):
    found, expected = to_numpy(found), np.asarray(expected)
    if mask is not None:
        found, expected = found * mask[..., None], expected * mask[..., None]
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


@float64
@pytest.mark.parametrize("name", WHOLE)
def test_it_finds_the_alignment_and_latents_of_the_original(name):
    numbers, flow, inputs = stored(name), original(name), given(name)
    z, _, found = flow(inputs)
    path = to_numpy(found["path"])
    np.testing.assert_array_equal(path, swapped(numbers["out/attention"][:, 0]))
    frames = flow._frames(z[0])
    close(frames, swapped(numbers["out/z"]), inputs["frame_mask"])
    log_det = flow.bijection(inputs["x"], flow.condition(inputs), inputs["frame_mask"])[1]
    close(log_det, numbers["out/log_det"])
    encoded = flow.encode_text(inputs)
    close(encoded.means, swapped(numbers["out/x_mean"]))
    if encoded.log_scales is not None:
        close(encoded.log_scales, swapped(numbers["out/x_log_std"]))
    close(encoded.log_durations, numbers["out/log_duration"][:, 0])
    prior = flow.prior(inputs, z)
    close(flow._frames(prior.means[0]), swapped(numbers["out/z_mean"]))
    close(flow._frames(prior.log_scales[0]), swapped(numbers["out/z_log_std"]))


@float64
@pytest.mark.parametrize("name", WHOLE)
def test_its_losses_are_those_of_the_original(name):
    numbers, flow, inputs = stored(name), original(name), given(name)
    terms = flow.loss_terms(inputs, flow(inputs))
    for term, expected in (("nats_per_value", "mle"), ("duration", "duration_loss")):
        total, count = (to_numpy(each).sum() for each in terms[term])
        assert abs(total / count - float(numbers[f"out/{expected}"])) < EXACT


def with_inverses_of_the_original(name: str) -> GlowTTS:
    """Return the folded model with the inverse matrices that the original computes in float32.

    The file holds those matrices, which follow from the original's outputs.
    """
    flow, given = original(name), stored("glow_tts_inverses")[name]
    with in_precision("float64"):
        folded = flow.for_inference()
    own = {v.path.split("/")[-1]: to_numpy(v) for v in flow.bijection.weights}
    steps = {v.path.split(".")[-1]: v for v in folded.bijection.weights}
    exact = np.linalg.inv(own["mixing.kernel"])
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, exact, rtol=0, atol=1e-6)
    groups = own["act_norm.shift"].shape[-1] // given.shape[-1]
    inverse = to_numpy(_for_groups(given.astype("float64"), groups))
    scale = np.exp(own["act_norm.log_scale"])
    shift = np.linalg.solve(inverse, (scale * own["act_norm.shift"])[..., None])[..., 0]
    np.testing.assert_allclose(to_numpy(steps["shift"]), shift, rtol=0, atol=1e-5)
    steps["shift"].assign(shift)
    steps["inverse_matrix"].assign(inverse / scale[..., None])
    return folded


@float64
@pytest.mark.parametrize("name", WHOLE)
def test_it_speaks_as_the_original(name):
    numbers, flow, inputs = stored(name), original(name), given(name)
    spoken = {key: value for key, value in inputs.items() if key not in ("x", "frame_mask")}
    expected, mask = swapped(numbers["out/generated"]), numbers["out/generated_mask"][:, 0]
    speech = with_inverses_of_the_original(name).synthesize(spoken, temperature=0)
    np.testing.assert_array_equal(speech.lengths, mask.sum(axis=1))
    close(speech.x, expected * mask[..., None])
    path = path_of(speech.durations.astype("float64"), mask.shape[1])
    spoken_path = to_numpy(path) * mask[..., None]
    np.testing.assert_array_equal(spoken_path, swapped(numbers["out/generated_attention"][:, 0]))
    exact = flow.synthesize(spoken, temperature=0)
    np.testing.assert_allclose(exact.x, speech.x, rtol=0, atol=1e-6)
    x, lengths = flow.sample(spoken, temperature=0)
    np.testing.assert_array_equal(lengths, speech.lengths)
    close(to_numpy(x) * mask[..., None], exact.x)


@float64
@pytest.mark.parametrize("kind", ENCODERS)
def test_the_encoders_are_those_of_coqui(kind):
    numbers, state = stored(f"coqui_{kind}"), state_of(f"coqui_{kind}")
    config = json.loads(str(numbers["config"]))
    with in_precision("float64"):
        arguments = arguments_of(state)
        # Neither the heads of plain attention nor dilations follow from the weights.
        for key, value in config["encoder_params"].items():
            if key in ("num_heads", "dilations", "dropout_p", "num_res_blocks"):
                arguments["encoder_params"][key] = value
            assert arguments["encoder_params"][key] == value
        flow = GlowTTS(num_flow_blocks_dec=1, hidden_channels_dec=4, **arguments)
        load_encoder(flow, state)
    size = numbers["in/text"].shape[1]
    mask = mask_of(numbers["in/text_lengths"], size)
    encoded = flow.encode_text({"text": numbers["in/text"].astype("int32"), "text_mask": mask})
    np.testing.assert_array_equal(mask, numbers["out/mask"][:, 0])
    close(encoded.means, swapped(numbers["out/mean"]))
    close(encoded.log_scales, swapped(numbers["out/log_std"]))
    close(encoded.log_durations, numbers["out/log_duration"][:, 0])


def weights(flow: GlowTTS) -> int:
    return sum(math.prod(w.shape) for w in flow.trainable_weights)


def test_the_original_has_the_published_weights():
    """The published model has 28,623,889 weights with 148 symbols.

    The test builds one of the twelve equal steps and multiplies.
    """
    flow = GlowTTS.from_preset("glow_tts_original", num_flow_blocks_dec=1)
    step = sum(math.prod(w.shape) for w in flow.bijection.trainable_weights)
    assert weights(flow) + 11 * step == 28_623_889
    assert preset("glow_tts_original").arguments.get("num_flow_blocks_dec", 12) == 12


def test_it_has_the_weights_of_coqui():
    """Coqui TTS has 28,597,969 weights with 67 letters, without relative positions."""
    params = {"rel_attn_window_size": None}
    flow = GlowTTS.from_preset(
        "glow_tts_original", characters="coqui", encoder_params=params, num_flow_blocks_dec=1
    )
    step = sum(math.prod(w.shape) for w in flow.bijection.trainable_weights)
    assert weights(flow) + 11 * step == 28_597_969


COQUI = {
    "model": "glow_tts",
    "run_name": "mine",
    "encoder_type": "rel_pos_transformer",
    "encoder_params": {"kernel_size": 3, "num_layers": 1, "hidden_channels_ffn": 16},
    "hidden_channels_enc": 8,
    "hidden_channels_dec": 8,
    "hidden_channels_dp": 8,
    "out_channels": 8,
    "num_flow_blocks_dec": 1,
    "num_block_layers": 1,
    "inference_noise_scale": 0.0,
    "use_speaker_embedding": True,
    "num_speakers": 4,
    "add_blank": True,
    "audio": {"sample_rate": 22050, "hop_length": 256, "fft_size": 1024},
    "lr": 0.001,
    "lr_scheduler": "NoamLR",
    "lr_scheduler_params": {"warmup_steps": 4000},
    "optimizer": "RAdam",
    "optimizer_params": {"betas": [0.9, 0.998], "weight_decay": 1e-6},
    "max_text_len": 100,
    "r": 1,
}


def test_a_configuration_of_coqui_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(COQUI))
    flow = GlowTTS.from_coqui_config(path, hidden_channels_dp=6)
    config = flow.get_config()
    assert (config["num_chars"], config["hidden_channels_dp"]) == (67, 6)
    assert flow.inputs["speaker"].size == 4
    assert not [w.path for w in flow.weights if "relative" in w.path]
    assert len(flow.tokens("Hi.")) == 7
    settings = coqui_settings(path)
    expected = {"learning_rate": 0.001, "noam": True, "warmup_steps": 4000}
    assert settings.training == {**expected, "rectified": True, "beta_2": 0.998}
    assert settings.elsewhere == ("max_text_len",)
    assert settings.unused == ("r", "run_name")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read as JSON"),
        ('{"model": "vits"}', "Expected a configuration of glow_tts. Received: vits"),
        ('{"use_phonemes": true, "phonemizer": "ko_kr_phonemizer"}', "Expected a phonemizer in"),
        ('{"characters": {"characters": "aab", "is_unique": false}}', "'a' twice"),
    ],
)
def test_another_file_is_refused(tmp_path, text, reason):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        GlowTTS.from_coqui_config(path)


def tiny(**overrides) -> GlowTTS:
    given = {"out_channels": 8, "hidden_channels_enc": 8, "hidden_channels_dec": 8}
    return GlowTTS.from_preset("glow_tts_tiny", **{**given, **overrides})


@functools.cache
def nudged(**overrides) -> GlowTTS:
    """Return a model with perturbed weights. Tests share it and must not change it."""
    keras.utils.set_random_seed(0)
    flow = tiny(**overrides)
    nudge(flow)
    return flow


SPEAKERS = {"use_speaker_embedding": True, "num_speakers": 3}


def test_a_sentence_does_not_depend_on_the_others_of_its_batch():
    flow = nudged()
    both = flow.synthesize(flow.text_inputs(["hello there", "hi"]), seed=3)
    again = flow.synthesize(flow.text_inputs(["hello there", "hi you all, again"]), seed=3)
    assert both.lengths[0] == again.lengths[0]
    first = slice(0, both.lengths[0])
    np.testing.assert_allclose(both.x[0, first], again.x[0, first], atol=1e-4)
    assert not both.x[1, both.lengths[1] :].any()
    other = flow.synthesize(flow.text_inputs(["hello there", "hi"]), seed=4)
    assert np.abs(other.x - both.x).max() > 1e-3


def test_a_longer_scale_speaks_slower():
    flow = tiny()
    flow.duration_predictor.last.bias.assign([np.log(1 + 2.5)])
    text = flow.text_inputs(["hello"])
    plain, slow = (flow.synthesize(text, length_scale=scale) for scale in (1.0, 3.0))
    assert slow.lengths[0] >= 2 * plain.lengths[0]
    for speech in (plain, slow):
        assert (speech.durations >= 1).all()
        assert speech.lengths[0] == speech.durations.sum() // 2 * 2
    with pytest.raises(ValueError, match="length_scale above 0"):
        flow.synthesize(text, length_scale=0.0)


def test_a_length_that_is_asked_for_stretches_the_durations():
    flow = nudged()
    x, lengths = flow.sample(flow.text_inputs(["hello", "hi"]), length=40, temperature=0.0)
    assert lengths.tolist() == [40, 40]
    means = to_numpy(
        flow.prior({**flow.text_inputs(["hello"]), "frame_mask": np.ones((1, 40))}).means[0]
    ).reshape(40, -1)
    changes = (np.abs(np.diff(means, axis=0)).max(axis=1) > 1e-6).sum()
    assert changes == 4
    assert np.isfinite(to_numpy(x)).all()


def recording(flow: GlowTTS, texts: list[str], frames: int, **others) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((len(texts), frames, flow.signal.recipe.n_mels)).astype("float32")
    return {"x": x, **flow.text_inputs(texts, **others)}


def test_every_token_of_an_alignment_has_frames():
    flow = nudged()
    inputs = recording(flow, ["hello", "hi"], 16)
    durations = flow.align(inputs)
    assert durations.sum(axis=1).tolist() == [16, 16]
    assert ((durations > 0) == (inputs["text_mask"] > 0)).all()
    spoken = flow.inference_with_mas(inputs)
    assert spoken.shape == inputs["x"].shape
    z = flow.encode({**inputs, "x": spoken})[0]
    means = to_numpy(flow.prior(flow.checked(inputs), flow.encode(inputs)).means[0])
    np.testing.assert_allclose(to_numpy(z), means, atol=1e-3)


def test_a_text_that_is_longer_than_its_recording_is_refused():
    flow = nudged()
    with pytest.raises(ValueError, match="4 frames and 11 tokens"):
        flow.align(recording(flow, ["hello there"], 4))
    empty = {"text": np.zeros((1, 3), "int32"), "text_mask": np.zeros((1, 3), "float32")}
    with pytest.raises(ValueError, match="at least one token"):
        flow.synthesize(empty)


def test_a_voice_is_converted_and_converted_back():
    flow = nudged(**SPEAKERS)
    inputs = recording(flow, ["hi", "hi"], 8, speaker=np.array([0, 1], "int32"))
    same = flow.decoder_inference(inputs)
    np.testing.assert_allclose(same, inputs["x"], atol=1e-3)
    target = {"speaker": np.array([2, 2], "int32")}
    other = flow.decoder_inference(inputs, target)
    assert np.abs(other - same).max() > 1e-3
    back = flow.decoder_inference({**inputs, "x": other, **target}, {"speaker": inputs["speaker"]})
    np.testing.assert_allclose(back, inputs["x"], atol=1e-3)
    own = flow.embedding_table("speaker")[[2, 2]]
    by_vector = flow.decoder_inference(inputs, {"speaker_embedding": own})
    np.testing.assert_allclose(by_vector, other, atol=1e-5)


def test_vectors_of_speakers_are_read_from_a_file(tmp_path):
    path = tmp_path / "vectors.json"
    vectors = {"ada/1": {"name": "ada", "embedding": [1.0, 0.0]}, "2": {"embedding": [0.0, 2.0]}}
    path.write_text(json.dumps(vectors))
    settings = {"use_d_vector_file": True, "d_vector_dim": 2, "d_vector_file": str(path)}
    flow = tiny(**settings)

    def clip(name: str) -> SimpleNamespace:
        return SimpleNamespace(id=name, singer=0, style="", text="hi")

    read = [flow.inputs_of(clip(name), None)["d_vector"] for name in ("ada/1", "ada/2.wav")]
    np.testing.assert_array_equal(read, [[1, 0], [0, 2]])
    with pytest.raises(DataError, match="has no embedding of bob/3"):
        flow.inputs_of(clip("bob/3"), None)
    condition = to_numpy(flow.condition({"d_vector": np.array([[0.0, 2.0]])}))
    np.testing.assert_allclose(condition, [[0, 1]], atol=1e-6)
    with pytest.raises(DataError, match="Expected embeddings of 3 numbers"):
        tiny(**{**settings, "d_vector_dim": 3}).inputs_of(clip("2"), None)


def test_padding_changes_neither_likelihood_nor_durations():
    flow = nudged()
    alone = recording(flow, ["hi"], 8)
    padded = recording(flow, ["hi", "hello"], 12)
    padded["x"][0, :8] = alone["x"][0]
    padded["frame_mask"] = mask_of([8, 12], 12).astype("float32")
    log_prob, duration = (
        flow.loss_terms(inputs, flow(flow.checked(inputs))) for inputs in (alone, padded)
    )
    for name in flow.loss_weights:
        for one, several in zip(log_prob[name], duration[name], strict=True):
            np.testing.assert_allclose(to_numpy(several)[0], to_numpy(one)[0], rtol=1e-4)


def test_fit_finds_the_durations_of_letters():
    """Each letter is a note of its own length, which the model has to find and to predict."""
    keras.utils.set_random_seed(0)
    flow = tiny(num_squeeze=1, dropout_p_dec=0.0, dropout_p_dp=0.0)
    flow.adapt(tones(flow, 64, 0))
    flow.compile(keras.optimizers.Adam(1e-2), jit_compile=BACKEND == "jax")
    first = flow.train_on_batch(tones(flow, 16, 0), return_dict=True)
    for step in range(120):
        last = flow.train_on_batch(tones(flow, 16, step % 8), return_dict=True)
    assert last["nats_per_value"] < first["nats_per_value"] - 0.7
    assert last["duration"] < 0.1 * first["duration"]
    expected = batch_durations(8, 99)
    assert (flow.align(tones(flow, 8, 99)) == expected).mean() > 0.9
    speech = flow.synthesize(flow.text_inputs(letters_of(8, 99)), temperature=0)
    assert np.abs(speech.durations - expected).max() <= 1


LONG = {"a": 2, "e": 3, "i": 5, "o": 4}


def letters_of(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(LONG), 4, replace=False)) for _ in range(count)]


def batch_durations(count: int, seed: int) -> np.ndarray:
    return np.array([[LONG[letter] for letter in text] for text in letters_of(count, seed)])


def tones(flow: GlowTTS, count: int, seed: int) -> dict[str, np.ndarray]:
    texts, rng = letters_of(count, seed), np.random.default_rng(seed)
    notes = {letter: 3.0 * np.eye(8)[2 * index] for index, letter in enumerate(LONG)}
    rows = [[notes[letter] for letter in text for _ in range(LONG[letter])] for text in texts]
    x = np.array(rows) + 0.3 * rng.standard_normal((count, 14, 8))
    return {"x": x.astype("float32"), **flow.text_inputs(texts)}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"num_splits": 3}, "num_splits to be even"),
        ({"encoder_params": {"layers": 3}}, "Expected encoder_params of rel_pos_transformer in"),
        ({"encoder_type": "lstm"}, "Expected encoder_type in"),
        ({"use_speaker_embedding": True, "use_d_vector_file": True}, "Received: both"),
        ({"front_end": "ids"}, "Expected num_chars with"),
        ({"num_chars": 12}, "Expected num_chars to be the size of the table"),
        ({"dropout_p_dec": 1.0}, "Expected dropout_p_dec"),
        ({"length_scale": 0.0}, "length_scale above 0"),
        ({"num_flow_blocks_dec": 0}, "Expected num_flow_blocks_dec from 1"),
    ],
)
def test_wrong_arguments_are_refused(given, reason):
    with pytest.raises((ValueError, UsageError), match=reason):
        tiny(**given)


def test_the_table_of_symbols_is_stored_with_the_model():
    flow = tiny(add_blank=True)
    config = json.loads(json.dumps(flow.get_config()))
    again = GlowTTS.from_config(config)
    assert again.tokenizer == flow.tokenizer
    assert again.get_config() == flow.get_config()
