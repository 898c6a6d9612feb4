"""Test Flow and SinGlow on either backend: densities, round trips, sizes and training."""

import functools
import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from singlow.errors import UsageError
from singlow.models import PRESETS, Flow, SinGlow, StandardNormal, build_model, preset
from singlow.signals import Audio
from singlow.testing import jacobian, nudge
from tests.conftest import BACKEND

COMPILED = BACKEND == "jax"


def tiny(**overrides) -> SinGlow:
    return SinGlow.from_preset("singlow_tiny", **overrides)


def nudged() -> SinGlow:
    """Return a model with perturbed weights, one per precision. Tests must not change it."""
    return _nudged(keras.config.floatx())


@functools.cache
def _nudged(precision: str) -> SinGlow:
    keras.utils.set_random_seed(0)
    model = tiny()
    nudge(model)
    return model


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(shape).astype(keras.config.floatx())


def to_numpy(x) -> np.ndarray:
    return ops.convert_to_numpy(x)


def sample(model: Flow, **settings) -> np.ndarray:
    return to_numpy(model.sample(**settings)[0])


@pytest.mark.parametrize("length", [16, 48, 1600])
def test_decode_undoes_encode_at_any_length(length: int, precision: str):
    model = nudged()
    x = noise((2, length, 1))
    back = to_numpy(model.decode(model.encode(x)))
    np.testing.assert_allclose(back, x, atol=1e-10 if precision == "float64" else 1e-4)


@pytest.mark.usefixtures("eager")
def test_log_prob_is_the_change_of_variables(finest: str):
    model = tiny(squeeze=4, k_glow=1)
    nudge(model)
    x = noise((1, 16, 1))

    def latents(flat):
        z = model.encode(ops.reshape(flat, (-1, 16, 1)))
        return ops.concatenate([ops.reshape(part, (part.shape[0], -1)) for part in z], axis=-1)

    flat = ops.convert_to_tensor(x.reshape(1, 16))
    z = to_numpy(latents(flat))
    log_det = np.linalg.slogdet(jacobian(latents, flat)[0])[1]
    expected = -0.5 * (z**2).sum() - 8 * math.log(2 * math.pi) + log_det
    assert float(to_numpy(model.log_prob(x))[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("eager")
def test_bits_are_those_of_16_bit_audio():
    """The cost of white noise under its own density is log2(std sqrt(2 pi e)) + 15 bits."""
    model = tiny(k_glow=1, l_glow=1)
    x = noise((8, 4096, 1))
    model.adapt({"x": x})
    model.compile(jit_compile=COMPILED)
    bits = model.evaluate({"x": x}, batch_size=8, verbose=0, return_dict=True)["bits_per_sample"]
    expected = math.log2(float(x.std()) * math.sqrt(2 * math.pi * math.e)) + 15
    assert bits == pytest.approx(expected, abs=0.01)


def test_padding_costs_nothing():
    model = nudged()
    x = noise((2, 64, 1))
    padded = np.concatenate([x, 7.0 + noise((2, 32, 1), 3)], axis=1)
    frame_mask = np.concatenate([np.ones((2, 64)), np.zeros((2, 32))], axis=1).astype("float32")
    expected = to_numpy(model.log_prob(x))
    found = to_numpy(model.log_prob({"x": padded, "frame_mask": frame_mask}))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_samples_are_reproducible_and_quieter_when_cold():
    model = nudged()
    one, again = (sample(model, count=2, length=1001, seed=3) for _ in range(2))
    assert one.shape == (2, 1001, 1)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - sample(model, count=2, length=1001, seed=4)).max() > 0.01
    hot = sample(model, count=2, length=1001, temperature=1.0, seed=3)
    np.testing.assert_allclose(
        to_numpy(model.encode(hot[:, :992])[0])[:, :30].std(), 1.0, atol=0.15
    )
    assert sample(model, count=1, length=160, temperature=0.0).std() < one.std()


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"length": 0}, {"temperature": -1.0}], ids=lambda w: next(iter(w))
)
def test_impossible_samples_are_refused(wrong: dict):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        nudged().sample(**wrong)


def test_a_length_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of 16 for"):
        nudged().log_prob(noise((1, 17, 1)))


def test_original_has_the_published_weights_that_read_audio():
    """Of the 265,436 weights of the published code, 110,592 are only applied to padding."""
    model = SinGlow.from_preset("singlow_original")
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == 265_436 - 110_592
    assert model.multiple == 256


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].model == "singlow"])
def test_presets_build_invert_and_see_50_ms(name: str):
    arguments = dict(preset(name).arguments)
    fewer = {"k_glow": 1, "l_glow": min(2, arguments["l_glow"])}
    model = SinGlow.from_preset(name, **fewer)
    nudge(model, scale=0.01)
    x = noise((1, 4 * model.multiple, 1))
    np.testing.assert_allclose(to_numpy(model.decode(model.encode(x))), x, atol=1e-4)
    assert model.get_config().items() >= json.loads(json.dumps({**arguments, **fewer})).items()
    if name == "singlow_16k":
        before, after = model.receptive_field
        assert before + after >= 0.050 * model.signal.sample_rate


@pytest.mark.usefixtures("eager")
def test_stereo_is_two_channels():
    model = tiny(channels=2, k_glow=1, l_glow=1)
    nudge(model)
    x = noise((2, 64, 2))
    np.testing.assert_allclose(to_numpy(model.decode(model.encode(x))), x, atol=1e-4)
    assert sample(model, count=1, length=100, seed=0).shape == (1, 100, 2)


@pytest.mark.usefixtures("eager")
def test_networks_may_run_in_bfloat16_while_the_inverse_stays_exact():
    model = tiny(precision="bfloat16", k_glow=1, l_glow=1)
    nudge(model)
    x = noise((2, 256, 1))
    np.testing.assert_allclose(to_numpy(model.decode(model.encode(x))), x, atol=1e-4)
    network = model.bijection.levels[0].bijection.layers[0].step.layers[2].network
    assert network.compute_dtype == "bfloat16"


@pytest.mark.usefixtures("eager")
def test_the_networks_may_be_wavenets():
    model = tiny(network="wavenet", layers=2, kernel_sizes=(3,), k_glow=1, l_glow=1)
    nudge(model)
    x = noise((2, 64, 1))
    np.testing.assert_allclose(to_numpy(model.decode(model.encode(x))), x, atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("k_glow", 0), ("network", "mlp"), ("channels", 3), ("precision", "float16")],
)
def test_settings_out_of_range_are_refused(setting: str, value):
    with pytest.raises(ValueError, match=setting):
        tiny(**{setting: value})


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="singlow_16k"):
        preset("nope")
    with pytest.raises(UsageError, match="nope"):
        build_model("singlow", {"nope": 1})
    with pytest.raises(UsageError, match="nope"):
        build_model("nope", {})


@pytest.mark.usefixtures("eager")
def test_a_model_is_made_again_from_its_config():
    model = nudged()
    again = SinGlow.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    assert [w.path for w in again.weights] == [w.path for w in model.weights]
    assert len({w.path for w in model.weights}) == len(model.weights)
    x = noise((1, 64, 1))
    np.testing.assert_allclose(to_numpy(again.log_prob(x)), to_numpy(model.log_prob(x)), rtol=1e-6)


@pytest.mark.usefixtures("eager")
def test_keras_saves_and_loads_it(tmp_path):
    model = nudged()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = noise((1, 64, 1))
    np.testing.assert_allclose(to_numpy(again.log_prob(x)), to_numpy(model.log_prob(x)), rtol=1e-6)


def test_fit_lowers_the_cost_of_a_repeated_batch():
    model = tiny(kernel_sizes=(3, 1), dilations=(2, 1), prior_kernel_sizes=(3,))
    x = np.sin(np.arange(8 * 512) * 0.05).reshape(8, 512, 1).astype("float32")
    x = 0.3 * x + 0.01 * noise((8, 512, 1))
    model.adapt({"x": x})
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=COMPILED)
    history = model.fit({"x": x}, batch_size=8, epochs=12, shuffle=False, verbose=0).history
    assert history["bits_per_sample"][-1] < history["bits_per_sample"][0] - 0.3
    assert {"z_mean", "z_variance", "z_mean_0", "z_variance_1"} <= set(history)


@pytest.mark.usefixtures("eager")
def test_a_flow_is_a_model_over_any_bijection_and_base():
    from singlow.bijections import ActNorm, Chain, Flip

    class Wide(StandardNormal):
        def log_prob(self, z, masks):
            values = sum(math.prod(latent.shape[1:]) for latent in z)
            return super().log_prob([latent / 2 for latent in z], masks) - math.log(2) * values

    x = noise((2, 6, 2))
    flow = Flow(Chain([ActNorm(), Flip()]), Audio(16000, 2), base=Wide())
    expected = -0.5 * ((x / 2) ** 2).sum((1, 2)) - 12 * math.log(2 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(to_numpy(flow.log_prob(x)), expected, rtol=1e-5)
    np.testing.assert_allclose(to_numpy(flow.decode(flow.encode(x))), x, atol=1e-6)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tensorflow_probability runs on TensorFlow")
def test_a_flow_is_a_tensorflow_probability_distribution():
    model = nudged()
    distribution = model.as_distribution(64)
    assert tuple(distribution.event_shape) == (64, 1)
    x = noise((3, 64, 1))
    np.testing.assert_allclose(distribution.log_prob(x), to_numpy(model.log_prob(x)), rtol=1e-5)
    stacked = distribution.log_prob(np.stack([x, x]))
    assert tuple(stacked.shape) == (2, 3)
    one, again = (distribution.sample(2, seed=[1, 2]) for _ in range(2))
    assert tuple(one.shape) == (2, 64, 1)
    np.testing.assert_array_equal(one, again)
    assert np.isfinite(distribution.log_prob(one)).all()
    with pytest.raises(ValueError, match="multiple of 16"):
        model.as_distribution(65)


def test_jax_runs_without_tensorflow():
    import sys

    if BACKEND == "jax":
        assert sys.modules["tensorflow"] is None
    else:
        assert "tensorflow" in sys.modules


@pytest.mark.parametrize(
    "given",
    [{"l_glow": 1}, {"l_glow": 3}, {"level_squeeze": 4}, {"squeeze": 6, "level_squeeze": 3}],
)
def test_the_multiple_is_the_least_length_that_fits(given):
    model = tiny(k_glow=1, **given)
    fitting = [n for n in range(1, model.multiple + 1) if model._fits(n)]
    assert fitting == [model.multiple]


@pytest.mark.parametrize(
    "given",
    [
        {"l_glow": 40},
        {"l_glow": 20},
        {"k_glow": 10**5},
        {"width": 10**7},
        {"squeeze": 10**8},
        {"squeeze": 8192, "l_glow": 1},
        {"level_squeeze": 64, "l_glow": 3},
        {"sample_rate": 10**400},
        {"network": "wavenet", "kernel_sizes": []},
        {"network": "wavenet", "layers": 60},
        {"kernel_sizes": [3, 0, 3]},
        {"activation": "foo"},
    ],
    ids=lambda given: str(given)[:40],
)
def test_unreasonable_settings_are_refused_before_anything_is_built(given):
    with pytest.raises(ValueError, match="Expected") as error:
        tiny(**given)
    assert len(str(error.value)) < 200


def test_a_sample_decodes_scaled_noise():
    model = nudged()
    x = sample(model, count=2, length=64, temperature=0.5, seed=7)
    rng = np.random.default_rng(7)
    z = [0.5 * rng.standard_normal(shape) for shape in model.latent_shapes(2, 64)]
    np.testing.assert_allclose(x, to_numpy(model.decode(z)), atol=1e-6)


def test_padded_clips_decode_with_their_mask():
    """Without the mask, the padding changes valid samples."""
    model = nudged()
    x = noise((2, 96, 1))
    mask = np.ones((2, 96), np.float32)
    mask[0, 48:] = 0
    given = {"x": x * mask[..., None], "frame_mask": mask}
    back = to_numpy(model.decode(model.encode(given), {"frame_mask": mask}))
    assert np.abs((back - x) * mask[..., None]).max() < 1e-4


@pytest.mark.parametrize(
    "mask", [np.eye(2, 32), np.ones((2, 16)), np.arange(32) < np.array([[8], [16]])]
)
def test_masks_that_do_not_fit_are_refused(mask):
    with pytest.raises(ValueError, match="frame_mask"):
        nudged().encode({"x": noise((2, 32, 1)), "frame_mask": np.asarray(mask, np.float32)})


@pytest.mark.usefixtures("eager")
def test_masked_bits_are_the_bits_of_the_cut_clip():
    model = tiny(k_glow=1, l_glow=1)
    nudge(model)
    model.compile(jit_compile=COMPILED)
    x = noise((4, 64, 1))
    padded = np.concatenate([x, 5 * noise((4, 32, 1), 2)], axis=1)
    mask = np.concatenate([np.ones((4, 64)), np.zeros((4, 32))], axis=1).astype("float32")
    cut = model.evaluate({"x": x}, verbose=0, return_dict=True)
    masked = model.evaluate({"x": padded, "frame_mask": mask}, verbose=0, return_dict=True)
    for name, value in cut.items():
        assert masked[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.usefixtures("eager")
def test_fit_and_evaluate_take_arrays_and_names_match_values():
    model = tiny(k_glow=1, l_glow=1)
    x = noise((4, 64, 1))
    model.adapt(x)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=COMPILED)
    history = model.fit(x, validation_data=(x,), epochs=1, verbose=0).history
    assert {"loss", "val_loss", "bits_per_sample", "val_bits_per_sample"} <= set(history)
    assert history["val_loss"][0] == pytest.approx(history["val_bits_per_sample"][0], rel=1e-6)
    values = dict(zip(model.metrics_names, model.evaluate(x, verbose=0), strict=True))
    assert values == pytest.approx(model.evaluate(x, verbose=0, return_dict=True), rel=1e-5)


@pytest.mark.usefixtures("eager")
def test_sample_weights_and_added_losses_count():
    model = tiny(k_glow=1, l_glow=1)
    model.compile(jit_compile=COMPILED)
    x = noise((2, 64, 1)) * np.array([1.0, 9.0]).reshape(2, 1, 1).astype("float32")
    alone = model.evaluate(x[:1], verbose=0, return_dict=True)
    weighted = model.evaluate(
        x, None, sample_weight=np.array([1.0, 0.0]), verbose=0, return_dict=True
    )
    assert weighted["bits_per_sample"] == pytest.approx(alone["bits_per_sample"], rel=1e-5)


def test_adapt_refuses_constant_data():
    with pytest.raises(ValueError, match="data that varies"):
        tiny(k_glow=1, l_glow=1).adapt(np.zeros((2, 64, 1), "float32"))


@pytest.mark.parametrize(
    "x", [np.zeros((1, 32, 2), "float32"), np.zeros((1, 32), "float32"), np.zeros((1, 32, 1), int)]
)
def test_other_shapes_and_types_are_refused_in_one_line(x):
    with pytest.raises(ValueError, match=r"Expected x of shape \(any, any, 1\), floating point"):
        nudged().encode(x)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_global_policy_does_not_change_a_model(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tiny(k_glow=1, l_glow=1)
        x = noise((2, 64, 1))
        model.adapt(x)
        assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
        np.testing.assert_allclose(to_numpy(model.decode(model.encode(x))), x, atol=1e-5)
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("eager")
def test_an_image_flow_counts_its_pixels_and_samples_images():
    from singlow.bijections import AffineCoupling, Chain, InvertibleConv, Repeat, Squeezed
    from singlow.networks import ConvNet
    from singlow.signals import Image

    def bijection():
        step = Chain([InvertibleConv(), AffineCoupling(ConvNet(8, (3, 1)))])
        return Squeezed(Repeat(step, 2), 2)

    flow = Flow(bijection(), Image(4, 6, 1))
    x = np.random.default_rng(0).random((3, 4, 6, 1)).astype("float32")
    flow.compile(jit_compile=COMPILED)
    bits = flow.evaluate(x, verbose=0, return_dict=True)["bits_per_dimension"]
    expected = -to_numpy(flow.log_prob(x)).mean() / 24 / math.log(2) + 8
    assert bits == pytest.approx(expected, rel=1e-5)
    drawn, _ = flow.sample(count=2, seed=0)
    assert drawn.shape == (2, 4, 6, 1)
    with pytest.raises(ValueError, match="no frame_mask for Image"):
        flow.log_prob({"x": x, "frame_mask": np.ones((3, 4), "float32")})
    with pytest.raises(ValueError, match="squeezes"):
        Flow(bijection(), Image(5, 6, 1))


@pytest.mark.usefixtures("eager")
def test_a_flow_of_parts_is_saved_and_keeps_its_inputs_for_inference(tmp_path):
    from singlow.bijections import AffineCoupling
    from singlow.inputs import Input
    from singlow.networks import WaveNet

    inputs = {"mel": Input("frames", size=3), "singer": Input("item", "int32", 2, embedding=4)}
    flow = Flow(AffineCoupling(WaveNet(6, 2)), Audio(16000, 2), inputs)
    nudge(flow)
    given = {"x": noise((2, 8, 2)), "mel": noise((2, 8, 3), 1), "singer": np.array([1, 0])}
    expected = to_numpy(flow.log_prob(given))
    folded = flow.for_inference()
    assert set(folded.inputs) == {"mel", "singer"}
    np.testing.assert_allclose(to_numpy(folded.log_prob(given)), expected, rtol=1e-5)
    flow.save(tmp_path / "flow.keras")
    again = keras.saving.load_model(tmp_path / "flow.keras")
    np.testing.assert_allclose(to_numpy(again.log_prob(given)), expected, rtol=1e-6)


def vocoder() -> Flow:
    """Return a flow with three inputs: frames of six samples, an item and a speaker."""
    from singlow.bijections import AffineCoupling, Squeezed
    from singlow.inputs import Input
    from singlow.networks import WaveNet

    inputs = {
        "mel": Input("frames", size=3, hop=6),
        "accent": Input("item", size=2),
        "speaker": Input("item", "int32", 3, embedding=4),
    }
    flow = Flow(Squeezed(AffineCoupling(WaveNet(6, 2)), 4), inputs=inputs)
    nudge(flow)
    return flow


def test_frames_inputs_are_repeated_for_every_position_and_decide_the_length_of_samples():
    flow = vocoder()
    assert flow.multiple == 12
    inputs = flow.dummy_inputs(2, 36)
    assert inputs["mel"].shape == (2, 6, 3)
    x = inputs.pop("x")
    back = to_numpy(flow.decode(flow.encode({"x": x, **inputs}), inputs))
    np.testing.assert_allclose(back, x, atol=1e-6)
    drawn, lengths = flow.sample({**inputs, "mel": inputs["mel"][:, :5]}, seed=0)
    assert (drawn.shape, lengths.tolist()) == ((2, 30, 1), [30, 30])
    assert flow.sample(inputs, length=13)[0].shape == (2, 13, 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mel", np.zeros((2, 5, 3)), r"mel of shape \(2, 6, 3\)"),
        ("accent", np.zeros((2, 3)), r"accent of shape \(2, 2\)"),
        ("speaker", np.array([1]), r"speaker of shape \(2,\)"),
        ("speaker", 1, r"speaker of shape \(2,\)"),
        ("speaker_embedding", np.zeros((2, 5)), r"speaker_embedding of shape \(2, 4\)"),
    ],
)
def test_inputs_of_another_batch_or_shape_are_refused(name, value, message):
    """A single speaker is not broadcast to the whole batch, whatever the network."""
    flow = vocoder()
    with pytest.raises(ValueError, match=message):
        flow.log_prob({**flow.dummy_inputs(2, 36), name: value})


def test_latents_of_another_batch_length_or_number_are_refused():
    """Surplus latents raise an error and are not ignored."""
    model = nudged()
    z = [to_numpy(latent) for latent in model.encode(noise((2, 32, 1)))]
    mask = np.ones((2, 48), "float32")
    wrong = [z[:1], [*z, z[-1]], [z[0], z[1][:1]], [z[0], z[1][:, :1]], [z[0][..., :1], z[1]]]
    for latents, inputs in [(z, {"frame_mask": mask}), *((latents, {}) for latents in wrong)]:
        with pytest.raises(ValueError, match="Expected latents of shapes"):
            model.decode(latents, inputs)


def test_a_sequence_needs_its_mask():
    from singlow.bijections import ActNorm
    from singlow.inputs import Input

    flow = Flow(ActNorm(), inputs={"text": Input("sequence", "int32", size=9)})
    with pytest.raises(ValueError, match="no text_mask"):
        flow.log_prob({"x": noise((1, 8, 1)), "text": np.ones((1, 4), int)})


def test_empty_audio_is_refused():
    for flow in (nudged(), nudged().for_inference()):
        with pytest.raises(ValueError, match="multiple of 16"):
            flow.encode(noise((1, 0, 1)))


@pytest.mark.usefixtures("eager")
def test_a_sample_does_not_depend_on_the_lengths_of_the_others():
    class Uneven(SinGlow):
        def sample_lengths(self, inputs, count, length):
            return np.array([20, 64])[:count]

    model = Uneven.from_preset("singlow_tiny")
    model.set_weights(nudged().get_weights())
    drawn, lengths = model.sample(count=2, seed=0, temperature=1.0)
    assert lengths.tolist() == [20, 64]
    rng = np.random.default_rng(0)
    z = [rng.standard_normal(shape) for shape in model.latent_shapes(2, 64)]
    short = [latent[:1, : latent.shape[1] // 2] for latent in z]
    np.testing.assert_allclose(
        to_numpy(drawn)[:1, :20], to_numpy(model.decode(short))[:, :20], atol=1e-4
    )


@pytest.mark.usefixtures("eager")
def test_a_batch_of_weight_zero_counts_nothing():
    """Its mean is not 0 / 0, so the loss of an epoch is not NaN."""
    model = tiny(k_glow=1, l_glow=1)
    model.compile(jit_compile=COMPILED)
    x, weight = noise((4, 64, 1)), np.array([0, 0, 1, 1])
    alone = model.evaluate(x[2:], verbose=0, return_dict=True)
    weighted = model.evaluate(x, sample_weight=weight, batch_size=2, verbose=0, return_dict=True)
    assert weighted["bits_per_sample"] == pytest.approx(alone["bits_per_sample"], rel=1e-5)


@pytest.mark.usefixtures("eager")
def test_a_flow_for_inference_shares_no_weight():
    """Layers without anything to fold are copied, so that more training does not change them."""
    from singlow.bijections import AffineCoupling, WithCondition
    from singlow.inputs import Input
    from singlow.networks import ConvNet

    embedded = WithCondition(AffineCoupling(ConvNet(6)), keras.layers.Dense(3))
    flow = Flow(embedded, Audio(16000, 2), {"d": Input("item", size=2)})
    for model in (tiny(prior_period=4, k_glow=1, l_glow=1), flow):
        nudge(model)
        coder = model.for_inference()
        assert not {id(w) for w in model.weights} & {id(w) for w in coder.weights}
        inputs = model.dummy_inputs(2, 32)
        np.testing.assert_allclose(
            to_numpy(coder.log_prob(inputs)), to_numpy(model.log_prob(inputs)), rtol=1e-5
        )


@pytest.mark.usefixtures("eager")
def test_parts_of_unregistered_classes_are_kept_for_inference():
    from singlow.bijections import ActNorm, Chain, Flip

    class Mirror(Flip):
        pass

    class Base(StandardNormal):
        pass

    flow = Flow(Chain([ActNorm(), Mirror()]), Audio(16000, 2), base=Base(), dtype="float32")
    assert isinstance(flow.for_inference().base, Base)


def test_losses_and_monitor_must_agree():
    from singlow.bijections import ActNorm

    with pytest.raises(ValueError, match="monitor to be one of the losses bits_per_sample"):
        Flow(ActNorm(), monitor="duration")
    flow = Flow(ActNorm(), loss_weights={"bits_per_sample": 1.0, "duration": 1.0})
    flow.compile(jit_compile=COMPILED)
    with pytest.raises(ValueError, match="loss_terms to return bits_per_sample, duration"):
        flow.evaluate(noise((2, 8, 1)), verbose=0)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    from singlow.bijections import ActNorm

    class Weighted(Flow):
        def loss_terms(self, inputs, outputs):
            terms = super().loss_terms(inputs, outputs)
            _, count = terms["bits_per_sample"]
            return {**terms, "duration": (3.0 * count, count)}

    flow = Weighted(ActNorm(), loss_weights={"bits_per_sample": 1.0, "duration": 0.5})
    flow.compile(jit_compile=COMPILED)
    batch = {"x": noise((2, 8, 1))}
    loss = float(flow.compute_loss(batch, None, flow(batch)))
    results = {name: float(value) for name, value in flow.get_metrics_result().items()}
    np.testing.assert_allclose(results["duration"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(loss, results["bits_per_sample"] + 1.5, rtol=1e-6)
    np.testing.assert_allclose(results["loss"], loss, rtol=1e-6)


@pytest.mark.usefixtures("eager")
def test_an_image_flow_takes_labels_and_aligned_inputs():
    from singlow.bijections import AffineCoupling, Chain, InvertibleConv, Repeat, Squeezed
    from singlow.inputs import Input
    from singlow.networks import ConvNet
    from singlow.signals import Image

    step = Chain([InvertibleConv(), AffineCoupling(ConvNet(8, (3, 1)))])
    inputs = {
        "label": Input("item", "int32", 10, embedding=4),
        "edges": Input("frames", size=2, hop=2),
    }
    flow = Flow(Squeezed(Repeat(step, 2, "inverted"), 2), Image(4, 6, 1), inputs)
    nudge(flow)
    given = flow.dummy_inputs(3, 5)
    assert given["edges"].shape == (3, 2, 3, 2)
    x = given.pop("x")
    back = to_numpy(flow.decode(flow.encode({"x": x, **given}), given))
    np.testing.assert_allclose(back, x, atol=1e-5)
    drawn, lengths = flow.sample(given, length=2)
    assert (drawn.shape, lengths.tolist()) == ((3, 4, 6, 1), [4, 4, 4])


def test_unnamed_layers_of_a_model_have_the_same_paths_every_time():
    """The paths identify weights in checkpoints, so a run can be opened after its training."""
    from singlow.bijections import ActNorm, Chain
    from singlow.models import Paper, Preset, register_model, registry, settings_of

    class Unnamed(Paper):
        presets = {"unnamed": Preset("Layers without names.", {}, {})}  # noqa: RUF012

        def __init__(self, rates: tuple[float, ...] = (0.5,), width: int | None = None):
            self._settings = settings_of(Unnamed, locals())
            super().__init__(Chain([ActNorm(), ActNorm()]))

    register_model("unnamed", Unnamed)
    try:
        one, other = (build_model("unnamed", {"rates": [0.5, 2.0]}) for _ in range(2))
        with pytest.raises(UsageError, match="rates to be a list"):
            build_model("unnamed", {"rates": ["fast"]})
        with pytest.raises(ValueError, match="no other model uses"):
            register_model("other", Unnamed)
    finally:
        registry._REGISTERED.clear()
    assert [w.path for w in one.weights] == [w.path for w in other.weights]
    assert type(one.for_inference()) is Unnamed


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_nan_in_the_data_reaches_the_likelihood(sign: float):
    """The rectifier of bfloat16 turns a NaN with its sign bit set into 0."""
    model = tiny(precision="bfloat16", k_glow=1, l_glow=1)
    nudge(model)
    x = noise((2, 64, 1))
    x[0, 30] = np.copysign(np.nan, sign)
    found = to_numpy(model.log_prob(x))
    assert np.isnan(found[0])
    assert np.isfinite(found[1])
