"""Voice conversions measured: whom they are heard as, and what they must not have changed."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from singlow.audio import root_mean_square
from singlow.errors import DataError, EnvironmentFault
from singlow.evaluation import measures
from singlow.evaluation.conversion_report import (
    REAL,
    UNCONVERTED,
    Conversion,
    Report,
    Sample,
    System,
    Utterance,
)
from singlow.evaluation.originals import SILENT, evenly
from singlow.evaluation.similarity import Encoder, centroid, cosine, open_encoder
from singlow.evaluation.spoofing import SHORTEST, SpeakerClassifier

Convert = Callable[[list[np.ndarray], list[str], list[str]], Sequence[np.ndarray]]
"""From recordings `(time,)`, their speakers and the targets to conversions `(time,)`."""

Pair = tuple[Utterance, str]

_PITCHED = 5.0  # seconds of a recording whose pitch is followed
_ENCODED = 10  # training clips of a speaker that its embedding is the mean of


def evaluate_conversions(
    systems: Mapping[str, Convert],
    held_out: Sequence[Utterance],
    train: Sequence[Utterance],
    sample_rate: int,
    pairs: int = 100,
    seed: int = 0,
    closely: int = 30,
    samples: int = 8,
    encoder: Encoder | None = None,
    done: Callable[[], None] = lambda: None,
) -> Report:
    """Convert held-out clips to other speakers and measure the outcome beside real recordings.

    Every system converts the same pairs: first the first one alone, so that no compilation is
    timed, then all in one call, which is.

    Args:
        systems: what to compare, by name; a converter, or one at several settings.
        held_out: recordings that no system was trained on.
        train: those they were trained on, for the classifier and the speakers' embeddings.
        sample_rate: Hz of all.
        pairs: of a clip and a target, at most; spread evenly over pairs of speakers.
        seed: of the pairs and the classifier.
        closely: of the pairs, whose pitch (of their first 5 s) and similarity are measured.
        samples: of the pairs, to listen to.
        encoder: of speakers; Resemblyzer's when None, or none where that is not installed.
        done: called after every system, and after what comes before them.

    Raises:
        DataError: there are fewer than two speakers, none is held out, one that is was not trained
            on, or a conversion is no sound of at least 0.128 s.
        ValueError: a system is called as the recordings are.
    """
    if not systems or {UNCONVERTED, REAL} & set(systems):
        raise ValueError(f"Expected systems of other names than recordings. Received: {[*systems]}")
    held, known = (_usable(clips, sample_rate) for clips in (held_out, train))
    strangers = sorted({clip.speaker for clip in held} - {clip.speaker for clip in known})
    if strangers or not held:
        raise DataError(
            f"Expected held-out recordings of at least {SHORTEST} s, with sound, of the speakers "
            f"that were trained on. Received: {', '.join(strangers) or 'none'}."
        )
    classifier = SpeakerClassifier(
        [c.audio for c in known], [c.speaker for c in known], sample_rate, seed
    )
    note = ""
    try:
        encoder = encoder or open_encoder()
    except EnvironmentFault as fault:
        note = str(fault)
    drawn = draw_pairs(held, classifier.speakers, pairs, seed)
    ruler = _Ruler(sample_rate, classifier, known, encoder, closely)
    real = System(REAL, ruler.measure([(clip, clip.speaker) for clip in held]))
    unconverted = System(UNCONVERTED, ruler.measure(drawn))
    done()
    rows, heard = [], [{} for _ in drawn[:samples]]
    for name, convert in systems.items():
        made, speed = _timed(convert, drawn, sample_rate)
        _check(name, drawn, made, sample_rate)
        rows.append(System(name, ruler.measure(drawn, made), speed))
        for sounds, audio in zip(heard, made, strict=False):
            sounds[name] = audio
        done()
    played = _samples(drawn, heard, held, known, seed)
    left_out = len(held_out) + len(train) - len(held) - len(known)
    counts = len(known), len(held), left_out
    speakers = classifier.speakers
    return Report(sample_rate, seed, speakers, *counts, unconverted, rows, real, played, note)


def draw_pairs(
    clips: Sequence[Utterance], speakers: Sequence[str], count: int, seed: int
) -> list[Pair]:
    """At most `count` clips with targets other than their speakers, no two the same.

    Every pair of speakers comes once before any comes twice, in an order that follows the seed.
    """
    rng = np.random.default_rng(seed)
    routes = []
    for source in sorted({clip.speaker for clip in clips}):
        own = [clip for clip in clips if clip.speaker == source]
        for target in sorted(set(speakers) - {source}):
            routes.append([(own[k], target) for k in rng.permutation(len(own))])
    drawn: list[Pair] = []
    for turn in range(max(map(len, routes), default=0)):
        round_ = [route[turn] for route in routes if turn < len(route)]
        drawn += [round_[k] for k in rng.permutation(len(round_))]
    return drawn[:count]


class _Ruler:
    """What conversions are measured with."""

    def __init__(
        self,
        sample_rate: int,
        classifier: SpeakerClassifier,
        train: Sequence[Utterance],
        encoder: Encoder | None,
        closely: int,
    ) -> None:
        self._rate, self._closely = sample_rate, closely
        self._classifier, self._encoder = classifier, encoder
        self._train = train
        self._pitches: dict[int, np.ndarray] = {}
        self._voices: dict[str, np.ndarray] = {}

    def measure(
        self, pairs: Sequence[Pair], made: Sequence[np.ndarray] | None = None
    ) -> list[Conversion]:
        """What pairs became; their clips as they are, as if they were conversions, when None."""
        sounds = [clip.audio for clip, _ in pairs] if made is None else made
        heard = self._classifier.hear(sounds)
        close = set(evenly(range(len(pairs)), self._closely))
        rows = []
        for k, ((clip, target), audio) in enumerate(zip(pairs, sounds, strict=True)):
            found = self._alike(clip, target, audio) if k in close else {}
            if made is not None:
                found["loudness"] = measures.loudness(audio) - measures.loudness(clip.audio)
                found["seconds"] = (len(audio) - len(clip.audio)) / self._rate
                found["pitch"] = self._pitch_kept(clip, audio) if k in close else np.nan
            rows.append(Conversion(clip.name, clip.speaker, target, heard[k], **found))
        return rows

    def _pitch_kept(self, clip: Utterance, audio: np.ndarray) -> float:
        if id(clip) not in self._pitches:
            self._pitches[id(clip)] = self._pitch(clip.audio)
        return measures.pitch_correlation(self._pitches[id(clip)], self._pitch(audio))

    def _pitch(self, audio: np.ndarray) -> np.ndarray:
        return measures.pitch(audio[: round(_PITCHED * self._rate)], self._rate)

    def _alike(self, clip: Utterance, target: str, audio: np.ndarray) -> dict[str, float]:
        if self._encoder is None:
            return {}
        embedding = self._encoder(audio, self._rate)
        sides = {"to_target": target, "to_source": clip.speaker}
        return {side: cosine(embedding, self._voice(name)) for side, name in sides.items()}

    def _voice(self, speaker: str) -> np.ndarray:
        if speaker not in self._voices:
            own = evenly([c.audio for c in self._train if c.speaker == speaker], _ENCODED)
            self._voices[speaker] = centroid([self._encoder(audio, self._rate) for audio in own])
        return self._voices[speaker]


def _usable(clips: Sequence[Utterance], sample_rate: int) -> list[Utterance]:
    least = round(SHORTEST * sample_rate)
    return [c for c in clips if len(c.audio) >= least and root_mean_square(c.audio) > SILENT]


def _timed(
    convert: Convert, pairs: Sequence[Pair], sample_rate: int
) -> tuple[list[np.ndarray], float]:
    clips = [clip.audio for clip, _ in pairs]
    sources, targets = [clip.speaker for clip, _ in pairs], [target for _, target in pairs]
    convert(clips[:1], sources[:1], targets[:1])
    began = time.perf_counter()
    made = [np.asarray(audio, np.float32) for audio in convert(clips, sources, targets)]
    seconds = time.perf_counter() - began
    return made, sum(map(len, clips)) / sample_rate / seconds


def _check(name: str, pairs: Sequence[Pair], made: Sequence[np.ndarray], sample_rate: int) -> None:
    if len(made) != len(pairs):
        raise ValueError(f"Expected {len(pairs)} conversions of {name}. Received: {len(made)}.")
    for (clip, target), audio in zip(pairs, made, strict=True):
        long = audio.ndim == 1 and len(audio) >= round(SHORTEST * sample_rate)
        if not long or not np.isfinite(audio).all():
            how = f"{audio.shape} samples" if not long else "samples that are not finite"
            raise DataError(
                f"{name}: Expected a sound for {clip.name} converted to {target}. Received: {how}."
            )


def _samples(
    pairs: Sequence[Pair],
    heard: Sequence[dict[str, np.ndarray]],
    held: Sequence[Utterance],
    train: Sequence[Utterance],
    seed: int,
) -> list[Sample]:
    rng = np.random.default_rng(seed)
    rows = []
    for (clip, target), conversions in zip(pairs, heard, strict=False):
        sides = ([c for c in side if c.speaker == target] for side in (held, train))
        own = [side[k] for side in sides for k in rng.permutation(len(side))]
        rows.append(Sample(clip, own[0], own[1 % len(own)], conversions))
    return rows
