"""Symbols with the times at which they are spoken, and how records store them."""

import json
import math
from collections.abc import Iterable
from typing import NamedTuple

from singlow.errors import DataError


class Timed(NamedTuple):
    """A symbol and its time in a recording.

    Attributes:
        symbol: the symbol.
        start: seconds from the start of the recording to the start of the symbol.
        stop: seconds from the start of the recording to the end of the symbol.
    """

    symbol: str
    start: float
    stop: float


def write_times(times: Iterable[Timed]) -> str:
    """Return timed symbols as JSON: a list of `[symbol, start, stop]`, to the microsecond."""
    rows = [[each.symbol, round(each.start, 6), round(each.stop, 6)] for each in times]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")) if rows else ""


def read_times(text: str) -> tuple[Timed, ...]:
    """Return the timed symbols that `write_times` wrote; none for an empty text.

    Raises:
        DataError: the text is something else.
    """
    if not text:
        return ()
    try:
        rows = json.loads(text)
        return tuple(_read_row(*row) for row in rows)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"Expected the times of symbols. Received: {error}.") from None


def _read_row(symbol: str, start: float, stop: float) -> Timed:
    numbers = all(type(time) in (int, float) and math.isfinite(time) for time in (start, stop))
    if not isinstance(symbol, str) or not numbers or not 0 <= start <= stop:
        raise ValueError(f"expected a symbol, its start and its stop, not {[symbol, start, stop]}")
    return Timed(symbol, float(start), float(stop))
