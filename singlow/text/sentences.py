"""Divide a long text into sentences."""

import re

from singlow.errors import UsageError

_NEVER_LAST = frozenset(
    "mr mrs ms dr st messrs prof capt cmdr col gen lt maj sgt cpl pvt adm rev hon gov pres sen rep "
    "mt ft vs e.g i.e a.k.a approx cf".split()
)
"""Abbreviations that another word follows, in lower case and without the last point."""
_MAY_BE_LAST = frozenset(
    "jr sr co ltd inc corp etc a.m p.m u.s u.k ph.d b.c a.d jan feb mar apr jun jul aug sept sep "
    "oct nov dec esq bros dept univ ave blvd rd".split()
)
"""Abbreviations that end a sentence if a capital letter follows."""
_COUNTED = frozenset("no nos vol fig figs ch sec art pp p".split())
"""Abbreviations that a number follows."""
OPENERS = frozenset(
    "the he she it they we i you in a an this that these those but and so for at on as if when his "
    "her their our there then".split()
)
"""Words that begin a sentence, and hardly ever follow an initialism such as "U.S." within one."""
_END = re.compile(
    r"(?:(?P<mark>[.!?]+|\u2026)[\"'\u201d\u2019)\]]*(?=\s|$)|[\u3002\uff01\uff1f]+[\u300d\u300f\u201d]?)"
)
_CLAUSE = re.compile(r"[;:,)\u2014\u3001\uff0c\uff1b](?=\s|$)|[\u3001\uff0c\uff1b]|\s-(?=\s)")
_PARAGRAPH = re.compile(r"\n\s*\n+")


def split_sentences(text: str, longest: int | None = None) -> list[str]:
    """Divide a text into sentences, without white space at their ends.

    A sentence ends with ".", "!", "?", an ellipsis or their CJK forms before white space, or with
    an empty line. The points of abbreviations, initials, ordinals and decimals do not end it.

    Args:
        text: the text.
        longest: most characters of a part. A longer sentence is divided after a comma or another
            mark between clauses, otherwise between words, otherwise anywhere. None for no limit.

    Returns:
        The sentences, in order; none if the text is empty.

    Raises:
        UsageError: `longest` is less than 1.
    """
    if longest is not None and longest < 1:
        raise UsageError(f"Expected parts of at least 1 character. Received: {longest}.")
    parts = []
    for paragraph in _PARAGRAPH.split(text):
        start = 0
        for match in _END.finditer(paragraph):
            if _ends_sentence(paragraph, start, match):
                parts.append(paragraph[start : match.end()])
                start = match.end()
        parts.append(paragraph[start:])
    sentences = [sentence for part in parts if (sentence := " ".join(part.split()))]
    if longest is None:
        return sentences
    return [part for sentence in sentences for part in _divide(sentence, longest)]


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    if match["mark"] is None or match["mark"][-1] in "!?":
        follows = text[match.end() : match.end() + 40].lstrip("\"'\u201c\u2018( \t\r\n")
        return match["mark"] is None or not follows[:1].islower()
    follows = text[match.end() : match.end() + 40].lstrip()
    follows = follows.lstrip("\"'\u201c\u2018(")
    if not follows:
        return True
    if match["mark"] != ".":
        return not follows[0].islower()
    if len(match[0]) > 1:  # a quotation mark or a bracket closes after the point
        return not follows[0].islower()
    before = text[max(start, match.start() - 40) : match.start()].split()
    word = before[-1].lstrip("\"'\u201c\u2018([").lower() if before else ""
    if word in _NEVER_LAST or (len(word) == 1 and word.isalpha() and word != "i"):
        return False
    if word in _COUNTED and follows[0].isdigit():
        return False
    if word in ("u.s", "u.k", "u.s.a"):
        return re.split(r"\W", follows, maxsplit=1)[0].lower() in OPENERS
    if word.isdigit() and follows[0].islower():  # an ordinal, as in "am 3. mai"
        return False
    if word in _MAY_BE_LAST or re.fullmatch(r"(?:[a-z]\.)+[a-z]", word):
        return follows[0].isupper()
    return not follows[0].islower()


def _divide(sentence: str, longest: int) -> list[str]:
    parts = []
    while len(sentence) > longest:
        head = sentence[: longest + 1]
        clauses = [match.end() for match in _CLAUSE.finditer(head) if match.end() <= longest]
        late = [end for end in clauses if 3 * end >= longest]
        cut = late[-1] if late else head.rfind(" ")
        cut = cut if cut > 0 else longest
        parts.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [*parts, sentence] if sentence else parts
