"""English words for numbers."""

from singlow.errors import UsageError

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = (
    *("", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion"),
    *("sextillion", "septillion", "octillion", "nonillion", "decillion"),
)
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
LONGEST = 3 * len(_SCALES)
"""Most digits of a number that has a name. Longer numbers are read digit by digit."""


def cardinal(digits: str) -> str:
    """Return the words of a whole number, such as "one hundred twenty-three" for "123".

    A number with a leading zero, or with more than `LONGEST` digits, is read digit by digit.

    Raises:
        UsageError: `digits` has other characters than 0 to 9.
    """
    if not digits or not (digits.isascii() and digits.isdigit()):
        raise UsageError(f"Expected digits from 0 to 9. Received: {digits[:40]!r}.")
    if (digits[0] == "0" and len(digits) > 1) or len(digits) > LONGEST:
        return spell(digits)
    if digits == "0":
        return _ONES[0]
    words = []
    padded = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [int(padded[start : start + 3]) for start in range(0, len(padded), 3)]
    for scale, group in zip(_SCALES[len(groups) - 1 :: -1], groups, strict=True):
        if group:
            words += [_below_thousand(group), scale]
    return " ".join(filter(None, words))


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"] if hundreds else []
    if rest:
        words.append(_below_hundred(rest))
    return " ".join(words)


def _below_hundred(number: int) -> str:
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]}-{_ONES[ones]}" if ones else _TENS[tens]


def spell(digits: str) -> str:
    """Return the words of single digits, such as "zero zero seven" for "007"."""
    return " ".join(_ONES[int(digit)] for digit in digits)


def decimal(whole: str, fraction: str) -> str:
    """Return the words of a decimal number, such as "three point one four"."""
    return f"{cardinal(whole or '0')} point {spell(fraction)}"


def ordinal(digits: str) -> str:
    """Return the words of an ordinal number, such as "twenty-third" for "23"."""
    words = cardinal(digits.lstrip("0") or "0")
    mark = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[mark:]
    if last in _ORDINALS:
        last = _ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last += "th"
    return words[:mark] + last


def year(number: int) -> str:
    """Return the words of a year from 1000 to 9999, such as "nineteen oh five" for 1905."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(str(number))
    if rest == 0:
        return f"{_below_hundred(century)} hundred"
    low = f"oh {_ONES[rest]}" if rest < 10 else _below_hundred(rest)
    return f"{_below_hundred(century)} {low}"


def plural(words: str) -> str:
    """Return the plural of the words of a number, such as "nineteen nineties"."""
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return words + ("es" if words.endswith("x") else "s")
