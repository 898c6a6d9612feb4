"""Normalize English text: write numbers, dates, times, money, units and abbreviations as words."""

import re
from collections.abc import Callable

from singlow.text.cleaning import clean, fold_accents
from singlow.text.numbers import cardinal, decimal, ordinal, plural, spell, year
from singlow.text.sentences import OPENERS

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_MONTH = {name: name for name in _MONTHS}
_MONTH |= {name[:3]: name for name in _MONTHS} | {"Sept": "September"}
_MONTH_NAMES = "|".join(sorted(_MONTH, key=len, reverse=True))
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_SCALE = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion",
    "B": "billion", "b": "billion", "tn": "trillion", "T": "trillion",
}  # fmt: skip
_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "\u00a5": ("yen", "yen", "sen", "sen"),
    "\u20b9": ("rupee", "rupees", "paisa", "paise"),
    "\u20a9": ("won", "won", "jeon", "jeon"),
}
_UNITS = {
    "%": ("percent", "percent"),
    "\u00b0C": ("degree Celsius", "degrees Celsius"),
    "\u00b0F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "\u00b0": ("degree", "degrees"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "nm": ("nanometer", "nanometers"),
    "\u03bcm": ("micrometer", "micrometers"),
    "m": ("meter", "meters"),
    "mi": ("mile", "miles"),
    "yd": ("yard", "yards"),
    "ft": ("foot", "feet"),
    "ha": ("hectare", "hectares"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "L": ("liter", "liters"),
    "l": ("liter", "liters"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "dB": ("decibel", "decibels"),
    "V": ("volt", "volts"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
}
_TITLES = {
    "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Prof": "Professor",
    "Capt": "Captain", "Cmdr": "Commander", "Col": "Colonel", "Gen": "General",
    "Lt": "Lieutenant", "Maj": "Major", "Sgt": "Sergeant", "Cpl": "Corporal", "Pvt": "Private",
    "Adm": "Admiral", "Rev": "Reverend", "Hon": "Honorable", "Gov": "Governor",
    "Pres": "President", "Sen": "Senator", "Rep": "Representative", "Mt": "Mount",
    "Ft": "Fort",
}  # fmt: skip
_SHORT = {
    "Jr": "Junior", "Sr": "Senior", "Esq": "Esquire", "Co": "Company", "Ltd": "Limited",
    "Inc": "Incorporated", "Corp": "Corporation", "Bros": "Brothers", "etc": "et cetera",
    "vs": "versus", "approx": "approximately", "dept": "department", "Dept": "Department",
    "Univ": "University", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Hwy": "Highway",
    "e.g": "for example", "E.g": "For example", "i.e": "that is", "I.e": "That is",
    "Ph.D": "P H D", "a.k.a": "also known as", "Mon": "Monday", "Tue": "Tuesday",
    "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thurs": "Thursday",
    "Fri": "Friday",
    **{short: name for short, name in _MONTH.items() if short not in (*_MONTHS, "Jun", "Jul")},
}  # fmt: skip
_MIDDLE = frozenset(("vs", "approx", "e.g", "E.g", "i.e", "I.e", "a.k.a"))  # never at the end
_COUNTED = {
    "No": "number", "Nos": "numbers", "no": "number", "nos": "numbers", "p": "page",
    "pp": "pages", "vol": "volume", "Vol": "Volume", "fig": "figure", "Fig": "Figure",
    "figs": "figures", "ch": "chapter", "Ch": "Chapter", "sec": "section", "Sec": "Section",
    "art": "article", "Art": "Article",
}  # fmt: skip
_FRACTIONS = {
    "\u00bd": "1/2", "\u2153": "1/3", "\u2154": "2/3", "\u00bc": "1/4", "\u00be": "3/4",
    "\u2155": "1/5", "\u2156": "2/5", "\u2157": "3/5", "\u2158": "4/5", "\u2159": "1/6",
    "\u215a": "5/6", "\u215b": "1/8", "\u215c": "3/8", "\u215d": "5/8", "\u215e": "7/8",
}  # fmt: skip
_ROMAN = {
    "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10,
    "XI": 11, "XII": 12, "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18,
    "XIX": 19, "XX": 20,
}  # fmt: skip
_RULERS = (
    "Henry|Louis|George|Edward|Charles|James|William|Richard|Philip|Napoleon|Frederick|Pius"
    "|Alexander|Nicholas|Peter|Catherine|Elizabeth|Mary|Benedict|Gregory|Leo|Innocent|Clement"
    "|Urban|Paul|Rameses|Ramses|Ptolemy|Robert|Otto|Christian|Gustav|Ferdinand|Francis"
)
_PARTS = "Chapter|Part|Volume|Book|Act|Scene|Section|Article|War|Phase|Type|Class|Title|Appendix"
_SIGNS = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "#": "number", "%": "percent",
    "\u00b0": "degrees", "\u00d7": "times", "\u00f7": "divided by", "\u00b1": "plus or minus",
    "<": "less than", ">": "greater than", "~": "about", "\u2248": "about", "/": "slash",
    "*": "times", "\u00a9": "copyright", "\u00a7": "section", "^": "to the power of",
    **{sign: names[1] for sign, names in _MONEY.items()},
}  # fmt: skip

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def normalize_english(text: str) -> str:
    """Write everything in an English text as the words that a reader says.

    Numbers, ordinals, fractions, ranges, money, dates, years, times of day, units, abbreviations,
    signs, and addresses of the web become words. The case of letters and the punctuation stay.
    Accents of Latin letters are removed. Characters that are not English stay as they are.

    Example:
        >>> normalize_english("Dr. Lee paid $1,234.50 on 3 May 1844.")
        'Doctor Lee paid one thousand two hundred thirty-four dollars and fifty cents on the third of May, eighteen forty-four.'
    """  # noqa: E501
    for sign, fraction in _FRACTIONS.items():
        if sign in text:
            text = re.sub(rf"(?<=\d){sign}", f" {fraction}", text).replace(sign, fraction)
    text = re.sub(r"(?<=[A-Za-z0-9)])\u00b2", " squared", text)
    text = re.sub(r"(?<=[A-Za-z0-9)])\u00b3", " cubed", text)
    text = fold_accents(clean(text))
    for pattern, write in _RULES:
        text = pattern.sub(write, text)
    text = re.sub(r"\d+", lambda match: cardinal(match[0]), text)
    for sign, words in _SIGNS.items():
        if sign in text:
            text = text.replace(sign, f" {words} ")
    text = re.sub(r"\s+([,.;:?!)])", r"\1", text)
    return " ".join(text.split())


def _amount(number: str) -> str:
    """Return the words of a number with separators of thousands and a fraction."""
    whole, point, fraction = number.replace(",", "").partition(".")
    return decimal(whole, fraction) if point else cardinal(whole)


def _count(number: str, one: str, many: str) -> str:
    return f"{_amount(number)} {one if number == '1' else many}"


def _ends(match: re.Match[str]) -> str:
    """Return "." if the abbreviation that was matched seems to end its sentence, else ""."""
    rest = match.string[match.end() :]
    return "." if not rest.strip() or re.match(r"[\"')]*\s+[\"'(]*[A-Z]", rest) else ""


def _web(match: re.Match[str]) -> str:
    address = re.sub(r"^https?://", "", match[0].rstrip(".,;:?!)"))
    tail = match[0][len(match[0].rstrip(".,;:?!)")) :]
    words = {".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore "}
    address = re.sub(r"[./@_-]", lambda sign: words[sign[0]], address.rstrip("/"))
    return re.sub(r"\bwww\b", "w w w", address).strip() + tail


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match["hour"]), match["minute"], match["half"]
    if hour > 24 or (minute and int(minute) > 59):
        return match[0]
    words = [cardinal(str(hour))]
    if minute and int(minute):
        words.append(f"oh {cardinal(minute[1])}" if minute[0] == "0" else cardinal(minute))
    elif not half:
        words.append("o'clock" if 1 <= hour <= 12 else "hundred")
    if half:
        words.append(f"{half[0].lower()} m")
        return " ".join(words) + (_ends(match) if match[0].endswith(".") else "")
    return " ".join(words)


def _money(match: re.Match[str]) -> str:
    one, many, cent, cents = _MONEY[match["sign"]]
    number, scale = match["number"].replace(",", ""), match["scale"]
    minus = "minus " if match["minus"] else ""
    if scale:
        word = _SCALE.get(scale.strip(), scale.strip())
        return f"{minus}{_amount(number)} {word} {many}"
    whole, _, fraction = number.partition(".")
    if fraction and len(fraction) != 2:
        return f"{minus}{_amount(number)} {many}"
    parts = []
    if int(whole[:30]) or not int(fraction or "0"):
        parts.append(_count(whole.lstrip("0") or "0", one, many))
    if int(fraction or "0"):
        parts.append(_count(fraction.lstrip("0"), cent, cents))
    return minus + " and ".join(parts)


def _day_month(day: str, month: str, years: str | None) -> str:
    words = f"the {ordinal(day)} of {month}"
    return f"{words}, {_year(years)}" if years else words


def _month_day(month: str, day: str, years: str | None) -> str:
    words = f"{month} {ordinal(day)}"
    return f"{words}, {_year(years)}" if years else words


def _year(digits: str) -> str:
    return year(int(digits)) if len(digits) == 4 and digits[0] != "0" else cardinal(digits)


def _numeric_date(match: re.Match[str]) -> str:
    first, second = int(match["first"]), int(match["second"])
    if first <= 12 and 1 <= second <= 31 and first:
        return _month_day(_MONTHS[first - 1], match["second"], match["year"])
    if second <= 12 and 1 <= first <= 31 and second:
        return _month_day(_MONTHS[second - 1], match["first"], match["year"])
    return match[0]


def _iso_date(match: re.Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return _month_day(_MONTHS[month - 1], match["day"], match["year"])


def _decade(match: re.Match[str]) -> str:
    digits = match["decade"]
    if len(digits) == 2:
        return plural(cardinal(digits)) if digits[0] != "0" else match[0]
    return plural(year(int(digits)))


def _range(match: re.Match[str]) -> str:
    ends = (match["low"], match["high"])
    years = all(_is_year(end) for end in ends)
    words = [year(int(end)) if years else _amount(end) for end in ends]
    if _is_year(ends[0]) and len(ends[1]) == 2 and not years:
        words = [year(int(ends[0])), cardinal(ends[1])]
    return " to ".join(words)


def _is_year(number: str) -> bool:
    return len(number) == 4 and number.isdigit() and 1100 <= int(number) <= 2099


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match["whole"], match["top"], match["bottom"]
    if int(bottom) < 2:
        return match[0]
    name = {"2": ("half", "halves"), "4": ("quarter", "quarters")}.get(bottom)
    one, many = name or (ordinal(bottom), f"{ordinal(bottom)}s")
    words = f"{cardinal(top)} {one if top == '1' else many}"
    if whole:
        return f"{_amount(whole.strip())} and {f'a {one}' if top == '1' else words}"
    return words


def _plain_number(match: re.Match[str]) -> str:
    minus = "minus " if match["minus"] else ""
    number = match["number"]
    return minus + (year(int(number)) if not minus and _is_year(number) else _amount(number))


def _street_or_saint(match: re.Match[str]) -> str:
    street, person = {"St": ("Street", "Saint"), "Dr": ("Drive", "Doctor")}[match["short"]]
    before, after = match.string[: match.start()], match.string[match.end() :]
    named = re.search(r"\b(?!The )(?:[A-Z][a-z]+|[a-z-]*(?:first|second|third|th)) $", before[-40:])
    follows = re.match(r"\s+([A-Z]\w*)", after)
    if not named or (follows and follows[1].lower() not in OPENERS):
        return person
    return street + _ends(match)


def _roman(match: re.Match[str]) -> str:
    number = str(_ROMAN[match["roman"]])
    name = match["name"]
    part = name.split()[-1] in _PARTS.split("|")
    return f"{name} {cardinal(number)}" if part else f"{name} the {ordinal(number)}"


def _initials(match: re.Match[str]) -> str:
    letters = match[0].replace(".", " ").strip()
    return letters + (_ends(match) if len(letters) > 1 else "")


def _keys(words: dict[str, object]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


_ROMANS = _keys(_ROMAN)
_RULES: tuple[Rule, ...] = (
    (re.compile(r"\b(?:https?://|www\.)[^\s\"<>]+"), _web),
    (re.compile(r"\b[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"), _web),
    (re.compile(r"\b[A-Za-z][A-Za-z0-9-]{1,62}\.(?:com|org|net|edu|gov|io)\b"), _web),
    (
        re.compile(r"\b(?P<year>[12]\d{3})-(?P<month>\d{2})-(?P<day>\d{2})\b"),
        _iso_date,
    ),
    (
        re.compile(r"(?<![\d/])(?P<first>\d{1,2})/(?P<second>\d{1,2})/(?P<year>\d{4})(?![\d/])"),
        _numeric_date,
    ),
    (
        re.compile(
            rf"\b(?:the )?(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)?(?: of)? (?P<month>{_MONTH_NAMES})"
            r"\b\.?(?:,? (?P<year>\d{4})\b(?!,\d))?"
        ),
        lambda match: _day_month(match["day"], _MONTH[match["month"]], match["year"]),
    ),
    (
        re.compile(
            rf"\b(?P<month>{_MONTH_NAMES})\b\.? (?:the )?(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)?\b"
            r"(?![:.]?\d)(?:,? (?P<year>\d{4})\b(?!,\d))?"
        ),
        lambda match: _month_day(_MONTH[match["month"]], match["day"], match["year"]),
    ),
    (
        re.compile(
            r"(?<![\d:.])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?![\d:])"
            r"(?:\s?(?P<half>[ap]\.m\.|[AP]\.M\.|[ap]m\b|[AP]M\b))?"
        ),
        _time,
    ),
    (
        re.compile(
            r"(?<![\d:.,])(?P<hour>\d{1,2})(?P<minute>)\s?(?P<half>[ap]\.m\.|[AP]\.M\.|[ap]m\b|[AP]M\b)"
        ),
        _time,
    ),
    (
        re.compile(
            rf"(?P<minus>(?<!\w)-)?(?:US)?(?P<sign>[{re.escape(''.join(_MONEY))}])\s?"
            rf"(?P<number>{_NUMBER})(?P<scale>\s(?:thousand|million|billion|trillion)\b"
            r"|(?:k|K|m|M|bn|B|b|tn|T)\b)?"
        ),
        _money,
    ),
    (
        re.compile(rf"\b(?P<number>{_NUMBER})\s?\u00a2"),
        lambda match: _count(match["number"], "cent", "cents"),
    ),
    (re.compile(r"(?<![\w,.])'?(?P<decade>1[1-9]\d0|20\d0|[2-9]0)'?s\b"), _decade),
    (
        re.compile(
            rf"(?P<minus>(?<![\w.])-)?(?<![\w.])(?P<low>{_NUMBER}(?:-|\sto\s))?"
            rf"(?P<number>{_NUMBER})[\s-]?(?P<unit>{_keys(_UNITS)})(?![\w\u00b0])"
            r"(?P<power> squared| cubed)?"
        ),
        lambda match: _measure(match),
    ),
    (
        re.compile(rf"\b(?P<short>{_keys(_COUNTED)})\.\s?(?=\d)"),
        lambda match: f"{_COUNTED[match['short']]} ",
    ),
    (
        re.compile(r"(?<![\d,.])(?P<number>\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b"),
        lambda match: ordinal(match["number"].replace(",", "")),
    ),
    (re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)"), lambda match: " "),
    (re.compile(r"\b\d+(?:\.\d+){2,}\b"), lambda match: match[0].replace(".", " point ")),
    (re.compile(r"(?<=\d):(?=\d)"), lambda match: " to "),
    (
        re.compile(r"(?<![\d-])(?P<area>\d{3})-(?:(?P<mid>\d{3})-)?(?P<end>\d{4})(?![\d-])"),
        lambda match: ", ".join(spell(part) for part in match.groups() if part),
    ),
    (
        re.compile(rf"(?<![\w.,-])(?P<low>{_NUMBER})-(?P<high>{_NUMBER})(?![\w-]|[.,]\d)"),
        _range,
    ),
    (
        re.compile(r"(?<![\d/.,])(?P<whole>\d+ )?(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\d/])"),
        _fraction,
    ),
    (
        re.compile(rf"(?P<minus>(?<![\w.)-])-)?(?<![\d.,])(?P<number>{_NUMBER}|\.\d+)(?![\d])"),
        _plain_number,
    ),
    (re.compile(rf"\b(?P<name>(?:{_RULERS})|(?:{_PARTS})) (?P<roman>{_ROMANS})\b"), _roman),
    (
        re.compile(r"\b(?P<short>St|Dr)\b\.?(?=\s|$|[,;:?!)])"),
        _street_or_saint,
    ),
    (
        re.compile(rf"\b(?P<short>{_keys(_TITLES)})\.(?=\s+[A-Z])"),
        lambda match: _TITLES[match["short"]],
    ),
    (
        re.compile(r"\b(?P<short>Mr|Mrs|Ms)\b\.?(?=\s)"),
        lambda match: _TITLES[match["short"]],
    ),
    (
        re.compile(rf"\b(?P<short>{_keys(_SHORT)})\."),
        lambda match: _SHORT[match["short"]] + ("" if match["short"] in _MIDDLE else _ends(match)),
    ),
    (re.compile(r"(?<![\w.])[A-HJ-Z]\.(?=\s+[A-Z])"), lambda match: match[0][0]),
    (re.compile(r"\b(?:[A-Za-z]\.){2,}"), _initials),
)


def _measure(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    power = match["power"]
    if power:
        one, many = (f"{power.strip().replace('ed', 'e')} {name}" for name in (one, many))
        one, many = (name.replace("cube ", "cubic ") for name in (one, many))
    minus = "minus " if match["minus"] else ""
    low = match["low"]
    if low:
        first = re.match(_NUMBER, low)[0]
        return f"{minus}{_amount(first)} to {_amount(match['number'])} {many}"
    return minus + _count(match["number"], one, many)
