"""Standard streams that are always open, print any name and can outlive their reader."""

import os
import sys
import unicodedata
from typing import Any

_DIRECTION_MARKS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)


class LastingStream:
    """A text stream that discards its output once the reader has exited.

    Args:
        stream: the stream to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or discard it if the reader has exited."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, or discard its buffer if the reader has exited."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams(lasting: bool = False) -> None:
    """Replace closed standard streams by the null device, and escape what cannot be encoded.

    Args:
        lasting: whether to discard output, without an error, when the reader has exited.
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


def escape(text: str) -> str:
    r"""Escape the characters on which a terminal would act, so that a text is safe to print.

    Control characters, line separators and marks that change the direction of writing are
    escaped, as in `\x1b` or `\u202e`, and so are bytes that are not text, as in `\x89`. Everything
    else stays, including backslashes, so the result is meant for messages. Use
    `singlow.names.shown` for a name.
    """
    return "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """Return a message as one printable line: each run of white space becomes a space."""
    return escape(" ".join(text.split()))


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _DIRECTION_MARKS:
        return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
    return char
