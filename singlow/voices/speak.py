"""Speech from texts of any length by a run that reads texts."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import soundfile

from singlow.audio import write_blocks
from singlow.errors import DataError, UsageError
from singlow.names import shown
from singlow.runs.opening import TrainedRun, open_run, require_input
from singlow.text import split_sentences
from singlow.voices.speakers import SPEAKER, speakers_of
from singlow.voices.vocode import MEL, TILE, synthesised

if TYPE_CHECKING:
    from singlow.models.glow_tts import GlowTTS

LONGEST = 300  # characters that are spoken at a time
PAUSE = 0.15  # seconds between two sentences
_FADE = 0.005  # seconds at both ends of a sentence
_VECTOR = "d_vector"


def speak(
    run: str | TrainedRun,
    text: str,
    speaker: str | None = None,
    temperature: float | None = None,
    length_scale: float | None = None,
    vocoder: str | TrainedRun | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Speak a text of any length.

    Args:
        run: a run that reads texts, such as one of `glow_tts` or `flowtron`, or its name.
        text: to be spoken.
        speaker: name of a speaker of the run; the first one when `None`.
        temperature: scale of the noise; that of the model when `None`.
        length_scale: factor of the durations; that of the model when `None`.
        vocoder: a run with the input `mel`, or its name; the Griffin-Lim algorithm when `None`.
        seed: of the noise.

    Returns:
        `(time,)` float32 at the run's sample rate.

    Raises:
        UsageError: the run reads no texts, the speaker is unknown, the vocoder has mels of another
            recipe, or a number is out of range.
        DataError: the text has nothing to pronounce, or symbols that the run does not know.

    Example:
        >>> import singlow
        >>> audio = singlow.speak("glow_tts_small", "kasa tena, milu.")  # doctest: +SKIP
    """
    voice = Narrator(run, speaker, temperature, length_scale, vocoder)
    return np.concatenate(list(voice(text, seed)))


class Narrator:
    """Speaks texts with one voice.

    Args:
        run: as for `speak`.
        speaker: as for `speak`.
        temperature: as for `speak`.
        length_scale: as for `speak`.
        vocoder: as for `speak`.

    Attributes:
        sample_rate: Hz of the audio.
        vocoder: the run that makes audio of mels; `None` for the Griffin-Lim algorithm.

    Raises:
        UsageError: as for `speak`.
    """

    def __init__(
        self,
        run: str | TrainedRun,
        speaker: str | None = None,
        temperature: float | None = None,
        length_scale: float | None = None,
        vocoder: str | TrainedRun | None = None,
    ) -> None:
        self.run = open_run(run)
        self.flow = speaking_flow(self.run)
        if not (temperature is None or 0 <= temperature <= 100) or not (
            length_scale is None or 0.01 <= length_scale <= 100
        ):
            raise UsageError(
                "Expected temperature from 0 to 100, and length_scale from 0.01 to 100. Received: "
                f"{temperature}, {length_scale}."
            )
        if length_scale is not None and "length_scale" not in self.flow.get_config():
            raise UsageError(
                f"Expected no length_scale for {shown(self.run.name)}, a "
                f"{self.run.config['model']}, which decides how fast it speaks. "
                f"Received: {length_scale}."
            )
        self.temperature, self.length_scale = temperature, length_scale
        self._voice = voice_inputs(self.run, speaker)
        self.sample_rate: int = self.flow.signal.recipe.sample_rate
        self.vocoder = None if vocoder is None else self._fitting(open_run(vocoder))

    def _fitting(self, vocoder: TrainedRun) -> TrainedRun:
        """Check that a vocoder reads mels of the run's recipe.

        Raises:
            UsageError: it reads no mels, or others.
        """
        require_input(vocoder, MEL, "use a run of flowavenet or waveglow as the vocoder")
        others = self.flow.signal.recipe.differences(vocoder.flow.recipe)
        if others:
            raise UsageError(
                f"Expected a vocoder with the mels of {shown(self.run.name)}. Received: "
                f"{shown(vocoder.name)}, with other ones ({'; '.join(others)})."
            )
        return vocoder

    def __call__(self, text: str, seed: int = 0, where: str = "") -> Iterator[np.ndarray]:
        """Speak a text, sentence by sentence, and yield audio `(time,)` float32.

        Memory does not grow with the length of the text. Every sentence is read before the first is
        spoken, so that an error does not come late.

        Args:
            text: to be spoken.
            seed: of the noise.
            where: the place of the text, for messages.

        Raises:
            DataError: the text has nothing to pronounce, or symbols that the run does not know.
        """
        sentences = []
        for sentence in split_sentences(text, LONGEST) or [text]:
            try:
                self.flow.tokens(sentence, where)
            except DataError:
                # A part may hold marks alone, if the others can be pronounced.
                if any(character.isalnum() for character in sentence) or sentence == text:
                    raise
                continue
            sentences.append(sentence)
        if not sentences:
            self.flow.tokens(text, where)
        return self._spoken(sentences, seed)

    def _spoken(self, sentences: list[str], seed: int) -> Iterator[np.ndarray]:
        coder = cast("GlowTTS", self.run.coder)
        for index, sentence in enumerate(sentences):
            speech = coder.synthesize(
                coder.text_inputs([sentence], **self._voice),
                self.temperature,
                self.length_scale,
                seed=[seed, index],
            )
            if index:
                yield np.zeros(round(PAUSE * self.sample_rate), np.float32)
            yield faded(self._audible(speech.x[0], seed), round(_FADE * self.sample_rate))

    def _audible(self, mel: np.ndarray, seed: int) -> np.ndarray:
        """The audio of a mel."""
        if not np.isfinite(mel).all():
            raise DataError(
                f"{shown(self.run.name)}: Expected a finite mel. Received: NaN or infinite values; "
                "train the run longer, or with a lower --learning_rate."
            )
        if self.vocoder is None:
            return self.flow.signal.sound(mel)
        length = len(mel) * self.flow.signal.recipe.hop_length
        coder = self.vocoder.coder
        blocks = synthesised(coder, mel, length, _vocoder_temperature(), seed, TILE)
        return np.concatenate(list(blocks))[:, 0]

    def write(self, path: Path, text: str, seed: int = 0, where: str = "") -> None:
        """Speak a text into a wav file, with a note by which `is_current` knows it.

        Raises:
            DataError: as for `__call__`.
        """
        blocks = (block[:, None] for block in self(text, seed, where))
        write_blocks(path, blocks, self.sample_rate, 1, comment=self._note(text, seed))

    def is_current(self, path: Path, text: str, seed: int = 0) -> bool:
        """Return whether a file is the complete result of `write` with these arguments."""
        try:
            with soundfile.SoundFile(path) as file:
                return file.comment == self._note(text, seed)
        except (OSError, soundfile.LibsndfileError):
            return False

    def _note(self, text: str, seed: int) -> str:
        facts = {
            "run": self.run.fingerprint,
            "vocoder": None if self.vocoder is None else self.vocoder.fingerprint,
            "voice": {name: np.asarray(value).tolist() for name, value in self._voice.items()},
            "settings": [self.temperature, self.length_scale, seed],
            "text": text,
        }
        stated = json.dumps(facts, sort_keys=True).encode()
        return f"singlow speak {hashlib.sha256(stated).hexdigest()[:32]}"


def _vocoder_temperature() -> float:
    from singlow.voices.vocode import TEMPERATURE

    return TEMPERATURE


def speaking_flow(run: TrainedRun) -> "GlowTTS":
    """Return the flow of a run that reads texts.

    Raises:
        UsageError: the run reads no texts.
    """
    flow = cast("GlowTTS", run.flow)
    if getattr(flow, "tokenizer", None) is None or not hasattr(flow, "synthesize"):
        raise UsageError(
            "Expected a run that reads texts, as one of glow_tts or flowtron. "
            f"Received: {shown(run.name)}, a {run.config['model']}."
        )
    return flow


def voice_inputs(run: TrainedRun, speaker: str | None) -> Mapping[str, np.ndarray]:
    """Return the inputs of a run that choose a speaker, a batch of 1.

    Args:
        run: a run that reads texts.
        speaker: name of a speaker, or of a clip in `d_vector_file`; the first speaker when `None`.

    Raises:
        UsageError: the speaker is unknown, is not given where it must be, or is given for a run of
            a single voice.
        DataError: the vectors of speakers cannot be read.
    """
    flow = cast("GlowTTS", run.flow)
    if SPEAKER in flow.inputs:
        speakers = speakers_of(run)
        return speakers[speaker or speakers.trained[0]]
    if _VECTOR in flow.inputs:
        if speaker is None:
            raise UsageError("Expected the name of a clip in d_vector_file as --speaker.")
        return {_VECTOR: flow.d_vector(speaker)[None]}
    if speaker is not None:
        raise UsageError(
            f"Expected no speaker for {shown(run.name)}, which has a single voice. "
            f"Received: {shown(speaker)}."
        )
    return {}


def faded(audio: np.ndarray, count: int) -> np.ndarray:
    """Return audio `(time,)` whose first and last `count` samples fade in and out."""
    count = min(count, len(audio) // 2)
    if not count:
        return audio
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)).astype(audio.dtype)
    audio = audio.copy()
    audio[:count] *= ramp
    audio[-count:] *= ramp[::-1]
    return audio
