"""A flow as a TensorFlow Probability distribution."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    import tensorflow_probability as tfp

    from singlow.models.flow import Flow


def distribution_of(flow: "Flow", length: int) -> "tfp.distributions.Distribution":
    """A `tfp.distributions.Distribution` over clips `(length, channels)`.

    Its `log_prob` and `sample` are those of the flow at temperature 1.

    Raises:
        RuntimeError: Keras does not run on TensorFlow, or tensorflow_probability is missing.
        ValueError: `length` is not a multiple of `flow.multiple`, or the flow has inputs.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Expected KERAS_BACKEND=tensorflow for a tensorflow_probability distribution. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}."
        )
    if length % flow.multiple or flow.inputs:
        raise ValueError(
            f"Expected a flow without inputs and a length that is a multiple of {flow.multiple}. "
            f"Received: length {length}, inputs {', '.join(flow.inputs) or 'none'}."
        )
    event = flow.signal.shape(1, length)[1:]
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
            return tf.TensorShape(event)

        def _event_shape_tensor(self) -> tf.Tensor:
            return tf.constant(event)

        def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
            clips = tf.reshape(x, (-1, *event))
            return tf.reshape(flow.log_prob(clips), tf.shape(x)[: -len(event)])

        def _sample_n(self, n: int, seed: Any = None) -> tf.Tensor:
            seed = tfp.random.sanitize_seed(seed)
            rng = np.random.default_rng(np.asarray(seed).astype(np.uint32).tolist())
            seed = int(rng.integers(2**63))
            return flow.sample(count=int(n), length=length, temperature=1.0, seed=seed)[0]

    return FlowDistribution()
