"""Sentences of a small grammar of commands, spoken by a speech synthesizer in PATH.

Every word is in the dictionaries of common recognizers, so that a recognizer can check the words of
synthesized speech.
"""

import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from singlow.errors import EnvironmentFault
from singlow.text.programs import require_program, run_program, version_of

PROGRAMS = ("espeak-ng", "flite")
SLOTS: tuple[tuple[str, ...], ...] = (
    ("bring", "carry", "send", "move", "take", "show"),
    ("two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("red", "green", "blue", "white", "black", "yellow"),
    ("boxes", "bottles", "letters", "papers", "flowers", "apples", "candles"),
    ("to the", "from the", "near the", "behind the"),
    ("kitchen", "garden", "station", "river", "office", "market", "window", "table"),
    ("now", "again", "today", "please", "tomorrow"),
)
"""The words of a sentence, place by place."""


@dataclass(frozen=True)
class EnglishClip:
    """A sentence spoken by a program.

    Attributes:
        id: name of the clip, unique in its corpus.
        speaker: name of the program.
        text: the sentence, in small letters with a point.
        sample_rate: sample rate in Hz.
        audio: samples, int16 `(time, 1)`.
    """

    id: str
    speaker: str
    text: str
    sample_rate: int
    audio: np.ndarray


def sentence(seed: int | Sequence[int] = 0) -> str:
    """Draw a random sentence, such as "bring seven green boxes to the kitchen now."."""
    rng = np.random.default_rng(seed)
    return " ".join(words[rng.integers(len(words))] for words in SLOTS) + "."


def sentences(seed: int = 0, count: int = 1200) -> Iterator[str]:
    """Yield different random sentences. A sentence does not depend on their number."""
    seen: set[str] = set()
    index = 0
    while len(seen) < count:
        text = sentence((seed, index))
        index += 1
        if text not in seen:
            seen.add(text)
            yield text


def words() -> list[str]:
    """Return the vocabulary, sorted."""
    return sorted({word for choices in SLOTS for each in choices for word in each.split()})


def jsgf() -> str:
    """Return the grammar in the format JSGF, which recognizers such as pocketsphinx read."""
    slots = " ".join(f"({' | '.join(choices)})" for choices in SLOTS)
    return f"#JSGF V1.0;\ngrammar commands;\npublic <command> = {slots};\n"


def synthesizer() -> tuple[str, str]:
    """Return the name and the version of the program that speaks.

    Raises:
        EnvironmentFault: PATH has no such program; the message says how to install one.
    """
    name = require_program("The corpus spoken-english", *PROGRAMS)
    return name, version_of(name)


def speak_english(text: str, program: str) -> tuple[np.ndarray, int]:
    """Return the audio of an English text, int16 `(time, 1)`, and its sample rate in Hz.

    Args:
        text: the text.
        program: "espeak-ng" or "flite".

    Raises:
        EnvironmentFault: the program is missing, fails or writes no sound.
    """
    with tempfile.TemporaryDirectory(prefix="singlow-") as place:
        folder = Path(place)
        if program == "flite":
            (folder / "text").write_text(text, "utf-8")
            arguments = ["-voice", "slt", "-f", "text", "-o", "speech.wav"]
            run_program(program, arguments, folder=folder)
        else:
            arguments = ["-v", "en-us", "-b", "1", "-w", "speech.wav", "--stdin"]
            run_program(program, arguments, text, folder=folder)
        return _read(folder / "speech.wav", program)


def _read(path: Path, program: str) -> tuple[np.ndarray, int]:
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise wave.Error(f"{8 * file.getsampwidth()} bits")
            channels, rate = file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise EnvironmentFault(f"{program} wrote no sound of 16 bits: {error}.") from None
    audio = np.frombuffer(data, "<i2").reshape(-1, channels)[:, :1]
    if not audio.any():
        raise EnvironmentFault(f"{program} wrote silence. Install it again.")
    return audio, rate


def texts(seed: int = 0, count: int = 1200) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each clip that `clips` yields, without its sound.

    Raises:
        EnvironmentFault: PATH has no program that speaks.
    """
    program, _ = synthesizer()
    for index, text in enumerate(sentences(seed, count)):
        yield f"{program}-{index:04d}", text


def clips(seed: int = 0, count: int = 1200) -> Iterator[EnglishClip]:
    """Yield the clips of the corpus. A clip does not depend on the number of clips.

    Raises:
        EnvironmentFault: PATH has no program that speaks, or it fails.
    """
    program, _ = synthesizer()
    for id, text in texts(seed, count):
        audio, rate = speak_english(text, program)
        yield EnglishClip(id, program, text, rate, audio)
