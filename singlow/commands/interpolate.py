"""The verb `interpolate`: recordings between two recordings."""

from pathlib import Path
from typing import Annotated

import tyro

from singlow.commands.places import Epoch, Output, RunName, check_folder, check_place, inputs
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError
from singlow.runs.opening import open_run

_MOST_STEPS = 1000

First = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
Second = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]


def interpolate(
    run: RunName,
    first: First,
    second: Second,
    output: Output,
    steps: Annotated[int, tyro.conf.arg(metavar="INT")] = 5,
    epoch: Epoch = "newest",
) -> None:
    """Write the recordings that lie between two in a run's latents, both ends among them.

    Args:
        run: name under checkpoints/, or a path.
        first: a recording.
        second: another.
        output: a folder.
        steps: how many, both ends counted.
        epoch: which checkpoint.
    """
    if not 2 <= steps <= _MOST_STEPS:
        raise UsageError(f"Expected --steps from 2 to {_MOST_STEPS}. Received: {steps}.")
    for path in (first, second):
        if path.is_dir():
            raise UsageError(f"{path}: Expected a recording. Received: a folder.")
    inputs((first, second), SUFFIXES)
    check_folder(output, ".wav")
    names = [f"{i:03d}-{first.stem}-{second.stem}.wav" for i in range(steps)]
    for name in names:
        check_place(output / name)
    opened = open_run(run, epoch, speakers=False)

    from singlow.audio import load_audio, write_audio
    from singlow.latents.interpolate import interpolate as between

    rate = opened.flow.sample_rate
    ends = [load_audio(path, rate, opened.flow.channels)[0] for path in (first, second)]
    for name, audio in zip(names, between(opened.coder, *ends, steps), strict=True):
        write_audio(output / name, audio, rate, subtype="FLOAT")
        print(output / name)
