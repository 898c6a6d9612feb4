"""The verb `train`: train a flow on recordings, or continue a run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from singlow.errors import UsageError
from singlow.runs.settings import FLAGS, TRAINING

Count = Annotated[int | None, arg(metavar="INT")]
Real = Annotated[float | None, arg(metavar="FLOAT")]
Name = Annotated[str | None, arg(metavar="NAME")]
Channels = Annotated[Literal[1, 2, 3] | None, arg(metavar="1|2|3")]


@dataclass
class Settings:
    """Train a normalizing flow on a folder of recordings, or continue a run.

    A setting that is None takes its value from the run if that exists, otherwise from the preset.
    """

    model: Name = None
    """Model to train: singlow (the default), blow, glow, flowavenet, waveglow, glow_tts
    or flowtron."""
    preset: Name = None
    """Named settings, by default the first of a model: singlow_16k, singlow_original, singlow_tiny;
    blow_small, blow_fast, blow_original, blow_tiny; glow_small, glow_mnist, glow_cifar10,
    glow_cifar100, glow_original_tf2, glow_tiny; flowavenet_small, flowavenet, flowavenet_original,
    flowavenet_tiny; waveglow_small, waveglow_original, waveglow_tiny; glow_tts_small, glow_tts,
    glow_tts_original, glow_tts_tiny; flowtron_small, flowtron_original, flowtron_tiny."""
    dataset: Annotated[
        tuple[str, ...] | None, arg(metavar="builtin|spoken|digits|mnist|cifar10|cifar100|DIR...")
    ] = None
    """Folders of recordings, LABEL=DIR to name a singer or style, a folder from data_loader.py, or
    a built-in corpus: builtin (songs, the default), spoken, spoken-styles or spoken-english. For
    glow, folders of pictures with a folder for each class, or one of digits (the default), mnist,
    cifar10 and cifar100."""
    layout: Annotated[
        Literal["auto", "folders", "blow", "fsdd", "ljspeech", "manifest"] | None,
        arg(metavar="auto|folders|blow|fsdd|ljspeech|manifest"),
    ] = None
    """Where the singers' names come from: folders, file names, or a table (auto)."""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder for the prepared records of a folder of recordings (beside it)."""

    k_glow: Count = None
    """Number of steps in a level (K)."""
    l_glow: Count = None
    """Number of levels (L)."""
    window_size: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Length of the training windows."""
    sampling_rate: Annotated[int | None, arg(metavar="HZ")] = None
    """Sample rate to which all recordings are resampled."""
    channel_size: Channels = None
    """Number of channels: 1 for mono, 2 for stereo; 1 for grey, 3 for colours."""
    img_size: Count = None
    """Height and width to which all pictures are resized, in pixels."""

    epochs: Count = None
    """Total number of epochs; a larger number continues an existing run."""
    steps_per_epoch: Count = None
    """Number of batches in an epoch; every epoch ends with an evaluation and a checkpoint."""
    batch_size: Count = None
    """Number of windows in a batch."""
    learning_rate: Real = None
    """Largest learning rate of Adam."""
    precision: Annotated[Literal["float32", "bfloat16"] | None, arg(metavar="float32|bfloat16")] = (
        None
    )
    """Precision of the networks in training; invertible computations stay in float32."""
    backprop: Annotated[Literal["stored", "inverted"] | None, arg(metavar="stored|inverted")] = None
    """Whether to store the activations of each step, or to compute them again, which takes less
    memory and more time."""
    devices: Count = None
    """Number of devices that every batch is distributed over, on JAX (1)."""
    temperature: Real = None
    """Temperature of the samples that every epoch writes (0.7)."""
    seed: Count = None
    """Random seed for weights, order of the data and noise (0)."""

    run: Name = None
    """Name of the run under checkpoints/, or a path; the preset's name when None."""
    fresh: bool = False
    """Move a run of this name aside and start over."""
    patience: Count = None
    """Stop after this many epochs without a lower held-out loss; 0 never stops."""
    set: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="KEY=VALUE")] = ()
    """Any argument of the model or setting of its training, as JSON: --set width=96
    --set "dilations=[1,2,4,8]" --set balanced=true."""
    dry_run: bool = False
    """Print parameters, receptive field, latents, memory and seconds per step; write nothing."""


_ARGUMENTS = (
    "k_glow",
    "l_glow",
    "channel_size",
    "img_size",
    "sampling_rate",
    "precision",
    "backprop",
)


def train(
    settings: Annotated[Settings, arg(name="")],
    checkpoints: Annotated[Path, arg(metavar="DIR")] = Path("checkpoints"),
    logs: Annotated[Path, arg(metavar="DIR")] = Path("logs"),
) -> None:
    """Train a normalizing flow on a folder of recordings, or continue a run.

    Args:
        settings: Settings of the model and its training.
        checkpoints: Folder with one folder for each run.
        logs: Folder with the TensorBoard events and the samples of each run.
    """
    arguments = arguments_of(settings)

    from singlow.training import fit, report

    if settings.dry_run:
        report.describe(**arguments, checkpoints=checkpoints, logs=logs)
    else:
        fit.train(**arguments, checkpoints=checkpoints, logs=logs)


def arguments_of(settings: Settings) -> dict[str, Any]:
    """Return the arguments of `singlow.train` that the flags set.

    Raises:
        UsageError: a value of `--set` is not KEY=VALUE, or a setting is set twice.
    """
    flags = {
        key: value
        for key, value in asdict(settings).items()
        if value is not None and value is not False
    }
    overrides = _parsed(flags.pop("set"), flags)
    arguments = {FLAGS.get(key, key): flags.pop(key) for key in _ARGUMENTS if key in flags}
    arguments |= {key: value for key, value in overrides.items() if key not in TRAINING}
    flags |= {key: value for key, value in overrides.items() if key in TRAINING}
    flags.pop("dry_run", None)
    return {**flags, "arguments": arguments}


def _parsed(texts: tuple[str, ...], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `--set` by the names of the settings."""
    overrides: dict[str, Any] = {}
    known = {FLAGS.get(field.name, field.name): field.name for field in fields(Settings)}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key.isidentifier():
            raise UsageError(f'Expected --set KEY=VALUE, as in --set width=96. Received: "{text}".')
        name = FLAGS.get(key, key)
        if name in overrides or known.get(name) in flags:
            other = f"--set {key}" if name in overrides else f"--{known[name]}"
            raise UsageError(f"Expected {key} once. Received: {other} and --set {key}.")
        try:
            overrides[name] = json.loads(value)
        except ValueError:
            overrides[name] = value
    return overrides
