from collections.abc import Iterator

import keras
import pytest

from tests.conformance.cases import CASES, NOT_COMPILED, ON_JAX, Case, tried
from tests.conftest import in_precision

JAX = keras.backend.backend() == "jax"


@pytest.fixture(params=tried(), ids="-".join)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """Each case of the table in each of its precisions, in which the test builds layers."""
    name, precision = request.param
    with in_precision(precision):
        yield CASES[name]


@pytest.fixture
def compiled_case(case: Case) -> Case:
    """A case for tests that trace or compile the layer again."""
    if case in [CASES[name] for name in NOT_COMPILED]:
        pytest.skip("slow to compile, and a similar case is compiled")
    return case


@pytest.fixture
def sampled_case(compiled_case: Case, request: pytest.FixtureRequest) -> Case:
    """A case for tests whose code JAX also compiles elsewhere; on JAX, one case of each kind."""
    if JAX and compiled_case not in [CASES[name] for name in ON_JAX]:
        pytest.skip("JAX compiles this case in the tests of gradients and log-determinants")
    return compiled_case


@pytest.fixture
def costly_case(case: Case, request: pytest.FixtureRequest) -> Case:
    """A case for tests that JAX compiles; on JAX, cases that are slow to compile are skipped."""
    return request.getfixturevalue("compiled_case") if JAX else case


@pytest.fixture
def portable_case(case: Case) -> Case:
    """A case for tests whose code is that of every backend; on JAX, one case of each kind."""
    if JAX and case not in [CASES[name] for name in ON_JAX]:
        pytest.skip("TensorFlow runs this case, and JAX runs others in the same test")
    return case
