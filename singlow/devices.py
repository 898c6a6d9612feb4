"""Several devices of one machine: each computes a part of every batch, through JAX."""

import contextlib
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from singlow.backend import start_backend
from singlow.errors import UsageError

if TYPE_CHECKING:
    import keras


def check_devices(devices: int, batch_size: int) -> None:
    """Check that this machine can distribute batches of a size over a number of devices.

    Raises:
        UsageError: Keras does not run on JAX, there are fewer devices, or they do not divide the
            batch.
    """
    if devices == 1:
        return
    backend = start_backend()
    if backend != "jax":
        raise UsageError(
            f"Expected --devices 1 on {backend}. Received: {devices}; set KERAS_BACKEND=jax to "
            "train on several."
        )
    import jax

    if devices > jax.device_count():
        raise UsageError(
            f"Expected --devices of at most {jax.device_count()}, as many as JAX finds here "
            f"({jax.default_backend()}). Received: {devices}."
        )
    if batch_size % devices:
        raise UsageError(
            f"Expected --batch_size to be a multiple of --devices, {devices}. "
            f"Received: {batch_size}."
        )


class Devices:
    """The first devices of this machine, over which every batch is distributed.

    Each device has all variables and computes a part of the batch. Gradients, losses and metrics
    are those of the whole batch. They differ from those of one device by rounding.

    Args:
        count: number of devices. With one, nothing is distributed.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which new variables are copied to all devices."""
        return contextlib.nullcontext() if self.count == 1 else self._distribution.scope()

    def place(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Distribute the arrays of a batch over the devices.

        A batch whose size the devices do not divide, as the last one of held-out data, is copied to
        all of them.
        """
        if self.count == 1:
            return dict(batch)
        import keras

        distribute = keras.distribution.distribute_tensor
        return {name: distribute(value, self._layout(value.shape)) for name, value in batch.items()}

    def _layout(self, shape: tuple[int, ...]) -> "keras.distribution.TensorLayout":
        import keras

        if shape[0] % self.count == 0:
            return self._distribution.get_data_layout(shape)
        return keras.distribution.TensorLayout([None] * len(shape), self._distribution.device_mesh)

    @functools.cached_property
    def _distribution(self) -> "keras.distribution.DataParallel":
        import keras

        names = keras.distribution.list_devices()[: self.count]
        return keras.distribution.DataParallel(devices=names)
