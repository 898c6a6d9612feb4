"""Progress of long work: a bar on the terminal, and the type of functions that report lines."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Report = Callable[[str], None]


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar if stderr is a terminal.

    Args:
        label: text before the bar.
        total: number of steps.

    Yields:
        A function without arguments to call after each step.
    """
    if not sys.stderr.isatty() or not total:
        yield lambda: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # Otherwise lines that are printed to a pipe during the work would appear on the terminal.
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(escape(label), total=total)
        yield lambda: bar.advance(task)
