"""Named sets of constructor arguments, with the training settings they were tried with."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from singlow.errors import UsageError


@dataclass(frozen=True)
class Preset:
    """A model's keyword arguments and how to train it.

    Attributes:
        model: the model's name in the registry.
        description: one sentence.
        arguments: keyword arguments of the model's constructor.
        training: `window_size` (seconds), `batch_size`, `learning_rate`, `warmup_steps`,
            `epochs`, `steps_per_epoch` and, where they differ from `DEFAULTS` of
            `singlow.runs.limits`, others.
    """

    model: str
    description: str
    arguments: Mapping[str, Any]
    training: Mapping[str, Any]


_AUGMENTED = {"augment": True, "min_rms": 0.025}
_AS_PUBLISHED = MappingProxyType(
    {
        "window_size": 0.256,
        "batch_size": 114,
        "learning_rate": 1e-4,
        "warmup_steps": 1,
        "epochs": 999,
        "steps_per_epoch": 500,
        "plateau": 10,
        **_AUGMENTED,
    }
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "singlow_16k": Preset(
            model="singlow",
            description="Singing at 16 kHz; trains in minutes on a laptop's CPU.",
            arguments=MappingProxyType(
                {
                    "k_glow": 8,
                    "l_glow": 1,
                    "squeeze": 16,
                    "width": 96,
                    "kernel_sizes": (3, 1, 3),
                    "dilations": (1, 1, 32),
                    "sample_rate": 16000,
                }
            ),
            training=MappingProxyType(
                {
                    "window_size": 0.512,
                    "batch_size": 4,
                    "learning_rate": 3e-3,
                    "warmup_steps": 100,
                    "decay_steps": 1000,
                    "epochs": 11,
                    "steps_per_epoch": 1000,
                }
            ),
        ),
        "singlow_original": Preset(
            model="singlow",
            description="The published SinGlow: 12 steps x 8 levels, squeeze 2, width 32.",
            arguments=MappingProxyType(
                {
                    "k_glow": 12,
                    "l_glow": 8,
                    "squeeze": 2,
                    "level_squeeze": 2,
                    "width": 32,
                    "kernel_sizes": (4, 1, 4),
                    "dilations": (1, 1, 1),
                    "activation": "relu6",
                    "act_norm": True,
                    "dropout": 0.1,
                    "weight_norm": False,
                    "scale": "sigmoid",
                    "mixing": "plain",
                    "prior_kernel_sizes": (1,),
                    "prior_period": 64,
                    "sample_rate": 16384,
                }
            ),
            training=MappingProxyType(
                {
                    "window_size": 1.0,
                    "batch_size": 32,
                    "learning_rate": 1e-3,
                    "warmup_steps": 200,
                    "epochs": 50,
                    "steps_per_epoch": 200,
                }
            ),
        ),
        "blow_small": Preset(
            model="blow",
            description="Voices at 16 kHz, 3 blocks x 10 steps; trains within an hour on a CPU.",
            arguments=MappingProxyType(
                {
                    "k_glow": 10,
                    "l_glow": 3,
                    "squeeze": 8,
                    "level_squeeze": 2,
                    "width": 128,
                    "scale_limit": 0.5,
                    "sample_rate": 16000,
                }
            ),
            training=MappingProxyType(
                {
                    "window_size": 0.256,
                    "batch_size": 16,
                    "learning_rate": 3e-3,
                    "warmup_steps": 100,
                    "decay_steps": 1000,
                    "epochs": 20,
                    "steps_per_epoch": 500,
                    **_AUGMENTED,
                }
            ),
        ),
        "blow_fast": Preset(
            model="blow",
            description="The paper's ablation of 3 blocks x 32 steps, squeeze 8, 512 channels.",
            arguments=MappingProxyType(
                {
                    "k_glow": 32,
                    "l_glow": 3,
                    "squeeze": 8,
                    "level_squeeze": 8,
                    "width": 512,
                    "scale_limit": 0.5,
                    "sample_rate": 16000,
                }
            ),
            training=_AS_PUBLISHED,
        ),
        "blow_original": Preset(
            model="blow",
            description="The published Blow: 8 blocks x 12 steps, squeeze 2, 512 channels.",
            arguments=MappingProxyType(
                {
                    "k_glow": 12,
                    "l_glow": 8,
                    "squeeze": 2,
                    "level_squeeze": 2,
                    "width": 512,
                    "weight_norm": False,
                    "scale": "sigmoid",
                    "sample_rate": 16000,
                }
            ),
            training=_AS_PUBLISHED,
        ),
        "blow_tiny": Preset(
            model="blow",
            description="A toy of two blocks for tests and first tries; not made to sound.",
            arguments=MappingProxyType(
                {
                    "k_glow": 2,
                    "l_glow": 2,
                    "squeeze": 8,
                    "level_squeeze": 2,
                    "width": 16,
                    "embedding_size": 8,
                    "scale_limit": 0.5,
                    "sample_rate": 16000,
                }
            ),
            training=MappingProxyType(
                {
                    "window_size": 0.128,
                    "batch_size": 4,
                    "learning_rate": 1e-3,
                    "warmup_steps": 10,
                    "epochs": 2,
                    "steps_per_epoch": 20,
                    **_AUGMENTED,
                }
            ),
        ),
        "singlow_tiny": Preset(
            model="singlow",
            description="A toy of two levels for tests and first tries; not made to sound.",
            arguments=MappingProxyType(
                {
                    "k_glow": 2,
                    "l_glow": 2,
                    "squeeze": 8,
                    "width": 16,
                    "kernel_sizes": (3, 1, 3),
                    "dilations": (1, 1, 2),
                    "sample_rate": 16000,
                }
            ),
            training=MappingProxyType(
                {
                    "window_size": 0.128,
                    "batch_size": 4,
                    "learning_rate": 1e-3,
                    "warmup_steps": 10,
                    "epochs": 2,
                    "steps_per_epoch": 20,
                }
            ),
        ),
    }
)


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        UsageError: there is none; the known ones are listed.
    """
    if name not in PRESETS:
        raise UsageError(f"Expected a preset in {', '.join(PRESETS)}. Received: {name}.")
    return PRESETS[name]
