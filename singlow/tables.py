"""Tables on the terminal, whose cells are printed as they are."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from singlow.streams import escape

if TYPE_CHECKING:
    from rich.table import Table


def table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = ""
) -> "Table":
    """Make a table with left-aligned first column and right-aligned others.

    Texts are shown as they are: `[red]` and `:smile:` are not interpreted, and control characters
    are escaped.

    Args:
        title: above the table.
        head: names of the columns.
        rows: cells, one for each column.
        caption: below the table.
    """
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:
        return Text(escape(text))

    made = Table(
        title=plain(title),
        title_justify="left",
        caption=plain(caption) if caption else None,
        caption_justify="left",
    )
    for index, name in enumerate(head):
        made.add_column(plain(name), justify="right" if index else "left")
    for row in rows:
        made.add_row(*map(plain, row))
    return made


def print_tables(*tables: "Table") -> None:
    """Print tables to stdout, at their full width where that is no terminal."""
    from rich.console import Console

    console = Console()
    for each in tables:
        if not console.is_terminal:
            unlimited = console.options.update(max_width=10_000)
            console.width = max(80, console.measure(each, options=unlimited).maximum)
        console.print(each)
