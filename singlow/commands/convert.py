"""The verb `convert`: convert recordings to other voices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

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
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError, warn
from singlow.names import escape
from singlow.runs.data import window_length
from singlow.runs.opening import open_run
from singlow.voices.convert import Converter, check_hop
from singlow.voices.speakers import ALL, AUTO, convertible_speakers, part_of_file_name


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
    """Convert recordings to the voice of a trained or an enrolled speaker.

    The result has the sample rate, length, channels and loudness of the recording, but no
    frequencies above half of the run's sample rate. Its name is NAME_to_SPEAKER.wav. Existing
    results of the same call are kept. A second conversion of a result, with --from and --to
    exchanged, restores the recording.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or folders of them.
        output: a folder, or a wav file for one recording and one speaker.
        target: speaker of the result, or all, which writes one result for each speaker.
        source: speaker of the recordings, or auto, which identifies the likeliest one.
        frames: convert recordings as a whole or, as in the paper, in overlapping frames.
        hop: with overlap-add, samples between the starts of frames, at the run's sample rate (half
            a training window).
        epoch: checkpoint to use.
    """
    if hop is not None and frames == "whole":
        raise UsageError("Expected --frames overlap-add with --hop. Received: whole recordings.")
    sources = inputs(files, SUFFIXES)
    _check_apart(files, output)
    trained = open_run(run, epoch)
    convertible_speakers(trained)
    if frames == "overlap-add":
        hop = check_hop(hop, window_length(trained.config, trained.flow))
    converter = Converter(trained, target, source, hop)
    single = one_file(files) and target != ALL
    results = _results(sources, list(converter.targets), output, single)
    work = {
        path: [to for to, result in by_target.items() if not converter.is_current(path, to, result)]
        for path, by_target in results.items()
    }
    kept = sum(map(len, results.values())) - sum(map(len, work.values()))
    if kept:
        print(f"Kept {kept} result(s) of an earlier call with the same arguments.")

    def convert_one(path: Path, _: Path) -> list[Path]:
        written = []
        for conversion in converter(path, targets=work[path]):
            result = results[path][conversion.target]
            if conversion.identity is not None and not written:
                print(f"{escape(str(path))}: {conversion.identity}.")
            conversion.write(result)
            for note in conversion.notes:
                warn(f"{result}: {note}")
            written.append(result)
        return written

    each([(path, results[path][names[0]]) for path, names in work.items() if names], convert_one)


def _check_apart(files: tuple[Path, ...], output: Path) -> None:
    """Refuse to write results into a folder of recordings.

    Raises:
        UsageError: the output lies in a folder of recordings.
    """
    place = output.resolve()
    for folder in files:
        if folder.is_dir() and place.is_relative_to(folder.resolve()):
            raise UsageError(
                f"Expected -o outside of {folder}, whose recordings are converted. "
                f"Received: {output}."
            )


def _results(
    sources: Sequence[tuple[Path, Path]], targets: Sequence[str], output: Path, single: bool
) -> dict[Path, dict[str, Path]]:
    """Return the files of the results by recording and target.

    Raises:
        UsageError: two results would have one path, a result would replace a recording, or a
            file cannot be created.
    """
    if single and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".wav":
            raise UsageError(f"Expected -o with the suffix .wav. Received: {output}.")
        pairs = [(sources[0][0], {targets[0]: output})]
    else:
        pairs = [
            (path, {to: output / name.parent / _file_name(name, to) for to in targets})
            for path, name in sources
        ]
    check_results([(path, result) for path, by_target in pairs for result in by_target.values()])
    return dict(pairs)


def _file_name(name: Path, target: str) -> str:
    return f"{name.stem}_to_{part_of_file_name(target)}.wav"
