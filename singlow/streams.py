"""What a command prints to: there, able to take any name, and outliving its reader if need be."""

import os
import sys
from typing import Any


class Lasting:
    """A text stream that goes on in silence when nobody reads it any more.

    Args:
        stream: to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            silence(self._stream)
            return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            silence(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare_streams(lasting: bool = False) -> None:
    """Make stdout and stderr usable: a closed one writes nowhere, and any name can be printed.

    Args:
        lasting: go on in silence when a reader has gone.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, it stays open
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Lasting(stream) if lasting else stream)


def silence(stream: Any) -> None:
    """Let a stream write nowhere from now on, also what is still in its buffer."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
