"""The verb `votes`: count the votes of listening tests."""

from singlow.commands.places import Files, inputs
from singlow.errors import DataError


def votes(files: Files = ()) -> None:
    """Count the votes that listening pages saved, by system; equal files are counted once.

    Args:
        files: Files that listeners saved, or folders of them.
    """
    from singlow.evaluation.listening import count_votes, votes_table
    from singlow.tables import print_tables

    paths = {path.resolve(): path for path, _ in inputs(files, frozenset({".json"}))}
    totals = count_votes(list(paths.values()))
    if not totals:
        raise DataError(f"Expected votes. Received: {len(paths)} file(s) without one.")
    print_tables(votes_table(totals))
