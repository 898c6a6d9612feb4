"""The singers of the built-in corpus and the parameters in which they differ.

Two "human" singers have vibrato, jitter, shimmer, breath, drift and portamento. Two "virtual"
singers sing stepped notes with steady pulses. Tests and evaluations use the parameters in `SINGERS`
as the ground truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Singer:
    """The parameters of a voice. Amplitudes are rms values unless another measure is named.

    Attributes:
        name: name of the singer.
        style: "human" or "virtual".
        compass: lowest and highest note as MIDI numbers (69 is 440 Hz).
        tract_length: length of the vocal tract in cm. Every formant is scaled by
            17.5 / tract_length.
        glottal_shapes: LF shape parameter Rd of soft and of loud notes; smaller is brighter.
        tilt: slope of the spectrum above 1 kHz, in dB per octave, added to the glottal spectrum.
        ring: strength of the singer's formant, from 0 to 1. At 1, formants 3 to 5 form a cluster
            around 3 kHz.
        vibrato_rate: rate of the vibrato in Hz.
        vibrato_depth: peak deviation of the pitch in cents; 0 means no vibrato.
        vibrato_delay: seconds from the start of a note to the start of its vibrato.
        vibrato_variation: relative standard deviation of the vibrato's rate, which changes slowly;
            that of its depth, which changes from note to note, is twice as large.
        drift: slow random deviation of the pitch in cents.
        intonation: standard deviation of the pitch of a note in cents.
        scoop: largest interval below its first note at which a phrase starts, in cents.
        portamento: duration of the glide between two notes in seconds.
        jitter: relative standard deviation of the length of a glottal cycle.
        shimmer: standard deviation of the amplitude of a glottal cycle in dB.
        breath: aspiration noise in dB relative to the glottal source.
        inhalation: noise of the breath before a phrase in dB relative to the glottal source; None
            means that no breath is audible.
        dynamics: difference in dB between the start of a phrase and its loudest note.
        attack: seconds in which the amplitude of a note rises and falls.
        articulation: duration of a transition between formants in seconds.
        cascade: order of the resonators of the vocal tract. "rising" begins with the first formant.
            "falling" ends with it, which removes the clicks of formants that move fast.
    """

    name: str
    style: Literal["human", "virtual"]
    compass: tuple[int, int]
    tract_length: float
    glottal_shapes: tuple[float, float]
    tilt: float
    ring: float
    vibrato_rate: float
    vibrato_depth: float
    vibrato_delay: float
    vibrato_variation: float
    drift: float
    intonation: float
    scoop: float
    portamento: float
    jitter: float
    shimmer: float
    breath: float
    inhalation: float | None
    dynamics: float
    attack: float
    articulation: float
    cascade: Literal["rising", "falling"] = "rising"


_ALMA = Singer(
    name="alma", style="human", compass=(57, 74), tract_length=14.8, glottal_shapes=(2.0, 1.1),
    tilt=-2.0, ring=0.2, vibrato_rate=5.7, vibrato_depth=55.0, vibrato_delay=0.22,
    vibrato_variation=0.06, drift=7.0, intonation=7.0, scoop=90.0, portamento=0.09, jitter=0.006,
    shimmer=0.35, breath=-24.0, inhalation=-30.0, dynamics=7.0, attack=0.05, articulation=0.09,
)  # fmt: skip
_BRUNO = Singer(
    name="bruno", style="human", compass=(47, 64), tract_length=17.3, glottal_shapes=(1.6, 0.8),
    tilt=-3.0, ring=0.6, vibrato_rate=5.2, vibrato_depth=70.0, vibrato_delay=0.28,
    vibrato_variation=0.08, drift=9.0, intonation=9.0, scoop=120.0, portamento=0.11, jitter=0.008,
    shimmer=0.45, breath=-27.0, inhalation=-33.0, dynamics=8.0, attack=0.06, articulation=0.10,
)  # fmt: skip
_NOVA = Singer(
    name="nova", style="virtual", compass=(59, 76), tract_length=14.2, glottal_shapes=(1.2, 1.1),
    tilt=-1.0, ring=0.0, vibrato_rate=6.5, vibrato_depth=20.0, vibrato_delay=0.35,
    vibrato_variation=0.0, drift=0.0, intonation=0.0, scoop=0.0, portamento=0.01, jitter=0.0002,
    shimmer=0.02, breath=-46.0, inhalation=None, dynamics=1.0, attack=0.02, articulation=0.05,
)  # fmt: skip
_ORION = Singer(
    name="orion", style="virtual", compass=(49, 66), tract_length=16.6, glottal_shapes=(1.0, 0.9),
    tilt=-2.0, ring=0.0, vibrato_rate=0.0, vibrato_depth=0.0, vibrato_delay=0.0,
    vibrato_variation=0.0, drift=0.0, intonation=0.0, scoop=0.0, portamento=0.0, jitter=0.0,
    shimmer=0.0, breath=-50.0, inhalation=None, dynamics=0.5, attack=0.015, articulation=0.04,
)  # fmt: skip

SINGERS: Mapping[str, Singer] = MappingProxyType(
    {singer.name: singer for singer in (_ALMA, _BRUNO, _NOVA, _ORION)}
)
