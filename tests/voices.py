"""Synthetic speakers: pulses and noise, filtered by the formants of each speaker."""

import numpy as np
from scipy.signal import lfilter

from singlow.evaluation.conversion_report import Utterance

RATE = 8000
SPEAKERS = {
    "<ada>": (210.0, (600.0, 1900.0)),
    "bo": (110.0, (450.0, 1200.0)),
    "cy": (150.0, (750.0, 2600.0)),
}


def speak(speaker: str, seed: int, seconds: float = 0.4) -> np.ndarray:
    """Return a clip of a speaker, `(time,)`, whose pitch depends on the seed."""
    rng = np.random.default_rng((seed, *map(ord, speaker)))
    pitch, formants = SPEAKERS[speaker]
    time = np.arange(round(seconds * RATE)) / RATE
    sway = 1 + 0.1 * np.sin(2 * np.pi * (3 * time + rng.uniform()))
    phase = np.cumsum(pitch * rng.uniform(0.95, 1.05) * sway) / RATE
    sound = np.diff(np.floor(phase), prepend=0) + 0.05 * rng.standard_normal(len(time))
    for formant in formants:
        turn = 2 * np.pi * formant * rng.uniform(0.95, 1.05) / RATE
        sound = lfilter([1.0], [1.0, -1.9 * np.cos(turn), 0.9025], sound)
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def utterances(count: int, first: int = 0) -> list[Utterance]:
    """Return `count` clips of each speaker, with seeds from `first` on."""
    numbers = range(first, first + count)
    return [Utterance(f"{s}-{k}", s, speak(s, k)) for s in SPEAKERS for k in numbers]
