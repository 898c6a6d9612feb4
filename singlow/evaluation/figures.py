"""Figures some of which may be missing: their mean, and how they are shown."""

from collections.abc import Sequence

import numpy as np


def finite_mean(values: Sequence[float]) -> float:
    """Mean of those that are finite; nan for none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def shown_number(form: str, value: float) -> str:
    """The number in its form; "none" for one that is not finite."""
    return form.format(value) if np.isfinite(value) else "none"
