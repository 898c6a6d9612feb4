"""A flow that is told who speaks, given one speaker for good."""

import dataclasses
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.latents.codes import Song, decode_song, encode_song
from singlow.voices.convert import without_bursts
from singlow.voices.level import gain


class Spoken:
    """A flow with one speaker's embedding as its condition: every call is without one.

    What works on flows of songs, as `encode_song` or `around`, works on this.

    Args:
        flow: of a model that takes embeddings as its condition.
        embedding: of who speaks, `(embedding_size,)`.
    """

    def __init__(self, flow: Any, embedding: np.ndarray) -> None:
        self._flow = flow
        self._embedding = np.asarray(embedding, np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flow, name)

    def encode(self, x: np.ndarray) -> list[Any]:
        """All latents of `x` `(batch, time, channels)`."""
        return self._flow.encode({"x": x, "condition": self._condition(len(x))})

    def decode(self, z: list[Any]) -> Any:
        """The data of latents, `(batch, time, channels)`."""
        return self._flow.decode(z, self._condition(len(z[0])))

    def sample(self, count: int, length: int, temperature: float, seed: int | None = None) -> Any:
        """Draw `count` clips of the speaker, `(count, length, channels)`."""
        return self._flow.sample(count, length, temperature, seed, self._condition(count))

    def _condition(self, count: int) -> np.ndarray:
        return np.tile(self._embedding, (count, 1, 1))


def encode_spoken(
    flow: Any,
    audio: np.ndarray,
    speaker: str,
    embedding: np.ndarray,
    level: float | None = None,
    **facts: Any,
) -> Song:
    """The latents of what a speaker says, `f(g x, e)`, at the level that the run hears.

    Args:
        flow: of a model that takes embeddings as its condition.
        audio: `(time, channels)` at the flow's rate.
        speaker: who it is taken to be.
        embedding: of the speaker.
        level: see `level.gain`, which gives `g`.
        facts: as for `encode_song`.

    Raises:
        DataError: it is silent.
    """
    factor = gain(audio, level)
    song = encode_song(Spoken(flow, embedding), audio * np.float32(factor), **facts)
    return dataclasses.replace(song, speaker=speaker, embedding=embedding, gain=factor)


def decode_spoken(
    flow: Any, song: Song, embedding: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """The audio `f^-1(z, e) / g` of latents from `encode_spoken`, `(time, channels)`.

    In another voice than theirs it is cut where the flow bursts, as in `convert_recording`.

    Args:
        flow: the one that encoded them.
        song: the latents.
        embedding: of who is to speak; whom they were encoded as when None, which gives the
            recording back.

    Returns:
        The audio, and the share of its samples that were cut.

    Raises:
        DataError: they do not say who spoke, or do not fit the flow; or the audio is not finite.
    """
    if song.embedding is None or len(song.embedding) != flow.condition_size:
        raise DataError(
            f"Expected latents with the {flow.condition_size} numbers that stand for who spoke. "
            "Received: others; they were encoded by another model."
        )
    spoken = Spoken(flow, song.embedding if embedding is None else embedding)
    audio, burst = decode_song(spoken, song), 0.0
    if embedding is not None:
        audio, burst = without_bursts(audio)
    return audio / np.float32(song.gain), burst
