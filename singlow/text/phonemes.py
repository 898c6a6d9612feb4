"""Phonemes in the letters of the International Phonetic Alphabet (IPA)."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from singlow.errors import EnvironmentFault, UsageError
from singlow.text.front_end import FrontEnd, is_spoken, missing_package
from singlow.text.originals import ARPABET
from singlow.text.programs import run_program
from singlow.text.symbols import PUNCTUATION

IPA = (
    "abcdefhijklmnopqrstuvwxyzæçðøħŋœǀǁǂǃɐɑɒɓɔɕɖɗɘəɚɛɜɝɞɟɠɡɢɣɤɥɦɧɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍ"
    "ʎʏʐʑʒʔʕʘʙʛʜʝʟʡʢʰʲʷˈˌːˑ˞βθχᵊᵻⱱ\u0303\u0329\u032f\u0325\u032a\u031e\u0308"
    "1234567"
)
"""Letters of the IPA, its marks of stress, length, nasality, syllables and voice, and tones."""
_DROPPED = str.maketrans("", "", "\u0361\u035c\u200d\u200c")  # ties and joiners
_MARKS = re.compile(r"\s*[" + re.escape(PUNCTUATION[1:].replace("'", "")) + r"]+\s*")
_DASH = re.compile(r"(\s-(?=\s))")
_LANGUAGES = {"en": "en-us"}
_STRESS = {"\u02c8": "1", "\u02cc": "2"}
_FROM_IPA = {
    "ɑ": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɔ": "AO", "aʊ": "AW", "aɪ": "AY", "ɛ": "EH",
    "ɚ": "ER", "ɝ": "ER", "eɪ": "EY", "ɪ": "IH", "i": "IY", "oʊ": "OW", "ɔɪ": "OY", "ʊ": "UH",
    "u": "UW", "b": "B", "t͡ʃ": "CH", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "h": "HH",
    "d͡ʒ": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S",
    "ʃ": "SH", "t": "T", "θ": "TH", "v": "V", "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH",
}  # fmt: skip


@dataclass(frozen=True)
class Gruut(FrontEnd):
    """Phonemes from the dictionaries and models of the package gruut, without a network.

    Every letter of the IPA is a symbol, and so are marks of stress and length, spaces, and the
    punctuation.

    Args:
        language: code of the language, for instance "en-us"; "en" is "en-us". Other languages
            than English need a package of their own, for instance gruut-lang-de.
        notation: "ipa", or "arpabet" for the phonemes of the CMU dictionary, such as "@AH0", on
            which the Glow-TTS and Flowtron of their authors were trained; English alone.
    """

    name: ClassVar[str] = "gruut"
    notation: str = "ipa"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.notation not in ("ipa", "arpabet"):
            raise UsageError(
                f"Expected notation ipa or arpabet. Received: {str(self.notation)[:80]!r}."
            )
        if self.notation == "arpabet" and not self.is_english:
            raise UsageError(
                f"Expected English for the notation arpabet. Received: language {self.language!r}."
            )

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The letters of the notation, and the punctuation."""
        if self.notation == "arpabet":
            return (*(f"@{phoneme}" for phoneme in ARPABET), *PUNCTUATION)
        return (*IPA, *PUNCTUATION)

    def symbols(self, text: str) -> list[str]:
        """Return the phonemes, with spaces between words, and the punctuation.

        Raises:
            EnvironmentFault: gruut, or its data for the language, is not installed.
        """
        symbols: list[str] = []
        for known, part in _parts(text, self.is_english):
            if not known:
                symbols.append(part)
                continue
            for place, piece in enumerate(_DASH.split(part)):
                # gruut leaves out dashes between words, which are the pieces with odd places.
                symbols += piece if place % 2 else self._phonemes(piece)
        return symbols

    def _phonemes(self, text: str) -> list[str]:
        symbols = [" "] * text.startswith(" ")
        words = (word for sentence in self._sentences(text) for word in sentence)
        for word in words:
            spaced = word.text_with_ws
            if spaced.startswith(" ") and symbols[-1:] != [" "]:
                symbols.append(" ")
            if word.phonemes and not (word.is_major_break or word.is_minor_break):
                for phoneme in word.phonemes:
                    symbols += self._write(phoneme)
            elif any(map(str.isalnum, spaced)):
                symbols.append(spaced.strip())  # an unknown word
            else:
                symbols += spaced.strip()
            if spaced.endswith(" ") and symbols[-1:] != [" "]:
                symbols.append(" ")
        if not text.endswith(" ") and symbols[-1:] == [" "]:
            symbols.pop()
        return symbols

    def _sentences(self, text: str) -> list[Any]:
        try:
            import gruut
        except ImportError:
            raise missing_package(self.name, "gruut", "phonemes") from None
        code = self.language.partition("-")[0].lower()
        if find_spec(f"gruut_lang_{code}") is None:
            raise EnvironmentFault(
                f"The front end gruut needs data for the language {self.language!r}, which is not "
                f"installed. Run: pip3 install gruut-lang-{code}, or choose the front end espeak."
            )
        if not gruut.is_language_supported(self._language):
            known = sorted(each for each in gruut.get_supported_languages() if each[:2] == code)
            raise UsageError(
                f"Expected a language that gruut reads, such as {', '.join(known)}. "
                f"Received: {self.language!r}."
            )
        return list(gruut.sentences(text, lang=self._language))

    @property
    def _language(self) -> str:
        return _LANGUAGES.get(self.language, self.language)

    def _write(self, phoneme: str) -> list[str]:
        if self.notation == "ipa":
            return letters_of(phoneme)
        stress = next((_STRESS[mark] for mark in phoneme if mark in _STRESS), "0")
        plain = phoneme.lstrip("\u02c8\u02cc")
        name = _FROM_IPA.get(plain)
        if name is None:
            return [phoneme]
        if name == "AH" and plain == "ə":
            stress = "0"
        return [f"@{name}{stress}" if f"{name}0" in ARPABET else f"@{name}"]


@dataclass(frozen=True)
class Espeak(FrontEnd):
    """Phonemes from the program `espeak-ng`, which has to be in PATH; it is not part of singlow.

    Every letter of the IPA is a symbol, and so are marks of stress and length, spaces, and the
    punctuation.

    Args:
        language: a voice of the program, for instance "en-us" or "de"; "en" is "en-us".
    """

    name: ClassVar[str] = "espeak"

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The letters of the IPA, and the punctuation."""
        return (*IPA, *PUNCTUATION)

    def symbols(self, text: str) -> list[str]:
        """Return the phonemes, with spaces between words, and the punctuation.

        Raises:
            EnvironmentFault: the program is missing, fails or does not know the language.
        """
        symbols: list[str] = []
        for known, part in _parts(text, self.is_english):
            symbols += self._phonemes(part) if known else [part]
        return symbols

    def _phonemes(self, text: str) -> list[str]:
        pieces = _MARKS.split(text)
        marks = [*(" ".join(mark.split(" ")) for mark in _MARKS.findall(text)), ""]
        spoken = iter(self._speak([piece for piece in pieces if piece.strip()]))
        symbols: list[str] = []
        for piece, mark in zip(pieces, marks, strict=True):
            if piece.strip():
                symbols += [" "] * piece.startswith(" ")
                symbols += letters_of(next(spoken))
                symbols += [" "] * piece.endswith(" ")
            symbols += mark
        return symbols

    def _speak(self, pieces: list[str]) -> list[str]:
        """Return the phonemes of each piece, from one call if each piece gives one line."""
        if not pieces:
            return []
        lines = self._run("\n\n".join(pieces))
        if len(lines) == len(pieces):
            return lines
        if len(pieces) == 1:
            return [" ".join(lines)]
        return [" ".join(self._run(piece)) for piece in pieces]

    def _run(self, text: str) -> list[str]:
        language = _LANGUAGES.get(self.language, self.language)
        options = ["-q", "--ipa", "-b", "1", "-v", language, "--stdin"]
        lines = run_program("espeak-ng", options, text).splitlines()
        plain = (re.sub(r"\([^()]*\)", "", line).strip() for line in lines)  # marks of a language
        return [line for line in plain if line]


def letters_of(phonemes: str) -> list[str]:
    """Return the letters of a text in IPA, one symbol each, without ties; spaces are symbols."""
    parts = unicodedata.normalize("NFD", phonemes.translate(_DROPPED))
    return list(parts.replace("c\u0327", "ç").replace("g", "ɡ"))


def _parts(text: str, latin: bool) -> Iterator[tuple[bool, str]]:
    """Yield runs of characters that have a sound, and each other character, with which it is."""
    start = 0
    for place, char in enumerate(text):
        if not is_spoken(char, latin):
            if start < place:
                yield True, text[start:place]
            yield False, char
            start = place + 1
    if start < len(text):
        yield True, text[start:]
