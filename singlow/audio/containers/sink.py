"""What libsndfile writes to."""

from collections.abc import Callable
from typing import Any, BinaryIO


class Sink:
    """A file that keeps what the system refuses, for libsndfile cannot pass it on.

    Args:
        file: open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._refusal = file, None

    def write(self, data: bytes) -> int:
        """Bytes written; none when the system refuses."""
        return self._kept(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file."""
        return self._kept(self._file.seek, offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._kept(self._file.tell)

    def check(self) -> None:
        """Raise what the system refused.

        Raises:
            OSError: the first refusal.
        """
        if self._refusal is not None:
            raise self._refusal from None

    def _kept(self, call: Callable[..., int], *arguments: Any) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            self._refusal = self._refusal or error
            return 0
