"""Starting Keras from a command: quietly, and with a fault that says what to install."""

import contextlib
import os
import sys
from collections.abc import Iterator

from singlow.errors import EnvironmentFault, UsageError

BACKENDS = ("tensorflow", "jax")


def start_backend() -> str:
    """Import Keras on the backend that `KERAS_BACKEND` names, TensorFlow when unset or empty;
    its name.

    Raises:
        UsageError: the backend is not one singlow runs on.
        EnvironmentFault: a package is missing or does not load.
    """
    name = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise UsageError(f"Expected KERAS_BACKEND in {', '.join(BACKENDS)}. Received: {name}.")
    if "keras" not in sys.modules:
        _import_keras(name)
    if name != "tensorflow" and "tensorflow" not in sys.modules:
        from keras.src.utils import module_utils

        # Otherwise Keras imports it to set its seed and to look for its types, wherever installed.
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
            f"Keras on {name} does not load ({error}). Run: pip3 install {packages}; then "
            "python3 -m singlow doctor says what else is missing."
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what TensorFlow's C++ side writes to stderr while it loads, whatever its settings."""
    try:
        descriptor = sys.__stderr__.fileno()
    except (AttributeError, OSError, ValueError):
        yield
        return
    sys.__stderr__.flush()
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
