"""What one edits before training: every setting is also a flag of train.py."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import UseAppendAction, arg

CHECKPOINTS = Path("checkpoints")  # one folder per run
LOGS = Path("logs")  # its TensorBoard events, sample wav files and pictures

Count = Annotated[int | None, arg(metavar="INT")]
Real = Annotated[float | None, arg(metavar="FLOAT")]
Name = Annotated[str | None, arg(metavar="NAME")]


@dataclass
class Settings:
    """Train a normalizing flow on a folder of wav and mp3 files, or go on with a run.

    A setting that is None is the preset's, or for a run that exists the run's own.
    """

    model: Name = None
    """What to train: singlow (the default) or blow."""
    preset: Name = None
    """Named settings: singlow_16k (the default), singlow_original, singlow_tiny, blow_small (the
    default of blow), blow_fast, blow_original or blow_tiny."""
    dataset: Annotated[tuple[str, ...] | None, arg(metavar="builtin|DIR...")] = None
    """Folders of audio, LABEL=DIR to name a singer or style, a folder from data_loader.py, or the
    built-in corpus (the default)."""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """Where the prepared records of a folder of audio are kept; beside it when None."""

    k_glow: Count = None
    """Steps a level (K)."""
    l_glow: Count = None
    """Levels (L)."""
    window_size: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Length of the pieces it is trained on."""
    sampling_rate: Annotated[int | None, arg(metavar="HZ")] = None
    """All audio is resampled to this rate."""
    channel_size: Annotated[int | None, arg(metavar="1|2")] = None
    """Mono or stereo."""

    epochs: Count = None
    """Epochs in all; a larger number lengthens a run that exists."""
    steps_per_epoch: Count = None
    """Batches an epoch; every epoch ends with an evaluation and a checkpoint."""
    batch_size: Count = None
    """Pieces a batch."""
    learning_rate: Real = None
    """Peak of Adam's learning rate."""
    precision: Annotated[Literal["float32", "bfloat16"] | None, arg(metavar="float32|bfloat16")] = (
        None
    )
    """Of the networks while they are trained; everything that inverts stays float32."""
    backprop: Annotated[Literal["stored", "inverted"] | None, arg(metavar="stored|inverted")] = None
    """Keep each step's activations, or recompute them: less memory, more time."""
    temperature: Real = None
    """Of the samples written every epoch (0.7)."""
    seed: Count = None
    """Of weights, data order and noise (0)."""

    run: Name = None
    """Name under checkpoints/, or a path; the preset's name when None."""
    fresh: bool = False
    """Move a run of this name aside and start over."""
    patience: Count = None
    """Stop after this many epochs without fewer held-out bits; 0 never does."""
    set: Annotated[tuple[str, ...], UseAppendAction, arg(metavar="KEY=VALUE")] = ()
    """Any argument of the model, or setting of its training, as JSON: --set width=96
    --set "dilations=[1,2,4,8]" --set balanced=true."""
    dry_run: bool = False
    """Print parameters, receptive field, latents, memory and seconds a step; write nothing."""
