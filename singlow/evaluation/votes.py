"""The votes of listening tests, counted by system."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singlow.errors import DataError
from singlow.evaluation.listening import FORMAT

_LARGEST = 1 << 24  # bytes of a file


@dataclass
class Votes:
    """Of one system.

    Attributes:
        asked: how often it was asked whether it is the target's voice.
        yes: how often it was.
        compared: how often it was one of two to choose the more natural of.
        chosen: how often it was chosen.
    """

    asked: int = 0
    yes: int = 0
    compared: int = 0
    chosen: int = 0


def count_votes(paths: Sequence[Path]) -> dict[str, Votes]:
    """Votes by system, from files that pages of `write_listening` saved.

    Raises:
        DataError: a file cannot be read, or holds something else.
    """
    totals: dict[str, Votes] = {}
    for path in paths:
        for vote in _read(path):
            system = totals.setdefault(vote["system"], Votes())
            if vote["question"] == "voice":
                system.asked += 1
                system.yes += vote["yes"]
            else:
                system.compared += 1
                system.chosen += 1
                totals.setdefault(vote["over"], Votes()).compared += 1
    return totals


def table(totals: dict[str, Votes]) -> Any:
    """The votes as a `rich` table."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title="Votes", title_justify="left")
    shown.add_column("")
    for column in ("the target's voice", "more natural"):
        shown.add_column(column, justify="right")
    for name, votes in sorted(totals.items()):
        shown.add_row(
            escape(name), _part(votes.yes, votes.asked), _part(votes.chosen, votes.compared)
        )
    return shown


def _part(count: int, whole: int) -> str:
    return f"{count} of {whole} ({count / whole:.0%})" if whole else ""


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        told = json.loads(path.read_text("utf-8"))
        votes = told["votes"]
        sound = told["format"] == FORMAT and isinstance(votes, list) and all(map(_is_vote, votes))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DataError(
            f"{path}: Expected votes saved by a listening page. Received: another file."
        )
    return votes


def _is_vote(vote: Any) -> bool:
    if not isinstance(vote, dict) or not _is_name(vote.get("system")):
        return False
    if vote.get("question") == "voice":
        return isinstance(vote.get("yes"), bool)
    return vote.get("question") == "natural" and _is_name(vote.get("over"))


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isprintable()
