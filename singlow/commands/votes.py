"""The verb `votes`: what listeners said."""

from singlow.commands.runs import Files
from singlow.errors import UsageError


def votes(files: Files = ()) -> None:
    """Count the votes that listening pages saved, system by system.

    Args:
        files: what listeners saved.
    """
    from rich.console import Console

    from singlow.evaluation.votes import count_votes, table

    if not files:
        raise UsageError("Expected files of votes. Received: none.")
    Console().print(table(count_votes(files)))
