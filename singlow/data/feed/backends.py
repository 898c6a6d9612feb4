"""Datasets of windows: `tf.data` on TensorFlow, `keras.utils.PyDataset` on other backends."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from singlow.data.feed.ahead import Ahead

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from singlow.data.feed.windows import Windows


Place = Callable[["dict[str, np.ndarray]"], dict[str, Any]]


def dataset(windows: "Windows", start: int, steps: int | None, place: Place | None = None) -> Any:
    """Return the batches `start`, `start + 1`, ... as a dataset for the Keras backend.

    Args:
        windows: windows that the batches are read from.
        start: index of the first batch.
        steps: number of batches; with None the dataset is infinite.
        place: moves a batch to the devices that train on it; not on TensorFlow.
    """
    import keras

    if keras.config.backend() == "tensorflow":
        return tf_dataset(windows, start, steps)
    return py_dataset(windows, start, steps, place or dict)


def tf_dataset(windows: "Windows", start: int, steps: int | None) -> "tf.data.Dataset":
    """Return a prefetched `tf.data.Dataset`; the arguments are those of `dataset`."""
    import tensorflow as tf

    form = windows.batch_form()

    def load(step: "tf.Tensor") -> "dict[str, tf.Tensor]":
        arrays = tf.numpy_function(
            lambda step: list(windows.noted_batch(step).values()),
            [step],
            [tf.as_dtype(kind) for _, kind in form.values()],
        )
        for array, (shape, _) in zip(arrays, form.values(), strict=True):
            array.set_shape(shape)
        return dict(zip(form, arrays, strict=True))

    stop = tf.int64.max if steps is None else start + steps
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of `fit`
    return tf.data.Dataset.range(start, stop).map(load).prefetch(4).with_options(options)


def py_dataset(
    windows: "Windows", start: int, steps: int | None, place: Place
) -> "keras.utils.PyDataset":
    """Return a `PyDataset` of the same batches, which a thread computes before they are read.

    The arguments are those of `dataset`.
    """
    import keras

    ahead = Ahead(lambda index: place(windows.noted_batch(start + index)), steps)

    class Batches(keras.utils.PyDataset):
        # Keras's own workers start again from the first batch in every epoch.
        def __getitem__(self, index: int) -> tuple[dict[str, Any]]:
            return (ahead[index],)

        @property
        def num_batches(self) -> Any:
            return steps

        def on_epoch_end(self) -> None:
            ahead.pause()

    return Batches()
