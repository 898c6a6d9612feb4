"""Compare models that hold the weights of the published code with the outputs of that code.

The folder `parity` holds small instances of the originals in float64: their weights, what they were
given and what they returned.
"""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from singlow.errors import DataError
from singlow.spectral import RECIPES, mel_spectrogram
from tests.conftest import BACKEND, in_precision
from tests.test_flow import to_numpy

PARITY = Path(__file__).parent / "parity"
EXACT = 1e-10
pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="float64 runs on TensorFlow")


@functools.cache
def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(PARITY / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def state_of(name: str) -> dict[str, np.ndarray]:
    return {
        key.removeprefix("weight/"): value
        for key, value in stored(name).items()
        if key.startswith("weight/")
    }


@functools.cache
def flowavenet():
    from singlow.models import FloWaveNet
    from singlow.originals.flowavenet import arguments_of, load

    with in_precision("float64"):
        state = state_of("flowavenet")
        flow = FloWaveNet.from_preset("flowavenet_original", **arguments_of(state))
        load(flow, state)
    return flow


def swapped(array: np.ndarray) -> np.ndarray:
    """Exchange channels and time."""
    return array.swapaxes(1, 2)


def squeezed(noise: np.ndarray) -> np.ndarray:
    """Squeeze `(batch, channels, time)` by two in the order of the original."""
    batch, channels, time = noise.shape
    pairs = noise.reshape(batch, channels, time // 2, 2).swapaxes(2, 3)
    return pairs.reshape(batch, 2 * channels, time // 2)


def test_arguments_follow_from_the_weights_of_flowavenet():
    from singlow.originals.flowavenet import arguments_of

    config = json.loads(str(stored("flowavenet")["config"]))
    arguments = arguments_of(state_of("flowavenet"))
    assert arguments["l_glow"] == config["n_block"]
    assert arguments["k_glow"] == config["n_flow"]
    assert arguments["layers"] == config["n_layer"]
    assert arguments["split_every"] == config["block_per_split"]
    assert arguments["width"] == config["filter_size"]
    assert arguments["n_mels"] == config["cin_channel"]
    assert arguments["upsample_scales"] == [16, 16]
    assert arguments["hop_length"] == 256


def test_flowavenet_has_the_likelihood_of_the_original():
    numbers, flow = stored("flowavenet"), flowavenet()
    inputs = {"x": swapped(numbers["in/x"]), "mel": swapped(numbers["in/mel"])}
    values = numbers["in/x"][0].size
    expected = float(numbers["out/log_p"] + numbers["out/log_det"])
    assert abs(to_numpy(flow.log_prob(inputs)).mean() / values - expected) < EXACT
    condition = flow.condition(inputs)
    log_det = to_numpy(flow.bijection(inputs["x"], condition)[1])
    # The original counts the log-scales of its prior as part of the density.
    prior = flow.bijection.levels[0].layers[-1]
    h, given = inputs["x"], (condition, None)
    for block in flow.bijection.levels[0].layers[:-1]:
        h, given = block(h, *given)[0], block.at_latents(*given)
    log_det = log_det - to_numpy(prior(h, *given)[1])
    assert abs(log_det.mean() / values - float(numbers["out/log_det"])) < EXACT


def test_flowavenet_upsamples_as_the_original():
    numbers, flow = stored("flowavenet"), flowavenet()
    found = to_numpy(flow.condition({"mel": swapped(numbers["in/mel"])}))
    np.testing.assert_allclose(found, swapped(numbers["out/upsampled"]), rtol=0, atol=EXACT)


def test_flowavenet_synthesises_as_the_original():
    numbers, flow = stored("flowavenet"), flowavenet()
    noise = float(numbers["in/temperature"]) * numbers["in/noise"]
    half = squeezed(squeezed(noise))
    kept, first = half[:, : half.shape[1] // 2], half[:, half.shape[1] // 2 :]
    latents = [swapped(first), swapped(squeezed(kept))]
    mel = {"mel": swapped(numbers["in/mel"])}
    for decoder in (flow, folded()):
        x = to_numpy(decoder.decode(latents, mel))
        np.testing.assert_allclose(x, swapped(numbers["out/synthesis"]), rtol=0, atol=EXACT)


def folded():
    with in_precision("float64"):
        return flowavenet().for_inference(tile=16)


def test_a_scale_that_is_not_positive_is_refused():
    from singlow.originals.flowavenet import load

    state = state_of("flowavenet")
    name = "blocks.1.flows.0.actnorm.scale"
    with pytest.raises(DataError, match=r"Expected blocks\.1\.flows\.0\.actnorm\.scale above 0"):
        load(flowavenet(), {**state, name: -state[name]})
    with pytest.raises(DataError, match=r"Expected the weight blocks\.1"):
        load(flowavenet(), {key: value for key, value in state.items() if key != name})


@functools.cache
def waveglow():
    from singlow.models import WaveGlow
    from singlow.originals.waveglow import arguments_of, load

    with in_precision("float64"):
        state = state_of("waveglow")
        flow = WaveGlow.from_preset("waveglow_original", **arguments_of(state))
        load(flow, state)
    return flow


def test_arguments_follow_from_the_weights_of_waveglow():
    from singlow.originals.waveglow import arguments_of

    config = json.loads(str(stored("waveglow")["config"]))
    arguments = arguments_of(state_of("waveglow"))
    assert arguments["k_glow"] == config["n_early_every"]
    assert arguments["k_glow"] * arguments["l_glow"] == config["n_flows"]
    assert arguments["squeeze"] == config["n_group"]
    assert arguments["early_size"] == config["n_early_size"]
    assert arguments["n_mels"] == config["n_mel_channels"]
    assert arguments["width"] == config["WN_config"]["n_channels"]
    assert arguments["layers"] == config["WN_config"]["n_layers"]
    assert arguments["kernel_size"] == config["WN_config"]["kernel_size"]


def test_a_waveglow_with_fewer_steps_in_its_last_level_is_refused():
    from singlow.originals.waveglow import arguments_of

    state = {k: v for k, v in state_of("waveglow").items() if not k.startswith("convinv.3")}
    with pytest.raises(DataError, match="same number of steps between all early outputs"):
        arguments_of(state)


def test_waveglow_has_the_latents_and_log_determinants_of_the_original():
    numbers, flow = stored("waveglow"), waveglow()
    inputs = {"x": numbers["in/x"][..., None], "mel": swapped(numbers["in/mel"])}
    z = np.concatenate([to_numpy(latent) for latent in flow.encode(inputs)], axis=-1)
    np.testing.assert_allclose(swapped(z), numbers["out/z"], rtol=0, atol=EXACT)
    frames = z.shape[0] * z.shape[1]
    mixing = frames * sum(
        np.linalg.slogdet(weight[..., 0])[1]
        for name, weight in state_of("waveglow").items()
        if name.startswith("convinv")
    )
    assert abs(mixing - numbers["out/log_det_w_sum"]) < EXACT
    log_det = to_numpy(flow.bijection(inputs["x"], flow.condition(inputs))[1]).sum()
    assert abs(log_det - mixing - numbers["out/log_s_sum"]) < EXACT


def test_waveglow_synthesises_as_the_original():
    numbers, flow = stored("waveglow"), waveglow()
    mel = {"mel": swapped(numbers["in/mel"])}
    with in_precision("float64"):
        folded_in_tiles = flow.for_inference(tile=16)
    for decoder in (flow, folded_in_tiles):
        x, _ = decoder.sample(mel, temperature=0.0)
        expected = numbers["out/inferred_at_sigma_0"][..., None]
        np.testing.assert_allclose(to_numpy(x), expected, rtol=0, atol=EXACT)


@functools.cache
def blow():
    from singlow.models import Blow
    from singlow.originals.blow import arguments_of, load

    with in_precision("float64"):
        state = state_of("blow")
        flow = Blow.from_preset("blow_original", **arguments_of(state))
        load(flow, state)
    return flow


def test_blow_has_the_latents_of_the_original():
    numbers, flow = stored("blow"), blow()
    inputs = {"x": numbers["in/x"][..., None], "speaker": numbers["in/speaker"]}
    (z,) = flow.encode(inputs)
    found = swapped(to_numpy(z)).reshape(len(z), -1)
    np.testing.assert_allclose(found, numbers["out/z"], rtol=0, atol=EXACT)
    log_det = to_numpy(flow.bijection(inputs["x"], flow.condition(flow.checked(inputs)))[1])
    np.testing.assert_allclose(log_det, numbers["out/log_det"], rtol=0, atol=EXACT)


def test_blow_converts_as_the_original():
    numbers, flow = stored("blow"), blow()
    inputs = {"x": numbers["in/x"][..., None], "speaker": numbers["in/speaker"]}
    x = to_numpy(flow.decode(flow.encode(inputs), {"speaker": numbers["in/target"]}))[..., 0]
    # The original limits its audio softly, which is no part of the model.
    beyond = np.maximum(np.abs(x) - 0.97, 0.0)
    limited = np.sign(x) * (0.97 + 0.03 * (1 - np.exp(-0.7 * beyond / 0.03)))
    x = np.where(beyond > 0, limited, x)
    np.testing.assert_allclose(x, numbers["out/converted"], rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["tacotron", "flowavenet"])
def test_mels_are_those_of_the_originals(name: str):
    numbers = stored("mels")
    audio = numbers["wav"]
    if name == "flowavenet":  # its code scales each recording to this peak
        audio = audio * (0.999 / np.abs(audio).max())
    found = mel_spectrogram(audio, RECIPES[name])
    np.testing.assert_allclose(found.T, numbers[name], rtol=0, atol=1e-4)
