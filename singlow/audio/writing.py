"""Write audio files atomically: a failed write leaves no partial file."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from singlow.audio.arrays import blocks_of, quantize
from singlow.audio.decoding import decoder_message
from singlow.errors import DataError
from singlow.files import atomic_write

_FORMS = {  # suffix: (format, default subtype), where they differ from (suffix, "PCM_16")
    **dict.fromkeys(("AIF", "AIFC"), ("AIFF", "PCM_16")),
    **dict.fromkeys(("OGG", "OGA"), ("OGG", "VORBIS")),
    "MP3": ("MP3", "MPEG_LAYER_III"),
    "OPUS": ("OGG", "OPUS"),
    "WAVE": ("WAV", "PCM_16"),
}
_MOST_CHANNELS = 64  # an array with more channels is probably transposed


def write_audio(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate: int,
    subtype: str | None = None,
    comment: str = "",
) -> None:
    """Write audio to a file, by default as 16-bit PCM where the container supports it.

    The write is atomic: if it fails, no partial file remains.

    Args:
        path: its suffix chooses the container: .wav, .flac, .aiff, .ogg, .opus, .mp3, ...
        audio: `(time,)` or `(time, channels)`, float or int16. Float audio is clipped to [-1, 1]
            unless `subtype` stores floats.
        sample_rate: Hz.
        subtype: a subtype of libsndfile such as "PCM_24" or "FLOAT".
        comment: text that is stored in the file if its container supports comments, as wav does.

    Raises:
        ValueError: `audio` has another shape.
        DataError: a sample is not finite, or the format cannot be written.
        OSError: the operating system refuses to write the file.
    """
    audio = np.asarray(audio)
    channels = audio.shape[1] if audio.ndim == 2 else 1
    if audio.ndim not in (1, 2) or not 1 <= channels <= _MOST_CHANNELS:
        raise ValueError(
            f"Expected audio of shape (time,) or (time, channels), at most {_MOST_CHANNELS} "
            f"channels. Received: shape {audio.shape}."
        )
    write_blocks(path, blocks_of(audio), sample_rate, channels, subtype, comment)


def write_blocks(
    path: str | os.PathLike,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    channels: int,
    subtype: str | None = None,
    comment: str = "",
) -> None:
    """Write a recording from an iterable of blocks `(time, channels)`; see `write_audio`."""
    path = Path(path)
    form = path.suffix[1:].upper() or "WAV"
    form, usual = _FORMS.get(form, (form, "PCM_16"))
    with atomic_write(path) as file:
        target = _Target(file)
        try:
            with soundfile.SoundFile(
                target, "w", sample_rate, channels, subtype or usual, format=form
            ) as written:
                if comment:
                    written.comment = comment
                for block in blocks:
                    if block.shape[1:] != ((channels,) if block.ndim > 1 else ()):
                        raise DataError(
                            f"{path}: Expected blocks of shape (time, {channels}). Received: shape "
                            f"{block.shape}."
                        )
                    written.write(_converted(path, block, subtype))
                    target.check()
        except (soundfile.SoundFileError, ValueError, TypeError, AssertionError) as error:
            target.check()
            raise DataError(f"{path}: cannot be written: {decoder_message(error)}") from None
        target.check()


def _converted(path: Path, block: np.ndarray, subtype: str | None) -> np.ndarray:
    """Convert a block to the sample type of the file, and check that it is finite."""
    if block.dtype.kind != "f":
        return block
    if not np.isfinite(block).all():
        raise DataError(f"{path}: expected finite samples. Received: NaN or infinite samples.")
    if subtype is None:
        return quantize(block)
    return block if subtype in ("FLOAT", "DOUBLE") else np.clip(block, -1, 1)


class _Target:
    """The file that libsndfile writes to. It keeps errors, which libsndfile cannot pass on.

    Args:
        file: open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._error = file, None

    def write(self, data: bytes) -> int:
        """Write, and return the number of bytes written, or 0 if writing fails."""
        return self._attempt(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek, and return the new position, or 0 if seeking fails."""
        return self._attempt(self._file.seek, offset, whence)

    def tell(self) -> int:
        """Return the position, or 0 if it is unknown."""
        return self._attempt(self._file.tell)

    def check(self) -> None:
        """Raise the first error of the file, if there was one.

        Raises:
            OSError: an earlier write or seek failed.
        """
        if self._error is not None:
            raise self._error from None

    def _attempt(self, call: Callable[..., int], *arguments: Any) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            self._error = self._error or error
            return 0
