"""On JAX the start of a run and the copy for inference are compiled as a whole."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from singlow.models.blow import Blow
from tests.conftest import BACKEND

pytestmark = pytest.mark.skipif(BACKEND != "jax", reason="TensorFlow runs both eagerly")


@pytest.fixture
def compilations() -> Iterator[Callable[[], int]]:
    """A function that returns the number of compilations since its last call."""
    import jax

    seen: list[str] = []

    def listen(event: str, duration: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            seen.append(event)

    def count() -> int:
        number = len(seen)
        seen.clear()
        return number

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield count
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize(("k_glow", "l_glow"), [(1, 1), (3, 2)])
def test_their_number_does_not_grow_with_the_flow(compilations, k_glow: int, l_glow: int):
    flow = Blow(speakers=3, k_glow=k_glow, l_glow=l_glow, width=8, embedding_size=4)
    batch = flow.dummy_inputs(4, 4 * flow.multiple)
    flow.log_prob(batch)
    compilations()
    flow.adapt(batch)
    assert 1 <= compilations() <= 5
    coder = flow.for_inference()
    assert 1 <= compilations() <= 10
    np.testing.assert_allclose(coder.log_prob(batch), flow.log_prob(batch), rtol=1e-4)


def test_training_leaves_the_copy_for_inference_as_it_is():
    flow = Blow(speakers=3, k_glow=1, l_glow=1, width=8, embedding_size=4)
    batch = flow.dummy_inputs(4, 4 * flow.multiple)
    coder = flow.for_inference()
    before = np.asarray(coder.log_prob(batch))
    flow.compile("sgd")
    flow.train_on_batch(batch)
    np.testing.assert_array_equal(coder.log_prob(batch), before)
