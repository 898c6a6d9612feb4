"""The built-in spoken corpora: random phrases of syllables, spoken by synthetic voices.

The text of a clip is exact, and so is the time of every symbol in it. The corpora need no download
and are a pure function of their seed. On another machine or with other versions of the libraries,
the last bit of a sample may differ.

Example:
    >>> from singlow.choir.speech import speak
    >>> clip = speak("aiko", "kima lo, tesu hana.")
    >>> [timed.symbol for timed in clip.times][:6]
    ['k', 'i', 'm', 'a', ' ', 'l']
"""

import itertools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from singlow.choir import source_filter
from singlow.choir.corpus import synthesize
from singlow.choir.melody import Note
from singlow.choir.performance import consonant_seconds
from singlow.choir.speakers import SPEAKERS, STYLES, Speaker, Style
from singlow.errors import UsageError
from singlow.text.times import Timed

_CONSONANTS = "".join(source_filter.CONSONANTS)
_VOWELS = "".join(source_filter.VOWELS)
_SYLLABLE = re.compile(rf"[{_CONSONANTS}]?[{_VOWELS}]")
_TEXT = re.compile(
    rf"(?:[{_CONSONANTS}]?[{_VOWELS}])+(?:,? (?:[{_CONSONANTS}]?[{_VOWELS}])+)*[.?]?"
)
_PART = re.compile(r"[a-z]+|, | |[.?]")
_PAUSES = {" ": (0.06,), ", ": (0.12, 0.06)}  # seconds of each symbol at the rate 1
_LONGER = {",": 1.3, ".": 1.4, "?": 1.4}  # factors of the last syllable before a mark
_TURNS = {",": 0.15, ".": -0.25, "?": 0.5}  # pitch of that syllable, in ranges
_VOWEL_LENGTHS = {"a": 1.08, "e": 1.0, "i": 0.94, "o": 1.04, "u": 0.94}


@dataclass(frozen=True)
class SpokenClip:
    """A spoken clip and its true labels.

    Attributes:
        id: name of the clip, unique in its corpus.
        speaker: name of the speaker.
        style: name of the style.
        text: the phrase that is spoken.
        sample_rate: sample rate in Hz.
        audio: samples, int16 `(time, 1)`.
        f0: fundamental frequency in Hz every 10 ms, without jitter, float32 `(1 + time // 160,)`;
            it is 0 where the voice is unvoiced.
        times: every character of the text with its start and stop in seconds. Each begins where
            the one before it ends. The first begins after the silence at the start, and a mark at
            the end of the phrase lasts until the end of the clip.
    """

    id: str
    speaker: str
    style: str
    text: str
    sample_rate: int
    audio: np.ndarray
    f0: np.ndarray
    times: tuple[Timed, ...]


def speak(
    speaker: str | Speaker,
    text: str,
    style: str | Style = "neutral",
    seed: int | Sequence[int] = 0,
    *,
    peak: float = -3.0,
    noise: float = -67.0,
    id: str | None = None,
) -> SpokenClip:
    """Synthesize a phrase in the voice of a speaker.

    Args:
        speaker: a name in `SPEAKERS`, or a `Speaker`.
        text: words of syllables, separated by " " or ", ", and possibly "." or "?" at the end. A
            syllable is one of the vowels a e i o u, possibly after one of the consonants
            l m n s f h t k p.
        style: a name in `STYLES`, or a `Style`.
        seed: random seed of everything that differs between two performances.
        peak: largest absolute sample, in dBFS.
        noise: rms of the noise of the room and the pre-amplifier, in dBFS.
        id: id of the clip; made of the speaker's name and the seed when None.

    Raises:
        UsageError: the speaker or the style is unknown, or the text has another form.
    """
    speaker = _known(speaker, SPEAKERS, "speaker")
    style = _known(style, STYLES, "style")
    if not isinstance(text, str) or not _TEXT.fullmatch(text):
        raise UsageError(
            "Expected words of syllables, such as 'kima lo, tesu hana.', with a consonant of "
            f"{' '.join(source_filter.CONSONANTS).strip()} and a vowel of {' '.join(_VOWELS)}. "
            f"Received: {str(text)[:80]!r}."
        )
    rng = np.random.default_rng(seed)
    notes, times = _perform(text, speaker, style, rng)
    name = id if id is not None else f"{speaker.name}-{seed}"
    clip = synthesize(
        speaker.voice, notes, int(rng.integers(2**63)), peak=peak, noise=noise, id=name
    )
    return SpokenClip(
        name, speaker.name, style.name, text, clip.sample_rate, clip.audio, clip.f0, times
    )


def _known(value: str | Speaker | Style, known: dict, kind: str) -> Speaker | Style:
    if not isinstance(value, str):
        return value
    if value not in known:
        raise UsageError(f"Expected one of {', '.join(known)}. Received: {kind} {value!r}.")
    return known[value]


def _perform(
    text: str, speaker: Speaker, style: Style, rng: np.random.Generator
) -> tuple[list[Note], tuple[Timed, ...]]:
    """Return the syllables of a text with their pitch and length, and the times of its symbols."""
    parts = _PART.findall(text)
    words = [_SYLLABLE.findall(part) for part in parts if part[0].isalpha()]
    marks = [part for part in parts if not part[0].isalpha()]
    marks += [""] * (len(words) - len(marks))
    lengths = _lengths(words, marks, speaker.rate * style.rate, rng)
    pitches = _pitches(words, marks, lengths, speaker, style, rng)
    silence = [float(rng.uniform(0.15, 0.3)), float(rng.uniform(0.2, 0.35))]
    notes, times = [Note("", 0.0, silence[0])], []
    now, place = silence[0], 0
    for word, mark in zip(words, marks, strict=True):
        for number, syllable in enumerate(word):
            seconds = lengths[place]
            notes.append(Note(syllable, pitches[place], seconds))
            start = consonant_seconds(syllable[:-1], seconds, number == 0)
            if len(syllable) > 1:
                times.append(Timed(syllable[0], now, now + start))
            times.append(Timed(syllable[-1], now + start, now + seconds))
            now, place = now + seconds, place + 1
        for symbol, seconds in zip(mark, _PAUSES.get(mark, ()), strict=False):
            times.append(Timed(symbol, now, now + seconds / style.rate))
            now += seconds / style.rate
            notes.append(Note("", 0.0, seconds / style.rate))
    if marks[-1]:
        times.append(Timed(marks[-1], now, now + silence[1]))
    notes.append(Note("", 0.0, silence[1]))
    return notes, tuple(times)


def _lengths(
    words: list[list[str]], marks: list[str], rate: float, rng: np.random.Generator
) -> list[float]:
    """Return the length of each syllable in seconds."""
    lengths = []
    for word, mark in zip(words, marks, strict=True):
        for number, syllable in enumerate(word):
            last = _LONGER.get(mark.strip(), 1.0) if number == len(word) - 1 else 1.0
            varied = math.exp(0.05 * float(rng.normal()))
            lengths.append(_VOWEL_LENGTHS[syllable[-1]] * last * varied / rate)
    return lengths


def _pitches(
    words: list[list[str]],
    marks: list[str],
    lengths: list[float],
    speaker: Speaker,
    style: Style,
    rng: np.random.Generator,
) -> list[float]:
    """Return the pitch of each syllable as a MIDI number; their mean is that of the style.

    The pitch falls during the phrase. The first syllable of a word is higher than the others, and
    the last one before a mark rises or falls with it.
    """
    heights = []
    for word, mark in zip(words, marks, strict=True):
        for number in range(len(word)):
            height = 0.2 if number == 0 else -0.1
            if number == len(word) - 1:
                height += _TURNS.get(mark.strip(), 0.0)
            heights.append(height + 0.04 * float(rng.normal()))
    fall = np.linspace(0.25, -0.25, len(heights)) if len(heights) > 1 else np.zeros(1)
    heights = np.array(heights) + fall
    heights -= np.average(heights, weights=lengths)
    mean = 69 + 12 * math.log2(speaker.pitch / 440) + style.pitch
    return [float(mean + speaker.range * style.range * height) for height in heights]


def phrase(seed: int | Sequence[int] = 0) -> str:
    """Draw a random phrase of two to six words with one to three syllables each.

    A syllable without a consonant stands only at the start of a word. One phrase in five is a
    question.
    """
    rng = np.random.default_rng(seed)
    words = []
    for _ in range(int(rng.integers(2, 7))):
        word = ""
        for _ in range(int(rng.choice((1, 2, 3), p=(0.25, 0.5, 0.25)))):
            bare = not word and rng.random() < 0.15
            consonant = "" if bare else source_filter.CONSONANTS[rng.integers(1, 10)]
            word += consonant + _VOWELS[rng.integers(5)]
        words.append(word)
    text = words[0]
    for number, word in enumerate(words[1:], 1):
        pause = 1 < number < len(words) - 1 and rng.random() < 0.25
        text += (", " if pause else " ") + word
    return text + ("?" if rng.random() < 0.2 else ".")


def clips(
    seed: int = 0, clips_per_style: int = 150, styles: Sequence[str] = ("neutral",)
) -> Iterator[SpokenClip]:
    """Yield the clips of a spoken corpus. A clip does not depend on the number of clips.

    Args:
        seed: random seed of the corpus.
        clips_per_style: number of clips of each of `SPEAKERS` in each style.
        styles: names in `STYLES`.
    """
    for place in _places(clips_per_style, styles):
        yield clip(seed, *place)


def texts(
    seed: int = 0, clips_per_style: int = 150, styles: Sequence[str] = ("neutral",)
) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each clip that `clips` yields, without its sound."""
    for place in _places(clips_per_style, styles):
        yield _id(*place), phrase((*_key(seed, *place), 1))


def clip(seed: int, speaker: str, style: str, index: int) -> SpokenClip:
    """Return one clip of a spoken corpus, which `clips` yields."""
    key = _key(seed, speaker, style, index)
    rng = np.random.default_rng((*key, 0))
    return speak(
        speaker,
        phrase((*key, 1)),
        style,
        (*key, 2),
        peak=float(rng.uniform(-6.0, -1.5)),
        noise=float(rng.uniform(-70.0, -65.0)),
        id=_id(speaker, style, index),
    )


def _places(count: int, styles: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    return itertools.product(SPEAKERS, styles, range(count))


def _key(seed: int, speaker: str, style: str, index: int) -> tuple[int, int, int]:
    return seed, zlib.crc32(f"{speaker}/{style}".encode()), index


def _id(speaker: str, style: str, index: int) -> str:
    return f"{speaker}-{style}-{index:03d}"
