"""The verb `sample`: draw new sound or images from a run."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from singlow.audio import write_audio
from singlow.commands.places import Epoch, OnlyRun, Output, check_place, only_run
from singlow.errors import UsageError
from singlow.names import escape
from singlow.runs.opening import open_run
from singlow.signals import Image
from singlow.voices.speakers import part_of_file_name

Speaker = Annotated[str | None, arg(metavar="SPEAKER")]
Label = Annotated[str | None, arg(metavar="CLASS")]


def sample(
    run: OnlyRun = None,
    output: Output = Path("samples"),
    count: Annotated[int, arg(metavar="INT")] = 3,
    seconds: Annotated[float | None, arg(metavar="FLOAT")] = None,
    temperature: Annotated[float, arg(metavar="FLOAT")] = 0.7,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    around: Annotated[Path | None, arg(metavar="SONG")] = None,
    speaker: Speaker = None,
    label: Label = None,
    epoch: Epoch = "newest",
) -> None:
    """Draw clips or images from a run, or variations of a recording.

    Args:
        run: name under checkpoints/, or a path; by default the only run there.
        output: a file for one clip, otherwise a folder.
        count: number of clips or images.
        seconds: length of each clip (2; with --around, the length of the recording).
        temperature: scale of the noise. 1 draws from the model itself, and lower values give
            calmer results. With --around, 0 returns the recording, and 1 keeps only its loudness.
        seed: random seed of the first clip; each further clip uses the next number.
        around: recording to draw variations of.
        speaker: speaker of the clips, for a run with speakers; with --around, the speaker of the
            recording.
        label: class of the images, for a run of images with classes (each class in turn).
        epoch: checkpoint to use.
    """
    from singlow.latents import pictures
    from singlow.latents.sample import sample as draw
    from singlow.latents.sample import sample_around

    highest = 100 if around is None else 1
    if count < 1:
        raise UsageError(f"Expected --count of at least 1. Received: {count}.")
    if not 0 <= temperature <= highest:
        raise UsageError(f"Expected --temperature from 0 to {highest}. Received: {temperature}.")
    if seconds is not None and not 0 < seconds <= 600:
        raise UsageError(f"Expected --seconds above 0 and up to 600. Received: {seconds}.")
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    if around is not None and not around.is_file():
        raise UsageError(f"{around}: Expected a recording for --around. Received: no file.")
    single = bool(output.suffix) and not output.is_dir()
    if single and count != 1:
        raise UsageError(f"Expected -o FOLDER, or a file with --count 1. Received: {output}.")
    check_place(output if single else output / "clip.wav", () if around is None else (around,))
    trained = open_run(only_run(run), epoch)
    signal = trained.flow.signal
    if single and output.suffix.lower() != signal.suffix:
        raise UsageError(f"Expected -o FOLDER, or a name with {signal.suffix}. Received: {output}.")

    drawn = {"count": count, "seconds": seconds, "temperature": temperature, "seed": seed}
    if isinstance(signal, Image):
        if around is not None or speaker is not None or seconds is not None:
            raise UsageError(
                f"Expected no --around, --speaker and --seconds for {trained.name}, a run of "
                "images. Received: one of them."
            )
        del drawn["seconds"]
        clips, stem = pictures.sample(trained, label=label, **drawn), trained.name
        speaker = label
    elif label is not None:
        raise UsageError(f"Expected --label for a run of images. Received: {trained.name}.")
    elif around is None:
        clips, stem = draw(trained, speaker=speaker, **drawn), trained.name
    else:
        clips = sample_around(trained, around, speaker=speaker, **drawn)
        stem = f"{around.stem}-{trained.name}"
    stem += f"-{part_of_file_name(speaker)}" if speaker else ""
    for index, clip in enumerate(clips):
        name = f"{stem}-t{temperature:g}-seed{seed + index}{signal.suffix}"
        path = output if single else output / name
        if around is None:
            signal.write(path, clip)
        else:  # variations may exceed full scale if the recording does
            write_audio(path, clip, signal.sample_rate, subtype="FLOAT")
        print(escape(str(path)))
