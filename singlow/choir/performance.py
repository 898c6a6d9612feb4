"""A singer's performance of a melody: control tracks and the sound that they control."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from singlow.choir import source_filter
from singlow.choir.melody import Note
from singlow.choir.singers import Singer
from singlow.choir.source_filter import CONTROL_RATE, HOP, SAMPLE_RATE


@dataclass
class Performance:
    """Control tracks of one sung melody, at `CONTROL_RATE` frames per second.

    Attributes:
        f0: fundamental frequency in Hz, `(frames,)`, without jitter.
        gain: gain of the glottal pulses, `(frames,)`; 0 where the voice is unvoiced.
        aspiration: amplitude of the breath noise, `(frames,)`.
        effort: vocal effort from 0 to 1, `(frames,)`.
        formants: first four formants, in Hz for a vocal tract of 17.5 cm, `(frames, 4)`.
        noises: first sample, consonant and amplitude of each unvoiced consonant.
    """

    f0: np.ndarray
    gain: np.ndarray
    aspiration: np.ndarray
    effort: np.ndarray
    formants: np.ndarray
    noises: list[tuple[int, str, float]]


def _phrases(notes: Sequence[Note]) -> Iterator[list[tuple[float, float, Note]]]:
    """Yield the notes between two rests, each with its start and stop in seconds."""
    start, phrase = 0.0, []
    for note in notes:
        if note.syllable:
            phrase.append((start, start + note.seconds, note))
        elif phrase:
            yield phrase
            phrase = []
        start += note.seconds
    if phrase:
        yield phrase


def closure_seconds(consonant: str, first: bool) -> float:
    """Return the length of the silence before the burst of a consonant.

    Args:
        consonant: one of `source_filter.CONSONANTS`.
        first: whether the consonant is the first sound of a phrase, which silence precedes.
    """
    return 0.035 if consonant in ("p", "t", "k") and not first else 0.0


def consonant_seconds(consonant: str, seconds: float, first: bool) -> float:
    """Return the length of the consonant of a syllable, with the silence before its burst.

    Args:
        consonant: one of `source_filter.CONSONANTS`.
        seconds: length of the syllable.
        first: whether the syllable is the first of a phrase.
    """
    if not consonant:
        return 0.0
    if consonant in source_filter.MURMURS:
        return min(0.07, 0.4 * seconds)
    return closure_seconds(consonant, first) + source_filter.NOISES[consonant][2]


def _vibrato(
    singer: Singer, seconds: np.ndarray, length: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the vibrato of a note as a deviation of its pitch in cents, `(frames,)`.

    Args:
        singer: the singer whose vibrato is used.
        seconds: time since the start of the note, `(frames,)`.
        length: length of the note in seconds.
        rng: random generator.
    """
    depth = singer.vibrato_depth * max(0.0, 1 + 2 * singer.vibrato_variation * rng.normal())
    wander = source_filter.slow_noise(len(seconds), 0.4, rng) * singer.vibrato_variation
    phase = np.cumsum(singer.vibrato_rate * (1 + wander)) / CONTROL_RATE
    rise = np.clip((seconds - singer.vibrato_delay) / 0.3, 0, 1)
    fall = np.clip((length - seconds) / 0.06, 0, 1)
    return depth * rise * fall * np.sin(2 * np.pi * phase)


def perform(
    singer: Singer, notes: Sequence[Note], size: int, rng: np.random.Generator
) -> Performance:
    """Return random control tracks of a singer's performance of a melody.

    Args:
        singer: the singer.
        notes: the melody.
        size: number of samples of the audio.
        rng: random generator.
    """
    frames = size // HOP + 1
    time = np.arange(frames) / CONTROL_RATE
    cents = np.full(frames, np.nan)
    bend, effort = np.zeros(frames), np.zeros(frames)
    gain, aspiration, noises = np.zeros(frames), np.zeros(frames), []
    formants = np.full((frames, 4), np.nan)
    end = 0.0
    for phrase in _phrases(notes):
        begin, finish = phrase[0][0], phrase[-1][1]
        if singer.inhalation is not None and begin - end > 0.2:
            part = (time > max(end + 0.04, begin - 0.4)) & (time < begin - 0.03)
            swell = np.sin(np.pi * np.linspace(0, 1, part.sum())) ** 2
            aspiration[part] += 10 ** (singer.inhalation / 20) * swell
        for start, stop, note in phrase:
            consonant, vowel = note.syllable[:-1], note.syllable[-1]
            part = slice(math.ceil(start * CONTROL_RATE), math.ceil(stop * CONTROL_RATE))
            within = time[part] - start
            cents[part] = 100 * note.pitch + singer.intonation * rng.normal()
            bend[part] += _vibrato(singer, within, stop - start, rng)
            arc = np.sin(np.pi * (time[part] - begin) / (finish - begin)) ** 0.7
            effort[part] = arc
            loudness = 10 ** (singer.dynamics * (arc - 1) / 20)
            gain[part] = loudness
            formants[part] = source_filter.VOWELS[vowel]
            begun = within < consonant_seconds(consonant, stop - start, start == begin)
            if consonant in source_filter.MURMURS:
                formants[part][begun] = source_filter.MURMURS[consonant]
                gain[part][begun] *= 0.4
            elif consonant:
                gain[part][begun] = 0
                place = round((start + closure_seconds(consonant, start == begin)) * SAMPLE_RATE)
                noises.append((place, consonant, float(loudness[begun][-1])))
        onset = begin + (0.03 if phrase[0][2].syllable[:-1] in source_filter.NOISES else 0.0)
        scoop = singer.scoop * rng.uniform(0.3, 1.0)
        part = (time >= begin) & (time < finish)
        bend[part] -= scoop * np.exp(-np.maximum(time[part] - onset, 0) / 0.05)
        end = finish
    cents = source_filter.smooth(_hold(cents), singer.portamento) + bend
    cents += singer.drift * source_filter.slow_noise(frames, 0.35, rng)
    gain = np.maximum(source_filter.smooth(gain, singer.attack), 0)
    aspiration += (
        10 ** (singer.breath / 20) * np.maximum(source_filter.smooth(gain, 0.06), 0) ** 0.7
    )
    return Performance(
        f0=440 * 2 ** ((cents - 6900) / 1200),
        gain=np.where(gain > 1e-3, gain, 0),
        aspiration=aspiration,
        effort=source_filter.smooth(effort, 0.1),
        formants=source_filter.smooth(_hold(formants), singer.articulation),
        noises=noises,
    )


def _hold(track: np.ndarray) -> np.ndarray:
    """Return the track, `(frames, ...)`, with every NaN replaced by the nearest value."""
    known = np.flatnonzero(~np.isnan(track.reshape(len(track), -1)[:, 0]))
    place = np.searchsorted((known[1:] + known[:-1]) / 2, np.arange(len(track)))
    return track[known[place]]


def _formants(singer: Singer, performance: Performance) -> tuple[np.ndarray, np.ndarray]:
    """Return all formants below the Nyquist frequency and their bandwidths, in Hz `(frames, n)`."""
    frames = len(performance.f0)
    stretch = 17.5 / singer.tract_length
    higher = np.broadcast_to(
        source_filter.HIGHER_FORMANTS, (frames, len(source_filter.HIGHER_FORMANTS))
    )
    formants = stretch * np.concatenate([performance.formants, higher], axis=1)
    ring = np.array((2700.0, 3050.0, 3450.0)) * stretch**0.3
    formants[:, 2:5] += singer.ring * (ring - formants[:, 2:5])
    formants = formants[:, formants.max(axis=0) < 0.97 * SAMPLE_RATE / 2]
    # Singers open the jaw to keep the first formant above the fundamental frequency.
    formants[:, 0] = np.maximum(formants[:, 0], 1.05 * performance.f0)
    bandwidths = np.broadcast_to(source_filter.BANDWIDTHS[: formants.shape[1]], formants.shape)
    return formants, np.maximum(bandwidths, 0.04 * formants)


def phonate(
    singer: Singer, performance: Performance, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return glottal pulses and breath, filtered by the vocal tract.

    Args:
        singer: the singer.
        performance: the control tracks.
        size: number of samples of the audio.
        rng: random generator.

    Returns:
        Audio `(time,)` with an rms of 1 over the voiced samples.
    """
    frame = np.arange(size) / HOP
    points = np.arange(len(performance.f0))
    f0, gain, aspiration, effort = (
        np.interp(frame, points, track)
        for track in (
            performance.f0, performance.gain, performance.aspiration, performance.effort
        )
    )  # fmt: skip
    cycles = np.floor(np.cumsum(f0) / SAMPLE_RATE).astype(int)
    jitter = 1 + singer.jitter * np.clip(rng.standard_normal(cycles[-1] + 2), -3, 3)
    phase = np.cumsum(f0 * jitter[cycles]) / SAMPLE_RATE
    cycles = np.floor(phase).astype(int)
    shimmer = 10 ** (singer.shimmer * rng.standard_normal(cycles[-1] + 2) / 20)
    voiced = gain > 0
    pulses = np.zeros(size)
    pulses[voiced] = source_filter.glottal_source(
        f0[voiced], phase[voiced], effort[voiced], singer.glottal_shapes
    )
    pulses = source_filter.tilt(pulses * gain * shimmer[cycles], singer.tilt)
    opening = 1 + 0.7 * np.where(voiced, np.cos(2 * np.pi * (phase - 0.6)), 0)
    breath = aspiration * opening * rng.standard_normal(size)
    formants, bandwidths = _formants(singer, performance)
    order = slice(None) if singer.cascade == "rising" else slice(None, None, -1)
    sung = source_filter.vocal_tract(pulses + breath, formants[:, order], bandwidths[:, order])
    return sung / np.sqrt(np.mean(sung[voiced] ** 2))
