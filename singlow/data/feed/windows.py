"""Read batches of windows from the shards of a dataset.

The samples and the noise of a batch are a pure function of the seed and the positions of its
windows in the stream. Training therefore resumes exactly at any step, and a batch can be computed
again to name its clips. No framework is imported until `as_dataset` is called.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.data.feed import inputs as feed
from singlow.data.feed.augmentations import augmented
from singlow.data.feed.inputs import ClipFacts, InputsOf
from singlow.data.store.dataset import SPLITS, Clips, clip_form, read_info, singer_names
from singlow.errors import UsageError
from singlow.inputs import MASK, Input
from singlow.signals import Audio, Image, Signal

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from singlow.data.feed.backends import Place

_DRAWS = 8


def singer_alone(clip: ClipFacts, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs of a model whose only input is `speaker`, the singer of the clip."""
    return {"speaker": np.int32(clip.singer)}


class Windows:
    """Batches of windows of a split, `{"x": (batch, window, channels), "frame_mask": ...}`.

    A batch also contains every input that the model declares; `inputs_of` computes the inputs of
    each window from its clip. Sequences are padded to the length of the longest in the split and
    have a mask `NAME_mask`.

    Samples of audio are dequantized: `x = (s + u) / 32768` with s int16 and u uniform on [0, 1).
    They are in [-1, 1) and have a density.

    In training the stream is infinite. Pass `p` has `max(1, frames // window)` windows of each
    clip, in the order of `default_rng([seed, p]).permutation`, each at a random offset. Otherwise
    there is a single pass, in which every clip is cut into consecutive windows; the noise is always
    the same.

    A picture is a clip of `height * width` frames that is one window.

    A clip that is shorter than the window, and the last window of a clip, are padded with zeros at
    the end. `frame_mask` `(batch, window)` is 1 where samples are valid; their number is rounded
    down to a multiple of `multiple`. In training all batches have the mask if any clip needs
    padding; otherwise no batch has it.

    Args:
        directory: folder with `dataset_info.json`.
        split: "train" or "validation".
        window: number of samples in a window, or of pixels in a picture.
        batch_size: number of windows in a batch.
        seed: random seed of the order, the offsets and the noise.
        multiple: `window` and every valid length are multiples of this.
        signal: the signal that `x` represents; that of the dataset when `None`.
        inputs: inputs of the model besides `x`, by name.
        inputs_of: computes these inputs from a clip and its window.
        margin: number of samples before and after its window that `inputs_of` receives with it. At
            the ends of a clip they are reflected.
        training: whether windows are shuffled and have random offsets.
        augment: whether training windows are augmented with `augmented`.
        balanced: whether a training pass has the same number of windows of every singer; windows of
            singers with fewer windows are repeated.
        min_rms: in training, an offset is drawn again, up to eight times, while the window's root
            mean square is below this, in units of full scale.

    Attributes:
        sample_rate: sample rate, in Hz; `None` for pictures.
        channels: number of channels of `x`.
        singers: names of the singers, or of the pictures' classes, by index.
        clips: number of clips that are used.
        samples: number of valid samples per channel in one pass.
        windows: number of windows in one pass.
        steps: number of batches in one pass.
        fault: the original error that ended the iteration over `as_dataset`, or None. A framework
            may wrap this error.

    Raises:
        DataError: there is no dataset, or none of its clips is long enough.
        UsageError: the split is unknown, or `window` is not a multiple of `multiple`.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        split: str,
        window: int,
        batch_size: int,
        seed: int = 0,
        multiple: int = 1,
        signal: Signal | None = None,
        inputs: Mapping[str, Input] | None = None,
        inputs_of: InputsOf = singer_alone,
        margin: int = 0,
        training: bool = True,
        augment: bool = False,
        balanced: bool = False,
        min_rms: float = 0.0,
    ) -> None:
        info = read_info(directory)
        if split not in SPLITS:
            raise UsageError(f"Expected a split of {', '.join(SPLITS)}. Received: {split!r}.")
        if window < 1 or window % multiple or batch_size < 1:
            raise UsageError(
                f"Expected a positive window, a multiple of {multiple}, and a positive batch size. "
                f"Received: window {window}, batch_size {batch_size}."
            )
        self.directory, self.split = Path(directory), split
        self.window, self.batch_size = window, batch_size
        self.seed, self.multiple, self.training = seed, multiple, training
        self.augment, self.min_rms = augment and training, min_rms
        form = clip_form(info)
        self.sample_rate: int | None = info.get("sample_rate")
        self.channels: int = info["channels"]
        self.signal = signal or (Image(**form) if "height" in form else Audio(**form))
        if isinstance(self.signal, Image) and (self.augment or min_rms):
            raise UsageError(
                "Expected augment=false and min_rms=0 for pictures. "
                f"Received: augment={str(augment).lower()}, min_rms={min_rms}."
            )
        self.inputs, self._inputs_of = dict(inputs or {}), inputs_of
        self.margin = margin
        self.singers = singer_names(info)
        self.fault: Exception | None = None
        self._known: dict[int, ClipFacts] = {}
        self._clips = Clips(self.directory, info, split, multiple)
        self._entries = self._clips.entries
        frames = np.array([entry.frames for entry in self._entries])
        rest = frames % window
        if training:
            counts = np.maximum(1, frames // window)
            self._masked = bool((frames < window).any())
            valid = np.where(frames < window, rest // multiple * multiple, counts * window)
        else:
            counts = frames // window + (rest >= multiple)
            self._masked = self.signal.maskable
            valid = frames // window * window + rest // multiple * multiple
        self._bounds = np.concatenate([[0], np.cumsum(counts)])
        self.clips, self.samples = len(frames), int(valid.sum())
        self._pool = np.arange(self._bounds[-1])
        if balanced and training:
            singers = [entry.singer for entry in self._entries]
            self._pool = feed.balanced(np.repeat(singers, np.diff(self._bounds)))
        self.windows = len(self._pool)
        self.steps = -(-self.windows // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).permutation(self._pool)

    def _locate(self, position: int) -> tuple[int, int]:
        """Return the index of a position's clip, and the index of the window in the clip."""
        if self.training:
            number, index = divmod(position, self.windows)
            index = int(self._order(number)[index])
        else:
            index = position
        clip = int(np.searchsorted(self._bounds, index, "right")) - 1
        return clip, index - int(self._bounds[clip])

    def _positions(self, step: int) -> range:
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        if not self.training:
            stop = min(stop, self.windows)
        if not 0 <= start < stop:
            raise IndexError(f"Expected a step from 0 to {self.steps - 1}. Received: {step}.")
        return range(start, stop)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Return batch number `step` of the stream, with the keys of `batch_form`.

        Raises:
            DataError: a record is damaged; the message names the shard, the record and the byte.
            IndexError: there is no such step.
        """
        positions = self._positions(step)
        x = np.zeros((len(positions), self.window, self.channels), np.float32)
        mask = np.zeros((len(positions), self.window), np.float32)
        rows: list[dict[str, np.ndarray]] = []
        for row, position in enumerate(positions):
            clip, part = self._locate(position)
            entry = self._entries[clip]
            rng = np.random.default_rng([self.seed, position])
            start = self._drawn(rng, clip) if self.training else part * self.window
            valid = min(self.window, entry.frames - start) // self.multiple * self.multiple
            stored = self._clips.samples(clip, start, valid)
            noise = rng.random((valid, self.channels), np.float32).reshape(stored.shape)
            window = self.signal.dequantize(stored, noise)
            if self.margin:
                window = self._with_margins(clip, start, self.window, window)
            window = augmented(window, rng) if self.augment else window
            own = window[self.margin : self.margin + valid] if self.margin else window
            x[row, :valid] = own.reshape(valid, self.channels)
            mask[row, :valid] = 1
            rows.append(self._inputs_of_clip(clip, window if self.margin else x[row]))
        x = x.reshape(self.signal.shape(len(x), self.window))
        batch = {"x": x, "frame_mask": mask, **feed.stacked(rows, self.inputs, self._longest)}
        return {name: batch[name] for name in self.batch_form()}

    def _with_margins(self, clip: int, start: int, length: int, x: np.ndarray) -> np.ndarray:
        """Return `x` with the samples of its clip around it, and zeros beyond the clip's margin.

        Args:
            clip: index of the clip.
            start: offset of `x` in the clip.
            length: number of samples of the result between its margins; at least that of `x`.
            x: dequantized samples, `(time, channels)`.
        """
        frames, margin = self._entries[clip].frames, self.margin
        first, last = max(0, start - margin), min(frames, start + length + margin)
        stored = self._clips.samples(clip, first, last - first)
        around = self.signal.dequantize(stored, 0.5)
        around[start - first : start - first + len(x)] = x
        before, after = margin - (start - first), start + length + margin - last
        reflected = min(after, margin)
        around = np.pad(around, ((before, reflected), (0, 0)), mode="reflect")
        return np.pad(around, ((0, after - reflected), (0, 0)))

    def _inputs_of_clip(self, clip: int, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the declared inputs of a clip for its window `x` with margins, `(time, channels)`.

        Raises:
            UsageError: `inputs_of` returned no value for an input, or a value of another shape.
        """
        if not self.inputs:
            return {}
        values = self._inputs_of(self._facts(clip), x)
        return feed.checked(values, self.inputs, len(x) - 2 * self.margin, "samples")

    def _facts(self, clip: int) -> ClipFacts:
        if clip not in self._known:
            texts = any(wanted.kind == "sequence" for wanted in self.inputs.values())
            self._known[clip] = feed.clip_facts(self._clips, clip, labelled=texts)
        return self._known[clip]

    @functools.cached_property
    def _longest(self) -> dict[str, int]:
        """The length of the longest sequence in the split for each input that is a sequence."""
        names = [name for name, wanted in self.inputs.items() if wanted.kind == "sequence"]
        window = np.zeros((self.window + 2 * self.margin, self.channels), np.float32)
        rows = [self._inputs_of_clip(clip, window) for clip in range(self.clips)]
        return {name: max(1, *(len(row[name]) for row in rows)) for name in names}

    def example_inputs(self, index: int, samples: int | None = None) -> dict[str, np.ndarray]:
        """Return the inputs of a clip, as a batch of size 1.

        Args:
            index: index of the clip.
            samples: number of samples of the clip that are read; all when `None`. It is rounded
                down to a multiple of `multiple`.
        """
        stored = self.clip(index)[1][:samples]
        x = self.signal.dequantize(stored[: len(stored) // self.multiple * self.multiple], 0.5)
        if self.margin:
            x = self._with_margins(index, 0, len(x), x)
        return feed.stacked([self._inputs_of_clip(index, x)], self.inputs, self._longest)

    def _drawn(self, rng: np.random.Generator, clip: int) -> int:
        """Draw the offset of a training window in its clip, in samples."""
        frames = self._entries[clip].frames
        for _ in range(_DRAWS if self.min_rms else 1):
            start = int(rng.integers(max(1, frames - self.window + 1)))
            if self.min_rms:
                stored = self._clips.samples(clip, start, min(self.window, frames))
                window = self.signal.dequantize(stored)
                if np.sqrt(np.square(window).mean()) >= self.min_rms:
                    break
        return start

    def clip_names(self, step: int) -> list[str]:
        """Return the id of the clip of each row in batch `step`."""
        return [self._entries[self._locate(p)[0]].id for p in self._positions(step)]

    def clip(self, index: int) -> tuple[str, np.ndarray]:
        """Return the id and all samples of a clip, int16 `(time, channels)`, or its pixels."""
        entry = self._entries[index]
        return entry.id, self._clips.samples(index, 0, entry.frames).copy()

    def singer(self, index: int) -> int:
        """Return the singer of a clip, as an index in `singers`."""
        return self._entries[index].singer

    def as_dataset(
        self, start_step: int = 0, steps: int | None = None, place: "Place | None" = None
    ) -> "tf.data.Dataset | keras.utils.PyDataset":
        """Return the stream from batch `start_step` as a dataset for the Keras backend.

        Args:
            start_step: index of the first batch.
            steps: number of batches. With None the dataset is infinite in training, and ends with
                the pass otherwise.
            place: moves a batch to the devices that train on it, on JAX.

        Returns:
            A `tf.data.Dataset` on TensorFlow, else a `keras.utils.PyDataset`, which `fit` must use
            with `shuffle=False`.
        """
        from singlow.data.feed import backends

        if steps is None and not self.training:
            steps = self.steps - start_step
        return backends.dataset(self, start_step, steps, place)

    def batch_form(self) -> dict[str, tuple[tuple[int | None, ...], type]]:
        """Return the shape and the type of each array in a batch; None is a varying dimension."""
        size = self.batch_size if self.training else None
        form: dict[str, tuple[tuple[int | None, ...], type]] = {
            "x": (self.signal.shape(size, self.window), np.float32)
        }
        if self._masked:
            form["frame_mask"] = ((size, self.window), np.float32)
        for name, wanted in self.inputs.items():
            length = self._longest.get(name) if wanted.kind == "sequence" else None
            shape = wanted.shape(size, self.window, length)
            form[name] = (shape, np.dtype(wanted.dtype).type)
            if wanted.kind == "sequence":
                form[name + MASK] = (shape[:2], np.float32)
        return form

    def noted_batch(self, step: int) -> dict[str, np.ndarray]:
        """Return `batch(step)`, and store an error that it raises in `fault`."""
        try:
            return self.batch(int(step))
        except Exception as error:
            self.fault = error
            raise
