"""Test the verb `check`: its measurements, and that it fails for each possible defect."""

from types import MappingProxyType
from unittest import mock

import numpy as np
import pytest
from keras import ops

from singlow.bijections import ActNorm, AffineCoupling, Chain, InvertibleConv, Squeezed
from singlow.commands import check as command
from singlow.commands.places import only_run
from singlow.errors import UsageError
from singlow.inputs import MASK, Input
from singlow.models import Flow, Gaussian, Paper, Preset, registry, settings_of
from singlow.networks import ConvNet
from singlow.runs import opening
from singlow.signals import Audio, Image
from singlow.testing import nudge
from tests.conftest import in_precision
from tests.datasets import write_noise
from tests.runs import CONFIG, blow_in, locate
from tests.songs import singlow


class Reader(Paper):
    """A stereo flow without a squeeze; the mean symbol of its text is the mean of its latents."""

    presets = MappingProxyType({"reader_tiny": Preset("For tests.", {}, {})})

    def __init__(self, width=4, sample_rate=16000, name="reader"):
        self._settings = settings_of(Reader, locals())
        coupling = AffineCoupling(ConvNet(width, name="network"), name="coupling")
        parts = [ActNorm(name="act_norm"), InvertibleConv(name="mixing"), coupling]
        inputs = {"text": Input("sequence", "int32", 256)}
        super().__init__(Chain(parts, name="chain"), Audio(sample_rate, 2), inputs, name=name)

    def prior(self, inputs, z=None, training=None):
        text, mask = ops.cast(inputs["text"], self.compute_dtype), inputs["text" + MASK]
        mean = ops.sum(text * ops.cast(mask, text.dtype), axis=1) / 256.0
        return Gaussian([ops.tile(mean[:, None, None], (1, 1, 2))])


def saved(config, folder, name="r"):
    """Save and return a run that has these settings and random weights."""
    from singlow.runs.opening import build_flow
    from singlow.training.optimizer import capture, compile_flow

    run = locate(name, folder / "checkpoints", folder / "logs")
    run.directory.mkdir(parents=True)
    run.write_config(config)
    flow = build_flow(config)
    flow.adapt(flow.dummy_inputs(4, 64 * flow.multiple))
    nudge(flow)
    compile_flow(flow, config["training"])
    run.save(1, *capture(flow), {"held_out": 1.0, "history": [1.0]})
    return run


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The run `r` of a model that a user registered. Its data no longer exist."""
    monkeypatch.setitem(registry._REGISTERED, "reader", Reader)
    config = {**CONFIG, "model": "reader", "preset": "reader_tiny"}
    return saved({**config, "arguments": {"width": 4, "sample_rate": 16000}}, tmp_path)


def with_data(run, directory):
    config = run.config
    config["data"] |= {"directory": str(directory), "dataset": "noise"}
    run.write_config(config)


def test_a_registered_model_with_a_sequence_and_a_prior_with_means_passes(reader, tmp_path):
    outcome = singlow(["check", "r"], tmp_path)
    assert outcome.code == 0, outcome.err + outcome.out
    assert "a synthetic clip" in outcome.out
    assert "All within their limits." in outcome.out
    assert np.isfinite(reader.config["training"]["window_size"])


def test_the_run_may_be_left_out_where_it_is_the_only_one(reader, tmp_path):
    assert only_run(None, tmp_path / "checkpoints") == "r"
    assert only_run("x", tmp_path / "checkpoints") == "x"
    with pytest.raises(UsageError, match="Known runs: none"):
        only_run(None, tmp_path)
    (tmp_path / "checkpoints" / "s").mkdir()
    (tmp_path / "checkpoints" / "s" / "config.json").touch()
    with pytest.raises(UsageError, match=r"Expected RUN, .* Known runs: r, s"):
        only_run(None, tmp_path / "checkpoints")


def test_its_latents_are_drawn_around_the_means_of_the_prior(tmp_path):
    flow = Reader()
    inputs = {"text": np.full((2, 8), 128, np.int32), "text_mask": np.ones((2, 8), np.float32)}
    (z,) = command._drawn_latents(flow, inputs, 2, 4096)
    np.testing.assert_allclose(z.mean(), 4.0, atol=0.05)
    np.testing.assert_allclose(z.std(), 1.0, atol=0.05)


def test_it_reads_held_out_windows_with_every_declared_input(reader, tmp_path):
    frames = {"train": [8000], "validation": [8000, 1500]}
    with_data(reader, write_noise(tmp_path / "noise", frames, channels=2))
    outcome = singlow(["check", "r"], tmp_path)
    assert outcome.code == 0, outcome.err + outcome.out
    assert "held-out clips of noise" in outcome.out


def test_speakers_pass(tmp_path):
    blow_in(tmp_path)
    outcome = singlow(["check", "b"], tmp_path)
    assert outcome.code == 0, outcome.err + outcome.out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_runs_do_not_follow_the_dtype_of_a_user(reader, dtype):
    with in_precision("float64"):
        flow = opening.load_flow(reader.config, reader.newest(), dtype)
    assert {weight.dtype for weight in flow.trainable_variables} == {dtype}


def test_records_of_another_form_are_refused(reader, tmp_path):
    frames = {"train": [4000], "validation": [4000]}
    with_data(reader, write_noise(tmp_path / "mono", frames, channels=1))
    outcome = singlow(["check", "r"], tmp_path)
    assert outcome.code == 3
    assert "mono: Expected records with channels 2" in outcome.err


def in_float64(build):
    with in_precision("float64"):
        flow = build()
    nudge(flow)
    return flow


def wave(frames=512):
    return {"x": 0.1 * np.random.default_rng(0).standard_normal((2, frames, 1))}


def step():
    return Chain([ActNorm(), InvertibleConv(), AffineCoupling(ConvNet(4))])


BIJECTIONS = {"act_norm": ActNorm, "mixing": InvertibleConv, "step": step}


@pytest.mark.parametrize(
    ("case", "factor"),
    [
        ("act_norm", "actnorm.count_frames"),
        ("mixing", "linear.count_frames"),
        ("step", "linear.count_frames"),
        ("step", "affine.sum_frames"),
    ],
)
def test_it_fails_without_the_number_of_frames_in_a_log_determinant(case, factor):
    flow = in_float64(lambda: Flow(Squeezed(BIJECTIONS[case](), 4)))
    assert not command._check_log_det(flow, wave())

    def for_one_frame(x, frame_mask=None):
        return ops.ones_like(x[:, 0, 0]) if "count" in factor else ops.sum(x[:, 0], axis=-1)

    with mock.patch(f"singlow.bijections.{factor}", for_one_frame):
        (failure,) = command._check_log_det(flow, wave())
    assert "log_det is off by" in failure


def test_a_window_of_one_frame_is_repeated_to_see_several():
    flow = in_float64(lambda: Flow(Squeezed(ActNorm(), 64)))
    with mock.patch(
        "singlow.bijections.actnorm.count_frames", lambda x, _: ops.ones_like(x[:, 0, 0])
    ):
        assert command._check_log_det(flow, wave(64))


def test_images_are_measured_on_a_few_positions(capsys):
    flow = in_float64(lambda: Flow(Squeezed(step(), 2), Image(32, 32, 1)))
    x = {"x": np.random.default_rng(0).random((2, 32, 32, 1))}
    assert not command._check_log_det(flow, x)
    assert "4 x 4 positions" in capsys.readouterr().out
    for check in (command._check_data, lambda *args: command._check_latents(flow, *args)):
        assert not check(flow, x)


def test_frames_of_an_input_are_cut_with_x():
    flow = mock.Mock(multiple=4, signal=Audio(), inputs={"mel": Input("frames", size=3, hop=6)})
    batch = {"x": np.arange(1200.0).reshape(1, 1200, 1), "mel": np.zeros((1, 200, 3))}
    batch["mel"][..., 0] = np.arange(200)
    piece = command._piece(flow, batch)
    assert piece["x"].shape[1] == 252
    np.testing.assert_array_equal(piece["x"][0, ::6, 0], 6 * piece["mel"][0, :, 0])


class TestAnInverseThatIsWrong:
    def flow(self, error):
        """Return an identity flow whose inverse adds `error` to its result."""
        flow = Flow(ActNorm())
        inverse = ActNorm._inverse

        def wrong(layer, z, *arguments):
            x, log_det = inverse(layer, z, *arguments)
            return x + error, log_det

        flow.bijection._inverse = wrong.__get__(flow.bijection)
        return flow

    def test_fails_from_data(self):
        batch = {"x": wave()["x"].astype(np.float32)}
        assert not command._check_data(self.flow(0.0), batch)
        (failure,) = command._check_data(self.flow(1e-3), batch)
        assert "x -> z -> x is off by 1.00e-03" in failure

    def test_fails_from_latents_also_where_rounding_explains_the_error(self):
        """Both flows have the same error, so that the ratio of their errors is 1."""
        batch = {"x": wave()["x"].astype(np.float32)}
        assert not command._check_latents(self.flow(0.0), self.flow(0.0), batch)
        (failure,) = command._check_latents(self.flow(6.4), self.flow(6.4), batch)
        assert "z -> x -> z is off by 6.40e+00" in failure

    def test_fails_from_latents_above_the_error_of_rounding(self):
        batch = {"x": wave()["x"].astype(np.float32)}
        assert command._check_latents(self.flow(1e-3), in_float64(lambda: Flow(ActNorm())), batch)

    def test_ignores_padded_positions(self):
        flow, batch = self.flow(0.0), {"x": wave()["x"].astype(np.float32)}
        batch["frame_mask"] = np.tile((np.arange(512) < 256).astype(np.float32), (2, 1))
        batch["x"][:, 256:] = 0
        assert not command._check_data(flow, batch)
