"""Audio files: decode and write.

Decoding streams: a song needs memory for its resampled samples, not for the file's.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile

from singlow.audio.arrays import blocks_of, quantize, resampled, to_channels
from singlow.audio.containers.decoder import clean
from singlow.audio.containers.sink import Sink
from singlow.audio.decoding import AudioError, stream_audio, told
from singlow.errors import DataError
from singlow.files import atomic_write


def load_audio(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    channels: int | None = None,
    beat: Callable[[], None] | None = None,
) -> tuple[np.ndarray, int]:
    """Decode a file by its content, convert its rate and channels.

    Args:
        path: wav, rf64, w64, flac, ogg, mp3 or aiff, whatever its name.
        sample_rate: Hz; the file's own when None.
        channels: the file's own when None, else see `to_channels`.
        beat: called after every block, so that a watcher sees progress.

    Returns:
        audio `(time, channels)` float32 and its rate in Hz.

    Raises:
        AudioError: the file is unreadable, empty, cut short, damaged, not finite or has an absurd
            header; the reason says which.
    """
    beat = beat or (lambda: None)
    with told(path), stream_audio(path, beat) as stream:
        rate, blocks = sample_rate or stream.sample_rate, stream.blocks
        if channels is not None:
            blocks = (to_channels(block, channels) for block in blocks)
        kept = []
        for block in resampled(blocks, stream.sample_rate, rate):
            kept.append(block)
            beat()
        audio = np.concatenate(kept)
    if not len(audio):
        raise AudioError(path, "empty: too short for a single sample")
    return audio, rate


def write_audio(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate: int,
    subtype: str | None = None,
    comment: str = "",
) -> None:
    """Write `audio` (time, channels) whole or not at all, as 16-bit PCM unless told otherwise.

    Args:
        path: its suffix chooses the container: .wav, .flac, ...
        audio: float, clipped to [-1, 1] where the subtype counts in integers, or int16.
        sample_rate: Hz.
        subtype: of libsndfile, as "PCM_24" or "FLOAT".
        comment: kept in the file where its container has a place for it, as wav has.

    Raises:
        DataError: a sample is not finite, or the format cannot be written.
        OSError: the system refuses.
    """
    audio = np.asarray(audio)
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    write_blocks(path, blocks_of(audio), sample_rate, channels, subtype, comment)


def write_blocks(
    path: str | os.PathLike,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    comment: str = "",
) -> None:
    """`write_audio` of a recording that comes in blocks `(time, channels)`."""
    path = Path(path)
    form = path.suffix[1:].upper() or "WAV"
    with atomic_write(path) as file:
        sink = Sink(file)
        try:
            with soundfile.SoundFile(
                sink, "w", sample_rate, channels, subtype or "PCM_16", format=form
            ) as written:
                if comment:
                    written.comment = comment
                for block in blocks:
                    written.write(_stored(path, block, subtype))
                    sink.check()
        except (soundfile.SoundFileError, ValueError, TypeError, AssertionError) as error:
            sink.check()
            raise DataError(f"{path}: cannot be written: {clean(error)}") from None
        sink.check()


def _stored(path: Path, block: np.ndarray, subtype: str | None) -> np.ndarray:
    if block.dtype.kind != "f":
        return block
    if not np.isfinite(block).all():
        raise DataError(f"{path}: expected finite samples. Received: NaN or infinite ones.")
    if subtype is None:
        return quantize(block)
    return block if subtype in ("FLOAT", "DOUBLE") else np.clip(block, -1, 1)
