"""What a flow sounds like while it is trained: samples and a reconstruction, heard and seen."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from singlow.pictures import spectrogram, write_picture
from singlow.runs.events import EventLog

COUNT = 3
SECONDS = 2.0


class SampleWriter:
    """Writes samples as wav and png, and into TensorBoard; whatever fails there is a warning.

    The noise is the same every time, so that one hears the flow change and nothing else.

    Args:
        folder: for the wav and png files.
        log: TensorBoard's events.
        temperature: of the samples; stands in their names and tags as `t0.7`.
        seed: of their noise.
        held_out: windows whose first clip's start is encoded and decoded; by a flow that is given
            who speaks also as others.
    """

    def __init__(
        self, folder: Path, log: EventLog, temperature: float, seed: int, held_out: Any
    ) -> None:
        self.folder = folder
        self.log = log
        self.temperature = temperature
        self.seed = seed
        self.clip = held_out.clip(0)[1]
        self.speaker = held_out.singer(0)
        self.names = held_out.singers
        self._warned = False

    def write(self, flow: Any, epoch: int, step: int) -> list[Path]:
        """Write everything for a flow after `epoch` epochs; returns the wav files."""
        written = []
        try:
            for name, audio in self._clips(flow).items():
                written.append(self._write(name, audio, flow.sample_rate, epoch, step))
        except Exception as error:  # a sample is never worth a run
            if not self._warned:
                self._warned = True
                reason = " ".join(str(error).split()) or type(error).__name__
                print(f"\nWarning: samples could not be written ({reason}).", file=sys.stderr)
        return written

    def _clips(self, flow: Any) -> Mapping[str, np.ndarray]:
        from keras import ops

        from singlow.audio import dequantize

        length = round(SECONDS * flow.sample_rate)
        part = dequantize(self.clip[: min(len(self.clip), length) // flow.multiple * flow.multiple])
        asked = flow.conditions_on == ("speaker",)
        voices = [index % len(self.names) for index in range(COUNT)]
        given = flow.condition({"speaker": np.array(voices)}) if asked else None
        drawn = flow.sample(COUNT, length, self.temperature, self.seed, given)
        names = [f"t{self.temperature:g}-{index + 1}" for index in range(COUNT)]
        clips = dict(zip(names, ops.convert_to_numpy(drawn), strict=True))
        own = {"speaker": np.array([self.speaker])} if asked else {}
        z = flow.encode({"x": part[None], **own})
        clips["reconstruction"] = _first(flow.decode(z, flow.condition(own) if asked else None))
        for voice in sorted(set(voices) - {self.speaker}) if asked else ():
            target = flow.condition({"speaker": np.array([voice])})
            clips[f"to-{voice}"] = _first(flow.decode(z, target))
        return clips

    def _write(self, name: str, audio: np.ndarray, rate: int, epoch: int, step: int) -> Path:
        from singlow.audio import write_audio

        if not np.isfinite(audio).all():
            raise ValueError(f"{name} of epoch {epoch} is not finite")
        path = self.folder / f"epoch-{epoch:04d}-{name}.wav"
        write_audio(path, audio, rate)
        picture = spectrogram(audio[:, 0], rate)
        write_picture(path.with_suffix(".png"), picture)
        tag = f"sample_{name}" if name.startswith("t") and not name.startswith("to-") else name
        self.log.audio(tag, audio, rate, step)
        self.log.image(f"{tag}_spectrogram", picture, step)
        return path


def _first(audio: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(audio)[0]
