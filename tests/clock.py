"""Time without a clock on the wall: the load of the machine changes no result much."""

import time
from collections.abc import Callable
from typing import Any


def loops(work: Callable[[], Any]) -> float:
    """Return the CPU time of `work`, in units of a loop of a million additions beside it."""
    before = _seconds(_loop)
    spent = _seconds(work)
    return spent / max(before, _seconds(_loop))


def growth(work: Callable[[int], Any], size: int, factor: int) -> float:
    """Return by how much CPU time grows from `work(size)` to `work(factor * size)`.

    It is about `factor` in linear time and `factor**2` in quadratic time. Of three times each, the
    least counts.
    """
    small, large = (
        min(_seconds(lambda: work(n)) for _ in range(3))  # noqa: B023
        for n in (size, factor * size)
    )
    return large / small


def _loop() -> int:
    total = 0
    for number in range(1_000_000):
        total += number
    return total


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
