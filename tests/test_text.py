"""English is normalized, long texts are divided, and texts become ids and symbols again."""

# ruff: noqa: E501, RUF001
import json
import time
from importlib.util import find_spec

import numpy as np
import pytest

from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.text import (
    FRONT_ENDS,
    TABLES,
    SymbolTable,
    Timed,
    Tokenizer,
    front_end_from_config,
    make_front_end,
    normalize_english,
    split_sentences,
)
from singlow.text.cleaning import clean, fold_accents
from singlow.text.numbers import cardinal, ordinal, year
from singlow.text.originals import ARPABET, coqui_table
from singlow.text.phonemes import Gruut
from singlow.text.programs import find_program, require_program, run_program
from singlow.text.symbols import PUNCTUATION
from singlow.text.times import read_times, write_times


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("0 7 13 20 21 100 101", "zero seven thirteen twenty twenty-one one hundred one hundred one"),
        ("1,234,567", "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("007 and -7", "zero zero seven and minus seven"),
        ("3.14 and .5", "three point one four and zero point five"),
        ("2½ or 3/4 or 1/2", "two and a half or three quarters or one half"),
        ("1st, 2nd, 23rd, 112th", "first, second, twenty-third, one hundred twelfth"),
        ("1844, 1905, 1900, 2000", "eighteen forty-four, nineteen oh five, nineteen hundred, two thousand"),
        ("in 2005 and 2024.", "in two thousand five and twenty twenty-four."),
        ("the 1990s, the '80s", "the nineteen nineties, the eighties"),
        ("1914-1918 or 1914–18", "nineteen fourteen to nineteen eighteen or nineteen fourteen to eighteen"),
        ("pages 5-10", "pages five to ten"),
        ("$1,234.50", "one thousand two hundred thirty-four dollars and fifty cents"),
        ("$1, £1.01, €0.50", "one dollar, one pound and one penny, fifty cents"),
        ("$3.5 million, £2bn", "three point five million dollars, two billion pounds"),
        ("3 May 1844", "the third of May, eighteen forty-four"),
        ("May 3rd, 1844", "May third, eighteen forty-four"),
        ("Prior to November 22, 1963.", "Prior to November twenty-second, nineteen sixty-three."),
        ("2024-05-03 and 22/11/1963", "May third, twenty twenty-four and November twenty-second, nineteen sixty-three"),
        ("10:30 a.m., 9:05 pm, 12:00", "ten thirty a m, nine oh five p m, twelve o'clock"),
        ("He left at 5 p.m. Then", "He left at five p m. Then"),
        ("5 km, 1 km, 3 ft, 60mph", "five kilometers, one kilometer, three feet, sixty miles per hour"),
        ("20°C, 5 m², 3.5%", "twenty degrees Celsius, five square meters, three point five percent"),
        ("Dr. Lee, Mr. Poe and Mrs. Fox", "Doctor Lee, Mister Poe and Missus Fox"),
        ("5 Main St. met St. John", "five Main Street met Saint John"),
        ("No. 5, pp. 3-5", "number five, pages three to five"),
        ("cats, dogs, etc.", "cats, dogs, et cetera."),
        ("e.g. the U.S.A. and J. R. Poe", "for example the U S A and J R Poe"),
        ("Henry VIII, Chapter IV. I am.", "Henry the eighth, Chapter four. I am."),
        ("R&D + 5 = #3 @ 50%", "R and D plus five equals number three at fifty percent"),
        ("B12, 3D and 1.2.3", "B twelve, three D and one point two point three"),
        ("www.example.com.", "w w w dot example dot com."),
        ("555-1234", "five five five, one two three four"),
        ("“It’s” — naïve…", '"It\'s" - naive...'),
        ("plain words stay.", "plain words stay."),
        ("", ""),
    ],
)  # fmt: skip
def test_english_becomes_words(text, spoken):
    assert normalize_english(text) == spoken


def test_normalized_english_stays_as_it_is():
    text = normalize_english("Dr. Lee paid $1,234.50 on 3 May 1844 at 10:30 a.m. for 5 km.")
    assert normalize_english(text) == text
    assert not any(char.isdigit() or char in "$%&" for char in text)


@pytest.mark.parametrize("unit", ["1", "1-", "1/", "$", "a.", "a@", "1,", " ", "A. ", "-", "12 "])
def test_no_text_takes_long(unit):
    start = time.monotonic()
    normalize_english(unit * 10_000)
    split_sentences(unit * 10_000, 200)
    assert time.monotonic() - start < 5


def test_numbers():
    assert cardinal("9" * 36).startswith("nine hundred ninety-nine decillion")
    assert cardinal("1" * 37) == " ".join(["one"] * 37)
    assert [ordinal(n) for n in ("3", "12", "20", "100")] == [
        "third", "twelfth", "twentieth", "one hundredth",
    ]  # fmt: skip
    assert [year(n) for n in (1066, 1900, 2001, 2010)] == [
        "ten sixty-six", "nineteen hundred", "two thousand one", "twenty ten",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="digits"):
        cardinal("1٣")


def test_cleaning():
    assert clean("ＡＢＣ ﬁne\tone\r\ntwo\x00\u200b\u202e ") == "ABC fine one two"
    assert clean("«a» ‘b’ —[c]") == "\"a\" 'b' - (c)"
    assert clean("e\u0301") == "\u00e9"
    assert fold_accents("Ångström, Æsop, straße, デ") == "Angstrom, Aesop, strasse, デ"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Lee paid $3.50. He left.", ["Dr. Lee paid $3.50.", "He left."]),
        ('He said "No." She went... away! So?', ['He said "No."', "She went... away!", "So?"]),
        ("At 5 p.m. he left. At 6 p.m. She", ["At 5 p.m. he left.", "At 6 p.m.", "She"]),
        ("J. R. R. Poe of the U.S. Navy. It is", ["J. R. R. Poe of the U.S. Navy.", "It is"]),
        ("See no. 5. No. He", ["See no. 5.", "No.", "He"]),
        ("one\ntwo\n\nthree", ["one two", "three"]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
        (" \n ", []),
    ],
)
def test_sentences_end_where_they_end(text, sentences):
    assert split_sentences(text) == sentences


def test_long_sentences_are_divided():
    assert split_sentences("aaa, bbb, ccc ddd", 9) == ["aaa, bbb,", "ccc ddd"]
    text = "word and another, " * 600
    parts = split_sentences(text, 200)
    assert " ".join(parts) == text.strip()
    assert max(map(len, parts)) <= 200
    assert all(part.endswith(",") for part in parts)
    assert split_sentences("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    with pytest.raises(UsageError):
        split_sentences("a", 0)


def test_encoding_and_decoding():
    tokenizer = Tokenizer("characters")
    ids = tokenizer.encode("No. 7!")
    assert ids.dtype == np.int32
    assert "".join(tokenizer.decode(ids)) == "number seven!"
    assert len(tokenizer) == tokenizer.size == 4 + 26 + len(PUNCTUATION)
    with pytest.raises(UsageError, match=r"0 to 41.*-1"):
        tokenizer.decode([-1])


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("blank", [False, True])
def test_blanks_and_marks(blank, marks):
    tokenizer = Tokenizer("characters", add_blank=blank, marks=marks)
    symbols = tokenizer.decode(tokenizer.encode("ab c"))
    inner = ["<blank>", "a", "<blank>", "b", "<blank>", " ", "<blank>", "c", "<blank>"]
    inner = inner if blank else list("ab c")
    assert symbols == (["<begin>", *inner, "<end>"] if marks else inner)
    assert [symbols[place] for place in tokenizer.places(4)] == list("ab c")


def test_a_tokenizer_is_data():
    for name in FRONT_ENDS:
        tokenizer = Tokenizer(name, add_blank=True, marks=True, unknown="skip")
        stored = json.loads(json.dumps(tokenizer.get_config()))
        assert Tokenizer.from_config(stored) == tokenizer
        assert len(set(tokenizer.symbols.symbols)) == tokenizer.size
    arpabet = Gruut("en-us", "arpabet")
    assert front_end_from_config(json.loads(json.dumps(arpabet.get_config()))) == arpabet


@pytest.mark.parametrize(
    "change",
    [
        {"front_end": {"name": "os.system"}},
        {"front_end": {"name": "characters", "lower": "yes"}},
        {"front_end": {"name": "characters", "command": "x"}},
        {"front_end": {"name": "espeak", "language": "en; rm -r x"}},
        {"front_end": "characters"},
        {"symbols": {"symbols": ["a", "a"]}},
        {"symbols": {"symbols": [1, 2]}},
        {"symbols": {"symbols": []}},
        {"symbols": {"symbols": "abc"}},
        {"symbols": {"symbols": ["a"], "pad": "b"}},
        {"add_blank": "yes"},
        {"unknown": None},
        {"more": 1},
    ],
)
def test_stored_data_that_describe_no_tokenizer_are_refused(change):
    config = {**Tokenizer("characters").get_config(), **change}
    with pytest.raises(UsageError) as caught:
        Tokenizer.from_config(config)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_wrong_arguments_are_refused():
    with pytest.raises(UsageError, match=r"Did you mean romaji\?"):
        Tokenizer("romajii")
    with pytest.raises(UsageError, match="blank"):
        Tokenizer("characters", "glow_tts", add_blank=True)
    with pytest.raises(UsageError, match="begin and end"):
        Tokenizer("characters", "glow_tts", marks=True)
    with pytest.raises(UsageError, match="coqui_ipa"):
        Tokenizer("characters", "tacotron")
    with pytest.raises(UsageError, match="unknown"):
        Tokenizer("characters", unknown="ignore")
    with pytest.raises(UsageError, match="language"):
        Tokenizer(make_front_end("characters"), language="de")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty text"),
        (" \n\x00\u200b", "an empty text"),
        ("?! ...", r"'\?! \.\.\.'"),
        ("\u65e5\u672c", r"U\+65E5 CJK"),
        ("a|b", r"'\|' \(U\+007C VERTICAL LINE\), first in \"a\[\|\]b\""),
        ("go \udc89", r"\\x89"),
    ],
)
def test_what_cannot_be_spoken_is_named(text, message):
    for policy in ("error", "skip"):
        tokenizer = Tokenizer("characters", unknown=policy)
        if policy == "skip" and text[:1] and text[0] in "ag":
            lines = []
            assert len(tokenizer.encode(text, "x.txt: line 3", lines.append)) in (2, 3)
            assert len(lines) == 1
            assert lines[0].startswith("x.txt: line 3: ")
            continue
        with pytest.raises(DataError, match=rf"^x.txt: line 3: .*{message}") as caught:
            tokenizer.encode(text, "x.txt: line 3", lambda line: None)
        assert "\n" not in str(caught.value)


def test_a_very_long_text_is_read():
    assert len(Tokenizer("characters").encode("a sentence. " * 10_000)) == 12 * 10_000 - 1


def test_symbols_are_learned_from_texts():
    tokenizer = Tokenizer.learn("characters", ["Über", "straße 5"], language="de", add_blank=True)
    assert tokenizer.symbols.symbols[-3:] == ("5", "ß", "ü")
    assert Tokenizer.learn("characters", ["straße 5", "Über"], language="de", add_blank=True) == (
        tokenizer
    )
    assert tokenizer.encode("Süß").size == 7
    with pytest.raises(DataError, match="U\\+00E9"):
        tokenizer.encode("Café")


def test_tables_of_the_originals():
    sizes = {"glow_tts": 148, "glow_tts_blank": 149, "coqui": 67, "coqui_ipa": 131}
    assert {name: len(table) for name, table in TABLES.items()} == sizes | {"flowtron": 185}
    glow, coqui = TABLES["glow_tts_blank"].ids, TABLES["coqui"].ids
    assert [glow[symbol] for symbol in ("_", "-", "!", " ", "A", "a")] == [0, 1, 2, 11, 12, 38]
    assert (glow["@AA"], glow["@ZH"], glow["<blank>"]) == (64, 147, 148)
    assert [coqui[symbol] for symbol in ("<PAD>", "<EOS>", "<BOS>", "<BLNK>", "A", "a", "!", " ")] == [
        0, 1, 2, 3, 4, 30, 56, 66,
    ]  # fmt: skip
    assert TABLES["flowtron"].ids["@AA"] == 101
    assert len(ARPABET) == 84
    assert coqui_table("ba", "!", pad="_", eos="~", bos="^", blank="").symbols == tuple("_~^ab!")
    tokenizer = Tokenizer("characters", "glow_tts_blank", add_blank=True)
    assert tokenizer.encode("hi!").tolist() == [148, 45, 148, 46, 148, 2, 148]


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Konnichiwa! T\u014dky\u014d", "k o N n i ch i w a ! _ t o \u02d0 ky o \u02d0"),
        ("shinbun kon'ya kekkon", "sh i N b u N _ k o N y a _ k e Q k o N"),
        ("matchi zasshi itta", "m a Q ch i _ z a Q sh i _ i Q t a"),
        ("kima tu, hila.", "k i m a _ t u , _ h i l a ."),
        ("\u3053\u3093\u306b\u3061\u306f\u3002", "k o N n i ch i h a ."),
        ("\u30c8\u30fc\u30ad\u30e7\u30fc", "t o \u02d0 ky o \u02d0"),
        ("\u30ad\u30e3\u30c3\u30c8\u30fb\u30d1\u30fc\u30c6\u30a3\u30fc", "ky a Q t o _ p a \u02d0 t i \u02d0"),
        ("\u30a6\u30a3\u30b9\u30ad\u30fc", "w i s u k i \u02d0"),
        ("\u3056\u3063\u3057\u3001\u307e\u3063\u3061\u3083", "z a Q sh i , m a Q ch a"),
    ],
)  # fmt: skip
def test_romaji_and_kana(text, symbols):
    tokenizer = Tokenizer("romaji")
    reading = tokenizer.read(text)
    assert " ".join("_" if each == " " else each for each in reading.symbols) == symbols
    assert not reading.unknown


def test_unknown_kanji_are_named():
    with pytest.raises(DataError, match="romaji does not know '\u4e16'"):
        Tokenizer("romaji").encode("\u4e16\u754c")


@pytest.mark.parametrize(
    ("front_end", "package", "extra"),
    [
        ("gruut", "gruut", "phonemes"),
        ("pinyin", "pypinyin", "chinese"),
        ("japanese", "pyopenjtalk", "japanese"),
    ],
)
def test_a_missing_package_is_named(front_end, package, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(EnvironmentFault, match=rf"singlow\[{extra}\]"):
        Tokenizer(front_end).encode("a \u4f60")


def test_extras_name_packages_that_front_ends_need():
    import tomllib
    from pathlib import Path

    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    extras = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    assert {"phonemes", "chinese", "japanese"} <= extras.keys()


@pytest.mark.skipif(find_spec("gruut") is None, reason="gruut is not installed")
def test_gruut():
    reading = Tokenizer("gruut").read('"Hello - old (world)," he said. \u2603')
    assert "".join(reading.symbols).startswith('"h\u025bl\u02c8o\u028a - \u02c8o\u028ald (w')
    assert reading.unknown_symbols == {"\u2603": 1}
    original = Tokenizer(Gruut("en-us", "arpabet"), "glow_tts")
    assert original.decode(original.encode("Boys!")) == ["@B", "@OY1", "@Z", "!"]
    with pytest.raises(EnvironmentFault, match="gruut-lang-xx"):
        Tokenizer("gruut", language="xx").encode("a")
    with pytest.raises(UsageError, match="en-gb, en-us"):
        Tokenizer("gruut", language="en-xx").encode("a")


@pytest.mark.skipif(find_spec("pypinyin") is None, reason="pypinyin is not installed")
def test_pinyin():
    reading = Tokenizer("pinyin").read("\u4f60\u597d,2024\u5e74 10,350 ok")
    assert " ".join(reading.symbols).startswith("n i 3 h ao 3 , er 4 l ing 2 er 4 s i 4 n ian 2")
    assert not reading.unknown
    number = make_front_end("pinyin").normalize("10,350 \u548c 110 \u548c 12")
    assert (
        number
        == "\u4e00\u4e07\u96f6\u4e09\u767e\u4e94\u5341 \u548c \u4e00\u767e\u4e00\u5341 \u548c \u5341\u4e8c"
    )


@pytest.mark.skipif(find_spec("pyopenjtalk") is None, reason="pyopenjtalk-plus is not installed")
def test_japanese():
    reading = Tokenizer("japanese").read("\u304d\u3063\u3068\u3001\u4e16\u754c\uff01\u2603")
    assert " ".join(reading.symbols) == "k i cl t o , s e k a i !"
    assert reading.unknown_symbols == {"\u2603": 1}


@pytest.mark.skipif(not find_program("espeak-ng"), reason="PATH has no espeak-ng")
def test_espeak():
    reading = Tokenizer("espeak").read('"Hello, old (world)!" -v is \u65e5.')
    assert "".join(reading.symbols).startswith('"h\u0259l\u02c8o\u028a, \u02c8o\u028ald (w')
    assert reading.unknown_symbols == {"\u65e5": 1}
    assert len(Tokenizer("espeak").encode("word " * 400)) > 1600
    with pytest.raises(EnvironmentFault, match="espeak-ng failed"):
        Tokenizer("espeak", language="xx").encode("a")


def test_programs_are_found_run_and_stopped(tmp_path, monkeypatch):
    assert run_program("cat", [], "$(touch x); `ls` \u00e9\n") == "$(touch x); `ls` \u00e9\n"
    with pytest.raises(EnvironmentFault, match=r"sleep took more than 0 s"):
        run_program("sleep", ["5"], seconds=0.1)
    with pytest.raises(EnvironmentFault, match="exit code 1"):
        run_program("false", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"apt-get install espeak-ng"):
        Tokenizer("espeak").encode("hello")
    with pytest.raises(EnvironmentFault, match="espeak-ng or flite"):
        require_program("The corpus", "espeak-ng", "flite")


def test_times_are_stored_as_text():
    times = (Timed("a", 0.1, 0.25), Timed('"', 0.25, 1 / 3))
    stored = write_times(times)
    assert read_times(stored) == (times[0], Timed('"', 0.25, 0.333333))
    assert read_times("") == ()
    assert write_times(()) == ""
    for wrong in ("[", "{}x", '[["a",1]]', '[["a",2,1]]', "[[1,1,2]]", '[["a",NaN,1]]', "[1]", "3"):
        with pytest.raises(DataError, match="times of symbols"):
            read_times(wrong)


def test_special_symbols_are_no_part_of_a_text():
    table = SymbolTable.of("ab")
    assert "a" in table
    assert "<blank>" not in table
    assert "c" not in table
    tokenizer = Tokenizer("characters", "glow_tts")
    with pytest.raises(DataError, match="'_'"):
        tokenizer.encode("a_b")
