"""Tables of the symbols that a model reads, each with its id."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from singlow.errors import UsageError

PUNCTUATION = " !\"'(),-.:;?"
"""Marks between words that a model reads as symbols of their own."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PAD, END, BEGIN, BLANK = "<pad>", "<end>", "<begin>", "<blank>"
_LARGEST, _LONGEST = 100_000, 64
_ROLES = ("pad", "blank", "begin", "end")


@dataclass(frozen=True)
class SymbolTable:
    """The symbols of a model, in the order of their ids 0, 1, ...

    Args:
        symbols: all symbols, without repetition.
        pad: the symbol of padding, which no text has; None if there is none.
        blank: the symbol between two others; None if there is none.
        begin: the symbol before a text; None if there is none.
        end: the symbol after a text; None if there is none.

    Raises:
        UsageError: a symbol is repeated, is empty or not a text, or a special symbol is missing
            from `symbols`.
    """

    symbols: tuple[str, ...]
    pad: str | None = None
    blank: str | None = None
    begin: str | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        if not 0 < len(self.symbols) <= _LARGEST:
            raise UsageError(f"Expected 1 to {_LARGEST} symbols. Received: {len(self.symbols)}.")
        seen = set()
        for symbol in self.symbols:
            if not isinstance(symbol, str) or not 0 < len(symbol) <= _LONGEST:
                raise UsageError(
                    f"Expected symbols of 1 to {_LONGEST} characters. "
                    f"Received: {str(symbol)[:80]!r}."
                )
            if symbol in seen:
                raise UsageError(f"Expected different symbols. Received: {symbol!r} twice.")
            seen.add(symbol)
        for role in _ROLES:
            symbol = getattr(self, role)
            if symbol is not None and symbol not in seen:
                raise UsageError(
                    f"Expected the symbol for {role} in the table. Received: {str(symbol)[:80]!r}."
                )

    @classmethod
    def of(cls, symbols: Iterable[str]) -> "SymbolTable":
        """Create a table of padding, end, begin, blank, and these symbols."""
        special = {"pad": PAD, "end": END, "begin": BEGIN, "blank": BLANK}
        return cls((*special.values(), *symbols), **special)

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each symbol."""
        return {symbol: id for id, symbol in enumerate(self.symbols)}

    @cached_property
    def special(self) -> frozenset[str]:
        """The symbols that stand for no part of a text."""
        return frozenset({getattr(self, role) for role in _ROLES} - {None})

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.ids and symbol not in self.special

    def get_config(self) -> dict[str, Any]:
        """Return the table as data that JSON can store."""
        return {"symbols": list(self.symbols), **{role: getattr(self, role) for role in _ROLES}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SymbolTable":
        """Create a table from the data that `get_config` returns.

        Raises:
            UsageError: the data describe no table.
        """
        if not isinstance(config, Mapping) or set(config) - {"symbols", *_ROLES}:
            raise UsageError(f"Expected a table of symbols. Received: {str(config)[:80]!r}.")
        if not isinstance(config.get("symbols"), list | tuple):
            raise UsageError(f"Expected a list of symbols. Received: {str(config)[:80]!r}.")
        return cls(tuple(config["symbols"]), **{role: config.get(role) for role in _ROLES})
