"""singlow: normalizing flows for sound in TensorFlow 2 and Keras 3.

Importing it loads no framework until a name is used.
"""

import difflib
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    # What the verbs of the command line do.
    "train": "training",
    "prepare": "data.prepare.build",
    "open_run": "runs.opening",
    "import_checkpoint": "originals.importer",
    "convert": "voices.convert",
    "enroll": "voices.enroll",
    "vocode": "voices.vocode",
    "speak": "voices.speak",
    "migrate": "latents.migrate",
    "interpolate": "latents.interpolate",
    "project": "latents.project",
    "evaluate": "evaluation.evaluate",
    # Models.
    "Flow": "models",
    "SinGlow": "models",
    "Blow": "models",
    "FloWaveNet": "models",
    "WaveGlow": "models",
    "GlowTTS": "models",
    "Flowtron": "models",
    "PRESETS": "models",
    "register_model": "models",
    # What `x` is, and what a model is given beside it.
    "Audio": "signals",
    "Image": "signals",
    "LogMel": "signals",
    "Input": "inputs",
    # Audio files.
    "load_audio": "audio",
    "write_audio": "audio",
}
_PACKAGES = ("bijections", "networks", "models", "audio", "text", "data", "testing")
__all__ = ["__version__", *_HOMES, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    near = difflib.get_close_matches(name, __all__, 1)
    hint = f". Did you mean {near[0]}?" if near else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
