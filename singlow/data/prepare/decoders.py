"""Worker processes that decode files, watched: one that stops or stalls costs one file."""

import contextlib
import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from singlow.data.prepare import worker
from singlow.errors import EnvironmentFault

PATIENCE = 10.0
_START = 120.0
_PACKAGE = str(Path(__file__).resolve().parents[3])
_CODE = (
    f"import sys; sys.path.insert(0, {_PACKAGE!r}); "
    "from singlow.data.prepare.worker import main; main()"
)


class _Process:
    """One worker process and the part file it appends to."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self._next(_START) is None:
            self.stop()
            raise EnvironmentFault(
                "The process that decodes audio does not start. Run: python3 -m singlow doctor"
            )

    def _listen(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put("")

    def _next(self, patience: float) -> str | None:
        """The next line; None when the process is silent for too long or gone."""
        try:
            return self._lines.get(timeout=patience) or None
        except queue.Empty:
            return None

    def decode(self, job: dict[str, Any]) -> dict[str, Any] | str:
        """Where the samples lie or why there are none; a plain string if the process is spent."""
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass
        while (line := self._next(PATIENCE)) == ".\n":
            pass
        if line is not None:
            return json.loads(line)
        return self._post_mortem()

    def _post_mortem(self) -> str:
        try:
            code = self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self.stop()
            return f"hangs: no progress within {PATIENCE:.0f} s"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"crashes the decoder ({name})"

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()

    def stop(self) -> None:
        """End the process and let go of its streams."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


def decode_all(
    jobs: Iterable[dict[str, Any]], parts: Path, workers: int
) -> Iterator[dict[str, Any]]:
    """Decode files in `workers` processes.

    Args:
        jobs: as `worker.prepare_audio` takes them, each with a `key`.
        parts: folder for the part files.
        workers: processes.

    Yields:
        In the order they end: `key`, and `frames` or `reason`, `offset` and `part`.

    Raises:
        EnvironmentFault: the disk is full or a process does not start.
    """
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    total, stopping = waiting.qsize(), threading.Event()
    done: queue.SimpleQueue[dict[str, Any] | BaseException] = queue.SimpleQueue()
    count = max(1, min(workers, total))
    running: set[_Process] = set()
    threads = [
        threading.Thread(target=_serve, args=(waiting, done, parts, stopping, running), daemon=True)
        for _ in range(count if total else 0)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(total):
            found = done.get()
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stopping.set()
        for process in list(running):
            process.kill()
        for thread in threads:
            thread.join(timeout=PATIENCE + 5)


def _new_part(parts: Path) -> Path:
    number = 0
    while True:
        path = parts / f"part-{number:05d}"
        try:
            path.touch(exist_ok=False)
            return path
        except FileExistsError:
            number += 1


def _serve(
    waiting: queue.SimpleQueue,
    done: queue.SimpleQueue,
    parts: Path,
    stopping: threading.Event,
    running: set[_Process],
) -> None:
    process = None
    try:
        while not stopping.is_set():
            job = waiting.get_nowait()
            if process is None:
                process = _Process(_new_part(parts))
                running.add(process)
            found = process.decode(job)
            if stopping.is_set():
                break
            if isinstance(found, str):
                running.discard(process)
                process.stop()
                process, reason = None, found
                part = _new_part(parts)
                with open(part, "ab") as file:
                    found = worker.stage(file, job["key"], reason)
                done.put({**found, "part": part})
            elif "fatal" in found:
                raise EnvironmentFault(_explain(found, parts))
            else:
                done.put({**found, "part": process.part})
    except queue.Empty:
        pass
    except BaseException as error:
        done.put(error)
    finally:
        if process is not None:
            running.discard(process)
            process.stop()


def _explain(found: dict[str, Any], parts: Path) -> str:
    where = f"{parts.parent} cannot be written: {found['fatal']}."
    if found["errno"] in (errno.ENOSPC, errno.EDQUOT):
        return f"{where} Free some space and run the same command again; it goes on from there."
    return f"{where} Choose another folder."
