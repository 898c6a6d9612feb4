"""Name the characters of a text that a front end does not know."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from singlow.streams import escape

_CONTEXT = 12  # symbols shown on each side of the first unknown one
_LISTED = 5


def describe_unknown(symbols: Sequence[str], places: Sequence[int], front_end: str) -> str:
    """Return a sentence that names the unknown symbols of a text; "" if there are none.

    Args:
        symbols: all symbols of the text.
        places: indices of the unknown symbols.
        front_end: name of the front end.
    """
    if not places:
        return ""
    first = places[0]
    before = "".join(symbols[max(0, first - _CONTEXT) : first])
    after = "".join(symbols[first + 1 : first + 1 + _CONTEXT])
    counts = Counter(symbols[place] for place in places)
    context = escape(f"{before}[{symbols[first]}]{after}")
    return f'The front end {front_end} does not know {list_unknown(counts)}, first in "{context}".'


def list_unknown(counts: Counter[str], most: int = _LISTED) -> str:
    """Return the names of unknown symbols, the most frequent first, with their numbers."""
    listed = [
        name_symbol(symbol) + (f" ({count} times)" if count > 1 else "")
        for symbol, count in counts.most_common(most)
    ]
    if len(counts) > most:
        listed.append(f"{len(counts) - most} more")
    return ", ".join(listed)


def name_symbol(symbol: str) -> str:
    """Return a symbol in quotes, with the number and the name that Unicode gives it.

    Example:
        >>> name_symbol("\u00df")
        "'\u00df' (U+00DF LATIN SMALL LETTER SHARP S)"
    """
    if len(symbol) != 1:
        return f"'{escape(symbol)}'"
    name = unicodedata.name(symbol, "")
    code = f"U+{ord(symbol):04X}"
    return f"'{escape(symbol)}' ({code}{' ' + name if name else ''})"
