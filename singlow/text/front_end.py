"""What turns a text into symbols."""

import dataclasses
import unicodedata
from typing import Any, ClassVar

from singlow.errors import EnvironmentFault, UsageError
from singlow.text.cleaning import clean
from singlow.text.english import normalize_english
from singlow.text.symbols import LETTERS, PUNCTUATION


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Turn a text into symbols. A front end is data: its name and its fields are its configuration.

    Subclasses define `name`, `alphabet` and `symbols`, and are listed in `FRONT_ENDS`.

    Args:
        language: code of the language, for instance "en" or "de".

    Attributes:
        name: name in `FRONT_ENDS`.
    """

    name: ClassVar[str] = ""
    language: str = "en"

    def __post_init__(self) -> None:
        language = self.language
        code = isinstance(language, str) and len(language) <= 32
        if not code or not (language.isascii() and language.replace("-", "").isalnum()):
            raise UsageError(
                "Expected the code of a language, such as en or de. "
                f"Received: {str(language)[:80]!r}."
            )

    @property
    def alphabet(self) -> tuple[str, ...]:
        """All symbols that the front end makes of texts that it knows, punctuation included."""
        raise NotImplementedError

    def normalize(self, text: str) -> str:
        """Return the text as it is spoken: clean, and in English without digits and signs."""
        return normalize_english(text) if self.is_english else clean(text)

    def symbols(self, text: str) -> list[str]:
        """Return the symbols of a normalized text. A character that is unknown stays as it is."""
        raise NotImplementedError

    @property
    def is_english(self) -> bool:
        """Whether the language is English."""
        return self.language.partition("-")[0].lower() == "en"

    def get_config(self) -> dict[str, Any]:
        """Return the front end as data that JSON can store."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Characters(FrontEnd):
    """The characters of the text itself.

    Args:
        language: code of the language. English is normalized first.
        lower: whether capital letters become small letters.
    """

    name: ClassVar[str] = "characters"
    lower: bool = True

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The letters of the Latin alphabet and the punctuation."""
        letters = LETTERS if self.lower else LETTERS.upper() + LETTERS
        return (*letters, *PUNCTUATION)

    def normalize(self, text: str) -> str:
        """Return the text as it is spoken, in small letters if `lower` is set."""
        text = super().normalize(text)
        return text.lower() if self.lower else text

    def symbols(self, text: str) -> list[str]:
        """Return the characters."""
        return list(text)


def missing_package(front_end: str, package: str, extra: str) -> EnvironmentFault:
    """Return the error for an optional package that is not installed."""
    return EnvironmentFault(
        f"The front end {front_end} needs the package {package}, which is not installed. "
        f'Run: pip3 install "singlow[{extra}]"'
    )


def is_spoken(char: str, latin: bool = False) -> bool:
    """Return whether a program that reads texts aloud has a sound for a character.

    Args:
        char: a character.
        latin: whether only letters of the Latin alphabet have one.
    """
    if char.isspace() or char in PUNCTUATION:
        return True
    if latin and char.isalpha():
        return "LATIN" in unicodedata.name(char, "")
    return unicodedata.category(char)[0] in "LMN"
