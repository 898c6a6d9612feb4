"""Show what the texts of recordings become: normalized text, symbols, and number of tokens."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from singlow.data.prepare.builtin import corpus_texts
from singlow.data.prepare.folder import printable
from singlow.data.sources.layouts import BUILTINS, find_clips, sources_of
from singlow.data.store.dataset import INFO, SPLITS, Clips, read_info
from singlow.errors import DataError, UsageError
from singlow.names import shown
from singlow.progress import Report
from singlow.text.tokenizer import Reading, Tokenizer
from singlow.text.unknown import list_unknown

LISTED = 5
_SPACE = "\u2423"  # a visible space


def show_texts(
    sources: str | os.PathLike | Sequence[str | os.PathLike],
    front_end: str = "characters",
    language: str | None = None,
    *,
    layout: str = "auto",
    report: Report = print,
) -> None:
    """Report what each text of recordings or records becomes, and a summary.

    Args:
        sources: a built-in corpus, a folder of records, or one source or several of recordings.
        front_end: name of the front end, one of `FRONT_ENDS`.
        language: code of the language; the front end's default when None.
        layout: where the texts come from; see `build_dataset`.
        report: receives one line at a time for the user.

    Raises:
        DataError: there is no text, or the front end does not know a character of the texts; the
            message names all such characters.
        UsageError: a source does not exist, or the front end is unknown.
        EnvironmentFault: the front end needs a package or a program that is missing.
    """
    tokenizer, report = Tokenizer(front_end, language=language), printable(report)
    unknown, first = Counter(), ""
    silent, without, sizes = [], [], []
    for id, text in _texts(sources_of(sources), layout, report):
        if not text.strip():
            without.append(id)
            continue
        reading = tokenizer.read(text)
        for line in _lines(id, text, reading):
            report(line)
        if not reading.ids.size:
            silent.append(id)
        sizes.append(len(reading.ids))
        first = first or (id if reading.unknown else "")
        unknown += reading.unknown_symbols
    if not sizes:
        raise DataError(
            f"{', '.join(map(str, sources_of(sources)))}: Expected recordings with texts: a "
            "metadata.csv, a manifest.csv with a column text, or NAME.txt beside each recording. "
            f"Received: {len(without)} recording(s) without a text."
        )
    report(
        f"{len(sizes)} text(s), {sum(sizes)} tokens, {min(sizes)} to {max(sizes)} in a text; "
        f"{tokenizer.size} symbols in the table."
    )
    for ids, what in ((without, "without a text"), (silent, "without a symbol that is known")):
        if ids:
            report(f"{len(ids)} recording(s) {what}: {_listed(ids)}.")
    if unknown:
        raise DataError(
            f"The front end {front_end} does not know {list_unknown(unknown, 20)}, first in "
            f"{shown(first)}. Correct the texts, or choose another front end or language."
        )


def _texts(sources: list[str], layout: str, report: Report) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each clip."""
    special = [source for source in sources if source in BUILTINS or _is_records(source)]
    if special and len(sources) > 1:
        raise UsageError(
            f"Expected folders of audio as one of several sources. Received: {special[0]}, which "
            "can only be used alone."
        )
    if special and special[0] in BUILTINS:
        yield from corpus_texts(special[0])
    elif special:
        directory = Path(special[0]).expanduser()
        info = read_info(directory)
        for split in SPLITS:
            if info["splits"][split]["clips"]:
                clips = Clips(directory, info, split)
                for index, entry in enumerate(clips.entries):
                    yield entry.id, clips.text(index)
    else:
        clips, chosen = find_clips(sources, layout, report)
        report(f"Layout: {chosen}.")
        for clip in clips:
            yield clip.id, clip.text


def _is_records(source: str) -> bool:
    return (Path(source).expanduser() / INFO).is_file()


def _lines(id: str, text: str, reading: Reading) -> Iterator[str]:
    places = set(reading.unknown)
    symbols = " ".join(
        f"[{symbol}]" if place in places else symbol.replace(" ", _SPACE)
        for place, symbol in enumerate(reading.spoken)
    )
    yield shown(id)
    yield f"  text     {' '.join(text.split())}"
    yield f"  spoken   {reading.text}"
    yield f"  symbols  {symbols}"
    yield f"  tokens   {len(reading.ids)}"


def _listed(ids: Sequence[str]) -> str:
    listed = ", ".join(map(shown, ids[:LISTED]))
    return f"{listed} and {len(ids) - LISTED} more" if len(ids) > LISTED else listed
