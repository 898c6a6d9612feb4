"""The settings that a user edits before training. Each of them is also a flag of train.py."""

from dataclasses import dataclass
from pathlib import Path

from singlow.commands.train import Channels, Count, Name, Real
from singlow.commands.train import Settings as Flags

CHECKPOINTS = Path("checkpoints")  # one folder for each run
LOGS = Path("logs")  # TensorBoard events, sample wav files and pictures of each run


@dataclass
class Settings(Flags):
    """Train a normalizing flow on a folder of recordings, or continue a run.

    A setting that is None takes its value from the run if that exists, otherwise from the preset.
    """

    preset: Name = None  # singlow_16k, blow_small, glow_small, ...; see --help

    sampling_rate: Count = None  # sample rate in Hz
    channel_size: Channels = None  # 1 for mono or grey, 2 for stereo, 3 for colours
    img_size: Count = None  # height and width of pictures in pixels
    window_size: Real = None  # length of the training windows in seconds

    epochs: Count = None
    steps_per_epoch: Count = None
    batch_size: Count = None  # number of windows in a batch
    learning_rate: Real = None
    temperature: Real = None  # temperature of the samples that every epoch writes
    seed: Count = None
