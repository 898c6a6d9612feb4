"""Keras on its backend: imported without noise, with an error that names what to install."""

import contextlib
import os
import sys
from collections.abc import Iterator

from singlow.errors import EnvironmentFault, UsageError

BACKENDS = ("tensorflow", "jax")


def start_backend() -> str:
    """Import Keras on the backend that `KERAS_BACKEND` names, and return the backend's name.

    The backend is TensorFlow if the variable is unset or empty.

    Raises:
        UsageError: singlow does not run on the backend.
        EnvironmentFault: a package is missing or cannot be imported.
    """
    name = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageError(f"Expected KERAS_BACKEND in {', '.join(BACKENDS)}. Received: {name}.")
    if "keras" not in sys.modules:
        _import_keras(name)
    if name != "tensorflow" and "tensorflow" not in sys.modules:
        from keras.src.utils import module_utils

        # Otherwise Keras imports TensorFlow, if it is installed, to set its seed and for its types.
        module_utils.tensorflow._available = False
    return name


def _import_keras(name: str) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _silent():
            import keras  # noqa: F401
    except ImportError as error:
        packages = "-r requirements.txt" if name == "tensorflow" else f"-r requirements.txt {name}"
        raise EnvironmentFault(
            f"Keras on {name} cannot be imported ({error}). Run: pip3 install {packages}; then "
            "python3 -m singlow doctor lists what else is missing."
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Discard what TensorFlow's C++ code writes to stderr while it is imported."""
    try:
        descriptor = sys.__stderr__.fileno()
    except (AttributeError, OSError, ValueError):
        yield
        return
    sys.__stderr__.flush()
    kept = os.dup(descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(null)


def require_one_replica() -> None:
    """Refuse a `tf.distribute` strategy, whose replicas would each have a norm of their own.

    Raises:
        UsageError: the code runs in the scope of a strategy.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and tensorflow.distribute.has_strategy():
        strategy = type(tensorflow.distribute.get_strategy()).__name__
        raise UsageError(
            "Expected one device: singlow does not train under tf.distribute. "
            f"Received: {strategy}. Leave its scope out."
        )
