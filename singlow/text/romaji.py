"""The sounds of Japanese that is written in Latin letters or in kana."""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from singlow.text.cleaning import clean
from singlow.text.front_end import FrontEnd
from singlow.text.symbols import PUNCTUATION

_VOWELS = "aiueo"
_CONSONANTS = "kgsztdnhbpmyrwfvjlcqx"
_DIGRAPHS = ("sh", "ch", "ts", *(f"{consonant}y" for consonant in "kgszjtdnhbpmrfv"))
GEMINATE, MORAIC, LONG = "Q", "N", "\u02d0"
_MACRON = {"\u0304", "\u0302"}  # combining macron and circumflex
_UNIT = re.compile(rf"{'|'.join(_DIGRAPHS)}|.", re.DOTALL)

_ROWS = {
    "": "\u3042\u3044\u3046\u3048\u304a",
    "k": "\u304b\u304d\u304f\u3051\u3053",
    "g": "\u304c\u304e\u3050\u3052\u3054",
    "s": "\u3055\u3057\u3059\u305b\u305d",
    "z": "\u3056\u3058\u305a\u305c\u305e",
    "t": "\u305f\u3061\u3064\u3066\u3068",
    "d": "\u3060\u3062\u3065\u3067\u3069",
    "n": "\u306a\u306b\u306c\u306d\u306e",
    "h": "\u306f\u3072\u3075\u3078\u307b",
    "b": "\u3070\u3073\u3076\u3079\u307c",
    "p": "\u3071\u3074\u3077\u307a\u307d",
    "m": "\u307e\u307f\u3080\u3081\u3082",
    "r": "\u3089\u308a\u308b\u308c\u308d",
}
_KANA = {
    char: consonant + vowel
    for consonant, row in _ROWS.items()
    for char, vowel in zip(row, _VOWELS, strict=True)
} | {
    "\u3057": "shi", "\u3058": "ji", "\u3061": "chi", "\u3062": "ji", "\u3064": "tsu",
    "\u3065": "zu", "\u3075": "fu", "\u3084": "ya", "\u3086": "yu", "\u3088": "yo",
    "\u308f": "wa", "\u3090": "i", "\u3091": "e", "\u3092": "o", "\u3094": "vu",
}  # fmt: skip
_SMALL = {
    "\u3041": "a", "\u3043": "i", "\u3045": "u", "\u3047": "e", "\u3049": "o",
    "\u3083": "ya", "\u3085": "yu", "\u3087": "yo", "\u308e": "wa",
}  # fmt: skip
_SOKUON, _N, _CHOON = "\u3063", "\u3093", "\u30fc"


@dataclass(frozen=True)
class Romaji(FrontEnd):
    """The sounds of Japanese in Latin letters (Hepburn or Kunrei) or in kana, without a dictionary.

    A symbol is a vowel, a consonant such as "k", "sh" or "ky", "N" for an n that is a mora of its
    own, "Q" for the first half of a double consonant, or "\u02d0" for the second half of a long
    vowel. Chinese characters are unknown; the front end `japanese` reads them.
    """

    name: ClassVar[str] = "romaji"
    language: str = "ja"

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Vowels, consonants, and the punctuation."""
        return (*_VOWELS, *_CONSONANTS, *_DIGRAPHS, MORAIC, GEMINATE, LONG, *PUNCTUATION)

    def normalize(self, text: str) -> str:
        """Return the text in small Latin letters, with "\u02d0" after a long vowel."""
        return _mark_length(_to_latin(clean(text)).lower())

    def symbols(self, text: str) -> list[str]:
        """Return the sounds."""
        units, symbols = _UNIT.findall(text), []
        for place, unit in enumerate(units):
            follows = units[place + 1] if place + 1 < len(units) else ""
            if unit == "'" and symbols[-1:] == [MORAIC]:
                continue
            if unit == "n" and not (_is_sound(follows) and follows[0] in "aiueoy"):
                symbols.append(MORAIC)
            elif len(unit) == 1 and unit in _CONSONANTS and _doubles(unit, follows):
                symbols.append(GEMINATE)
            else:
                symbols.append(unit)
        return symbols


def _is_sound(unit: str) -> bool:
    return bool(unit) and (unit in _VOWELS or unit in _CONSONANTS or unit in _DIGRAPHS)


def _doubles(unit: str, follows: str) -> bool:
    """Return whether a consonant is the first half of a double one, as in "kk", "ssh" or "tch"."""
    return follows[:1] == unit or (unit == "t" and follows == "ch")


def _mark_length(text: str) -> str:
    parts = []
    for char in unicodedata.normalize("NFD", text):
        parts.append(LONG if char in _MACRON else char)
    return unicodedata.normalize("NFC", "".join(parts))


def _to_latin(text: str) -> str:
    """Replace hiragana and katakana by Hepburn's letters; everything else stays."""
    text = "".join(chr(ord(char) - 0x60) if "\u30a1" <= char <= "\u30f6" else char for char in text)
    parts: list[str] = []
    double = False
    for char in text:
        if char == _SOKUON:
            double = True
            continue
        if char in _SMALL and parts and parts[-1][-1] in _VOWELS:
            parts[-1] = _joined(parts[-1], _SMALL[char])
            continue
        if char == _CHOON:
            parts.append(LONG)
        elif char == _N:
            parts.append("n'")
        else:
            latin = _KANA.get(char) or _SMALL.get(char)
            if latin and double:
                latin = ("t" if latin.startswith("ch") else latin[0]) + latin
            parts.append(latin or char)
        double = False
    return "".join(parts)


def _joined(syllable: str, small: str) -> str:
    """Return a syllable with a small kana after it: "ki" and "ya" give "kya"; "fu", "a": "fa"."""
    if len(syllable) == 1:
        return f"w{small}" if syllable == "u" and small[0] in _VOWELS else syllable + small
    head = syllable[:-1]
    if small[0] == "y" and head.endswith(("sh", "ch", "j")):
        return head + small[1:]
    return head + small
