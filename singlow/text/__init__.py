"""Text of speech: its normalization, the symbols that it becomes, and their ids."""

from singlow.text.english import normalize_english
from singlow.text.originals import TABLES
from singlow.text.registry import FRONT_ENDS, front_end_from_config, make_front_end
from singlow.text.sentences import split_sentences
from singlow.text.symbols import SymbolTable
from singlow.text.times import Timed
from singlow.text.tokenizer import Reading, Tokenizer

__all__ = [
    "FRONT_ENDS",
    "TABLES",
    "Reading",
    "SymbolTable",
    "Timed",
    "Tokenizer",
    "front_end_from_config",
    "make_front_end",
    "normalize_english",
    "split_sentences",
]
