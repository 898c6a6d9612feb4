"""Decode files in worker processes, so that a crash or a hang affects a single file.

Decoded samples are stored in part files until they are written to shards. A build that was
interrupted continues with the existing part files.
"""

import contextlib
import dataclasses
import errno
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from singlow.data.prepare import worker
from singlow.data.prepare.folder import hash_of, stamp
from singlow.data.sources.clips import Clip
from singlow.data.store.records import check_record, index_shard, map_shard, read_example
from singlow.errors import DataError, EnvironmentFault
from singlow.progress import progress

PATIENCE = 10.0
_START = 120.0
_PACKAGE = str(Path(__file__).resolve().parents[3])
_CODE = (
    f"import sys; sys.path.insert(0, {_PACKAGE!r}); "
    "from singlow.data.prepare.worker import main; main()"
)


@dataclasses.dataclass(frozen=True)
class Staged:
    """The location of a decoded file in a part file, or the reason why the file was rejected.

    Attributes:
        part: the part file.
        offset: offset of the record, in bytes.
        frames: number of samples per channel; 0 if the file was rejected.
        content: hash of the samples; "" if the file was rejected.
        reason: why the file was rejected; "" if it was decoded.
        notes: lines about the file for the user.
    """

    part: Path
    offset: int
    frames: int
    content: str
    reason: str
    notes: str


def decode_clips(
    clips: Sequence[Clip], settings: dict[str, Any], staging: Path, workers: int
) -> dict[Path, Staged]:
    """Decode every file whose result is not in `staging` yet.

    Args:
        clips: clips whose files are decoded.
        settings: settings of the dataset.
        staging: folder of the part files.
        workers: number of processes.

    Returns:
        For each path, the location of the samples or the reason why the file was rejected.

    Raises:
        EnvironmentFault: the disk is full, or a worker does not start.
    """
    wanted = {name: settings[name] for name in ("sampling_rate", "channel_size", "level")}
    keys = {clip.path: hash_of([str(clip.path), stamp(clip.path), wanted]) for clip in clips}
    known = _known(staging)
    jobs = [
        {
            "key": key,
            "path": str(path),
            "sample_rate": settings["sampling_rate"],
            "channels": settings["channel_size"],
            "loudness": settings["level"],
        }
        for path, key in keys.items()
        if key not in known
    ]
    with progress("Decoding", len(jobs)) as advance:
        for result in decode_all(jobs, staging, workers):
            known[result["key"]] = _staged(result)
            advance()
    return {path: known[key] for path, key in keys.items()}


def _staged(result: dict[str, Any]) -> Staged:
    defaults = {"frames": 0, "content": "", "reason": "", "notes": ""}
    fields = (field.name for field in dataclasses.fields(Staged))
    return Staged(**{name: result.get(name, defaults.get(name)) for name in fields})


def _known(staging: Path) -> dict[str, Staged]:
    """Return the results in the intact records of all part files, by key."""
    known = {}
    for part in sorted(staging.glob("part-*")):
        data = map_shard(part)
        for record in index_shard(part)[0]:
            features = read_example(data[record.start : record.start + record.length].tobytes())
            content = features.get("content", b"").decode()
            reason, notes = (
                features.get(key, b"").decode("utf-8", "surrogateescape")
                for key in ("reason", "notes")
            )
            if content or reason:
                frames = features.get("length", 0)
                staged = Staged(part, record.offset, frames, content, reason, notes)
                known[features["key"].decode()] = staged
    return known


def read_staged(staged: Staged, channels: int) -> np.ndarray:
    """Return the samples of a decoded file, int16 `(time, channels)`.

    Raises:
        DataError: the part file was damaged after the decoding.
    """
    data = map_shard(staged.part)
    record, reason = check_record(data, staged.offset)
    if record is None:
        raise DataError(
            f"{staged.part}: at byte {staged.offset}: {reason}. Delete it, build again."
        )
    features = read_example(data[record.start : record.start + record.length].tobytes())
    return np.frombuffer(features["audio"], "<i2").reshape(-1, channels)


class _Process:
    """A worker process and the part file that it appends to."""

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
        """Return the next line; None if the process ends or is silent for `patience` seconds."""
        try:
            return self._lines.get(timeout=patience) or None
        except queue.Empty:
            return None

    def decode(self, job: dict[str, Any]) -> dict[str, Any] | str:
        """Decode a file and return the result of `worker.stage`.

        If the process crashes or hangs, it is ended, and the reason is returned.
        """
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
        """End the process at once."""
        self._process.kill()

    def stop(self) -> None:
        """End the process and close its streams."""
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
        jobs: jobs for `worker.prepare_audio`, each with a `key`.
        parts: folder for the part files.
        workers: number of processes.

    Yields:
        The results of `worker.stage`, with the `part` file, in the order of their completion.

    Raises:
        EnvironmentFault: the disk is full, or a process does not start.
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
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
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
            result = process.decode(job)
            if stopping.is_set():
                break
            if isinstance(result, str):
                running.discard(process)
                process.stop()
                process, reason = None, result
                part = _new_part(parts)
                with open(part, "ab") as file:
                    result = worker.stage(file, job["key"], reason)
                done.put({**result, "part": part})
            elif "fatal" in result:
                raise EnvironmentFault(_explain(result, parts))
            else:
                done.put({**result, "part": process.part})
    except queue.Empty:
        pass
    except BaseException as error:
        done.put(error)
    finally:
        if process is not None:
            running.discard(process)
            process.stop()


def _explain(result: dict[str, Any], parts: Path) -> str:
    where = f"{parts.parent} cannot be written: {result['fatal']}."
    if result["errno"] in (errno.ENOSPC, errno.EDQUOT):
        return f"{where} Free some space and run the same command again; it continues from there."
    return f"{where} Choose another folder."
