"""The verb `speak`: speak texts."""

import re
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from singlow.commands.places import Epoch, Output, RunName, check_folder, check_results, each
from singlow.errors import DataError, UsageError
from singlow.runs.opening import open_run
from singlow.voices.speak import Narrator

_LARGEST = 16 << 20  # bytes of a file of lines
_SLUG = 40  # characters of a text in the name of its file


def speak(
    run: RunName,
    text: Annotated[tuple[str, ...], Positional, arg(metavar="TEXT")],
    output: Output,
    file: Annotated[Path | None, arg(metavar="FILE")] = None,
    speaker: Annotated[str | None, arg(metavar="NAME")] = None,
    length_scale: Annotated[float | None, arg(metavar="FLOAT")] = None,
    temperature: Annotated[float | None, arg(metavar="FLOAT")] = None,
    vocoder: Annotated[str | None, arg(metavar="RUN")] = None,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    epoch: Epoch = "newest",
) -> None:
    """Speak texts, each into a wav file. Existing results of the same call are kept.

    Args:
        run: name under checkpoints/, or a path.
        text: what to speak, in quotes. A long text is spoken sentence by sentence.
        output: a folder, or a wav file for one text.
        file: a file with a text in each line, spoken after TEXT.
        speaker: speaker of the run (the first one).
        length_scale: factor of the durations; above 1, speech is slower (that of the model).
        temperature: scale of the noise; 0 is the mean (that of the model).
        vocoder: run of flowavenet or waveglow that makes audio of the mels (Griffin-Lim).
        seed: random seed of the noise.
        epoch: checkpoint to use.
    """
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    texts = [(each_of, "") for each_of in text]
    if file is not None:
        texts += _lines(file)
    if not texts:
        raise UsageError("Expected a text, or --file with a text in each line. Received: neither.")
    results = _results([each_of for each_of, _ in texts], output, file is not None)
    narrator = Narrator(open_run(run, epoch), speaker, temperature, length_scale, vocoder)
    if narrator.vocoder is None:
        print("Audio is made by the Griffin-Lim algorithm; --vocoder RUN sounds better.")
    work = {
        path: each_of
        for path, each_of in zip(results, texts, strict=True)
        if not narrator.is_current(path, each_of[0], seed)
    }
    if len(work) < len(results):
        print(f"Kept {len(results) - len(work)} result(s) of an earlier call with the same words.")
    each(
        [(path, path) for path in work],
        lambda path, _: narrator.write(path, work[path][0], seed, work[path][1]),
    )


def _lines(file: Path) -> list[tuple[str, str]]:
    """Return the texts in the lines of a file, each with its place; empty lines are left out.

    Raises:
        UsageError: there is no such file.
        DataError: the file cannot be read, or has no text.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file.")
    try:
        if file.stat().st_size > _LARGEST:
            raise DataError(f"{file}: Expected at most {_LARGEST} bytes. Received: a larger file.")
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: Expected lines of text in UTF-8. Received: {error}.") from None
    texts = [(line, f"{file}: line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not texts:
        raise DataError(f"{file}: Expected a text in each line. Received: no text.")
    return texts


def _results(texts: list[str], output: Path, several: bool) -> list[Path]:
    """Return the file of each text.

    Raises:
        UsageError: a file cannot be created, or a single file is given for several texts.
    """
    if len(texts) == 1 and not several and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".wav":
            raise UsageError(f"Expected -o with the suffix .wav. Received: {output}.")
        results = [output]
    else:
        check_folder(output, ".wav")
        digits = max(3, len(str(len(texts))))
        results = [
            output / f"{number:0{digits}d}-{_slug(text)}.wav"
            for number, text in enumerate(texts, 1)
        ]
    check_results([(Path(), path) for path in results])
    return results


def _slug(text: str) -> str:
    """Return the start of a text as a part of a file name."""
    words = re.sub(r"[^\w]+", "-", text.casefold()).strip("-")
    return words[:_SLUG].rstrip("-") or "text"
