"""Compute the items of a sequence in a background thread before they are read."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

DEPTH = 4


class Ahead:
    """`make(0), make(1), ...`, of which a thread computes the next few while one is in use.

    Items are read in order, and reading may start again at any index. The thread ends as soon as
    `depth` items wait, and a read starts another one; it never outlives the main thread by more
    than one item. An error of `make` is raised where its item is read.

    Args:
        make: computes the item of an index.
        stop: number of items; `None` for no end.
        depth: number of items that wait at most.
    """

    def __init__(
        self, make: Callable[[int], Any], stop: int | None = None, depth: int = DEPTH
    ) -> None:
        self.make = make
        self.stop = stop
        self.depth = depth
        self._changed = threading.Condition()
        self._ready: deque[tuple[Any, Exception | None]] = deque()
        self._first = 0  # index of the item that is read next
        self._thread: threading.Thread | None = None
        self._paused = False

    def __getitem__(self, index: int) -> Any:
        if self.stop is not None and not 0 <= index < self.stop:
            raise IndexError(f"Expected an index below {self.stop}. Received: {index}.")
        if index != self._first:
            self.pause()
            self._ready.clear()
            self._first = index
        with self._changed:
            self._start()
            while not self._ready:
                self._changed.wait()
            item, error = self._ready[0]
            if error is not None:
                raise error
            self._ready.popleft()
            self._first += 1
            self._start()
        return item

    def pause(self) -> None:
        """Wait for the end of the thread, which finishes its current item; a read restarts it."""
        with self._changed:
            self._paused, thread = True, self._thread
        try:
            if thread is not None:
                thread.join()
        finally:
            self._paused = False

    def _start(self) -> None:
        if self._thread is None and self._wanted() is not None:
            self._thread = threading.Thread(target=self._run, name="batches")
            self._thread.start()

    def _wanted(self) -> int | None:
        """Return the index of the next item to compute, or `None` if there is none at present."""
        index = self._first + len(self._ready)
        failed = bool(self._ready) and self._ready[-1][1] is not None
        full = len(self._ready) >= self.depth or index == self.stop
        gone = not threading.main_thread().is_alive()
        return None if failed or full or gone or self._paused else index

    def _run(self) -> None:
        while True:
            with self._changed:
                index = self._wanted()
                if index is None:
                    self._thread = None
                    return
            item, error = None, None
            try:
                item = self.make(index)
            except Exception as fault:
                error = fault
            with self._changed:
                self._ready.append((item, error))
                self._changed.notify()
