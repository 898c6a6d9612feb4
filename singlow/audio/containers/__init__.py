"""What an audio file promises: its container, walked chunk by chunk, without decoding anything.

libsndfile reads a cut wav file to where it was cut and says nothing, and it estimates the length of
an mp3. So the promise is read here, from the file's own framing, and `singlow.audio` holds the
decoder to it.

References: Microsoft, "Multiple channel audio data and WAVE files", 2007; EBU Tech 3306 (RF64);
Apple, "Audio Interchange File Format AIFF-C", 1991; RFC 9639 (FLAC); RFC 3533 (Ogg);
ISO/IEC 11172-3 and 13818-3 (MPEG audio).
"""

import os
import stat
from collections.abc import Callable
from typing import BinaryIO

from singlow.audio.containers.aiff import walk_aiff
from singlow.audio.containers.flac import walk_flac
from singlow.audio.containers.mpeg import walk_mpeg
from singlow.audio.containers.ogg import walk_ogg
from singlow.audio.containers.promise import Fault, Promise
from singlow.audio.containers.wave import W64_RIFF, walk_w64, walk_wav

CONTAINERS = ("wav", "rf64", "w64", "aiff", "flac", "ogg", "mp3")
__all__ = ["CONTAINERS", "Fault", "Promise", "inspect"]


def inspect(path: str | os.PathLike, beat: Callable[[], None] | None = None) -> Promise:
    """Read what the file at `path` promises, from its content alone; its name is not looked at.

    Args:
        path: an audio file: wav, rf64, w64, aiff, flac, ogg or mp3, with or without an ID3v2 tag.
        beat: called now and then, so that a watcher of long files sees progress.

    Returns:
        The promise: container, frames where the container states them, checksums.

    Raises:
        Fault: with the reason, in words, for which the file is refused.
        OSError: the file cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Fault("not a regular file")
        if status.st_size == 0:
            raise Fault("empty: the file has no bytes")
        start = _skip_id3(file, status.st_size)
        return _walk(file, start, status.st_size, beat or (lambda: None))


def _walk(file: BinaryIO, start: int, size: int, beat: Callable[[], None]) -> Promise:
    file.seek(start)
    head = file.read(40)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return walk_wav(file, start, size)
    if head[:16] == W64_RIFF:
        return walk_w64(file, start, size)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return walk_aiff(file, start, size)
    if head[:4] == b"fLaC":
        return walk_flac(file, start, size)
    if head[:4] == b"OggS":
        return walk_ogg(file, start, size, beat)
    if not any(head):
        raise Fault("unknown format: it begins with zeros")
    return walk_mpeg(file, start, size, beat)


def _skip_id3(file: BinaryIO, size: int) -> int:
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
            return start
        length = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        start += 10 + length + (10 if head[5] & 0x10 else 0)
        if start == size:
            raise Fault("empty: nothing follows its ID3 tag")
        if start > size:
            raise Fault(f"truncated: its ID3 tag promises {start} bytes and {size} came")
