"""Audio files of strangers, decoded block by block."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile

from singlow.audio.containers import Fault, inspect
from singlow.audio.containers.decoder import open_audio, read_blocks
from singlow.audio.containers.promise import Promise
from singlow.errors import DataError


class AudioError(DataError):
    """A file that cannot be read as audio.

    Attributes:
        path: of the file.
        reason: in words.
    """

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}")
        self.path = os.fspath(path)
        self.reason = reason


@dataclass(frozen=True)
class Stream:
    """A file that is being decoded.

    Attributes:
        sample_rate: Hz.
        channels: of every block.
        blocks: float32 `(time, channels)` each; an `AudioError` where the file is damaged.
    """

    sample_rate: int
    channels: int
    blocks: Iterator[np.ndarray]


@contextlib.contextmanager
def stream_audio(
    path: str | os.PathLike, beat: Callable[[], None] = lambda: None
) -> Iterator[Stream]:
    """Decode a file by its content, block by block, at its own rate and channels.

    Args:
        path: as of `audio.load_audio`.
        beat: called while the file is looked into.

    Raises:
        AudioError: as of `audio.load_audio`.
    """
    with contextlib.ExitStack() as stack:
        with told(path):
            promise = inspect(path, beat)
            file = stack.enter_context(open_audio(path, promise))
        yield Stream(file.samplerate, file.channels, _decoded(path, file, promise))


def _decoded(
    path: str | os.PathLike, file: soundfile.SoundFile, promise: Promise
) -> Iterator[np.ndarray]:
    with told(path):
        yield from read_blocks(file, promise)


@contextlib.contextmanager
def told(path: str | os.PathLike) -> Iterator[None]:
    """What goes wrong with a file inside is an `AudioError` with its name."""
    try:
        yield
    except Fault as fault:
        raise AudioError(path, str(fault)) from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened: {error.strerror or error}") from None
    except MemoryError:
        raise AudioError(path, "too long: it does not fit the memory allowed for it") from None
