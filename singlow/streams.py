"""Standard streams that are always open, print any name and may outlive their reader."""

import os
import sys
import unicodedata
from typing import Any

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


class LastingStream:
    """A text stream that discards its output once the reader has gone.

    Args:
        stream: the stream to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or discard it if the reader has gone."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard what it holds if the reader has gone."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams(lasting: bool = False) -> None:
    """Replace closed standard streams by the null device, and escape what cannot be encoded.

    Args:
        lasting: whether output is discarded, without an error, when the reader has gone.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, it stays open
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, LastingStream(stream) if lasting else stream)


def silence(stream: Any) -> None:
    """Redirect a stream, with the content of its buffer, to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def printable(text: object) -> str:
    """Return a name or text with control characters, line breaks and lone surrogates escaped.

    A terminal obeys control characters: a name that holds them could overwrite what is displayed.
    A byte of a file name that is no text, 0x83 for example, becomes `\\x83`.
    """
    return "".join(
        _escape(character) if unicodedata.category(character) in _UNPRINTABLE else character
        for character in str(text)
    )


def one_line(text: object) -> str:
    """Return a message as one printable line: each run of white space becomes a space."""
    return printable(" ".join(str(text).split()))


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
