"""Read batches of whole utterances, mels beside their texts, from the shards of a dataset.

Utterances of similar length form a bucket, so that little of a batch is padding and batches have
few shapes. The batches are a pure function of the seed and of their number, as in
`singlow.data.feed.windows`, so that training resumes exactly at any step.
"""

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from singlow.data.feed import inputs as feed
from singlow.data.feed.inputs import InputsOf
from singlow.data.store.dataset import SPLITS, Clips, read_info, singer_names
from singlow.errors import DataError, UsageError
from singlow.inputs import MASK, Input
from singlow.signals import Audio, LogMel
from singlow.spectral import mel_spectrogram

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from singlow.data.feed.backends import Place

BUCKETS = 8
_BATCHES = 4  # least number of batches in a bucket
_MEMORY = 1 << 30  # bytes of mels that are kept in memory


class _Row(NamedTuple):
    """An utterance that is used.

    Attributes:
        clip: index of its clip in the split.
        frames: number of frames of its mel, a multiple of `multiple`.
        lengths: length of each sequence input, by name.
    """

    clip: int
    frames: int
    lengths: dict[str, int]


class _Bucket(NamedTuple):
    """Utterances of similar length.

    Attributes:
        rows: their indices; an index is repeated if its singer has few utterances.
        frames: number of frames of the longest.
        lengths: length of the longest sequence of each input, by name.
    """

    rows: np.ndarray
    frames: int
    lengths: dict[str, int]


class Utterances:
    """Batches of whole utterances, `{"x": (batch, frames, n_mels), "frame_mask": ..., ...}`.

    A batch also contains every input that the model declares. `x` is padded with zeros to the
    longest utterance of its bucket, and sequences to the longest sequence. Masks mark valid frames
    and positions. A mel has a multiple of `multiple` frames; further ones are cut.

    An utterance is left out if it is longer than `longest`, if its text cannot be read, or if a
    sequence is longer than its mel, so that it has no monotonic alignment.

    In training the stream is infinite. Pass `p` has `ceil(utterances / batch_size)` batches of each
    bucket, whose utterances are in the order of `default_rng([seed, p, bucket])`, and the batches
    of all buckets are in the order of `default_rng([seed, p])`. The last batch of a bucket is
    filled with the first utterances of the same order. Otherwise there is a single pass, in which
    every utterance appears once, from the shortest to the longest.

    Args:
        directory: folder with `dataset_info.json`.
        split: "train" or "validation".
        longest: largest number of frames of an utterance.
        batch_size: number of utterances in a batch.
        seed: random seed of the order.
        multiple: numbers of frames are multiples of this.
        signal: the mel spectrograms that `x` represents.
        inputs: inputs of the model besides `x`, by name.
        inputs_of: computes these inputs from a clip.
        training: whether utterances are shuffled.
        balanced: whether a training pass has the same number of utterances of every singer;
            utterances of singers with fewer ones are repeated.

    Attributes:
        sample_rate: sample rate of the recordings, in Hz.
        channels: number of channels of the recordings.
        singers: names of the singers, by index.
        clips: number of utterances that are used.
        samples: number of their frames.
        windows: number of utterances in one pass.
        steps: number of batches in one pass.
        left_out: the id of each utterance that is left out, with the reason.
        fault: the original error that ended the iteration over `as_dataset`, or None.

    Raises:
        DataError: there is no dataset, or no utterance can be used.
        UsageError: the split is unknown, or a number is out of its range.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        split: str,
        longest: int,
        batch_size: int,
        seed: int = 0,
        multiple: int = 1,
        signal: LogMel | None = None,
        inputs: Mapping[str, Input] | None = None,
        inputs_of: InputsOf = lambda clip, x: {},
        training: bool = True,
        balanced: bool = False,
    ) -> None:
        info = read_info(directory)
        if split not in SPLITS:
            raise UsageError(f"Expected a split of {', '.join(SPLITS)}. Received: {split!r}.")
        if longest < multiple or batch_size < 1:
            raise UsageError(
                f"Expected at least {multiple} frames and a positive batch size. "
                f"Received: longest {longest}, batch_size {batch_size}."
            )
        self.directory, self.split = Path(directory), split
        self.window, self.batch_size = longest, batch_size
        self.seed, self.multiple, self.training = seed, multiple, training
        self.signal = signal or LogMel()
        self.sample_rate: int = info["sample_rate"]
        self.channels: int = info["channels"]
        self.inputs, self._inputs_of = dict(inputs or {}), inputs_of
        self.singers = singer_names(info)
        self.fault: Exception | None = None
        self.left_out: list[tuple[str, str]] = []
        recipe = self.signal.recipe
        # Mels reflect half of a transform at both ends.
        self._clips = Clips(self.directory, info, split, recipe.n_fft // 2 + 1)
        self._mels: dict[int, np.ndarray] = {}
        self._kept = 0
        self._rows = list(self._usable(longest))
        if not self._rows:
            first = f"; the first, {': '.join(self.left_out[0])}" if self.left_out else ""
            raise DataError(
                f"{self.directory}: no {split} utterance can be used, of "
                f"{len(self._clips.entries)}{first}"
            )
        self.clips, self.samples = len(self._rows), sum(row.frames for row in self._rows)
        pool = np.arange(len(self._rows))
        if balanced and training:
            pool = feed.balanced(
                np.array([self._clips.entries[row.clip].singer for row in self._rows])
            )
        self._buckets = self._bucketed(pool)
        self.windows = sum(len(bucket.rows) for bucket in self._buckets)
        counts = [-(-len(bucket.rows) // batch_size) for bucket in self._buckets]
        # The bucket of each batch of a pass, and the number of the batch in its bucket.
        self._places = [(b, n) for b, count in enumerate(counts) for n in range(count)]
        self.steps = len(self._places)
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def _usable(self, longest: int) -> Iterator[_Row]:
        for clip, entry in enumerate(self._clips.entries):
            frames = self._frames_of(entry.frames)
            reason = ""
            if frames < self.multiple:
                reason = "it is too short"
            elif frames > longest:
                seconds = longest * self.signal.recipe.hop_length / self.sample_rate
                reason = f"it is longer than {seconds:.4g} s, the window_size"
            try:
                values = {} if reason else self._read_inputs(clip, frames)
            except DataError as error:
                reason = str(error).removeprefix(f"{entry.id}: ")
            if reason:
                self.left_out.append((entry.id, reason))
                continue
            lengths = {n: len(values[n]) for n, w in self.inputs.items() if w.kind == "sequence"}
            over = [name for name, length in lengths.items() if length > frames]
            if over:
                reason = f"its {over[0]} has {lengths[over[0]]} tokens, for {frames} frames"
                self.left_out.append((entry.id, reason))
                continue
            yield _Row(clip, frames, lengths)

    def _frames_of(self, samples: int) -> int:
        frames = 1 + samples // self.signal.recipe.hop_length
        return frames // self.multiple * self.multiple

    def _bucketed(self, pool: np.ndarray) -> list[_Bucket]:
        frames = np.array([self._rows[row].frames for row in pool])
        pool = pool[np.argsort(frames, kind="stable")]
        count = min(BUCKETS, max(1, len(pool) // (_BATCHES * self.batch_size)))
        buckets = []
        for rows in np.array_split(pool, count):
            used = [self._rows[row] for row in rows]
            lengths = {name: max(row.lengths[name] for row in used) for name in used[0].lengths}
            buckets.append(_Bucket(rows, max(row.frames for row in used), lengths))
        return buckets

    def _shuffle(self, number: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the order of the batches of a pass, and of the rows of each bucket."""
        rows = [
            np.random.default_rng([self.seed, number, index]).permutation(bucket.rows)
            for index, bucket in enumerate(self._buckets)
        ]
        return np.random.default_rng([self.seed, number]).permutation(self.steps), rows

    def _located(self, step: int) -> tuple[_Bucket, list[_Row]]:
        """Return the bucket and the utterances of a batch.

        Raises:
            IndexError: there is no such step.
        """
        if step < 0 or (not self.training and step >= self.steps):
            raise IndexError(f"Expected a step from 0 to {self.steps - 1}. Received: {step}.")
        if self.training:
            number, index = divmod(step, self.steps)
            batches, rows = self._order(number)
            bucket, place = self._places[int(batches[index])]
            order, size = rows[bucket], self.batch_size
            start = place * size
            chosen = np.resize(np.roll(order, -start), size)
        else:
            bucket, place = self._places[step]
            order = self._buckets[bucket].rows
            chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        return self._buckets[bucket], [self._rows[row] for row in chosen]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Return batch number `step` of the stream, with the keys of `batch_form`.

        Raises:
            DataError: a record is damaged; the message names the shard, the record and the byte.
            IndexError: there is no such step.
        """
        bucket, rows = self._located(step)
        x = np.zeros((len(rows), bucket.frames, self.signal.recipe.n_mels), np.float32)
        mask = np.zeros(x.shape[:2], np.float32)
        for place, row in enumerate(rows):
            x[place, : row.frames] = self._mel(row)
            mask[place, : row.frames] = 1
        values = [self._read_inputs(row.clip, row.frames) for row in rows]
        batch = {"x": x, "frame_mask": mask, **feed.stacked(values, self.inputs, bucket.lengths)}
        return {name: batch[name] for name in self.batch_form()}

    def _mel(self, row: _Row) -> np.ndarray:
        """Return the mel of an utterance, float32 `(frames, n_mels)`; mels stay in memory."""
        if row.clip not in self._mels:
            # The middle of each quantisation step, so that silence is not below every mel.
            audio = Audio().dequantize(self._clips.samples(row.clip), 0.5)[:, 0]
            mel = mel_spectrogram(audio, self.signal.recipe)[: row.frames]
            if self._kept + mel.nbytes > _MEMORY:
                return mel
            self._mels[row.clip] = mel
            self._kept += mel.nbytes
        return self._mels[row.clip]

    def _read_inputs(self, clip: int, frames: int) -> dict[str, np.ndarray]:
        """Return the declared inputs of a clip.

        Raises:
            DataError: its text cannot be read.
            UsageError: `inputs_of` returned no value for an input, or a value of another shape.
        """
        return self._inputs_of_clip(clip, frames) if self.inputs else {}

    @functools.cached_property
    def _inputs_of_clip(self) -> Any:
        return functools.lru_cache(maxsize=None)(self._checked_inputs)

    def _checked_inputs(self, clip: int, frames: int) -> dict[str, np.ndarray]:
        mel = np.zeros((frames, self.signal.recipe.n_mels), np.float32)
        values = self._inputs_of(feed.clip_facts(self._clips, clip), mel)
        return feed.checked(values, self.inputs, frames, "frames")

    def example_inputs(self, index: int, samples: int | None = None) -> dict[str, np.ndarray]:
        """Return the inputs of an utterance, as a batch of size 1.

        Args:
            index: index of the utterance.
            samples: ignored, because a text belongs to a whole utterance.
        """
        row = self._rows[index]
        values = self._read_inputs(row.clip, row.frames)
        return feed.stacked([values], self.inputs, row.lengths)

    def clip_names(self, step: int) -> list[str]:
        """Return the id of each utterance in batch `step`."""
        return [self._clips.entries[row.clip].id for row in self._located(step)[1]]

    def clip(self, index: int) -> tuple[str, np.ndarray]:
        """Return the id and the mel of an utterance, float32 `(frames, n_mels)`."""
        row = self._rows[index]
        return self._clips.entries[row.clip].id, self._mel(row)

    def singer(self, index: int) -> int:
        """Return the singer of an utterance, as an index in `singers`."""
        return self._clips.entries[self._rows[index].clip].singer

    def as_dataset(
        self, start_step: int = 0, steps: int | None = None, place: "Place | None" = None
    ) -> "tf.data.Dataset | keras.utils.PyDataset":
        """Return the stream from batch `start_step` as a dataset; see `Windows.as_dataset`."""
        from singlow.data.feed import backends

        if steps is None and not self.training:
            steps = self.steps - start_step
        return backends.dataset(self, start_step, steps, place)

    def batch_form(self) -> dict[str, tuple[tuple[int | None, ...], type]]:
        """Return the shape and the type of each array in a batch; None is a varying dimension."""
        size = self.batch_size if self.training else None
        form: dict[str, tuple[tuple[int | None, ...], type]] = {
            "x": (self.signal.shape(size, None), np.float32),
            "frame_mask": ((size, None), np.float32),
        }
        for name, wanted in self.inputs.items():
            form[name] = (wanted.shape(size, None, None), np.dtype(wanted.dtype).type)
            if wanted.kind == "sequence":
                form[name + MASK] = ((size, None), np.float32)
        return form

    def noted_batch(self, step: int) -> dict[str, np.ndarray]:
        """Return `batch(step)`, and store an error that it raises in `fault`."""
        try:
            return self.batch(int(step))
        except Exception as error:
            self.fault = error
            raise
