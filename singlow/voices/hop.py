"""How far apart overlapping frames may begin."""

from singlow.errors import UsageError

MOST_OVERLAP = 32  # frames over a sample


def hops(window: int) -> list[int]:
    """Hops that divide a window and overlap by half at least, largest first."""
    return [window // n for n in range(2, MOST_OVERLAP + 1) if window % n == 0]


def check_hop(hop: int | None, window: int) -> int:
    """The hop to use, half a window when None.

    Raises:
        UsageError: it is none of `hops`, which are listed.
    """
    allowed = hops(window)
    if hop is not None and hop not in allowed:
        raise UsageError(
            f"Expected --hop in {', '.join(map(str, allowed))} for windows of {window} samples. "
            f"Received: {hop}."
        )
    return hop or allowed[0]
