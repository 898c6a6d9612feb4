"""The verb `doctor`: what is wrong with the installation, and what to do."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from singlow.errors import EnvironmentFault, SinglowError

_PYTHON = (3, 11)
_PACKAGES = {
    "tensorflow": (2, 21),
    "keras": (3, 15),
    "numpy": (2, 0),
    "scipy": (1, 14),
    "scikit-learn": (1, 5),
    "soundfile": (0, 13),
    "soxr": (0, 5),
    "safetensors": (0, 4),
    "tyro": (1, 0),
    "rich": (13, 0),
    "tensorboardX": (2, 6),
    "tensorboard": (2, 20),
    "matplotlib": (3, 8),
    "google-crc32c": (1, 5),
    "protobuf": (5, 0),
}
_FORMATS = ("WAV", "FLAC", "OGG", "MP3")
_LEAST_FREE = 1 << 30
_INSTALL = "pip3 install -r requirements.txt"

Finding = tuple[str, str, str | None]  # what, how it is, what to do (None: nothing)


def doctor() -> None:
    """Say what is wrong with the installation, and what to do about it."""
    findings = []
    for what, how, remedy in _findings():
        findings.append(remedy)
        print(f"{'ok  ' if remedy is None else 'BAD '} {what:14} {how}")
        if remedy is not None:
            print(f"     {'':14} -> {remedy}")
    wrong = sum(remedy is not None for remedy in findings)
    if wrong:
        raise EnvironmentFault(f"{wrong} of {len(findings)} checks found something wrong.")
    print("Everything singlow needs is there.")


def _findings() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, _PYTHON))
    old = sys.version_info < _PYTHON
    yield "Python", version, f"install Python {wanted} or newer" if old else None
    for name, least in _PACKAGES.items():
        yield _package(name, least)
    yield _backend()
    yield _sound()
    for name in ("checkpoints", "logs"):
        yield _writable(Path(name))


def _package(name: str, least: tuple[int, int]) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, "missing", _INSTALL
    numbers = tuple(int("".join(filter(str.isdigit, p)) or 0) for p in version.split(".")[:2])
    wanted = ".".join(map(str, least))
    return name, version, None if numbers >= least else f"needs {wanted} or newer: {_INSTALL}"


def _backend() -> Finding:
    from singlow.backend import start_backend

    try:
        name = start_backend()
    except SinglowError as error:
        return "backend", os.environ.get("KERAS_BACKEND", ""), str(error)
    if name == "jax":
        import jax

        return "backend", f"{name}, {', '.join(map(str, jax.devices()))}", None
    import tensorflow as tf

    devices = [device.device_type for device in tf.config.list_physical_devices()]
    return "backend", f"{name}, {', '.join(devices)}", None


def _sound() -> Finding:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return "audio formats", str(error), _INSTALL
    missing = [name for name in _FORMATS if name not in soundfile.available_formats()]
    have = ", ".join(name for name in _FORMATS if name not in missing)
    return "audio formats", have, f"{', '.join(missing)} missing: {_INSTALL}" if missing else None


def _writable(folder: Path) -> Finding:
    place = folder if folder.exists() else folder.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        return f"{folder}/", f"{error.strerror}", f"allow writing to {place}, or work elsewhere"
    how = f"writable, {free / 1e9:.1f} GB free"
    return f"{folder}/", how, None if free > _LEAST_FREE else "free some space"
