"""Clean text: one form for each character, plain quotes and dashes, nothing invisible."""

import unicodedata

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u300c\u300d\u300e\u300f", '"'),
        **dict.fromkeys("\u300a\u300b\u3008\u3009", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u2014\u2015", " - "),
        **dict.fromkeys("[{\u3010\u3014", "("),
        **dict.fromkeys("]}\u3011\u3015", ")"),
        **dict.fromkeys("\u30fb", " "),
        "\u3001": ",",
        "\u3002": ".",
        "\u00bf": "",
        "\u00a1": "",
    }
)


def clean(text: str) -> str:
    """Return a text in one form, on one line.

    Characters are in Unicode's compatibility form (NFKC): full-width letters become letters,
    ligatures their letters, and an ellipsis three points. Quotation marks, brackets and dashes
    become those of ASCII. Characters that are not visible, such as control characters and marks of
    the direction of writing, are removed, and each run of white space becomes a space.
    """
    text = unicodedata.normalize("NFKC", text.translate(_PLAIN)).translate(_PLAIN)
    seen = (" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in seen if not _is_invisible(char)).split())


def fold_accents(text: str) -> str:
    """Return a text without the accents of Latin letters, as in "cafe" for "caf\u00e9"."""
    parts = unicodedata.normalize("NFD", text.translate(_FOLDED))
    kept, latin = [], False
    for char in parts:
        if unicodedata.combining(char):
            if latin:
                continue
        else:
            latin = char.isascii()
        kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


_FOLDED = str.maketrans(
    {
        "\u00e6": "ae", "\u00c6": "Ae", "\u0153": "oe", "\u0152": "Oe", "\u00f8": "o",
        "\u00d8": "O", "\u00df": "ss", "\u1e9e": "SS", "\u0142": "l", "\u0141": "L",
        "\u0111": "d", "\u0110": "D", "\u00f0": "d", "\u00d0": "D", "\u00fe": "th",
        "\u00de": "Th", "\u0131": "i",
    }
)  # fmt: skip


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf")
