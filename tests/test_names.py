"""Names of any characters are compared, found, printed, and typed back as printed."""

import itertools
import json
import os

import pytest

from singlow.errors import UsageError
from singlow.names import find_name, find_path, normal, same_name, shown, suggest
from singlow.streams import escape

SHIFT_JIS = b"\x89\xb9\x83\x82".decode("utf-8", "surrogateescape")
ODD = [
    SHIFT_JIS,
    "Zoe\u0301",
    "\x1b]0;title\x07",
    "[/live]",
    "AC\\DC",
    "\\x89",
    "\\" + SHIFT_JIS,
    "\x89",
    "a\u202eb",
    "a\nb",
    "音モ",
    "\U0001f469\u200d\U0001f3a4",
]


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_found_as_it_is_shown(name):
    printed = shown(name)
    assert printed.isprintable() or "\u200d" in printed
    assert printed.encode()
    assert find_name(printed, ODD) == name
    assert find_name(name, ODD) == name
    assert json.loads(json.dumps(name)) == name


def test_two_names_are_never_shown_alike():
    pieces = ["\\", "x", "89", "\udc89", "\x89", "u0089", "\x1b", "x1b"]
    names = {"".join(parts) for n in (1, 2, 3) for parts in itertools.product(pieces, repeat=n)}
    assert len(set(map(shown, names))) == len(names)


def test_plain_names_are_shown_as_they_are():
    for name in ("ada", "Zoé", "AC\\DC", "Ünal Çelik", "音モ", "a/b", "[red]bo"):
        assert shown(name) == escape(name) == name
    assert shown(SHIFT_JIS) == r"\x89\xb9\x83\x82"
    assert escape("\x1b[31mbo") == r"\x1b[31mbo"


def test_a_decomposed_name_is_found_by_its_composed_form():
    decomposed = "Zoe\u0301"
    assert decomposed != "Zoé"
    assert same_name(decomposed, "Zoé")
    assert normal(decomposed) == "Zoé"
    assert find_name("Zoé", ["ada", decomposed]) == decomposed
    assert find_name(decomposed, ["ada", "Zoé"]) == "Zoé"
    assert find_name(decomposed, ["Zoé", decomposed]) == decomposed


def test_a_name_as_a_stream_prints_it_is_found():
    assert find_name(r"\udc89\udcb9\udc83\udc82", ["ada", SHIFT_JIS]) == SHIFT_JIS


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("adda", "ada"), ("ADA", "ada"), ("zoe", "Zoé"), (r"\x89\xb9\x83", r"\x89\xb9\x83\x82")],
)
def test_a_mistyped_name_gets_a_suggestion(wanted, near):
    with pytest.raises(UsageError, match="Expected a singer in ada, ") as caught:
        find_name(wanted, ["ada", "bo", "Zoé", SHIFT_JIS], "singer")
    assert str(caught.value).endswith(f" Did you mean {near}?")


def test_a_name_far_from_all_gets_none_and_long_lists_are_cut():
    assert suggest("xyz", ["ada", "bo"]) == ""
    with pytest.raises(UsageError, match=r"s19 and 5 more\. Received: absent\.$"):
        find_name("absent", [f"s{number}" for number in range(25)])


def test_a_path_is_found_by_its_composed_or_shown_form(tmp_path, monkeypatch):
    inner = tmp_path / "Zoe\u0301" / SHIFT_JIS
    inner.mkdir(parents=True)
    (inner / "a.wav").touch()
    typed = os.path.join(tmp_path, "Zo\u00e9", r"\x89\xb9\x83\x82", "a.wav")
    assert find_path(typed) == str(inner / "a.wav")
    assert find_path(str(inner)) == str(inner)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_path("~/Zo\u00e9") == str(tmp_path / "Zoe\u0301")
    assert find_path("~/nowhere/b") == str(tmp_path / "nowhere" / "b")
    monkeypatch.chdir(tmp_path)
    assert find_path("Zo\u00e9") == "Zoe\u0301"
    for missing in ("", "x", "x/y", "a\0b", "/"):
        assert find_path(missing) == missing
