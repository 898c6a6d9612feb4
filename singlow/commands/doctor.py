"""The verb `doctor`: report what is wrong with the installation and how to correct it."""

import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from singlow.errors import EnvironmentFault, SinglowError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parents[2]  # root of the checkout, or site-packages
_FORMATS = ("WAV", "FLAC", "OGG", "MP3")
_LEAST_FREE = 1 << 30
_KERAS = {
    "backend": ("tensorflow", "jax"),
    "floatx": ("float32", "float16", "float64"),
    "image_data_format": ("channels_last", "channels_first"),
}
"""Settings of keras.json with some of their values; Keras's own default is the first."""


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        subject: What the check examines.
        state: The state in which the check finds it.
        remedy: What to do; `None` if nothing is wrong.
    """

    subject: str
    state: str
    remedy: str | None = None


def doctor() -> None:
    """Report what is wrong with the installation and how to correct it."""
    findings = []
    for finding in _findings():
        findings.append(finding)
        print(f"{'BAD' if finding.remedy else 'ok':4} {finding.subject:22} {finding.state}")
        if finding.remedy:
            print(f"{'':4} {'':22} -> {finding.remedy}")
    wrong = sum(finding.remedy is not None for finding in findings)
    if wrong:
        raise EnvironmentFault(f"{wrong} of {len(findings)} checks found something wrong.")
    print("Everything singlow needs is there.")


def _findings() -> Iterator[Finding]:
    requirements, python, install = _declared()
    yield _version("Python", ".".join(map(str, sys.version_info[:3])), python, "install it")
    for requirement in requirements:
        yield _package(requirement, install)
    yield _keras_settings()
    yield _backend()
    yield _sound(install)
    for name in ("checkpoints", "logs"):
        yield _writable(Path(name))


def _declared() -> "tuple[list[Requirement], str, str]":
    """Return the requirements, the supported Python versions, and the command that installs them.

    In a checkout they come from pyproject.toml, otherwise from the installed package.
    """
    from packaging.requirements import Requirement

    extra = "jax" if os.environ.get("KERAS_BACKEND") == "jax" else ""
    file = _ROOT / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        texts = [*project["dependencies"], *project["optional-dependencies"].get(extra, [])]
        python = project["requires-python"]
        command = f"pip3 install -r requirements.txt {extra}".rstrip()
    else:
        texts = metadata.requires("singlow") or []
        python = metadata.metadata("singlow")["Requires-Python"]
        command = f'pip3 install --upgrade "singlow{f"[{extra}]" if extra else ""}"'
    requirements = [Requirement(text) for text in texts]
    needed = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]
    return needed, python, command


def _package(requirement: "Requirement", install: str) -> Finding:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding(requirement.name, "missing", install)
    return _version(requirement.name, version, str(requirement.specifier), install)


def _version(name: str, version: str, wanted: str, install: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    return Finding(name, version, None if fits else f"needs {wanted}: {install}")


def _keras_settings() -> Finding:
    """Report the user-wide settings of Keras and their effect."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    file = Path(home).expanduser() / "keras.json"
    subject = "Keras settings"
    try:
        settings = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Finding(subject, f"{file}: none")
    except ValueError:
        return Finding(subject, f"{file}: not JSON, which Keras ignores")
    except OSError as error:
        return Finding(subject, f"{file}: {error.strerror}", "make it readable, or remove it")
    if not isinstance(settings, dict):
        return Finding(subject, f"{file}: not a dictionary", "remove it")
    values = {key: settings.get(key, known[0]) for key, known in _KERAS.items()}
    refused = [key for key in ("floatx", "image_data_format") if values[key] not in _KERAS[key]]
    if not isinstance(settings.get("epsilon", 1e-7), float):
        refused.append("epsilon")
    if refused:
        remedy = f"Keras does not start with this {refused[0]}: correct or remove the file"
        return Finding(subject, f"{file}: {refused[0]} is {settings[refused[0]]!r}", remedy)
    changed = [f"{key}={value}" for key, value in values.items() if value != _KERAS[key][0]]
    if not changed:
        return Finding(subject, f"{file}: Keras's defaults")
    effect = "changes layers of your own; the commands do not follow it"
    return Finding(subject, f"{file}: {', '.join(changed)}: {effect}")


def _backend() -> Finding:
    from singlow.backend import start_backend

    try:
        name = start_backend()
    except SinglowError as error:
        return Finding("backend", os.environ.get("KERAS_BACKEND", ""), str(error))
    if name == "jax":
        import jax

        return Finding("backend", f"{name}, {', '.join(map(str, jax.devices()))}")
    import tensorflow as tf

    devices = [device.device_type for device in tf.config.list_physical_devices()]
    return Finding("backend", f"{name}, {', '.join(devices)}")


def _sound(install: str) -> Finding:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Finding("audio formats", str(error), install)
    available = [name for name in _FORMATS if name in soundfile.available_formats()]
    missing = [name for name in _FORMATS if name not in available]
    remedy = f"{', '.join(missing)} missing: {install}" if missing else None
    return Finding("audio formats", ", ".join(available), remedy)


def _writable(folder: Path) -> Finding:
    place = folder if folder.exists() else folder.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        remedy = f"allow writing to {place}, or work elsewhere"
        return Finding(f"{folder}/", f"{error.strerror}", remedy)
    state = f"writable, {free / 1e9:.1f} GB free"
    return Finding(f"{folder}/", state, None if free > _LEAST_FREE else "free some space")
