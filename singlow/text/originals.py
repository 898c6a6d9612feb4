"""The tables of symbols of published models, by which their checkpoints are read.

References:
    Kim et al.: Glow-TTS. https://arxiv.org/abs/2005.11129
    Valle et al.: Flowtron. https://arxiv.org/abs/2005.05957
    Eren and the Coqui TTS team: Coqui TTS. https://github.com/coqui-ai/TTS
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from singlow.errors import UsageError
from singlow.text.symbols import LETTERS, SymbolTable

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
ARPABET = tuple(sorted([*_CONSONANTS, *(v + s for v in _VOWELS for s in ("", "0", "1", "2"))]))
"""The 84 phonemes of the CMU dictionary; a digit is the stress of a vowel."""
_UPPER = LETTERS.upper()
_COQUI_MARKS = "!'(),-.:;? "
_COQUI_IPA = (
    "iyɨʉɯuɪʏʊeøɘəɵɤoɛœɜɞʌɔæɐaɶɑɒᵻʘɓǀɗǃʄǂɠǁʛpbtdʈɖcɟkɡqɢʔɴŋɲɳnɱmʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦ"
    "ɬɮʋɹɻjɰlɭʎʟˈˌːˑʍwɥʜʢʡɕʑɺɧʲɚ˞ɫ"
)


def coqui_table(
    characters: Iterable[str] = _UPPER + LETTERS,
    punctuations: Iterable[str] = _COQUI_MARKS,
    pad: str | None = "<PAD>",
    eos: str | None = "<EOS>",
    bos: str | None = "<BOS>",
    blank: str | None = "<BLNK>",
    is_unique: bool = True,
    is_sorted: bool = True,
) -> SymbolTable:
    """Create a table from the fields `characters` of a configuration of Coqui TTS.

    The order is padding, end, begin, blank, the sorted characters, and the punctuation. A special
    symbol that is empty or None is left out.

    Raises:
        UsageError: a character is repeated, in the characters or in the punctuation.
    """
    characters = list(dict.fromkeys(characters) if is_unique else characters)
    if is_sorted:
        characters.sort()
    special = {"pad": pad or None, "end": eos or None, "begin": bos or None, "blank": blank or None}
    named = [symbol for symbol in special.values() if symbol]
    return SymbolTable((*named, *characters, *punctuations), **special)


def _glow_tts() -> tuple[str, ...]:
    arpabet = (f"@{phoneme}" for phoneme in ARPABET)
    return ("_", "-", *"!'(),.:;? ", *_UPPER, *LETTERS, *arpabet)


def _flowtron() -> tuple[str, ...]:
    marks = "!'\",.:;? #%&*+-/[]()_@\u00a9\u00b0\u00bd\u2014\u20a9\u20ac$"
    accented = "\u00e1\u00e7\u00e9\u00ea\u00eb\u00f1\u00f6\u00f8\u0107\u017e"
    arpabet = (f"@{phoneme}" for phoneme in ARPABET)
    return (*marks, *accented, *"0123456789", *_UPPER, *LETTERS, *arpabet)


TABLES: Mapping[str, SymbolTable] = MappingProxyType(
    {
        "glow_tts": SymbolTable(_glow_tts(), pad="_"),
        "glow_tts_blank": SymbolTable((*_glow_tts(), "<blank>"), pad="_", blank="<blank>"),
        "coqui": coqui_table(),
        "coqui_ipa": coqui_table(_COQUI_IPA),
        "flowtron": SymbolTable(_flowtron()),
    }
)
"""Tables by name: the Glow-TTS of its authors without and with blanks, Coqui's letters and its
phonemes, and Flowtron."""


def find_table(name: str) -> SymbolTable:
    """Return a table of `TABLES`.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in TABLES:
        raise UsageError(f"Expected a table in {', '.join(TABLES)}. Received: {str(name)[:80]!r}.")
    return TABLES[name]
