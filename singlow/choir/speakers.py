"""The speakers of the built-in spoken corpora, and their styles of speaking."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from singlow.choir.singers import Singer


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A voice and its way of speaking.

    Attributes:
        name: name of the speaker.
        voice: parameters of the voice; its compass is not used.
        pitch: mean fundamental frequency of a phrase in the neutral style, in Hz.
        range: interval in semitones by which the pitch of the syllables of a phrase is scaled.
        rate: syllables per second inside of a word, in the neutral style.
    """

    name: str
    voice: Singer
    pitch: float
    range: float
    rate: float


@dataclass(frozen=True, kw_only=True)
class Style:
    """A style of speaking, in proportion to the neutral style of the same speaker.

    Attributes:
        name: name of the style.
        rate: factor of the rate of syllables; pauses between words are divided by it.
        pitch: interval in semitones that is added to the mean pitch.
        range: factor of the range of the pitch.
    """

    name: str
    rate: float
    pitch: float
    range: float


def _speaker(name: str, pitch: float, range: float, rate: float, **voice: Any) -> Speaker:
    common = {
        "style": "human", "compass": (40, 70), "ring": 0.0, "vibrato_rate": 0.0,
        "vibrato_depth": 0.0, "vibrato_delay": 0.0, "vibrato_variation": 0.0, "drift": 8.0,
        "intonation": 0.0, "scoop": 0.0, "portamento": 0.11, "inhalation": None, "dynamics": 3.0,
        "attack": 0.02, "articulation": 0.045, "cascade": "falling",
    }  # fmt: skip
    singer = Singer(name=name, **common, **voice)
    return Speaker(name=name, voice=singer, pitch=pitch, range=range, rate=rate)


SPEAKERS: Mapping[str, Speaker] = MappingProxyType(
    {
        speaker.name: speaker
        for speaker in (
            _speaker(
                "aiko", 205.0, 7.0, 5.2, tract_length=14.9, glottal_shapes=(1.7, 1.1), tilt=-2.0,
                jitter=0.006, shimmer=0.35, breath=-25.0,
            ),
            _speaker(
                "ben", 112.0, 5.0, 4.6, tract_length=17.6, glottal_shapes=(1.3, 0.8), tilt=-3.0,
                jitter=0.007, shimmer=0.4, breath=-29.0,
            ),
            _speaker(
                "cleo", 250.0, 8.0, 5.8, tract_length=13.7, glottal_shapes=(1.9, 1.3), tilt=-1.5,
                jitter=0.005, shimmer=0.3, breath=-23.0,
            ),
            _speaker(
                "dario", 148.0, 6.0, 4.0, tract_length=16.4, glottal_shapes=(1.1, 0.7), tilt=-3.5,
                jitter=0.009, shimmer=0.45, breath=-31.0,
            ),
        )
    }
)  # fmt: skip

STYLES: Mapping[str, Style] = MappingProxyType(
    {
        style.name: style
        for style in (
            Style(name="neutral", rate=1.0, pitch=0.0, range=1.0),
            Style(name="lively", rate=1.3, pitch=3.0, range=1.8),
            Style(name="calm", rate=0.75, pitch=-2.0, range=0.45),
        )
    }
)
