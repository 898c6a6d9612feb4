"""Flows of the papers, their presets, and the model they share."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Flow": "flow",
    "StandardNormal": "bases",
    "SinGlow": "singlow",
    "Blow": "blow",
    "PRESETS": "presets",
    "Preset": "presets",
    "preset": "presets",
    "MODELS": "registry",
    "build_model": "registry",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
