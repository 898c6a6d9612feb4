"""The verb `sample`: new sound from noise, or from around a song."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import arg

from singlow.commands.places import Epoch, Output, RunName, check_place
from singlow.commands.speaking import Speaker, file_name, open_speaking, require_speaker
from singlow.errors import UsageError, naming
from singlow.runs.opening import Opened

_SECONDS = 2.0


def sample(
    run: RunName,
    output: Output = Path("samples"),
    count: Annotated[int, arg(metavar="INT")] = 3,
    seconds: Annotated[float | None, arg(metavar="FLOAT")] = None,
    temperature: Annotated[float, arg(metavar="FLOAT")] = 0.7,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    around: Annotated[Path | None, arg(metavar="SONG")] = None,
    speaker: Speaker = None,
    epoch: Epoch = "newest",
) -> None:
    """Draw clips from a run's flow.

    Args:
        run: name under checkpoints/, or a path.
        output: a wav file for one clip, otherwise a folder.
        count: how many.
        seconds: length of each (2; with --around the song's).
        temperature: 1 is the model itself, less is calmer; with --around, 0 is the song itself and
            1 knows nothing of it but its loudness.
        seed: the same seed gives the same clips.
        around: a recording to draw variations of.
        speaker: who is to speak, for a run with speakers; with --around, who speaks in it.
        epoch: which checkpoint.
    """
    most = 100 if around is None else 1
    if count < 1:
        raise UsageError(f"Expected --count of at least 1. Received: {count}.")
    if not 0 <= temperature <= most:
        raise UsageError(f"Expected --temperature from 0 to {most}. Received: {temperature}.")
    if seconds is not None and not 0 < seconds <= 600:
        raise UsageError(f"Expected --seconds above 0 and up to 600. Received: {seconds}.")
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    if around is not None and not around.is_file():
        raise UsageError(f"{around}: Expected a recording for --around. Received: no file.")
    single = bool(output.suffix) and not output.is_dir()
    if single and (count != 1 or output.suffix.lower() != ".wav"):
        raise UsageError(f"Expected -o FOLDER, or NAME.wav with --count 1. Received: {output}.")
    check_place(output if single else output / "clip.wav", () if around is None else (around,))
    opened, speakers = open_speaking(run, epoch, speaker)
    flow = opened.coder
    if speakers is not None:
        from singlow.voices.spoken import Spoken

        flow = Spoken(flow, require_speaker(speakers, speaker))
    song = None if around is None else _song(opened, around, seconds)
    factor = 1.0 if song is None or speakers is None else _gain(opened, around, song)

    from singlow.audio import write_audio

    for index in range(count):
        drawn = _drawn(flow, seconds or _SECONDS, temperature, seed + index, song, factor)
        stem = opened.run.name if around is None else f"{around.stem}-{opened.run.name}"
        stem += f"-{file_name(speaker)}" if speaker else ""
        name = f"{stem}-t{temperature:g}-seed{seed + index}.wav"
        path = output if single else output / name
        # A song may be beyond full scale, as what is drawn around it may.
        write_audio(path, drawn, opened.flow.sample_rate, None if song is None else "FLOAT")
        print(path)


def _song(opened: Opened, path: Path, seconds: float | None) -> np.ndarray:
    from singlow.audio import load_audio

    flow = opened.flow
    audio, rate = load_audio(path, flow.sample_rate, flow.channels)
    return audio if seconds is None else audio[: max(1, round(seconds * rate))]


def _gain(opened: Opened, path: Path, song: np.ndarray) -> float:
    """What brings a song to the level that the run hears."""
    from singlow.voices.level import gain

    with naming(path):
        return gain(song, opened.config["data"].get("level"))


def _drawn(
    flow: Any,
    seconds: float,
    temperature: float,
    seed: int,
    song: np.ndarray | None,
    factor: float,
) -> np.ndarray:
    from keras import ops

    from singlow.latents.interpolate import around

    if song is not None:
        return around(flow, song * np.float32(factor), temperature, seed) / np.float32(factor)
    length = max(1, round(seconds * flow.sample_rate))
    return ops.convert_to_numpy(flow.sample(1, length, temperature, seed=seed))[0]
