"""The verb `interpolate`: write recordings between two recordings, or pictures between two."""

from pathlib import Path
from typing import Annotated

import tyro

from singlow.commands.places import (
    Epoch,
    Output,
    RunName,
    check_folder,
    check_place,
    inputs,
    is_of_images,
)
from singlow.data.sources.layouts import SUFFIXES
from singlow.data.sources.pictures import SUFFIXES as PICTURE_SUFFIXES
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
    """Interpolate between two recordings or pictures in the latents of a run; write the results.

    Args:
        run: Name under checkpoints/, or a path.
        first: Recording or picture to start from.
        second: Recording or picture to end with.
        output: A folder.
        steps: Number of results, both ends included.
        epoch: Checkpoint to use.
    """
    from singlow.latents import interpolate as library

    library.check_steps(steps)
    for path in (first, second):
        if path.is_dir():
            raise UsageError(f"{path}: Expected a file. Received: a folder.")
    images = is_of_images(run)
    inputs((first, second), PICTURE_SUFFIXES if images else SUFFIXES)
    suffix = ".png" if images else ".wav"
    check_folder(output, suffix)
    for name in library.step_names(first, second, steps, suffix):
        check_place(output / name)
    for path in library.interpolate(open_run(run, epoch), first, second, steps, output):
        print(escape(str(path)))
