import pytest

from tests.conformance.cases import CASES, Case


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, precision: str) -> Case:
    return CASES[request.param]
