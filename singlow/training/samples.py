"""Write samples of a flow during training: draws, a reconstruction, and other speakers.

For images these are a grid of draws, interpolations between two images, and reconstructions.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.audio import write_audio
from singlow.errors import warn
from singlow.pictures import alignment_picture, grid, write_picture
from singlow.runs.data import positions_per_second
from singlow.runs.events import EventLog
from singlow.signals import Image, LogMel

if TYPE_CHECKING:
    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow

COUNT = 3
SECONDS = 2.0
COLUMNS, ROWS = 10, 4  # of the grids of images
_SIDE = 32  # smallest side of an image in a grid, in pixels


class SampleWriter:
    """Writes samples to files and to TensorBoard. A failure causes a warning, not an error.

    A flow whose inputs are aligned with `x`, such as a mel, draws the start of held-out clips, and
    the recordings are written beside the samples. A flow that reads texts speaks those of held-out
    clips, and draws how it aligns them; mels are also written as audio, without a vocoder.

    The noise is the same after every epoch, so that samples of two epochs differ only because of
    the flow. A flow with inputs draws samples for the inputs of held-out clips. If `speaker` is an
    input, it draws them for the first speakers, and decodes a clip for these speakers too. A flow
    of images with classes draws a column of images for each of the first classes.

    Args:
        folder: folder of the files.
        log: log of TensorBoard's events.
        temperature: temperature of the samples, which is part of their names, as in `t0.7`.
        seed: random seed of their noise.
        held_out: the held-out windows; the first clip is encoded and decoded.
    """

    def __init__(
        self, folder: Path, log: EventLog, temperature: float, seed: int, held_out: "Windows"
    ) -> None:
        self.folder = folder
        self.log = log
        self.temperature = temperature
        self.seed = seed
        self.held_out = held_out
        self._warned = False

    def write(self, flow: "Flow", epoch: int, step: int) -> list[Path]:
        """Write all samples of a flow and return the files.

        Args:
            flow: the flow.
            epoch: number of completed epochs.
            step: number of completed training steps.
        """
        written = []
        try:
            if isinstance(flow.signal, Image):
                for name, images in self._images(flow):
                    written.append(self._write_grid(flow, name, images, epoch, step))
            else:
                for name, x in self._examples(flow):
                    written.append(self._write(flow, name, x, epoch, step))
                if hasattr(flow, "align"):
                    written.append(self._write_alignment(flow, epoch, step))
        except Exception as error:  # no failure of a sample ends training
            if not self._warned:
                self._warned = True
                reason = " ".join(str(error).split()) or type(error).__name__
                print(file=sys.stderr)
                warn(f"samples could not be written ({reason}).")
        return written

    def _examples(self, flow: "Flow") -> Iterator[tuple[str, np.ndarray]]:
        """Yield a name and an example of `x`, without the batch axis, for each sample."""
        for index, x in enumerate(self._draw(flow)):
            yield f"t{self.temperature:g}-{index + 1}", x
            if any(entry.kind == "frames" for entry in flow.inputs.values()):
                recording = self._start_of_clip(flow, index % self.held_out.clips)
                yield f"recording-{index + 1}", recording
        x = self._start_of_clip(flow, 0)
        if hasattr(flow, "align"):
            yield "recording", x
        inputs = self.held_out.example_inputs(0, len(x)) if flow.inputs else {}
        z = flow.encode({"x": x[None], **inputs})
        yield "reconstruction", _numpy(flow.decode(z, inputs))[0]
        if "speaker" in flow.inputs:
            own = int(inputs["speaker"][0])
            for speaker in range(min(COUNT, flow.inputs["speaker"].size)):
                if speaker != own:
                    other = {**inputs, "speaker": np.array([speaker], np.int32)}
                    yield f"to-{speaker}", _numpy(flow.decode(z, other))[0]

    def _write_alignment(self, flow: "Flow", epoch: int, step: int) -> Path:
        x = self._start_of_clip(flow, 0)
        durations = flow.align({"x": x[None], **self.held_out.example_inputs(0)})
        picture = alignment_picture(durations[0], len(x))
        path = self.folder / f"epoch-{epoch:04d}-alignment.png"
        write_picture(path, picture)
        self.log.image("alignment", picture, step)
        return path

    def _images(self, flow: "Flow") -> Iterator[tuple[str, np.ndarray]]:
        """Yield a name and several images for each grid, `COLUMNS` in a row."""
        columns, count = COLUMNS, COLUMNS * ROWS
        given = {}
        if "label" in flow.inputs:
            given = {
                "label": np.arange(count, dtype=np.int32) % columns % flow.inputs["label"].size
            }
        fixed = {"temperature": self.temperature, "seed": self.seed}
        yield f"t{self.temperature:g}", _numpy(flow.sample(given, count, **fixed)[0])
        clips = [index % self.held_out.clips for index in range(columns)]
        x = np.stack([flow.signal.dequantize(self.held_out.clip(clip)[1], 0.5) for clip in clips])
        rows = [self.held_out.example_inputs(clip) for clip in clips] if flow.inputs else []
        inputs = {name: np.concatenate([row[name] for row in rows]) for name in flow.inputs}
        z = [_numpy(latent) for latent in flow.encode({"x": x, **inputs})]
        yield "reconstruction", np.concatenate([x, _numpy(flow.decode(z, inputs))])
        shares = np.linspace(0.0, 1.0, columns)[:, None, None, None]
        half = columns // 2
        lines = []
        for row in range(min(ROWS, half)):
            between = [(1 - shares) * latent[row] + shares * latent[row + half] for latent in z]
            nearer = np.where(shares[:, 0, 0, 0] > 0.5, row + half, row)
            own = {name: value[nearer] for name, value in inputs.items()}
            lines.append(_numpy(flow.decode([b.astype(np.float32) for b in between], own)))
        yield "interpolation", np.concatenate(lines)

    def _write_grid(
        self, flow: "Flow", name: str, images: np.ndarray, epoch: int, step: int
    ) -> Path:
        if not np.isfinite(images).all():
            raise ValueError(f"{name} of epoch {epoch} is not finite")
        scale = max(1, -(-_SIDE // images.shape[1]))
        picture = grid([flow.signal.picture(x) for x in images], COLUMNS, scale)
        path = self.folder / f"epoch-{epoch:04d}-{name}.png"
        write_picture(path, picture)
        self.log.image(f"sample_{name}" if name.startswith("t") else name, picture, step)
        return path

    def _draw(self, flow: "Flow") -> Iterator[np.ndarray]:
        fixed = {"temperature": self.temperature}
        seconds = flow.signal.maskable and SECONDS * positions_per_second(flow.signal)
        if all(entry.kind == "item" for entry in flow.inputs.values()):
            fixed["length"] = round(seconds) or None
        if not flow.inputs:
            yield from _numpy(flow.sample(count=COUNT, seed=self.seed, **fixed)[0])
            return
        for index in range(COUNT):
            clip = index % self.held_out.clips
            inputs = self.held_out.example_inputs(clip, round(seconds) or None)
            if "speaker" in flow.inputs:
                speaker = index % flow.inputs["speaker"].size
                inputs["speaker"] = np.array([speaker], np.int32)
            x, lengths = flow.sample(inputs, seed=[self.seed, index], **fixed)
            yield _numpy(x)[0, : int(lengths[0])]

    def _start_of_clip(self, flow: "Flow", index: int) -> np.ndarray:
        """Return at most two seconds of a held-out clip, as `x` without the batch axis.

        The length is a multiple of the flow's `multiple`. If the signal has no time axis, or the
        flow reads a sequence, which belongs to the whole clip, the whole clip is returned."""
        x = flow.signal.dequantize(self.held_out.clip(index)[1])
        if not flow.signal.maskable:
            return x
        most = round(SECONDS * positions_per_second(flow.signal))
        if any(entry.kind == "sequence" for entry in flow.inputs.values()):
            most = len(x)
        return x[: min(len(x), most) // flow.multiple * flow.multiple]

    def _write(self, flow: "Flow", name: str, x: np.ndarray, epoch: int, step: int) -> Path:
        if not np.isfinite(x).all():
            raise ValueError(f"{name} of epoch {epoch} is not finite")
        path = self.folder / f"epoch-{epoch:04d}-{name}{flow.signal.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        flow.signal.write(path, x)
        picture = flow.signal.picture(x)
        write_picture(path.with_suffix(".png"), picture)
        tag = f"sample_{name}" if name.startswith("t") and not name.startswith("to-") else name
        if flow.signal.suffix == ".wav":
            self.log.audio(tag, x, flow.signal.sample_rate, step)
            tag = f"{tag}_spectrogram"
        elif isinstance(flow.signal, LogMel):
            rate, sound = flow.signal.recipe.sample_rate, flow.signal.sound(x)
            write_audio(path.with_suffix(".wav"), sound[:, None], rate)
            self.log.audio(tag, sound[:, None], rate, step)
            tag = f"{tag}_mel"
        self.log.image(tag, picture, step)
        return path


def _numpy(x: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(x)
