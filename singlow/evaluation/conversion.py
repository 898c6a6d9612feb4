"""Measure voice conversions: as which speakers they are recognized, and what must not change."""

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.audio import dequantize, root_mean_square
from singlow.data.sources.layouts import sources_of
from singlow.data.store.dataset import Clips, read_info
from singlow.errors import DataError, EnvironmentFault, warn
from singlow.evaluation import measures
from singlow.evaluation.conversion_report import (
    FIGURES,
    LISTENING,
    PAGE,
    REAL,
    UNCONVERTED,
    Conversion,
    ConversionReport,
    Sample,
    System,
    Utterance,
    write_page,
)
from singlow.evaluation.listening import write_listening
from singlow.evaluation.originals import SILENT, evenly
from singlow.evaluation.similarity import Encoder, centroid, cosine, open_encoder
from singlow.evaluation.spoofing import SHORTEST, SpeakerClassifier
from singlow.files import write_text
from singlow.names import shown
from singlow.progress import progress
from singlow.runs.data import window_length
from singlow.voices.convert import check_hop, convert_recording
from singlow.voices.recordings import run_loudness
from singlow.voices.speakers import Speakers, convertible_speakers

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

Convert = Callable[[list[np.ndarray], list[str], list[str]], Sequence[np.ndarray]]
"""A function from recordings `(time,)`, their speakers and targets to conversions `(time,)`."""

Pair = tuple[Utterance, str]
"""A clip and the speaker to which it is converted."""

MOST_LEARNT = 200  # largest number of training clips of a speaker for the classifier
_PITCHED = 5.0  # seconds at the start of a recording in which pitch is measured
_ENCODED = 10  # largest number of training clips whose mean embedding represents a speaker


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
) -> ConversionReport:
    """Convert held-out clips to other speakers and compare the results with real recordings.

    Every system converts the same pairs in one timed call. Before it, the system converts the first
    pair alone, so that compilation is not timed.

    Args:
        systems: the converters to compare, by name; one converter may appear with several settings.
        held_out: recordings that no system was trained on.
        train: recordings that they were trained on, for the classifier and the speakers'
            embeddings.
        sample_rate: sample rate of all recordings, in Hz.
        pairs: largest number of pairs of a clip and a target, spread evenly over pairs of speakers.
        seed: random seed for the choice of pairs and for the classifier.
        closely: number of pairs whose pitch (in the first 5 s) and similarity are measured.
        samples: number of pairs to listen to.
        encoder: speaker encoder. None uses that of Resemblyzer; if Resemblyzer is not installed,
            similarity is not measured.
        done: called once before the first system, and after every system.

    Raises:
        DataError: there are fewer than two speakers, no recording is held out, the speaker of a
            held-out recording has no training recording, or a conversion is shorter than 0.128 s
            or not finite.
        ValueError: a system has a name that the report uses for recordings.
    """
    if not systems or {UNCONVERTED, REAL} & set(systems):
        raise ValueError(f"Expected systems of other names than recordings. Received: {[*systems]}")
    held, known = (_usable(clips, sample_rate) for clips in (held_out, train))
    strangers = sorted({clip.speaker for clip in held} - {clip.speaker for clip in known})
    if strangers or not held:
        raise DataError(
            f"Expected held-out recordings of at least {SHORTEST} s, with sound, of the speakers "
            f"that were trained on. Received: {', '.join(map(shown, strangers)) or 'none'}."
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
    meter = _Meter(sample_rate, classifier, known, encoder, closely)
    real = System(REAL, meter.measure([(clip, clip.speaker) for clip in held]))
    unconverted = System(UNCONVERTED, meter.measure(drawn))
    done()
    rows, played = [], [{} for _ in drawn[:samples]]
    for name, convert in systems.items():
        results, speed = _timed(convert, drawn, sample_rate)
        _check(name, drawn, results, sample_rate)
        rows.append(System(name, meter.measure(drawn, results), speed))
        for sounds, audio in zip(played, results, strict=False):
            sounds[name] = audio
        done()
    return ConversionReport(
        sample_rate=sample_rate,
        seed=seed,
        speakers=classifier.speakers,
        train=len(known),
        held_out=len(held),
        left_out=len(held_out) + len(train) - len(held) - len(known),
        unconverted=unconverted,
        systems=rows,
        real=real,
        samples=_samples(drawn, played, held, known, seed),
        note=note,
    )


def draw_pairs(
    clips: Sequence[Utterance], speakers: Sequence[str], count: int, seed: int
) -> list[Pair]:
    """Draw at most `count` different pairs of a clip and a speaker other than its own.

    Every pair of speakers occurs once before any occurs twice. The seed determines the order.
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


class _Meter:
    """Measures conversions.

    Args:
        sample_rate: sample rate of all recordings, in Hz.
        classifier: the classifier that recognizes speakers.
        train: recordings from which the embeddings of the speakers are computed.
        encoder: speaker encoder; None leaves similarity out.
        closely: number of pairs whose pitch and similarity are measured.
    """

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
        self, pairs: Sequence[Pair], results: Sequence[np.ndarray] | None = None
    ) -> list[Conversion]:
        """Measure the conversions of pairs, or the unconverted clips when `results` is None."""
        sounds = [clip.audio for clip, _ in pairs] if results is None else results
        recognized = self._classifier.recognize(sounds)
        close = set(evenly(range(len(pairs)), self._closely))
        rows = []
        for k, ((clip, target), audio) in enumerate(zip(pairs, sounds, strict=True)):
            figures = self._similarity(clip, target, audio) if k in close else {}
            if results is not None:
                figures["loudness"] = measures.loudness(audio) - measures.loudness(clip.audio)
                figures["seconds"] = (len(audio) - len(clip.audio)) / self._rate
                figures["pitch"] = self._pitch_kept(clip, audio) if k in close else np.nan
            rows.append(Conversion(clip.name, clip.speaker, target, recognized[k], **figures))
        return rows

    def _pitch_kept(self, clip: Utterance, audio: np.ndarray) -> float:
        if id(clip) not in self._pitches:
            self._pitches[id(clip)] = self._pitch(clip.audio)
        return measures.pitch_correlation(self._pitches[id(clip)], self._pitch(audio))

    def _pitch(self, audio: np.ndarray) -> np.ndarray:
        return measures.pitch(audio[: round(_PITCHED * self._rate)], self._rate)

    def _similarity(self, clip: Utterance, target: str, audio: np.ndarray) -> dict[str, float]:
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
    """Return the conversions of pairs, and how many times faster than real time they ran."""
    clips = [clip.audio for clip, _ in pairs]
    sources, targets = [clip.speaker for clip, _ in pairs], [target for _, target in pairs]
    convert(clips[:1], sources[:1], targets[:1])
    began = time.perf_counter()
    results = [np.asarray(audio, np.float32) for audio in convert(clips, sources, targets)]
    seconds = time.perf_counter() - began
    return results, sum(map(len, clips)) / sample_rate / seconds


def _check(
    name: str, pairs: Sequence[Pair], results: Sequence[np.ndarray], sample_rate: int
) -> None:
    """Refuse conversions that cannot be measured.

    Raises:
        DataError: a conversion is too short or not finite.
        ValueError: the number of conversions differs from the number of pairs.
    """
    if len(results) != len(pairs):
        raise ValueError(f"Expected {len(pairs)} conversions of {name}. Received: {len(results)}.")
    for (clip, target), audio in zip(pairs, results, strict=True):
        long = audio.ndim == 1 and len(audio) >= round(SHORTEST * sample_rate)
        if not long or not np.isfinite(audio).all():
            received = f"{audio.shape} samples" if not long else "samples that are not finite"
            raise DataError(
                f"{name}: Expected a sound for {shown(clip.name)} converted to {shown(target)}. "
                f"Received: {received}."
            )


def _samples(
    pairs: Sequence[Pair],
    played: Sequence[dict[str, np.ndarray]],
    held: Sequence[Utterance],
    train: Sequence[Utterance],
    seed: int,
) -> list[Sample]:
    rng = np.random.default_rng(seed)
    rows = []
    for (clip, target), conversions in zip(pairs, played, strict=False):
        sides = ([c for c in side if c.speaker == target] for side in (held, train))
        own = [side[k] for side in sides for k in rng.permutation(len(side))]
        rows.append(Sample(clip, own[0], own[1 % len(own)], conversions))
    return rows


def evaluate_run_conversions(
    run: "TrainedRun", config: Mapping[str, Any], pairs: int, hops: Sequence[int], output: Path
) -> ConversionReport:
    """Measure the conversions of a run, and write figures, a page and a listening test.

    Args:
        run: an opened run with speakers.
        config: its settings as `prepare_data` returns them.
        pairs: largest number of pairs of a held-out clip and another speaker.
        hops: hops of overlapping frames, in samples, to measure in addition to whole recordings.
            With any hop, clips that are shorter than a window are left out.
        output: the folder to write to.

    Raises:
        UsageError: a hop does not fit the run's window.
        DataError: a speaker has no recordings.
    """
    window = window_length(config, run.flow)
    ways = {"whole": None, **{f"hop {hop}": (window, check_hop(hop, window)) for hop in hops}}
    speakers = convertible_speakers(run)
    systems = {name: functools.partial(_convert, run, speakers, way) for name, way in ways.items()}
    held_out = _utterances(config, "validation", window if hops else run.flow.multiple)
    train = _utterances(config, "train", run.flow.multiple)
    with progress("Converting", 1 + len(systems)) as advance:
        report = evaluate_conversions(
            systems,
            held_out,
            train,
            run.flow.signal.sample_rate,
            pairs,
            config["training"]["seed"],
            done=advance,
        )
    sources = shown(" ".join(sources_of(config["data"]["dataset"])))
    about = [f"Run {run.name}, epoch {run.checkpoint.epoch}; clips of {sources}."]
    write_conversions(report, output, f"Voices of {run.name}", about)
    return report


def _convert(
    run: "TrainedRun",
    speakers: Speakers,
    frames: tuple[int, int] | None,
    clips: Iterable[np.ndarray],
    sources: Iterable[str],
    targets: Iterable[str],
) -> list[np.ndarray]:
    """Convert clips `(time,)` at the run's sample rate with the run."""
    rate, results, bursts = run.flow.signal.sample_rate, [], 0
    for audio, source, target in zip(clips, sources, targets, strict=True):
        (voice,) = convert_recording(
            run.coder,
            audio[:, None],
            rate,
            speakers[source],
            [speakers[target]],
            run_loudness(run),
            frames,
        )
        results.append(voice.audio[:, 0])
        bursts += voice.burst > 0
    if bursts:
        warn(f"{bursts} of {len(results)} conversions exceeded full scale and were clipped there.")
    return results


def _utterances(config: Mapping[str, Any], split: str, shortest: int) -> list[Utterance]:
    """Read at most `MOST_LEARNT` clips of each speaker, spread evenly over all its clips.

    Clips of fewer than `shortest` samples are left out.

    Raises:
        DataError: a speaker has no such clip.
    """
    data = config["data"]
    directory = Path(data["directory"])
    clips = Clips(directory, read_info(directory), split, shortest)
    utterances = []
    for number, speaker in enumerate(data["singers"]):
        own = [k for k, entry in enumerate(clips.entries) if entry.singer == number]
        if not own:
            raise DataError(
                f"{directory}: Expected {split} clips of {shown(speaker)}, of at least {shortest} "
                "samples. Received: none."
            )
        for k in evenly(own, MOST_LEARNT):
            audio = dequantize(clips.samples(k))[:, 0]
            utterances.append(Utterance(clips.entries[k].id, speaker, audio))
    return utterances


def write_conversions(
    report: ConversionReport, folder: Path, title: str, about: Sequence[str] = ()
) -> list[Path]:
    """Write `index.html`, `listening.html` and `report.json`, and return their paths.

    Args:
        report: the report.
        folder: created if it does not exist.
        title: plain text.
        about: paragraphs of plain text.
    """
    texts = {
        PAGE: write_page(report, title, about),
        LISTENING: write_listening(report, title),
        FIGURES: json.dumps({"title": title, **report.as_dict()}, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
