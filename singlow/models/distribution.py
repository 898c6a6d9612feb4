"""A flow seen from TensorFlow Probability."""

from typing import Any

import keras
import numpy as np


def distribution_of(flow: Any, length: int) -> Any:
    """A `tfp.distributions.Distribution` whose events are clips `(length, channels)`.

    `log_prob` and `sample` are the flow's own, at temperature 1.

    Raises:
        RuntimeError: Keras does not run on TensorFlow, or tensorflow_probability is missing.
        ValueError: `length` is not a multiple of `flow.multiple`.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Expected KERAS_BACKEND=tensorflow for a tensorflow_probability distribution. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}."
        )
    if length % flow.multiple:
        raise ValueError(
            f"Expected a length that is a multiple of {flow.multiple} samples. Received: {length}."
        )
    try:
        import tensorflow as tf
        import tensorflow_probability as tfp
    except ImportError as error:
        raise RuntimeError(
            "Expected tensorflow_probability and tf-keras to be installed: "
            "pip3 install tensorflow-probability tf-keras."
        ) from error

    class FlowDistribution(tfp.distributions.Distribution):
        def __init__(self) -> None:
            super().__init__(
                dtype=tf.as_dtype(flow.compute_dtype),
                reparameterization_type=tfp.distributions.FULLY_REPARAMETERIZED,
                validate_args=False,
                allow_nan_stats=False,
                name=flow.name,
            )

        def _event_shape(self) -> tf.TensorShape:
            return tf.TensorShape([length, flow.channels])

        def _event_shape_tensor(self) -> tf.Tensor:
            return tf.constant([length, flow.channels])

        def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
            clips = tf.reshape(x, (-1, length, flow.channels))
            return tf.reshape(flow.log_prob(clips), tf.shape(x)[:-2])

        def _sample_n(self, n: int, seed: Any = None) -> tf.Tensor:
            seed = tfp.random.sanitize_seed(seed)
            rng = np.random.default_rng(np.asarray(seed).astype(np.uint32).tolist())
            return flow.sample(int(n), length, 1.0, seed=int(rng.integers(2**63)))

    return FlowDistribution()
