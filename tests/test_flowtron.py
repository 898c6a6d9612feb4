"""Test Flowtron: the published arithmetic, sizes, synthesis, losses and prior."""

import functools
import itertools
import json
import math

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from singlow.alignment import monotonic_cost
from singlow.models import Flowtron
from singlow.models.priors import GaussianMixture
from singlow.networks import attention
from singlow.networks.recurrent import LSTM
from singlow.ops.control import vjp
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
        flow = Flowtron.from_preset("flowtron_original", **{**arguments, "ctc_start": 0})
        load(flow, state)
    return flow


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


def test_the_original_has_the_published_weights():
    """The original counts 60,977,473 weights of one speaker and 185 symbols.

    PyTorch has two biases for each of the three LSTMs of a step and for the two of the encoder,
    which are added before they are used; here they are one.
    """
    flow = Flowtron.from_preset("flowtron_original", n_flows=1, use_gate_layer=False)
    step = sum(math.prod(w.shape) for w in flow.bijection.trainable_weights)
    second_biases = 3 * 4 * 1024
    assert step + second_biases == 27_683_616
    gate = 1024 + 640 + 1
    count = sum(math.prod(w.shape) for w in flow.trainable_weights) + step + gate
    assert count == 60_950_849
    assert count + 2 * second_biases + 2 * 4 * 256 == 60_977_473


def tiny(**overrides) -> Flowtron:
    given = {"n_mel_channels": 6, "n_text_dim": 8, "n_hidden": 8, "n_attn_channels": 8}
    return Flowtron.from_preset("flowtron_tiny", **{**given, "dropout": 0.0, **overrides})


def nudged(**overrides) -> Flowtron:
    keras.utils.set_random_seed(0)
    flow = tiny(**overrides)
    nudge(flow)
    return flow


def recording(flow: Flowtron, texts: list[str], lengths: list[int], **others) -> dict:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((len(texts), max(lengths), flow.signal.recipe.n_mels))
    mask = mask_of(lengths, max(lengths)).astype("float32")
    return {"x": x.astype("float32"), "frame_mask": mask, **flow.text_inputs(texts, **others)}


@float64
def test_it_inverts_to_rounding():
    with in_precision("float64"):
        flow = nudged(n_flows=3)
        inputs = recording(flow, ["hello", "hi"], [12, 7])
        z = flow.encode(inputs)
        back = to_numpy(flow.decode(z, {k: v for k, v in inputs.items() if k != "x"}))
    error = (back - inputs["x"]) * inputs["frame_mask"][..., None]
    assert np.abs(error).max() < 1e-10


@pytest.mark.parametrize("cumulative", [False, True])
def test_padding_changes_nothing(cumulative):
    flow = nudged(use_cumm_attention=cumulative, n_components=2)
    both = recording(flow, ["hello", "hi"], [9, 5])
    alone = {"x": both["x"][1:, :5], **flow.text_inputs(["hi"])}
    np.testing.assert_allclose(
        to_numpy(flow(both)[1])[1], to_numpy(flow(alone)[1])[0], rtol=1e-4, atol=1e-3
    )
    terms = {name: to_numpy(term[0])[1] for name, term in flow.loss_terms(both, flow(both)).items()}
    again = flow.loss_terms(alone, flow(alone))
    for name, value in terms.items():
        np.testing.assert_allclose(value, to_numpy(again[name][0])[0], rtol=1e-3, atol=1e-3)


def test_each_clip_ends_with_its_gate():
    flow = nudged(use_speaker_embedding=True, num_speakers=3)
    gate = flow.steps[-1].network.gate_layer
    speakers = np.array([0, 1, 2], "int32")
    texts = flow.text_inputs(["hello there", "hi", "no one"], speaker=speakers)
    whole = flow.synthesize(texts, temperature=2.0, seed=4, gate_threshold=1.0)
    odds = to_numpy(flow({"x": whole.x, **texts})[2]["gate"])
    gate.bias.assign(gate.bias - np.quantile(odds[:, :30], 0.95))
    speech = flow.synthesize(texts, temperature=2.0, seed=4)
    assert len(set(speech.lengths.tolist())) > 1
    mask = mask_of(speech.lengths, speech.x.shape[1]).astype("float32")
    assert not speech.x[mask == 0].any()
    seen = flow({"x": speech.x, "frame_mask": mask, **texts})[2]
    odds = to_numpy(seen["gate"])
    longest = round(2.0 * 16000 / 256)
    for row, length in zip(odds, speech.lengths, strict=True):
        assert (row[: length - 1] <= 1e-3).all()
        assert length == longest or row[length - 1] > -1e-3
    item = flow.text_inputs(["hello there"], speaker=speakers[:1])
    alone = flow.synthesize(item, temperature=2.0, seed=4)
    assert alone.lengths[0] == speech.lengths[0]
    np.testing.assert_allclose(alone.x[0], speech.x[0, : alone.lengths[0]], atol=1e-3)
    whole = flow.synthesize(item, gate_threshold=1.0, max_seconds=0.5)
    assert whole.lengths.tolist() == [round(0.5 * 16000 / 256)]
    other = flow.text_inputs(["hello there"], speaker=speakers[2:])
    different = flow.synthesize(other, gate_threshold=1.0, max_seconds=0.5, seed=1)
    same = flow.synthesize(item, gate_threshold=1.0, max_seconds=0.5, seed=1)
    assert np.abs(different.x - same.x).max() > 1e-3


def test_settings_of_speech_that_do_not_fit_are_refused():
    flow = tiny()
    text = flow.text_inputs(["hello"])
    for wrong in ({"gate_threshold": 0.0}, {"temperature": -1.0}, {"max_seconds": 1e6}):
        with pytest.raises(ValueError, match="Expected temperature of at least 0"):
            flow.synthesize(text, **wrong)
    with pytest.raises(ValueError, match="Expected no length_scale"):
        flow.synthesize(text, length_scale=2.0)
    with pytest.raises(ValueError, match="even n_text_dim"):
        tiny(n_text_dim=7)
    empty = {"text": np.zeros((1, 3), "int32"), "text_mask": np.zeros((1, 3), "float32")}
    with pytest.raises(ValueError, match="at least one token"):
        flow.synthesize(empty)


def test_every_token_of_an_alignment_has_frames():
    flow = nudged()
    inputs = recording(flow, ["hello", "hi"], [12, 7])
    durations = flow.align(inputs)
    assert durations.sum(axis=1).tolist() == [12, 7]
    assert ((durations > 0) == (inputs["text_mask"] > 0)).all()


def brute_cost(logs: np.ndarray, blank: float) -> float:
    """Sum the probabilities of all alignments of frames `(frames, tokens)`."""
    frames, tokens = logs.shape
    table = np.concatenate([np.full((frames, 1), blank), logs], axis=1)
    table = table - scipy.special.logsumexp(table, axis=1, keepdims=True)
    total = []
    for path in itertools.product(range(tokens + 1), repeat=frames):
        read = [token for token, _ in itertools.groupby(path) if token]
        if read == list(range(1, tokens + 1)):
            total.append(sum(table[t, token] for t, token in enumerate(path)))
    return -scipy.special.logsumexp(total)


def test_the_cost_of_attention_sums_all_alignments():
    logs = np.random.default_rng(0).standard_normal((3, 5, 3)).astype("float32")
    tokens, frames = mask_of([3, 2, 3], 3), mask_of([5, 4, 2], 5)
    cost = to_numpy(monotonic_cost(logs, tokens, frames, -1.0))
    expected = [brute_cost(logs[0], -1.0), brute_cost(logs[1, :4, :2], -1.0), 0.0]
    np.testing.assert_allclose(cost, expected, rtol=1e-5, atol=1e-6)


def gradient(function, *arguments) -> list[np.ndarray]:
    """Return the gradients of the sum of squares of a function."""
    tensors = [ops.convert_to_tensor(each) for each in arguments]
    y, pull = vjp(function, *tensors)
    return [to_numpy(each) for each in pull(2.0 * y)]


@float64
def test_the_gradient_of_the_cost_is_that_of_differences():
    rng = np.random.default_rng(1)
    logs, move = rng.standard_normal((2, 2, 6, 3))
    tokens, frames = mask_of([3, 2], 3), mask_of([6, 4], 6)

    def cost(logs):
        return monotonic_cost(logs, tokens, frames)

    (found,) = gradient(cost, logs)
    ahead, behind = (to_numpy(ops.sum(cost(logs + h * move) ** 2)) for h in (1e-6, -1e-6))
    np.testing.assert_allclose((found * move).sum(), (ahead - behind) / 2e-6, rtol=1e-6)


def test_the_prior_of_attention_is_beta_binomial():
    tokens, frames = mask_of([4, 2], 4), mask_of([7, 5], 7)
    for backward in (False, True):
        found = to_numpy(attention.beta_binomial_log_prior(tokens, frames, 1.5, backward))
        for item, (s, t) in enumerate([(4, 7), (2, 5)]):
            time = np.arange(1, t + 1)[:: -1 if backward else 1, None]
            expected = scipy.stats.betabinom.logpmf(
                np.arange(s), s - 1, 1.5 * time, 1.5 * (t + 1 - time)
            )
            np.testing.assert_allclose(found[item, :t, :s], expected, atol=1e-4)
        assert (found[1, :, 2:] < -1e20).all()


def test_scores_in_chunks_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    queries, keys = rng.standard_normal((2, 7, 4)), rng.standard_normal((2, 3, 4))
    given = [each.astype("float32") for each in (queries, keys, rng.standard_normal(4))]

    def whole(q, k, v):
        return ops.sum(ops.tanh(q[:, :, None] + k[:, None]) * v, axis=-1)

    monkeypatch.setattr(attention, "_CHUNK_VALUES", 3 * 2 * 3 * 4)
    found = attention.additive_scores(*map(ops.convert_to_tensor, given))
    np.testing.assert_allclose(to_numpy(found), to_numpy(whole(*given)), atol=1e-5)
    pairs = zip(gradient(attention.additive_scores, *given), gradient(whole, *given), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_an_lstm_is_that_of_keras():
    keras.utils.set_random_seed(0)
    mine, theirs = LSTM(4), keras.layers.LSTM(4, return_sequences=True)
    x = np.random.default_rng(0).standard_normal((2, 6, 3)).astype("float32")
    mine(x)
    mine.bias.assign(np.random.default_rng(1).standard_normal(16))
    theirs(x)
    theirs.set_weights([to_numpy(w) for w in (mine.kernel, mine.recurrent_kernel, mine.bias)])
    np.testing.assert_allclose(to_numpy(mine(x)), to_numpy(theirs(x)), atol=1e-5)
    np.testing.assert_allclose(gradient(mine, x)[0], gradient(theirs, x)[0], atol=1e-5)


def test_the_mixture_is_drawn_as_its_density():
    rng = np.random.default_rng(0)
    weights = np.array([[0.2, 0.5, 0.3]], "float32")
    means = np.array([[[-2.0, 0.0, 3.0], [1.0, 2.0, -4.0]]], "float32")
    log_scales = np.log(np.array([[[0.5, 1.0, 0.2], [1.0, 0.3, 0.6]]], "float32"))
    prior = GaussianMixture(*map(ops.convert_to_tensor, (weights, means, log_scales)))
    (drawn,) = prior.sample(rng, [(1, 4000, 2)], 1.0)
    mean = (weights[:, None] * means).sum(axis=-1)
    square = (weights[:, None] * (means**2 + np.exp(2 * log_scales))).sum(axis=-1)
    np.testing.assert_allclose(drawn.mean(axis=1), mean, atol=0.15)
    np.testing.assert_allclose((drawn**2).mean(axis=1), square, rtol=0.08)
    (still,) = prior.sample(rng, [(1, 3, 2)], 0.0)
    np.testing.assert_allclose(still, np.broadcast_to(mean[:, None], still.shape), atol=1e-6)
    z = drawn[:, :5].astype("float32")
    density = scipy.stats.norm.pdf(z[..., None], means[:, None], np.exp(log_scales)[:, None])
    expected = np.log((density * weights[:, None, None]).sum(axis=-1)).sum()
    found = to_numpy(prior.log_prob([ops.convert_to_tensor(z)], [None]))
    np.testing.assert_allclose(found, [expected], rtol=1e-4)


def test_a_mixture_speaks_with_and_without_a_reference():
    flow = nudged(n_components=2, fixed_gaussian=False, max_seconds=0.2)
    text = flow.text_inputs(["hello", "hi"])
    reference = recording(flow, ["hello", "hi"], [12, 7])
    neutral = flow.synthesize(text, seed=0, gate_threshold=1.0)
    led = flow.synthesize(text, seed=0, gate_threshold=1.0, reference=reference)
    assert np.isfinite(led.x).all()
    assert np.abs(led.x - neutral.x).max() > 1e-4


def test_fit_learns_to_attend_and_to_end():
    """Two recordings whose frames are those of their tokens; attention must find them."""
    keras.utils.set_random_seed(0)
    flow = tiny(n_hidden=16, scale_limit=2.0)
    texts = ["abcd", "dcb"]
    inputs = recording(flow, texts, [12, 9])
    shapes = np.random.default_rng(2).standard_normal((4, 6))
    for row, text in enumerate(texts):
        for i, letter in enumerate(text):
            inputs["x"][row, 3 * i : 3 * i + 3] = (
                3 * shapes["abcd".index(letter)] + 0.3 * inputs["x"][row, 3 * i : 3 * i + 3]
            )
    flow.compile(optimizer=keras.optimizers.Adam(0.03), jit_compile=BACKEND == "jax")
    before = {name: total(t) for name, t in flow.loss_terms(inputs, flow(inputs)).items()}
    repeated = {name: np.concatenate([value] * 30) for name, value in inputs.items()}
    flow.fit(repeated, epochs=2, batch_size=2, verbose=0, shuffle=False)
    after = {name: total(t) for name, t in flow.loss_terms(inputs, flow(inputs)).items()}
    assert after["nats_per_value"] < before["nats_per_value"] - 0.5
    assert after["gate"] < 0.5 * before["gate"]
    assert after["ctc"] < before["ctc"]
