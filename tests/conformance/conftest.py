import keras
import pytest

from tests.conformance.cases import CASES, LEFT_OUT_ON_JAX, Case


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, precision: str) -> Case:
    return CASES[request.param]


@pytest.fixture
def costly_case(case: Case) -> Case:
    """A case for what JAX compiles slowly."""
    if keras.backend.backend() == "jax" and case in [CASES[name] for name in LEFT_OUT_ON_JAX]:
        pytest.skip("JAX compiles long: a like of this case stands for it")
    return case
