"""Batches of windows from a dataset's shards, read by offset: no framework until one is asked for.

Which samples and which noise a batch holds is a pure function of (seed, position), so that training
resumes at any step exactly, and a batch can be made again to name what was in it.
"""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from singlow.audio import FULL_SCALE
from singlow.data.feed.augmentations import augmented
from singlow.data.store.dataset import SPLITS, Clips, read_info
from singlow.errors import UsageError

_DRAWS = 8


class Windows:
    """Windows of a split, in batches `{"x": (batch, window, channels), "frame_mask": ...}`.

    With `speakers`, a batch also has `speaker`, `(batch,)` int32: places in `singers`.

    Samples are `x = (s + u) / 32768` with s int16 and u uniform on [0, 1): in [-1, 1), with a
    density wherever the int16 has a probability.

    In training the stream is endless: pass p goes through `max(1, frames // window)` windows per
    clip in the order `default_rng([seed, p]).permutation`, each cut at a random offset. Otherwise
    every clip is tiled from its start, once, with noise that never changes.

    A clip shorter than the window, and the last tile of any clip, is padded with zeros at its end;
    `frame_mask` `(batch, window)` is 1 where samples are valid, whose count is floored to
    `multiple`. In training the key is there for all batches, or for none when nothing is padded.

    Args:
        directory: with `dataset_info.json`.
        split: "train" or "validation".
        window: samples.
        batch_size: windows.
        seed: of order, offsets and noise.
        multiple: of which `window` and every valid length are.
        training: see above.
        speakers: tell who is heard.
        augment: change windows in training as `augmented` does.
        balanced: in training, draw as many windows of every singer as there are of the one with
            most, by repeating those of the others.
        min_rms: in training, draw an offset anew, up to eight times, while the window's root mean
            square is below this, in units of full scale.

    Attributes:
        sample_rate: Hz.
        channels: of `x`.
        singers: names, by speaker id.
        clips: how many clips are used.
        samples: valid samples per channel in one pass.
        steps: batches in one pass.
        fault: the error that ended `as_dataset`, which a framework may have wrapped; or None.

    Raises:
        DataError: no dataset, or no clip in it that is long enough.
        UsageError: the split is unknown, or `window` is no multiple of `multiple`.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        split: str,
        window: int,
        batch_size: int,
        seed: int = 0,
        multiple: int = 1,
        training: bool = True,
        speakers: bool = False,
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
        self.speakers = speakers
        self.augment, self.min_rms = augment and training, min_rms
        self.sample_rate: int = info["sample_rate"]
        self.channels: int = info["channels"]
        self.singers = sorted(info["singers"], key=info["singers"].get)
        self.fault: Exception | None = None
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
            self._masked = True
            valid = frames // window * window + rest // multiple * multiple
        self._bounds = np.concatenate([[0], np.cumsum(counts)])
        self.clips, self.samples = len(frames), int(valid.sum())
        self._pool = self._balanced() if balanced and training else np.arange(self._bounds[-1])
        self.windows = len(self._pool)
        self.steps = -(-self.windows // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def _balanced(self) -> np.ndarray:
        """Places of windows, those of every singer as often as of the one with most."""
        singers = np.repeat([entry.singer for entry in self._entries], np.diff(self._bounds))
        own = [np.flatnonzero(singers == singer) for singer in np.unique(singers)]
        return np.concatenate([np.resize(places, max(map(len, own))) for places in own])

    def _shuffle(self, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, number]).permutation(self._pool)

    def _locate(self, position: int) -> tuple[int, int]:
        """The clip of a position, and which of its windows."""
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
        """Batch number `step` of the stream, with the keys of `batch_form`.

        Raises:
            DataError: a record in it is damaged; named by shard, record and byte.
            IndexError: there is no such step.
        """
        positions = self._positions(step)
        x = np.zeros((len(positions), self.window, self.channels), np.float32)
        mask = np.zeros((len(positions), self.window), np.float32)
        speaker = np.zeros(len(positions), np.int32)
        for row, position in enumerate(positions):
            clip, part = self._locate(position)
            entry = self._entries[clip]
            rng = np.random.default_rng([self.seed, position])
            start = self._drawn(rng, clip) if self.training else part * self.window
            valid = min(self.window, entry.frames - start) // self.multiple * self.multiple
            noise = rng.random((valid, self.channels), np.float32)
            np.add(self._clips.samples(clip, start, valid), noise, out=x[row, :valid])
            if self.augment:
                x[row, :valid] = FULL_SCALE * augmented(x[row, :valid], rng)
            mask[row, :valid] = 1
            speaker[row] = entry.singer
        x *= np.float32(1 / FULL_SCALE)
        given = {"x": x, "frame_mask": mask, "speaker": speaker}
        return {name: given[name] for name in self.batch_form()}

    def _drawn(self, rng: np.random.Generator, clip: int) -> int:
        """Where a training window begins in its clip."""
        frames = self._entries[clip].frames
        for _ in range(_DRAWS if self.min_rms else 1):
            start = int(rng.integers(max(1, frames - self.window + 1)))
            if self.min_rms:
                heard = self._clips.samples(clip, start, min(self.window, frames)).astype(
                    np.float32
                )
                if np.sqrt(np.square(heard).mean()) >= self.min_rms * FULL_SCALE:
                    break
        return start

    def clip_names(self, step: int) -> list[str]:
        """The ids of the clips in batch `step`, row by row."""
        return [self._entries[self._locate(p)[0]].id for p in self._positions(step)]

    def clip(self, index: int) -> tuple[str, np.ndarray]:
        """A whole clip: its id and int16 `(time, channels)`."""
        entry = self._entries[index]
        return entry.id, self._clips.samples(index, 0, entry.frames).copy()

    def singer(self, index: int) -> int:
        """Who is heard in a clip: a place in `singers`."""
        return self._entries[index].singer

    def as_dataset(self, start_step: int = 0, steps: int | None = None) -> Any:
        """The stream from `start_step`, as the Keras backend likes it.

        Args:
            start_step: of the first batch.
            steps: batches; None means endless in training, else to the end of the pass.

        Returns:
            A `tf.data.Dataset` under TensorFlow, else a `keras.utils.PyDataset`, which must be
            given to `fit` with `shuffle=False`.
        """
        from singlow.data.feed import backends

        if steps is None and not self.training:
            steps = self.steps - start_step
        return backends.dataset(self, start_step, steps)

    def batch_form(self) -> dict[str, tuple[tuple[int | None, ...], type]]:
        """The keys of a batch with their shapes, None where batches differ, and their types."""
        size = self.batch_size if self.training else None
        form: dict[str, tuple[tuple[int | None, ...], type]] = {
            "x": ((size, self.window, self.channels), np.float32)
        }
        if self._masked:
            form["frame_mask"] = ((size, self.window), np.float32)
        if self.speakers:
            form["speaker"] = ((size,), np.int32)
        return form

    def noted_batch(self, step: int) -> dict[str, np.ndarray]:
        """`batch`, keeping the error in `fault`."""
        try:
            return self.batch(int(step))
        except Exception as error:
            self.fault = error
            raise
