r"""Names of singers, speakers and styles: compared, found, shown and typed back.

A name is any text. Names that come from a folder may hold bytes that are no text (a folder of a
Shift-JIS archive) and control characters. Python keeps such bytes as lone surrogates, and so do
`dataset_info.json` and `config.json`: `json.dumps` writes them in ASCII and `json.loads` restores
them. Only printing them needs care: `shown` prints a name, `singlow.streams.escape` a message.
"""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable

from singlow.errors import UsageError
from singlow.streams import escape

RESERVED = ("all", "auto")  # words of the command line that stand for a choice of speakers
LISTED = 20
_ESCAPE = re.compile(r"\\[xuU\\]")


def shown(name: str) -> str:
    r"""Return a name as it is printed, and as `find_name` accepts it when it is typed.

    Two names never look the same: where a name needs an escape, or looks as if it had one, its own
    backslashes are doubled.

    Example:
        >>> shown("Zoé"), shown("AC\\DC"), shown("\udc89\udcb9")
        ('Zoé', 'AC\\DC', '\\x89\\xb9')
    """
    if escape(name) == name and not _ESCAPE.search(name):
        return name
    return "".join("\\\\" if char == "\\" else escape(char) for char in name)


def normal(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which names are compared and stored.

    macOS writes the names of files decomposed (NFD), keyboards write them composed.
    """
    return unicodedata.normalize("NFC", name)


def same_name(a: str, b: str) -> bool:
    """Whether two names are equal once both are composed."""
    return normal(a) == normal(b)


def find_path(path: str) -> str:
    """Return a path as it is on the disk.

    Where a file or folder does not exist, one whose name has the same composed form, or is shown
    like this, takes its place. `~` at the beginning is expanded unless a folder has this name.

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

    The name itself is accepted, its composed or decomposed form, and its form as `shown` prints it.

    Args:
        wanted: as typed.
        names: the known names.
        kind: what they name, in the singular, for the message.

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
    r"""Return a name with `\udc89` for a byte, as a stream prints it that escapes what it must."""
    return name.encode("utf-8", "backslashreplace").decode()
