"""The verb `convert`: recordings in other voices."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import arg

from singlow.commands.places import (
    Epoch,
    Files,
    Output,
    RunName,
    check_results,
    each,
    inputs,
    one_file,
)
from singlow.commands.speaking import AUTO, file_name, tell_burst, who_speaks
from singlow.data.prepare.folder import hash_of, stamp
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError, naming
from singlow.runs.opening import Opened, open_run


def convert(
    run: RunName,
    files: Files,
    output: Output,
    target: Annotated[str, arg(name="to", metavar="SPEAKER|all")],
    source: Annotated[str, arg(name="from", metavar="SPEAKER|auto")] = AUTO,
    frames: Annotated[Literal["whole", "overlap-add"], arg(metavar="whole|overlap-add")] = "whole",
    hop: Annotated[int | None, arg(metavar="INT")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Give recordings another voice, that of a speaker trained on or enrolled.

    The result has the recording's rate, length, channels and loudness, nothing above half of the
    run's rate, and is named NAME_to_SPEAKER.wav. Results that the same call made before are kept.
    Converted back, with --from and --to exchanged, a result is the recording again.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or folders of them.
        output: a folder; a wav file for one recording and one speaker.
        target: who is to speak; all writes one result for every speaker.
        source: who speaks; auto takes the speaker under whom the recording is likeliest.
        frames: convert recordings whole, or, as the paper, in overlapping frames.
        hop: with overlap-add: samples between the starts of frames, at the run's rate (half one).
        epoch: which checkpoint.
    """
    if hop is not None and frames == "whole":
        raise UsageError("Expected --frames overlap-add with --hop. Received: whole recordings.")
    found = inputs(files, SUFFIXES)
    _check_apart(files, output)
    opened = open_run(run, epoch, speakers=True)

    from singlow.runs.data import window_length
    from singlow.voices.hop import check_hop
    from singlow.voices.speakers import speakers_of

    window = window_length(opened.config, opened.flow)
    cutting = None if frames == "whole" else (window, check_hop(hop, window))
    speakers = speakers_of(opened)
    targets, sources = speakers.chosen(target, "all"), speakers.chosen(source, AUTO)
    results = _results(found, list(targets), output, one_file(files) and target != "all")
    work = _Conversion(opened, sources, targets, cutting)
    waiting = [(path, work.missing(path, made)) for path, made in results]
    kept = sum(len(made) for _, made in results) - sum(len(made) for _, made in waiting)
    if kept:
        print(f"Kept {kept} result(s) that the same call made before.")
    waiting = [(path, made) for path, made in waiting if made]
    places = {next(iter(made.values())): made for _, made in waiting}
    with _Ahead([path for path, _ in waiting]) as ahead:
        each(
            [(path, place) for (path, _), place in zip(waiting, places, strict=True)],
            lambda path, place: work(path, ahead.take(), places[place]),
        )


def _check_apart(files: tuple[Path, ...], output: Path) -> None:
    place = output.resolve()
    for folder in files:
        if folder.is_dir() and place.is_relative_to(folder.resolve()):
            raise UsageError(
                f"Expected -o outside of {folder}, whose recordings are converted. "
                f"Received: {output}."
            )


def _results(
    found: list[tuple[Path, Path]], targets: list[str], output: Path, single: bool
) -> list[tuple[Path, dict[str, Path]]]:
    """Recordings with where their conversions go, by target."""
    if single and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".wav":
            raise UsageError(f"Expected -o with the suffix .wav. Received: {output}.")
        results = [(found[0][0], {targets[0]: output})]
    else:
        results = [
            (path, {to: output / name.parent / _name(name, to) for to in targets})
            for path, name in found
        ]
    check_results([(path, result) for path, made in results for result in made.values()])
    return results


def _name(name: Path, target: str) -> str:
    return f"{name.stem}_to_{file_name(target)}.wav"


class _Conversion:
    """What one call does to every recording, and how it knows what it has done."""

    def __init__(
        self,
        opened: Opened,
        sources: Mapping[str, np.ndarray],
        targets: Mapping[str, np.ndarray],
        cutting: tuple[int, int] | None,
    ) -> None:
        self._opened, self._cutting = opened, cutting
        self._sources, self._targets = sources, targets
        self._level = opened.config["data"].get("level")
        given = {name: embedding.tolist() for name, embedding in sources.items()}
        decided = [opened.fingerprint, given, self._level, cutting]
        self._marks = {to: hash_of([*decided, e.tolist()]) for to, e in targets.items()}

    def missing(self, path: Path, results: Mapping[str, Path]) -> dict[str, Path]:
        """The results that this call has not made before, or that are not whole."""
        from singlow.voices.tag import read_tag

        made = {}
        for target, result in results.items():
            tag = read_tag(result) if result.is_file() else None
            if tag is None or tag.call != self._call(path, target):
                made[target] = result
        return made

    def _call(self, path: Path, target: str) -> str:
        return hash_of([self._marks[target], stamp(path)])

    def __call__(self, path: Path, loaded: Any, results: Mapping[str, Path]) -> list[Path]:
        """Convert one recording to the targets of `results`; returns what was written."""
        from singlow.voices.convert import convert_recording
        from singlow.voices.tag import Tag

        (audio, rate), before = loaded
        fingerprint = self._opened.fingerprint
        if before is not None and before.fingerprint != fingerprint:
            before = None
        with naming(path):
            source = who_speaks(self._opened, self._sources, path, audio, rate)
            voices = convert_recording(
                self._opened.coder,
                audio,
                rate,
                self._sources[source],
                [self._targets[target] for target in results],
                self._level,
                self._cutting,
                before,
            )
            for (target, result), voice in zip(results.items(), voices, strict=True):
                facts = (voice.level, voice.limit, len(audio), voice.tail)
                tag = Tag(source, target, fingerprint, self._call(path, target), *facts)
                self._write(result, voice, rate, tag.comment)
        return list(results.values())

    def _write(self, result: Path, voice: Any, rate: int, comment: str) -> None:
        from singlow.audio import write_audio

        # Whole numbers would round what a conversion back needs.
        write_audio(result, voice.audio, rate, subtype="FLOAT", comment=comment)
        tell_burst(result, voice.burst)
        if voice.limit < 1:
            print(
                f"{result}: turned down by {-20 * np.log10(voice.limit):.1f} dB, so that "
                "nothing exceeds full scale.",
                file=sys.stderr,
            )


class _Ahead:
    """Reads recordings, and what they say of themselves, one ahead of where they are taken.

    Args:
        paths: in the order in which they will be taken.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._waiting = iter(paths)
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "_Ahead":
        self._next = self._submit()
        return self

    def __exit__(self, *_: Any) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self) -> Any:
        path = next(self._waiting, None)
        return None if path is None else self._pool.submit(_read, path)

    def take(self) -> Any:
        """What `_read` gives of the next recording.

        Raises:
            DataError: it cannot be read.
        """
        current, self._next = self._next, self._submit()
        return current.result()


def _read(path: Path) -> Any:
    """A recording with its rate, and the tag of the conversion that it is, if it is one."""
    from singlow.audio import load_audio
    from singlow.voices.tag import read_tag

    return load_audio(path), read_tag(path)
