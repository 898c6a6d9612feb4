"""TensorBoard's events, written in place: when a call returns, the event is in the file."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np


class EventLog:
    """One series of events: `logs/RUN/train` or `logs/RUN/validation`.

    tensorboardX's own writer hands events to a thread, loses those in its queue when the process is
    killed, and waits for ever once the disk is full; so only its file format is used.

    Args:
        folder: where the events file is made.
        first_step: events of this and later steps in earlier files are void: TensorBoard then
            shows none twice after a run was killed and resumed.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        folder.mkdir(parents=True, exist_ok=True)
        self._new_event = event_pb2.Event
        self._writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{first_step}")
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.SessionStatus.Value("START"))
        event = self._event(first_step)
        event.session_log.CopyFrom(started)
        self._writer.write_event(event)
        self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers by tag."""
        from tensorboardX import summary

        for tag, value in values.items():
            self._add(summary.scalar(tag, np.float32(value)), step)
        self._writer.flush()

    def audio(self, tag: str, audio: np.ndarray, sample_rate: int, step: int) -> None:
        """Write a clip `(time, channels)`."""
        from tensorboardX import summary

        self._add(summary.audio(tag, np.clip(audio, -1.0, 1.0), sample_rate), step)
        self._writer.flush()

    def image(self, tag: str, picture: np.ndarray, step: int) -> None:
        """Write a picture `(height, width, 3)`, uint8."""
        from tensorboardX import summary

        self._add(summary.image(tag, picture, dataformats="HWC"), step)
        self._writer.flush()

    def text(self, tag: str, text: str, step: int) -> None:
        """Write a remark."""
        from tensorboardX import summary

        self._add(summary.text(tag, text), step)
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()

    def _add(self, summary: object, step: int) -> None:
        event = self._event(step)
        event.summary.CopyFrom(summary)
        self._writer.write_event(event)

    def _event(self, step: int) -> object:
        return self._new_event(wall_time=time.time(), step=step)
