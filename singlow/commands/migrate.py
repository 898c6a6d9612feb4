"""The verb `migrate`: give songs the features of other singers, or pictures those of a class."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from singlow.commands.places import (
    Epoch,
    Files,
    Output,
    RunName,
    check_place,
    each,
    inputs,
    is_of_images,
    one_file,
    outputs,
)
from singlow.data.sources.layouts import SUFFIXES
from singlow.data.sources.pictures import SUFFIXES as PICTURE_SUFFIXES
from singlow.runs.opening import open_run


def migrate(
    run: RunName,
    files: Files,
    output: Output,
    source: Annotated[str | None, arg(name="from", metavar="SINGER|STYLE|CLASS")] = None,
    target: Annotated[str | None, arg(name="to", metavar="SINGER|STYLE|CLASS")] = None,
    reference: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = (),
    strength: Annotated[float, arg(metavar="FLOAT")] = 1.0,
    method: Annotated[
        Literal["transport", "moments", "difference", "midpoint", "slerp"] | None,
        arg(metavar="transport|moments|difference|midpoint|slerp"),
    ] = None,
    levels: Annotated[tuple[int, ...], arg(metavar="INT...")] = (),
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Replace features of one singer or style in songs by those of another.

    The result has the song's sample rate, length, channels and loudness. Strength 0 returns the
    song itself. A run of images moves pictures from one class to another.

    Args:
        run: Name under checkpoints/, or a path.
        files: Songs, or pictures for a run of images, or folders of them.
        output: A wav or png file for one song or picture, otherwise a folder.
        source: Singer or style that the songs sound like (with --reference: the song itself), or
            class of the pictures.
        target: Singer or style that the songs take on, or class of the results.
        reference: Recordings from which features are taken in place of --to.
        strength: Strength of the migration: 0 keeps the song, 1 moves it all the way to the target,
            and values up to 10 move it further.
        method: transport gives the latents the spectra of the target, moments its means and
            variances, and difference its means; midpoint is the method of the original SinGlow
            and moves half-way to a mean; slerp moves towards the latents of one --reference
            (transport; difference for pictures).
        levels: Levels whose latents move; 0 is the finest (all).
        data_dir: Folder for the records of the run's data (beside the recordings).
        epoch: Checkpoint to use.
    """
    from singlow.latents import pictures
    from singlow.latents.migrate import Migration, check_migration, check_strength

    if is_of_images(run):
        check_strength(strength)
        chosen = method or pictures.METHODS[0]
        pictures.check_migration(source, target, chosen, [*reference, *levels])
        found = inputs(files, PICTURE_SUFFIXES)
        results = outputs(found, output, ".png", one_file(files))
        write = pictures.file_migration(open_run(run, epoch), source, target, strength, data_dir)
        each([(picture, out) for (picture, _), out in zip(found, results, strict=True)], write)
        return
    method = method or "transport"
    check_migration(source, target, reference, strength, method)
    songs = inputs(files, SUFFIXES)
    results = outputs(songs, output, ".wav", one_file(files))
    references = [path for path, _ in inputs(reference, SUFFIXES)] if reference else []
    for result in results:
        check_place(result, references)
    migration = Migration(
        open_run(run, epoch), source, target, references, strength, method, levels or None, data_dir
    )
    each([(song, out) for (song, _), out in zip(songs, results, strict=True)], migration.write)
