"""The settings that a user edits before training. Every one is also a flag of train.py."""

from dataclasses import dataclass
from pathlib import Path

from singlow.commands.train import Channels, Count, Name, Real
from singlow.commands.train import Settings as Flags

CHECKPOINTS = Path("checkpoints")  # one folder for each run
LOGS = Path("logs")  # TensorBoard events, sample wav files and pictures of each run


@dataclass
class Settings(Flags):
    """Train a normalizing flow on a folder of recordings, or continue a run.

    A setting that is None is that of the preset, or that of the run if it exists.
    """

    preset: Name = None  # singlow_16k, singlow_original, blow_small, ...; see --help

    sampling_rate: Count = None  # Hz
    channel_size: Channels = None  # 1 for mono, 2 for stereo
    window_size: Real = None  # seconds

    epochs: Count = None
    steps_per_epoch: Count = None
    batch_size: Count = None  # windows
    learning_rate: Real = None
    temperature: Real = None  # of the samples
    seed: Count = None
