"""Models of papers with their presets, and their base class `Flow`."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Flow": "flow",
    "Paper": "paper",
    "settings_of": "paper",
    "Prior": "priors",
    "StandardNormal": "priors",
    "Gaussian": "priors",
    "SinGlow": "singlow",
    "Blow": "blow",
    "Glow": "glow",
    "FloWaveNet": "flowavenet",
    "WaveGlow": "waveglow",
    "GaussianMixture": "priors",
    "GlowTTS": "glow_tts",
    "Flowtron": "flowtron",
    "Preset": "presets",
    "preset": "registry",
    "model_class": "registry",
    "model_names": "registry",
    "register_model": "registry",
    "build_model": "registry",
}
__all__ = ["PRESETS", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "PRESETS":
        return import_module(f"{__name__}.registry").presets()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
