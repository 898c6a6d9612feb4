"""The verb `enroll`: add a new voice to a trained run."""

from typing import Annotated

import tyro

from singlow.commands.places import Epoch, Files, RunName, inputs
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError
from singlow.names import escape, shown
from singlow.runs.opening import open_run
from singlow.voices.enroll import enroll as enroll_voice

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

    Only an embedding is fitted; the weights of the run stay as they are.

    Args:
        run: name under checkpoints/, or a path.
        name: name of the voice: any text that is not the name of a trained speaker.
        files: recordings of the voice, or folders of them.
        fresh: move an existing voice of this name aside.
        seed: random seed for the order of the excerpts.
        epoch: checkpoint to use.
    """
    if seed < 0:
        raise UsageError(f"Expected --seed of at least 0. Received: {seed}.")
    paths = [path for path, _ in inputs(files, SUFFIXES)]
    trained = open_run(run, epoch)
    result = enroll_voice(trained, name, paths, seed=seed, fresh=fresh)
    if result.replaced is not None:
        print(f"The previous voice is now {escape(str(result.replaced))}.")
    voice, unit = result.voice, trained.flow.signal.unit
    start = shown(result.start) if result.start else "the mean of all speakers"
    print(
        f"{shown(name)}: {voice.seconds:.1f} s of sound in {result.excerpts} windows; the held-out "
        f"ones cost {voice.before:.3f} {unit} as {start}, {voice.after:.3f} as {shown(name)} "
        f"({result.fitted.steps} steps)."
    )
    print(escape(str(result.path)))
