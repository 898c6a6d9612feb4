"""The sounds of Mandarin Chinese."""

import re
from dataclasses import dataclass
from typing import ClassVar

from singlow.text.cleaning import clean
from singlow.text.front_end import FrontEnd, missing_package
from singlow.text.symbols import LETTERS, PUNCTUATION

_INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s y w".split()
_FINALS = (
    "a o e ê i u v ai ei ao ou an en ang eng ong er ia ie io iai iao iu iou ian in iang ing iong "
    "ua uo uai ui uei uan un uen uang ueng ve van vn ue m n ng hm hng"
).split()
_DIGITS = "\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d"
_PLACES = ("", "\u5341", "\u767e", "\u5343")
_GROUPS = ("", "\u4e07", "\u4ebf", "\u5146")
_POINT, _YEAR, _PERCENT = "\u70b9", "\u5e74", "\u767e\u5206\u4e4b"


@dataclass(frozen=True)
class Pinyin(FrontEnd):
    """The initial, the final and the tone of every syllable, from the package pypinyin.

    Tones are "1" to "4", and "5" for the neutral tone. Numbers are read in Chinese, years digit by
    digit. Latin letters stay as they are, in small letters.
    """

    name: ClassVar[str] = "pinyin"
    language: str = "zh"

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Initials, finals, tones, Latin letters, and the punctuation."""
        return tuple(dict.fromkeys((*_INITIALS, *_FINALS, *"12345", *LETTERS, *PUNCTUATION)))

    def normalize(self, text: str) -> str:
        """Return the text with Chinese numbers, and with small Latin letters."""
        text = re.sub(r"(\d+(?:\.\d+)?)%", rf"{_PERCENT}\1", clean(text).lower())
        text = re.sub(rf"\d{{4}}(?={_YEAR})", lambda match: _spell(match[0]), text)
        text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
        return re.sub(r"(\d+)(?:\.(\d+))?", _write_number, text)

    def symbols(self, text: str) -> list[str]:
        """Return initials, finals and tones, and the punctuation.

        Raises:
            EnvironmentFault: pypinyin is not installed.
        """
        try:
            from pypinyin import Style, lazy_pinyin
            from pypinyin.contrib.tone_convert import to_finals, to_initials
        except ImportError:
            raise missing_package(self.name, "pypinyin", "chinese") from None
        # Marking the other characters distinguishes them from syllables such as "a".
        syllables = lazy_pinyin(
            text,
            style=Style.TONE3,
            neutral_tone_with_five=True,
            errors=lambda run: [f"={char}" for char in run],
        )
        symbols: list[str] = []
        for syllable in syllables:
            if syllable.startswith("="):
                symbols.append(syllable[1:])
                continue
            tone = syllable[-1] if syllable[-1].isdigit() else "5"
            initial, final = to_initials(syllable, strict=False), to_finals(syllable, strict=False)
            symbols += [part for part in (initial, final, tone) if part]
        return symbols


def _write_number(match: re.Match[str]) -> str:
    whole = _number(match[1])
    return f"{whole}{_POINT}{_spell(match[2])}" if match[2] else whole


def _spell(digits: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in digits)


def _number(digits: str) -> str:
    """Return a whole number in Chinese; a long one, or one with a leading zero, digit by digit."""
    if len(digits) > 4 * len(_GROUPS) or (len(digits) > 1 and digits[0] == "0"):
        return _spell(digits)
    if int(digits) == 0:
        return _DIGITS[0]
    groups = []
    padded = digits.zfill(-(-len(digits) // 4) * 4)
    count = len(padded) // 4
    for index in range(count):
        group = padded[4 * index : 4 * index + 4]
        if int(group):
            zero = _DIGITS[0] if groups and group[0] == "0" else ""
            groups.append(zero + _group(group) + _GROUPS[count - 1 - index])
    words = "".join(groups)
    ten = _DIGITS[1] + _PLACES[1]
    return words[1:] if words.startswith(ten) else words


def _group(digits: str) -> str:
    words, gap = "", False
    for place, digit in zip(range(3, -1, -1), digits, strict=True):
        if digit == "0":
            gap = bool(words)
            continue
        words += (_DIGITS[0] if gap else "") + _DIGITS[int(digit)] + _PLACES[place]
        gap = False
    return words
