"""Figures with confidence intervals, and figures that may be missing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
MISSING = "none"  # the text for a figure that could not be measured


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % confidence interval.

    Attributes:
        value: the figure.
        low: lower end of the interval; nan where it is unknown.
        high: upper end of the interval; nan where it is unknown.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def shown(self, form: str) -> str:
        """Format the figure and half the width of its interval, as in `8.862 ± 0.062`.

        Args:
            form: a format of one number, such as `"{:.3f}"`.
        """
        if not math.isfinite(self.low):
            return shown_number(form, self.value)
        half = form.format((self.high - self.low) / 2).lstrip("+")
        return f"{form.format(self.value)} ± {half}"

    def shown_range(self, form: str) -> str:
        """Format the figure and the ends of its interval, as in `52.5% (43.6% to 61.2%)`."""
        if not math.isfinite(self.low):
            return shown_number(form, self.value)
        return f"{form.format(self.value)} ({form.format(self.low)} to {form.format(self.high)})"


def mean_estimate(values: Sequence[float]) -> Estimate:
    """Estimate the mean of independent values, with the interval of Student's t distribution."""
    return ratio_estimate(values, np.ones(len(values)))


def ratio_estimate(totals: Sequence[float], counts: Sequence[float]) -> Estimate:
    """Estimate the ratio `R = sum(totals) / sum(counts)` over independent clips.

    The standard error is that of the ratio's first-order expansion,
    `sqrt(n / (n - 1) sum (total - R count)^2) / sum(counts)`; the interval uses Student's t
    distribution with `n - 1` degrees of freedom. For equal counts the interval is that of the mean.

    Args:
        totals: costs of the clips, `(clips,)`.
        counts: numbers of values in the clips, `(clips,)`.

    References:
        Cochran, Sampling Techniques, 3rd edition, 1977, section 6.3.
    """
    value, deviations = _ratio(totals, counts)
    return _estimate(value, deviations)


def ratio_difference(
    totals: Sequence[float],
    counts: Sequence[float],
    other_totals: Sequence[float],
    other_counts: Sequence[float],
) -> Estimate:
    """Estimate the difference of two ratios that are measured on the same clips.

    Variation between clips that both ratios share does not widen the interval. For the ratios see
    `ratio_estimate`.

    Args:
        totals: costs of the clips, `(clips,)`.
        counts: numbers of values in the clips, `(clips,)`.
        other_totals: costs of the clips in the ratio that is subtracted, `(clips,)`.
        other_counts: numbers of values in that ratio, `(clips,)`.
    """
    value, deviations = _ratio(totals, counts)
    other, its_deviations = _ratio(other_totals, other_counts)
    return _estimate(value - other, deviations - its_deviations)


def share_estimate(successes: int, trials: int) -> Estimate:
    """Estimate a share with Wilson's interval, which is valid for few trials and shares of 0 and 1.

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927,
        https://doi.org/10.1080/01621459.1927.10502953
    """
    if not trials:
        return Estimate(math.nan)
    share, z = successes / trials, 1.959963984540054
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials)
    half *= math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def finite_mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are finite; nan if none is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def shown_number(form: str, value: float) -> str:
    """Return a number in a format, or "none" if it is not finite."""
    return form.format(value) if math.isfinite(value) else MISSING


def _ratio(totals: Sequence[float], counts: Sequence[float]) -> tuple[float, np.ndarray]:
    """Return a ratio of sums, and what each clip adds to its deviation from the true ratio."""
    totals, counts = (np.asarray(values, np.float64) for values in (totals, counts))
    if not counts.sum() > 0:
        return math.nan, np.zeros(len(counts))
    value = totals.sum() / counts.sum()
    return float(value), (totals - value * counts) / counts.sum()


def _estimate(value: float, deviations: np.ndarray) -> Estimate:
    from scipy.special import stdtrit

    clips = len(deviations)
    if clips < 2 or not math.isfinite(value):
        return Estimate(value)
    error = math.sqrt(clips / (clips - 1) * float(np.square(deviations).sum()))
    half = float(stdtrit(clips - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(value, value - half, value + half)
