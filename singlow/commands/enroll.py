"""The verb `enroll`: a new voice for a trained run."""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from singlow.commands.places import Epoch, Files, RunName, inputs
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import DataError, UsageError, naming
from singlow.files import require_writable, set_aside
from singlow.runs.opening import Opened, open_run

Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]


def enroll(
    run: RunName,
    name: Name,
    files: Files,
    fresh: bool = False,
    seed: Annotated[int, tyro.conf.arg(metavar="INT")] = 0,
    epoch: Epoch = "newest",
) -> None:
    """Fit a new voice to a few recordings, for `convert --to` and `--from`.

    Only the voice's embedding is fitted; the run stays as it is.

    Args:
        run: name under checkpoints/, or a path.
        name: of the voice.
        files: recordings of it, or folders of them.
        fresh: move a voice of this name aside first.
        seed: of the order in which the recordings are drawn.
        epoch: which checkpoint.
    """
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    found = [path for path, _ in inputs(files, SUFFIXES)]
    opened = open_run(run, epoch, speakers=True)

    from singlow.progress import progress
    from singlow.runs.data import window_length
    from singlow.voices.enroll import MOST_STEPS, fit_embedding
    from singlow.voices.enrolled import Voice, write_voice
    from singlow.voices.excerpts import windows_of
    from singlow.voices.speakers import speakers_of

    speakers = speakers_of(opened)
    speakers.require_new(name)
    path, flow = speakers.path(name), opened.flow
    if path.exists() and not fresh:
        raise UsageError(f"{path}: this voice exists. Give another NAME, or --fresh to replace it.")
    require_writable(path.parent)
    clips = _clips(opened, found)
    windows = windows_of(clips.values(), window_length(opened.config, flow), flow.multiple)
    table = np.stack([speakers[trained] for trained in speakers.trained])
    with progress(f"Fitting {name}", MOST_STEPS) as done:
        fitted = fit_embedding(flow, windows, table, seed, done)
    seconds = float(windows.samples.sum()) / flow.signal.sample_rate
    sources = tuple(source.name for source in clips)
    voice = Voice(
        fitted.embedding, opened.fingerprint, sources, seconds, fitted.before, fitted.after
    )
    if path.exists():
        print(f"The voice that was there is now {set_aside(path)}.")
    write_voice(path, voice)
    start = "the mean of all speakers" if fitted.start < 0 else speakers.trained[fitted.start]
    print(
        f"{name}: {seconds:.1f} s of sound in {len(windows)} windows; the held-out ones cost "
        f"{fitted.before:.3f} bits per sample as {start}, {fitted.after:.3f} as {name} "
        f"({fitted.steps} steps)."
    )
    print(path)


def _clips(opened: Opened, paths: list[Path]) -> dict[Path, Any]:
    """Recordings at the run's rate and level; those that cannot be used are named, unless all."""
    from singlow.audio import load_audio
    from singlow.voices.level import gain

    clips, faults = {}, []
    for path in paths:
        try:
            audio, _ = load_audio(path, opened.flow.signal.sample_rate, 1)
            with naming(path):
                factor = gain(audio, opened.config["data"].get("level"))
            clips[path] = audio * np.float32(factor)
        except DataError as error:
            faults.append(str(error))
    if not clips:
        raise DataError(faults[0])
    for fault in faults:
        print(f"Warning: left out: {fault}", file=sys.stderr)
    return clips
