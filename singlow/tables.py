"""Tables for the terminal, whose cells are printed as plain text."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from singlow.streams import escape

if TYPE_CHECKING:
    from rich.table import Table


def table(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = ""
) -> "Table":
    """Create a table whose first column is left-aligned and whose others are right-aligned.

    Texts are not interpreted as markup, such as `[red]` or `:smile:`, and control characters are
    escaped.

    Args:
        title: text above the table.
        head: names of the columns.
        rows: rows of cells, one cell for each column.
        caption: text below the table.
    """
    from rich.table import Table
    from rich.text import Text

    def plain(text: str) -> Text:
        return Text(escape(text))

    result = Table(
        title=plain(title),
        title_justify="left",
        caption=plain(caption) if caption else None,
        caption_justify="left",
    )
    for index, name in enumerate(head):
        result.add_column(plain(name), justify="right" if index else "left")
    for row in rows:
        result.add_row(*map(plain, row))
    return result


def print_tables(*tables: "Table") -> None:
    """Print tables to stdout, at their full width if stdout is not a terminal."""
    from rich.console import Console

    console = Console()
    for each in tables:
        if not console.is_terminal:
            unlimited = console.options.update(max_width=10_000)
            console.width = max(80, console.measure(each, options=unlimited).maximum)
        console.print(each)
