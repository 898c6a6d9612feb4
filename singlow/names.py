r"""Compare, find and print the names of singers, speakers and styles.

A name is any text. Names that come from a folder may contain bytes that are not text (as from a
Shift-JIS archive) and control characters. Python keeps such bytes as lone surrogates, and so do
`dataset_info.json` and `config.json`: `json.dumps` writes them in ASCII and `json.loads` restores
them. Only printing needs care: `shown` escapes a name, `singlow.streams.escape` a message.
"""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable

from singlow.errors import UsageError
from singlow.streams import escape

RESERVED = ("all", "auto")  # words that select speakers on the command line
LISTED = 20
_ESCAPE = re.compile(r"\\[xuU\\]")


def shown(name: str) -> str:
    r"""Return a name in its printed form, which `find_name` accepts as well.

    Two names never have the same printed form: if a name needs an escape, or seems to contain one,
    its own backslashes are doubled.

    Example:
        >>> shown("Zoé"), shown("AC\\DC"), shown("\udc89\udcb9")
        ('Zoé', 'AC\\DC', '\\x89\\xb9')
    """
    if escape(name) == name and not _ESCAPE.search(name):
        return name
    return "".join("\\\\" if char == "\\" else escape(char) for char in name)


def normal(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which names are compared and stored.

    macOS stores the names of files decomposed (NFD), but keyboards produce composed text.
    """
    return unicodedata.normalize("NFC", name)


def same_name(a: str, b: str) -> bool:
    """Return whether the composed forms of two names are equal."""
    return normal(a) == normal(b)


def find_path(path: str) -> str:
    """Return the path on the disk that a user means by `path`.

    A file or folder that does not exist is replaced by one whose name has the same composed form,
    or has this printed form. `~` at the beginning is expanded unless a folder has this name.

    Returns:
        The path that exists, or `path` with `~` expanded.
    """
    if os.path.lexists(path):
        return path
    path = os.path.expanduser(path)
    if os.path.lexists(path):
        return path
    head, tail = os.path.split(path)
    if not tail or "\0" in path:
        return path
    parent = find_path(head) if head else head
    try:
        names = sorted(os.listdir(parent or "."))
    except OSError:
        return path
    for form in (normal, lambda name: normal(shown(name))):
        for name in names:
            if form(name) == normal(tail):
                return os.path.join(parent, name)
    return path


def find_name(wanted: str, names: Iterable[str], kind: str = "speaker") -> str:
    r"""Return the one of `names` that a user means by `wanted`.

    It accepts the name itself, its composed or decomposed form, and the form that `shown` returns.

    Args:
        wanted: the name as the user typed it.
        names: the known names.
        kind: noun in the singular for what the names denote, for the message.

    Raises:
        UsageError: no name fits. The message lists the known names and suggests the nearest.
    """
    names = list(names)
    if wanted in names:
        return wanted
    for form in (normal, lambda name: normal(shown(name)), lambda name: normal(_printed(name))):
        for name in names:
            if form(name) == normal(wanted):
                return name
    listed = ", ".join(map(shown, names[:LISTED]))
    if len(names) > LISTED:
        listed += f" and {len(names) - LISTED} more"
    raise UsageError(
        f"Expected a {kind} in {listed or 'an empty list'}. Received: {shown(wanted[:80])}."
        f"{suggest(wanted, names)}"
    )


def suggest(wanted: str, names: Iterable[str]) -> str:
    """Return `" Did you mean NAME?"` for the nearest of `names`, or "" when none is near."""
    folded = {normal(shown(name)).casefold(): name for name in reversed(list(names))}
    near = difflib.get_close_matches(normal(shown(wanted)).casefold(), folded, n=1, cutoff=0.6)
    return f" Did you mean {shown(folded[near[0]])}?" if near else ""


def _printed(name: str) -> str:
    r"""Return a name with `\udc89` for a byte, as a stream that escapes surrogates prints it."""
    return name.encode("utf-8", "backslashreplace").decode()
