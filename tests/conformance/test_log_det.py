"""Log-determinants equal those of the Jacobian by autodiff, in both directions."""

from singlow.testing import check_log_det
from tests.conformance.cases import Case, given, ready


def test_log_det_is_that_of_the_jacobian(costly_case: Case):
    x, condition = given(costly_case)
    check_log_det(ready(costly_case), x, condition)
