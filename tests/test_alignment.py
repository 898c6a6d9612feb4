"""Test the monotonic alignment search against brute force, in both of its forms."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from singlow import alignment
from singlow.alignment import expand, gaussian_scores, monotonic_path, path_of
from tests.conftest import BACKEND

FORMS = [alignment._by_scan, *([alignment._on_host] if BACKEND == "tensorflow" else [])]


def masks(tokens: list[int], frames: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(
        (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype("float32")
        for lengths in (tokens, frames)
    )


def search(scores, tokens, frames, form=None) -> np.ndarray:
    if form is None:
        return ops.convert_to_numpy(monotonic_path(scores, *masks(tokens, frames)))
    lengths = (ops.convert_to_tensor(each, dtype="int32") for each in (tokens, frames))
    return ops.convert_to_numpy(form(ops.convert_to_tensor(scores), *lengths))


def best_of_all(scores: np.ndarray) -> np.ndarray:
    """Try every alignment `(frames, tokens)`; of equally good ones, the search's rule decides.

    From the last frame backwards a token stays wherever a best alignment stays.
    """
    frames, tokens = scores.shape
    found = []
    for cuts in itertools.combinations(range(1, frames), tokens - 1):
        token_of = np.searchsorted(cuts, np.arange(frames), "right")
        found.append((scores[np.arange(frames), token_of].sum(), token_of))
    best = max(total for total, _ in found)
    ties = [token_of for total, token_of in found if total >= best - 1e-5]
    chosen = max(ties, key=lambda token_of: token_of[::-1].tolist())
    return np.eye(tokens)[chosen]


@pytest.mark.parametrize("form", FORMS)
def test_it_equals_brute_force(form):
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 6, 300)
    frames = rng.integers(tokens, 10)
    scores = rng.standard_normal((300, 9, 5)).astype("float32")
    scores[:100] = np.round(scores[:100])  # with ties
    paths = search(scores, tokens, frames, form)
    for path, each, s, t in zip(paths, scores, tokens, frames, strict=True):
        np.testing.assert_array_equal(path[:t, :s], best_of_all(each[:t, :s]))
        assert path.sum() == t


def test_equal_scores_stay_on_the_later_token():
    path = search(np.zeros((1, 6, 3), "float32"), [3], [6])
    np.testing.assert_array_equal(path[0].sum(axis=0), [1, 1, 4])


@pytest.mark.parametrize(("tokens", "frames"), [(4, 4), (1, 5), (1, 1)])
def test_a_single_alignment_is_found(tokens, frames):
    scores = np.random.default_rng(0).standard_normal((1, frames, tokens)).astype("float32")
    expected = np.eye(frames) if tokens > 1 else np.ones((frames, 1))
    np.testing.assert_array_equal(search(scores, [tokens], [frames])[0], expected)


@pytest.mark.parametrize("form", [None, *FORMS])
def test_items_of_a_batch_have_their_own_lengths(form):
    tokens, frames = [3, 5, 1, 5], [9, 6, 4, 12]
    scores = np.random.default_rng(1).standard_normal((4, 12, 5)).astype("float32")
    path = search(scores, tokens, frames, form)
    for item, (s, t) in enumerate(zip(tokens, frames, strict=True)):
        np.testing.assert_array_equal(path[item, :t, :s], best_of_all(scores[item, :t, :s]))
        assert path[item].sum() == t
    other = np.where(path.sum(axis=2, keepdims=True) > 0, scores, 99.0).astype("float32")
    np.testing.assert_array_equal(search(other, tokens, frames, form), path)


def test_more_tokens_than_frames_are_refused():
    scores = np.zeros((2, 3, 4), "float32")
    with pytest.raises(ValueError, match="4 tokens and 3 frames"):
        search(scores, [3, 4], [3, 3])
    with pytest.raises(ValueError, match="0 tokens and 3 frames"):
        search(scores, [4, 0], [4, 3])


@pytest.mark.parametrize("form", FORMS)
def test_a_compiled_step_marks_an_impossible_item(form):
    scores = np.random.default_rng(0).standard_normal((3, 4, 4)).astype("float32")
    path = search(scores, [4, 3, 2], [3, 4, 4], form)
    assert np.isnan(path[0]).all()
    assert np.isfinite(path[1:]).all()


def test_it_runs_inside_a_compiled_step():
    scores = np.random.default_rng(0).standard_normal((2, 7, 3)).astype("float32")
    tokens, frames = masks([3, 2], [7, 5])
    if BACKEND == "jax":
        import jax

        step = jax.jit(monotonic_path)
    else:
        import tensorflow as tf

        step = tf.function(monotonic_path, autograph=False)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(step(*map(ops.convert_to_tensor, (scores, tokens, frames)))),
        search(scores, [3, 2], [7, 5]),
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX compiles the search with its step anyway")
def test_tensorflow_compiles_the_scan():
    import tensorflow as tf

    scores = np.random.default_rng(0).standard_normal((2, 7, 3)).astype("float32")
    arguments = (scores, np.array([3, 2], "int32"), np.array([7, 5], "int32"))
    compiled = tf.function(alignment._by_scan, jit_compile=True, autograph=False)
    np.testing.assert_array_equal(
        compiled(*map(tf.constant, arguments)).numpy(), search(scores, [3, 2], [7, 5])
    )


@pytest.mark.parametrize("learned", [False, True])
def test_scores_are_log_densities(learned):
    rng = np.random.default_rng(0)
    z, means, log_scales = (rng.standard_normal((2, n, 3)).astype("float32") for n in (5, 4, 4))
    scales = np.exp(log_scales) if learned else np.ones_like(means)
    deviation = (z[:, :, None] - means[:, None]) / scales[:, None]
    values = -0.5 * deviation**2 - np.log(scales[:, None]) - 0.5 * np.log(2 * np.pi)
    scores = gaussian_scores(z, means, log_scales if learned else None)
    np.testing.assert_allclose(ops.convert_to_numpy(scores), values.sum(axis=-1), rtol=1e-4)


def test_tokens_are_repeated_by_their_durations():
    durations = np.array([[2, 0, 3], [1, 1, 0]], "float32")
    path = path_of(ops.convert_to_tensor(durations), 5)
    values = np.arange(6, dtype="float32").reshape(2, 3, 1) + 1
    expected = [[1, 1, 3, 3, 3], [4, 5, 0, 0, 0]]
    np.testing.assert_array_equal(ops.convert_to_numpy(expand(values, path))[..., 0], expected)
    assert keras.backend.standardize_dtype(path.dtype) == "float32"
