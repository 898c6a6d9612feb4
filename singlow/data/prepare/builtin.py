"""Build a dataset from a built-in corpus, which needs no recordings."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import dequantize, normalize, quantize, resample, to_channels
from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.folder import (
    STAGING,
    check_settings,
    hash_of,
    own_folder,
    own_shards,
    printable,
    reusable,
)
from singlow.data.sources.clips import Clip
from singlow.data.sources.layouts import BUILTIN, BUILTINS
from singlow.errors import DataError, UsageError
from singlow.names import find_name
from singlow.progress import Report, progress
from singlow.text.times import write_times

CLIPS_PER_SINGER = 12
CLIPS_PER_SPEAKER = 150
CLIPS_PER_STYLE = 50
SENTENCES = 1200
_EDITION = 1

Sound = tuple[Clip, np.ndarray, int]


@dataclass(frozen=True)
class Corpus:
    """A corpus that singlow makes itself.

    Attributes:
        name: name of the corpus, one of `BUILTINS`.
        edition: changes when the sounds of the same seed change.
        work: word for the progress bar.
        total: number of clips.
        origin: what makes the sounds, if it is another program.
    """

    name: str
    edition: int | str
    work: str
    total: int
    origin: str = ""

    def clips(self, seed: int) -> Iterator[Sound]:
        """Yield each clip with its samples, int16 `(time, channels)`, and their rate in Hz.

        Raises:
            EnvironmentFault: the program that speaks is missing or fails.
        """
        if self.name == BUILTIN:
            from singlow.choir import corpus

            for sung in corpus.clips(seed, CLIPS_PER_SINGER):
                clip = Clip(Path(sung.id), sung.singer, sung.style, sung.text, sung.id)
                yield clip, sung.audio, sung.sample_rate
        elif self.name == "spoken-english":
            from singlow.choir import english

            for said in english.clips(seed, SENTENCES):
                clip = Clip(Path(said.id), said.speaker, "", said.text, said.id)
                yield clip, said.audio, said.sample_rate
        else:
            from singlow.choir import speech

            for spoken in speech.clips(seed, *_styles(self.name)):
                clip = Clip(
                    Path(spoken.id),
                    spoken.speaker,
                    spoken.style,
                    spoken.text,
                    spoken.id,
                    times=write_times(spoken.times),
                )
                yield clip, spoken.audio, spoken.sample_rate


def corpus_texts(name: str, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each clip of a spoken built-in corpus, without its sound.

    Raises:
        UsageError: the name is unknown, or the corpus is sung.
        EnvironmentFault: the corpus needs a program that PATH does not have.
    """
    corpus = find_corpus(name)
    if corpus.name == BUILTIN:
        raise UsageError(
            f"Expected a spoken corpus: {', '.join(BUILTINS[1:])}. Received: {BUILTIN}, which is "
            "sung."
        )
    if corpus.name == "spoken-english":
        from singlow.choir import english

        yield from english.texts(seed, SENTENCES)
        return
    from singlow.choir import speech

    yield from speech.texts(seed, *_styles(corpus.name))


def _styles(name: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of clips of each speaker in each style, and the styles."""
    from singlow.choir.speakers import STYLES

    if name == "spoken-styles":
        return CLIPS_PER_STYLE, tuple(STYLES)
    return CLIPS_PER_SPEAKER, ("neutral",)


def find_corpus(name: str) -> Corpus:
    """Return a built-in corpus.

    Raises:
        UsageError: the name is unknown.
        EnvironmentFault: the corpus needs a program that PATH does not have.
    """
    name = find_name(name, BUILTINS, "built-in corpus")
    if name == BUILTIN:
        from singlow.choir.singers import SINGERS

        return Corpus(name, _EDITION, "Singing", CLIPS_PER_SINGER * len(SINGERS))
    if name == "spoken-english":
        from singlow.choir.english import synthesizer

        origin = " ".join(synthesizer())
        return Corpus(name, f"{_EDITION} {origin}", "Speaking", SENTENCES, origin)
    from singlow.choir.speakers import SPEAKERS

    count, styles = _styles(name)
    return Corpus(name, _EDITION, "Speaking", count * len(styles) * len(SPEAKERS))


def builtin_fingerprint(settings: dict[str, Any], name: str = BUILTIN) -> str:
    """Return a hash that changes when a built-in corpus or a setting changes.

    Raises:
        UsageError: the name is unknown.
        EnvironmentFault: the corpus needs a program that PATH does not have.
    """
    return _mark(find_corpus(name), settings)


def _mark(corpus: Corpus, settings: dict[str, Any]) -> str:
    return hash_of({corpus.name: corpus.edition, **settings})


def build_builtin(
    out: str | os.PathLike,
    name: str = BUILTIN,
    *,
    sample_rate: int = 16000,
    channels: int = 1,
    seed: int = 0,
    validation_share: float = 0.1,
    loudness: float | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Synthesize a built-in corpus and write it as a dataset.

    The other arguments, the return value and the errors are those of `build_dataset`.

    Args:
        out: folder of the dataset.
        name: name of the corpus, one of `BUILTINS`: "builtin" is sung, "spoken" consists of random
            phrases of four voices, "spoken-styles" has three styles of each voice, and
            "spoken-english" is spoken by `espeak-ng` or `flite`.
        sample_rate: sample rate of the records, in Hz.
        channels: number of channels of the records.
        seed: random seed of the corpus and of the choice of held-out clips.
        validation_share: fraction of every singer's clips to hold out.
        loudness: rms in dBFS to which every clip is normalized; None leaves clips unchanged.
        report: receives one line at a time for the user.
    """
    settings = check_settings(sample_rate, channels, seed, validation_share, loudness)
    corpus, out, report = find_corpus(name), Path(out).expanduser(), printable(report)
    mark = _mark(corpus, settings)
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            return info
        own_shards(out)
        clips, stored = [], {}
        with progress(corpus.work, corpus.total) as advance:
            for clip, audio, rate in corpus.clips(seed):
                clips.append(clip)
                stored[clip.path] = _fit(audio, rate, settings)
                if not stored[clip.path].any():
                    raise DataError(f"The built-in clip {clip.id} is silent. Report this fault.")
                advance()
        scratch = out / STAGING
        scratch.mkdir(exist_ok=True)
        sources = [corpus.origin] if corpus.origin else []
        info = write_dataset(
            out,
            scratch,
            clips,
            [len(stored[clip.path]) for clip in clips],
            lambda clip: stored[clip.path],
            settings,
            {"layout": corpus.name, "sources": sources, "fingerprint": mark, "rejected": []},
        )
        shutil.rmtree(scratch, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    return info


def _fit(audio: np.ndarray, rate: int, settings: dict[str, Any]) -> np.ndarray:
    wanted, channels = settings["sampling_rate"], settings["channel_size"]
    sound = to_channels(resample(dequantize(audio), rate, wanted), channels)
    return quantize(normalize(sound, settings["level"]))
