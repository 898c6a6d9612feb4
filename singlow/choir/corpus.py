"""The built-in corpus: melodies sung by synthetic singers whose differences are known.

The corpus needs no download and is a pure function of its seed. On another machine or with other
versions of the libraries, the last bit of a sample may differ.

Example:
    >>> from singlow.choir import corpus
    >>> notes = corpus.melody(2.0, seed=1)
    >>> corpus.synthesize("nova", notes, seed=1).audio.shape
    (32000, 1)
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from singlow.choir import source_filter
from singlow.choir.melody import Note, melody, note_name
from singlow.choir.performance import perform, phonate
from singlow.choir.singers import SINGERS, Singer
from singlow.choir.source_filter import CONTROL_RATE, SAMPLE_RATE
from singlow.errors import UsageError

F0_RATE = 100


@dataclass(frozen=True)
class SyntheticClip:
    """A sung clip and its true labels.

    Attributes:
        id: name of the clip, unique in its corpus.
        singer: name of the singer.
        style: "human" or "virtual".
        text: syllables with their notes; a rest is "-".
        sample_rate: sample rate in Hz.
        audio: samples, int16 `(time, 1)`.
        f0: fundamental frequency in Hz every 10 ms, without jitter, float32 `(1 + time // 160,)`;
            it is 0 where the voice is unvoiced.
        notes: the melody.
    """

    id: str
    singer: str
    style: str
    text: str
    sample_rate: int
    audio: np.ndarray
    f0: np.ndarray
    notes: tuple[Note, ...]


def synthesize(
    singer: str | Singer,
    notes: Sequence[Note],
    seed: int | Sequence[int] = 0,
    *,
    peak: float = -3.0,
    noise: float = -67.0,
    id: str | None = None,
) -> SyntheticClip:
    """Synthesize a melody with the voice of a singer. Every singer can sing every melody.

    Args:
        singer: a name in `SINGERS`, or a `Singer`.
        notes: the melody, with at least one note that is not a rest.
        seed: random seed of everything that differs between two performances.
        peak: largest absolute sample, in dBFS.
        noise: rms of the noise of the room and the pre-amplifier, in dBFS.
        id: id of the clip; made of the singer's name and the seed when None.

    Raises:
        UsageError: the singer or a syllable is unknown, or all notes are rests.
    """
    if isinstance(singer, str):
        if singer not in SINGERS:
            raise UsageError(f"Expected one of {', '.join(SINGERS)}. Received: singer {singer!r}.")
        singer = SINGERS[singer]
    for note in notes:
        syllable = note.syllable
        if syllable and (
            syllable[-1] not in source_filter.VOWELS
            or syllable[:-1] not in source_filter.CONSONANTS
        ):
            raise UsageError(
                f"Expected a consonant of {' '.join(source_filter.CONSONANTS).strip()} and a "
                f"vowel of {' '.join(source_filter.VOWELS)}. Received: syllable {syllable!r}."
            )
    if not any(note.syllable for note in notes):
        raise UsageError("Expected at least one sung note. Received: rests only.")
    rng = np.random.default_rng(seed)
    size = round(sum(note.seconds for note in notes) * SAMPLE_RATE)
    performance = perform(singer, notes, size, rng)
    audio = phonate(singer, performance, size, rng)
    for start, consonant, loudness in performance.noises:
        burst = loudness * source_filter.consonant_noise(consonant, 17.5 / singer.tract_length, rng)
        audio[start : start + len(burst)] += burst[: size - start]
    audio = source_filter.add_room(audio, rng)
    audio *= 10 ** (peak / 20) / np.abs(audio).max()
    audio += 10 ** (noise / 20) * source_filter.recording_noise(size, rng)
    step = CONTROL_RATE // F0_RATE
    voiced = performance.gain[::step] > 0.03
    return SyntheticClip(
        id=id if id is not None else f"{singer.name}-{seed}",
        singer=singer.name,
        style=singer.style,
        text=" ".join(
            f"{note.syllable}:{note_name(note.pitch)}" if note.syllable else "-" for note in notes
        ),
        sample_rate=SAMPLE_RATE,
        audio=np.clip(np.round(audio * 32768), -32767, 32767).astype(np.int16)[:, None],
        f0=np.where(voiced, performance.f0[::step], 0).astype(np.float32),
        notes=tuple(notes),
    )


def clips(
    seed: int = 0, clips_per_singer: int = 12, seconds: float = 5.0
) -> Iterator[SyntheticClip]:
    """Yield the clips of the built-in corpus. A clip does not depend on the number of clips.

    Args:
        seed: random seed of the corpus.
        clips_per_singer: number of clips of each of `SINGERS`.
        seconds: length of each clip.
    """
    for singer in SINGERS.values():
        for index in range(clips_per_singer):
            key = (seed, zlib.crc32(singer.name.encode()), index)
            rng = np.random.default_rng((*key, 0))
            yield synthesize(
                singer,
                melody(seconds, (*key, 1), singer.compass),
                (*key, 2),
                peak=float(rng.uniform(-6.0, -1.5)),
                noise=float(rng.uniform(-70.0, -65.0)),
                id=f"{singer.name}-{index:03d}",
            )


def corpus(seed: int = 0, clips_per_singer: int = 12, seconds: float = 5.0) -> list[SyntheticClip]:
    """Return all `clips` as a list; by default they last four minutes."""
    return list(clips(seed, clips_per_singer, seconds))
