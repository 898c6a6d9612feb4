"""From a text to the ids that a model reads, and back to symbols."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from singlow.errors import DataError, UsageError, warn
from singlow.progress import Report
from singlow.streams import escape
from singlow.text.cleaning import clean
from singlow.text.front_end import FrontEnd
from singlow.text.originals import find_table
from singlow.text.registry import front_end_from_config, make_front_end
from singlow.text.symbols import PUNCTUATION, SymbolTable
from singlow.text.unknown import describe_unknown

POLICIES = ("error", "skip")
_FIELDS = ("front_end", "symbols", "add_blank", "marks", "unknown")


@dataclass(frozen=True)
class Reading:
    """What a text becomes.

    Attributes:
        text: the text as it is spoken.
        symbols: its symbols, without blanks and marks, and without unknown ones.
        ids: the ids that a model reads, with blanks and marks, int32 `(tokens,)`.
        unknown: the place in `spoken` of each unknown symbol.
        spoken: all symbols of the text, unknown ones included.
    """

    text: str
    symbols: tuple[str, ...]
    ids: np.ndarray
    unknown: tuple[int, ...]
    spoken: tuple[str, ...]

    @property
    def unknown_symbols(self) -> Counter[str]:
        """The unknown symbols, each with the number of times that the text has it."""
        return Counter(self.spoken[place] for place in self.unknown)


class Tokenizer:
    """Turn texts into ids by a front end and a table of symbols. A run stores it as data.

    With blanks, n symbols become 2n + 1 tokens: a blank before, between and after them. Begin and
    end marks stand outside of the blanks.

    Args:
        front_end: a front end, or its name in `FRONT_ENDS`.
        symbols: the table of symbols; a name in `TABLES`; or None for a table of padding, end,
            begin, blank, and the alphabet of the front end.
        language: code of the language, for a front end that is given by name; None for its default.
        add_blank: whether to put a blank between symbols.
        marks: whether to put the begin mark before a text and the end mark after it.
        unknown: what to do with a symbol that the table lacks: "error" raises a `DataError`,
            "skip" leaves it out and reports it.

    Raises:
        UsageError: an argument is unknown, or the table has no symbol for blanks or marks.

    Example:
        >>> tokenizer = Tokenizer("characters")
        >>> tokenizer.decode(tokenizer.encode("No. 7!"))
        ['n', 'u', 'm', 'b', 'e', 'r', ' ', 's', 'e', 'v', 'e', 'n', '!']
    """

    def __init__(
        self,
        front_end: str | FrontEnd = "characters",
        symbols: SymbolTable | str | None = None,
        *,
        language: str | None = None,
        add_blank: bool = False,
        marks: bool = False,
        unknown: str = "error",
    ) -> None:
        if isinstance(front_end, str):
            front_end = make_front_end(front_end, language=language)
        elif language is not None:
            raise UsageError(
                "Expected a language with the name of a front end. Received: a front end that has "
                "its own."
            )
        if unknown not in POLICIES:
            raise UsageError(f"Expected unknown in {POLICIES}. Received: {str(unknown)[:80]!r}.")
        if symbols is None:
            symbols = SymbolTable.of(front_end.alphabet)
        elif isinstance(symbols, str):
            symbols = find_table(symbols)
        if add_blank and symbols.blank is None:
            raise UsageError(
                "Expected a table with a symbol for blanks. Received: add_blank with a table that "
                "has none."
            )
        if marks and (symbols.begin is None or symbols.end is None):
            raise UsageError(
                "Expected a table with symbols for begin and end. Received: marks with a table "
                "that lacks one."
            )
        self.front_end, self.symbols = front_end, symbols
        self.add_blank, self.marks, self.unknown = bool(add_blank), bool(marks), unknown

    @classmethod
    def learn(cls, front_end: str | FrontEnd, texts: Iterable[str], **settings: Any) -> "Tokenizer":
        """Create a tokenizer whose table has every symbol of these texts.

        Args:
            front_end: a front end, or its name in `FRONT_ENDS`.
            texts: the texts of a corpus.
            settings: further arguments of the class, except for `symbols`.

        Returns:
            A tokenizer whose table is the alphabet of the front end, followed by the other symbols
            of the texts, sorted. It does not depend on the order of the texts.
        """
        tokenizer = cls(front_end, **settings)
        extra: set[str] = set()
        for text in texts:
            extra |= tokenizer.read(text).unknown_symbols.keys()
        alphabet = (*tokenizer.front_end.alphabet, *sorted(extra))
        tokenizer.symbols = SymbolTable.of(alphabet)
        return tokenizer

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def size(self) -> int:
        """The number of ids, special symbols included: `size` of a model's input of tokens."""
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]

    def read(self, text: str) -> Reading:
        """Return what a text becomes. Unknown symbols are left out of the ids and listed.

        Raises:
            EnvironmentFault: the front end needs a package or a program that is missing.
        """
        spoken = self.front_end.normalize(text)
        symbols = self.front_end.symbols(spoken)
        unknown = [place for place, symbol in enumerate(symbols) if symbol not in self.symbols]
        known = [symbol for symbol in symbols if symbol in self.symbols]
        ids = self.ids_of(known)
        return Reading(spoken, tuple(known), ids, tuple(unknown), tuple(symbols))

    def encode(self, text: str, where: str = "", report: Report = warn) -> np.ndarray:
        """Return the ids of a text, int32 `(tokens,)`.

        Args:
            text: the text.
            where: the place of the text, for messages, such as "lines.txt: line 3".
            report: receives a line if unknown symbols are left out.

        Raises:
            DataError: the text has nothing to pronounce, or has unknown symbols; the message names
                them.
            EnvironmentFault: the front end needs a package or a program that is missing.
        """
        reading = self.read(text)
        self.check(reading, text, where, report)
        return reading.ids

    def check(
        self, reading: Reading, text: str = "", where: str = "", report: Report = warn
    ) -> None:
        """Check that a reading can be spoken, as `encode` does.

        Raises:
            DataError: the reading has nothing to pronounce, or has unknown symbols.
        """
        place = f"{where}: " if where else ""
        fault = describe_unknown(reading.spoken, reading.unknown, self.front_end.name)
        sounds = any(symbol not in PUNCTUATION for symbol in reading.symbols)
        if fault and (self.unknown == "error" or not sounds):
            raise DataError(
                f"{place}{fault} Remove it, write it in words, or choose another front end."
            )
        if not sounds:
            start = escape(text if len(text) <= 40 else f"{text[:40]}...")
            received = f"'{start}'" if clean(text) else "an empty text"
            raise DataError(f"{place}Expected a text to pronounce. Received: {received}.")
        if fault:
            report(f"{place}{fault} It is left out.")

    def ids_of(self, symbols: Sequence[str]) -> np.ndarray:
        """Return the ids of symbols, with blanks and marks, int32 `(tokens,)`.

        Raises:
            UsageError: the table lacks a symbol.
        """
        table = self.symbols.ids
        try:
            ids = [table[symbol] for symbol in symbols]
        except KeyError as error:
            raise UsageError(f"Expected symbols of the table. Received: {error}.") from None
        if self.add_blank:
            spaced = [table[self.symbols.blank]] * (2 * len(ids) + 1)
            spaced[1::2] = ids
            ids = spaced
        if self.marks:
            ids = [table[self.symbols.begin], *ids, table[self.symbols.end]]
        return np.array(ids, np.int32)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the symbol of each id, blanks and marks included.

        Raises:
            UsageError: an id is outside of the table.
        """
        names = self.symbols.symbols
        ids = [int(id) for id in ids]
        wrong = [id for id in ids if not 0 <= id < len(names)]
        if wrong:
            raise UsageError(f"Expected ids from 0 to {len(names) - 1}. Received: {wrong[0]}.")
        return [names[id] for id in ids]

    def places(self, count: int) -> np.ndarray:
        """Return the place in the ids of each of `count` symbols, between blanks and marks."""
        return int(self.marks) + (np.arange(count) * 2 + 1 if self.add_blank else np.arange(count))

    def get_config(self) -> dict[str, Any]:
        """Return the tokenizer as data that JSON can store."""
        return {
            "front_end": self.front_end.get_config(),
            "symbols": self.symbols.get_config(),
            "add_blank": self.add_blank,
            "marks": self.marks,
            "unknown": self.unknown,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Tokenizer":
        """Create a tokenizer from the data that `get_config` returns.

        Raises:
            UsageError: the data describe no tokenizer.
        """
        if not isinstance(config, Mapping) or set(config) != set(_FIELDS):
            raise UsageError(
                f"Expected a tokenizer with {', '.join(_FIELDS)}. Received: {str(config)[:80]!r}."
            )
        for key in ("add_blank", "marks"):
            if type(config[key]) is not bool:
                raise UsageError(
                    f"Expected {key} to be true or false. Received: {str(config[key])[:80]!r}."
                )
        return cls(
            front_end_from_config(config["front_end"]),
            SymbolTable.from_config(config["symbols"]),
            add_blank=config["add_blank"],
            marks=config["marks"],
            unknown=config["unknown"] if isinstance(config["unknown"], str) else "",
        )
