"""singlow: normalizing flows for sound in TensorFlow 2 and Keras 3.

Importing it loads no framework until a name is used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Flow": "singlow.models.flow",
    "SinGlow": "singlow.models.singlow",
    "Blow": "singlow.models.blow",
    "PRESETS": "singlow.models.presets",
    "load_audio": "singlow.audio",
    "write_audio": "singlow.audio",
    "bijections": None,
    "networks": None,
    "models": None,
    "audio": None,
    "data": None,
    "testing": None,
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES[name]
    return import_module(f"singlow.{name}") if home is None else getattr(import_module(home), name)
