"""Test Flowtron: the published arithmetic, sizes, synthesis, losses and prior."""

import functools
import json
import math

import keras
import numpy as np
import pytest

from singlow.alignment import monotonic_cost
from singlow.models import Flowtron
from singlow.models.priors import GaussianMixture
from singlow.networks.attention import beta_binomial_log_prior
from singlow.originals.flowtron import arguments_of, load
from singlow.testing import nudge
from tests.conftest import BACKEND, in_precision
from tests.test_flow import to_numpy
from tests.test_parity import EXACT, state_of, stored, swapped

float64 = pytest.mark.skipif(BACKEND != "tensorflow", reason="float64 runs on TensorFlow")
NAMES = ("flowtron", "flowtron_cumulative", "flowtron_mixture")


def mask_of(lengths, size: int) -> np.ndarray:
    return (np.arange(size) < np.asarray(lengths)[:, None]).astype("float64")


@functools.cache
def original(name: str) -> Flowtron:
    with in_precision("float64"):
        state, config = state_of(name), json.loads(str(stored(name)["config"]))
        arguments = arguments_of(state)
        assert arguments["n_hidden"] == config["n_hidden"]
        flow = Flowtron.from_preset(
            "flowtron_original",
            front_end="ids",
            characters=None,
            **{**arguments, "ctc_start": 0, "ctc_blank": BLANK},
        )
        load(flow, state)
    return flow


BLANK = -8.0


def given(name: str) -> dict[str, np.ndarray]:
    numbers = stored(name)
    return {
        "x": swapped(numbers["in/mel"]),
        "frame_mask": mask_of(numbers["in/mel_lengths"], numbers["in/mel"].shape[2]),
        "text": numbers["in/text"].astype("int32"),
        "text_mask": mask_of(numbers["in/text_lengths"], numbers["in/text"].shape[1]),
        "speaker": numbers["in/speaker"].astype("int32"),
    }


def close(found, expected, mask=None, atol=EXACT):
    found, expected = to_numpy(found), np.asarray(expected)
    if mask is not None:
        found, expected = found * mask[..., None], expected * mask[..., None]
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@float64
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_latents_and_the_attention_of_the_original(name):
    numbers, flow, inputs = stored(name), original(name), given(name)
    mask = inputs["frame_mask"]
    z, _, seen = flow(inputs)
    close(z[0], numbers["out/z"].swapaxes(0, 1), mask)
    condition, x = flow.condition(inputs), inputs["x"]
    for index, step in enumerate(flow.steps):
        x, log_det, found = step.observed(x, condition, mask)
        log_scales = numbers[f"out/log_s{index}"].swapaxes(0, 1) * mask[..., None]
        close(log_det, log_scales.sum(axis=(1, 2)))
        close(found["weights"], numbers[f"out/attention{index}"], mask)
    close(seen["gate"][..., None], numbers["out/gate"].swapaxes(0, 1), mask)
    if "out/mean" in numbers:
        prior = flow.prior(inputs, z)
        close(prior.weights, numbers["out/prob"])
        close(prior.means, numbers["out/mean"])
        close(2 * prior.log_scales, numbers["out/log_var"])


@float64
@pytest.mark.parametrize("name", NAMES)
def test_its_losses_are_those_of_the_original(name):
    """The original leaves out the constant of the density, and computes the CTC loss in float32."""
    numbers, flow, inputs = stored(name), original(name), given(name)
    terms = flow.loss_terms(inputs, flow(inputs))
    found = {term: total(terms[term]) for term in terms}
    likelihood = found["nats_per_value"] - 0.5 * math.log(2 * math.pi)
    assert abs(likelihood - float(numbers["out/nll"])) < EXACT
    assert abs(found["gate"] - float(numbers["out/gate_loss"])) < EXACT
    assert abs(found["ctc"] - float(numbers["out/ctc_loss"])) < 1e-6


def total(term) -> float:
    totals, counts = (to_numpy(each).sum() for each in term)
    return totals / counts


@float64
@pytest.mark.parametrize("name", NAMES)
def test_it_speaks_as_the_original(name):
    numbers, flow, inputs = stored(name), original(name), given(name)
    spoken = {key: inputs[key][:1] for key in ("text", "text_mask", "speaker")}
    speech = flow.decode_until_gate(swapped(numbers["in/residual"]), spoken)
    close(speech.x, swapped(numbers["out/generated"]))
    assert speech.lengths.tolist() == [numbers["in/residual"].shape[2]]
