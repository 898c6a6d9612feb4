"""The verb `sample`: new sound from noise."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from singlow.commands.runs import Epoch, Output, RunName, check_place, open_run
from singlow.errors import UsageError


def sample(
    run: RunName,
    output: Output = Path("samples"),
    count: Annotated[int, arg(metavar="INT")] = 3,
    seconds: Annotated[float, arg(metavar="FLOAT")] = 2.0,
    temperature: Annotated[float, arg(metavar="FLOAT")] = 0.7,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    epoch: Epoch = "newest",
) -> None:
    """Draw clips from a run's flow.

    Args:
        run: name under checkpoints/, or a path.
        output: a wav file for one clip, otherwise a folder.
        count: how many.
        seconds: length of each.
        temperature: 1 is the model itself, less is calmer.
        seed: the same seed gives the same clips.
        epoch: which checkpoint.
    """
    if count < 1:
        raise UsageError(f"Expected --count of at least 1. Received: {count}.")
    if not 0 <= temperature <= 100:
        raise UsageError(f"Expected --temperature from 0 to 100. Received: {temperature}.")
    if not 0 < seconds <= 600:
        raise UsageError(f"Expected --seconds above 0 and up to 600. Received: {seconds}.")
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    single = bool(output.suffix) and not output.is_dir()
    if single and (count != 1 or output.suffix.lower() != ".wav"):
        raise UsageError(f"Expected -o FOLDER, or NAME.wav with --count 1. Received: {output}.")
    check_place(output if single else output / "clip.wav")
    opened = open_run(run, epoch)

    from keras import ops

    from singlow.audio import write_audio

    rate = opened.flow.sampling_rate
    for index in range(count):
        length = max(1, round(seconds * rate))
        drawn = opened.coder.sample(1, length, temperature, seed=seed + index)
        name = f"{opened.run.name}-t{temperature:g}-seed{seed + index}.wav"
        path = output if single else output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, ops.convert_to_numpy(drawn)[0], rate)
        print(path)
