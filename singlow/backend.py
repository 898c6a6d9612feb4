"""Import Keras on its backend without log output, and describe what rounding depends on."""

import contextlib
import os
import platform
import re
import sys
from collections.abc import Iterator

from singlow.errors import EnvironmentFault, UsageError

BACKENDS = ("tensorflow", "jax")
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "sse4_2", "sve", "asimd")
_THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def start_backend() -> str:
    """Import Keras on the backend that `KERAS_BACKEND` names, and return the backend's name.

    The backend is TensorFlow if the variable is unset or empty. If Keras is already imported, the
    backend is the one that Keras runs on.

    Raises:
        UsageError: singlow does not run on the backend.
        EnvironmentFault: a package is missing or cannot be imported.
    """
    name = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if "keras" in sys.modules:  # imported by the user, perhaps on the backend of keras.json
        name = sys.modules["keras"].config.backend()
    os.environ["KERAS_BACKEND"] = name
    if name not in BACKENDS:
        raise UsageError(f"Expected KERAS_BACKEND in {', '.join(BACKENDS)}. Received: {name}.")
    if "keras" not in sys.modules:
        _import_keras(name)
    if name != "tensorflow" and "tensorflow" not in sys.modules:
        from keras.src.utils import module_utils

        # Otherwise Keras imports TensorFlow, if it is installed, for its seed and its types.
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
    except ValueError as error:  # an invalid value in keras.json
        home = os.environ.get("KERAS_HOME", "~/.keras")
        raise EnvironmentFault(
            f"Keras cannot be imported ({error}). Correct or remove {home}/keras.json."
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
    """Refuse a `tf.distribute` strategy, whose replicas would each use their own gradient norm.

    Raises:
        UsageError: the code runs in the scope of a strategy.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and tensorflow.distribute.has_strategy():
        strategy = type(tensorflow.distribute.get_strategy()).__name__
        raise UsageError(
            "Expected one device: singlow does not train under tf.distribute. "
            f"Received: {strategy}. Leave its scope out; on JAX, --devices N trains on several."
        )


def describe_machine(devices: int = 1) -> dict[str, str | int]:
    """Return what the rounding of results depends on, besides versions, once Keras is imported.

    Two machines with the same description give the same bits on a CPU.

    Args:
        devices: number of devices that a batch is distributed over.
    """
    name = os.environ["KERAS_BACKEND"]
    device = _device(name)
    machine: dict[str, str | int] = {"backend": name, "device": device, "devices": devices}
    if device != "cpu":
        return machine
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
    machine |= {"instructions": _instructions(), "cores": len(cores)}
    machine |= {key.lower(): os.environ[key] for key in _THREADS if key in os.environ}
    if name == "tensorflow":
        machine["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")
    return machine


def _device(name: str) -> str:
    """Return `"cpu"`, or the kind of the accelerator that Keras computes on."""
    if name == "jax":
        import jax

        return "cpu" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(devices[0]) if devices else {}
    return details.get("device_name", "gpu") if devices else "cpu"


def _instructions() -> str:
    """Return the widest vector instructions of this CPU if the system lists them, else its kind."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = re.search(r"^(flags|Features)\s*:(.*)$", file.read(), re.MULTILINE)
    except OSError:
        flags = None
    known = flags[2].split() if flags else []
    return next((name for name in _INSTRUCTIONS if name in known), platform.machine())
