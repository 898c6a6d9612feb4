"""The verb `votes`: what listeners said."""

from singlow.commands.places import Files, inputs
from singlow.errors import DataError


def votes(files: Files = ()) -> None:
    """Count the votes that listening pages saved, system by system; a file given twice once.

    Args:
        files: what listeners saved, or folders of it.
    """
    from rich.console import Console

    from singlow.evaluation.votes import count_votes, table

    found = {path.resolve(): path for path, _ in inputs(files, frozenset({".json"}))}
    totals = count_votes(list(found.values()))
    if not totals:
        raise DataError(f"Expected votes. Received: {len(found)} file(s) without one.")
    Console().print(table(totals))
