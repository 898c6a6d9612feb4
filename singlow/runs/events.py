"""Write events for TensorBoard. Every call writes its events to the file before it returns."""

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_STAMP = re.compile(r"events\.out\.tfevents\.(\d+)\.")


class EventLog:
    """Writes a series of events to `logs/RUN/train` or `logs/RUN/validation`.

    Only the file format of tensorboardX is used. Its own writer queues events for a thread: the
    queue is lost when the process is killed, and the writer blocks forever when the disk is full.

    TensorBoard reads the files of a series in the order of their names, which contain a time. The
    times in names and events never decrease, even if the clock is set back. The events of a resumed
    run therefore replace those of an epoch that was lost.

    Args:
        folder: folder of the events file.
        first_step: first step of the events. TensorBoard discards events of this and later steps in
            earlier files, so that it shows no step twice after a run was killed and resumed.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._time = max(time.time(), *_times(folder))
        host = f"{socket.gethostname()}.{os.getpid()}.{first_step}"
        path = folder / f"events.out.tfevents.{int(self._time):010d}.{host}"
        self._new_event = event_pb2.Event
        self._writer = RecordWriter(str(path))
        version = self._event(0)
        version.file_version = "brain.Event:2"
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.SessionStatus.Value("START"))
        start = self._event(first_step)
        start.session_log.CopyFrom(started)
        for event in (version, start):
            self._writer.write(event.SerializeToString())
        self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write a number for each tag."""
        from tensorboardX import summary

        for tag, value in values.items():
            self._add(summary.scalar(tag, np.float32(value)), step)
        self._writer.flush()

    def audio(self, tag: str, audio: np.ndarray, sample_rate: int, step: int) -> None:
        """Write audio, float32 `(time, channels)`, with `sample_rate` in Hz."""
        from tensorboardX import summary

        self._add(summary.audio(tag, np.clip(audio, -1.0, 1.0), sample_rate), step)
        self._writer.flush()

    def image(self, tag: str, picture: np.ndarray, step: int) -> None:
        """Write a picture, uint8 `(height, width, 3)`."""
        from tensorboardX import summary

        self._add(summary.image(tag, picture, dataformats="HWC"), step)
        self._writer.flush()

    def text(self, tag: str, text: str, step: int) -> None:
        """Write a text."""
        from tensorboardX import summary

        self._add(summary.text(tag, text), step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, summary: object, step: int) -> None:
        event = self._event(step)
        event.summary.CopyFrom(summary)
        self._writer.write(event.SerializeToString())

    def _event(self, step: int) -> object:
        self._time = max(self._time, time.time())
        return self._new_event(wall_time=self._time, step=step)


def _times(folder: Path) -> list[float]:
    """Return lower bounds, in seconds, for the times of new events after the files in a folder."""
    times = [0.0]
    for path in folder.iterdir():
        if match := _STAMP.match(path.name):
            times += [int(match[1]) + 1.0, path.stat().st_mtime]
    return times
