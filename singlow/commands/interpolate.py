"""The verb `interpolate`: write recordings between two recordings."""

from pathlib import Path
from typing import Annotated

import tyro

from singlow.commands.places import Epoch, Output, RunName, check_folder, check_place, inputs
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError
from singlow.runs.opening import open_run
from singlow.streams import escape

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
    """Interpolate between two recordings in the latents of a run and write the results.

    Args:
        run: Name under checkpoints/, or a path.
        first: Recording to start from.
        second: Recording to end with.
        output: A folder.
        steps: Number of recordings, both ends included.
        epoch: Checkpoint to use.
    """
    from singlow.latents import interpolate as library

    library.check_steps(steps)
    for path in (first, second):
        if path.is_dir():
            raise UsageError(f"{path}: Expected a recording. Received: a folder.")
    inputs((first, second), SUFFIXES)
    check_folder(output, ".wav")
    for name in library.step_names(first, second, steps):
        check_place(output / name)
    for path in library.interpolate(open_run(run, epoch), first, second, steps, output):
        print(escape(str(path)))
