"""Datasets of windows: `tf.data` on TensorFlow, `keras.utils.PyDataset` on other backends."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from singlow.data.feed.windows import Windows


def dataset(windows: "Windows", start: int, steps: int | None) -> Any:
    """Return the batches `start`, `start + 1`, ... as a dataset for the Keras backend.

    Args:
        windows: windows that the batches are read from.
        start: index of the first batch.
        steps: number of batches; with None the dataset is infinite.
    """
    import keras

    make = tf_dataset if keras.config.backend() == "tensorflow" else py_dataset
    return make(windows, start, steps)


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


def py_dataset(windows: "Windows", start: int, steps: int | None) -> "keras.utils.PyDataset":
    """Return a `PyDataset` of the same batches; the arguments are those of `dataset`."""
    import keras

    class Batches(keras.utils.PyDataset):
        def __getitem__(self, index: int) -> "tuple[dict[str, np.ndarray]]":
            return (windows.noted_batch(start + index),)

        @property
        def num_batches(self) -> Any:
            return steps

    return Batches()
