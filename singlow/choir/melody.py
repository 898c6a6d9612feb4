"""Random melodies over a scale, as sequences of syllables with notes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from singlow.choir import source_filter
from singlow.errors import UsageError


@dataclass(frozen=True)
class Note:
    """One sung syllable.

    Attributes:
        syllable: a consonant of `source_filter.CONSONANTS` (or none) and a vowel, as in "la"; ""
            is a rest.
        pitch: MIDI number (69 is 440 Hz); it is ignored for a rest.
        seconds: time until the next note.
    """

    syllable: str
    pitch: float
    seconds: float


def melody(
    seconds: float, seed: int | Sequence[int] = 0, compass: tuple[int, int] = (57, 69)
) -> tuple[Note, ...]:
    """Draw a random melody.

    The melody consists of phrases over a major or minor scale. Each phrase ends with a long note
    of the tonic's chord.

    Args:
        seconds: exact length of the melody with its rests; at least 1.
        seed: random seed of the melody.
        compass: lowest and highest note as MIDI numbers.

    Raises:
        UsageError: the melody is shorter than a second.
    """
    if seconds < 1:
        raise UsageError(f"Expected a melody of at least 1 second. Received: {seconds}.")
    rng = np.random.default_rng(seed)
    scale = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10))[rng.integers(2)]
    low, high = compass
    tonic = low + int(rng.integers(0, max(1, min(6, high - low - 11))))
    beat = 60 / rng.uniform(76, 116)
    pitches = [tonic + 12 * octave + step for octave in (-1, 0, 1) for step in scale]
    pitches = [pitch for pitch in pitches if low <= pitch <= high]
    chord = [pitch for pitch in pitches if (pitch - tonic) % 12 in (0, scale[2], scale[4])]
    notes = [Note("", 0.0, float(min(rng.uniform(0.12, 0.3), seconds - 0.95)))]
    left = seconds - notes[0].seconds
    place = int(rng.integers(len(pitches)))
    while left > 0.9:
        for remaining in reversed(range(int(rng.integers(4, 8)))):
            last = remaining == 0 or left < 2.2 * beat + 0.3
            duration = beat * (rng.choice((1.5, 2.0)) if last else rng.choice((0.5, 0.5, 1.0)))
            duration = float(min(duration, left - 0.25))
            pitch = pitches[place]
            if last:
                pitch = min(chord, key=lambda tone: abs(tone - pitch))
            vowel = "aeiou"[rng.choice(5, p=(0.32, 0.2, 0.16, 0.2, 0.12))]
            consonant = "" if rng.random() < 0.2 else source_filter.CONSONANTS[rng.integers(1, 10)]
            notes.append(Note(consonant + vowel, float(pitch), duration))
            left -= duration
            step = int(rng.choice((-2, -1, -1, 0, 1, 1, 2, 3, -3)))
            place = int(np.clip(place + step, 0, len(pitches) - 1))
            if last:
                break
        rest = float(min(rng.uniform(0.25, 0.5), left))
        if left - rest <= 0.9:
            rest = left
        notes.append(Note("", 0.0, rest))
        left -= rest
    return tuple(notes)


def note_name(pitch: float) -> str:
    """Return the name of a note from its MIDI number, such as "A4" for 69."""
    names = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    return f"{names[round(pitch) % 12]}{round(pitch) // 12 - 1}"
