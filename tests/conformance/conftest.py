from collections.abc import Iterator

import keras
import pytest

from tests.conformance.cases import CASES, LEFT_OUT_ON_JAX, Case, tried
from tests.conftest import in_precision


@pytest.fixture(params=tried(), ids="-".join)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """A case of the table, while layers are built in one of its precisions."""
    name, precision = request.param
    with in_precision(precision):
        yield CASES[name]


@pytest.fixture
def costly_case(case: Case) -> Case:
    """A case for what JAX compiles slowly."""
    if keras.backend.backend() == "jax" and case in [CASES[name] for name in LEFT_OUT_ON_JAX]:
        pytest.skip("JAX compiles long: a like of this case stands for it")
    return case
