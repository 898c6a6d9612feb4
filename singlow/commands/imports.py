"""The verb `import`: create a run from a checkpoint of the published code of a paper."""

from pathlib import Path
from typing import Annotated

import tyro

from singlow.errors import UsageError
from singlow.names import escape, shown
from singlow.originals.importer import import_checkpoint

File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]


def import_(
    file: File,
    run: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    sampling_rate: Annotated[int | None, tyro.conf.arg(metavar="HZ")] = None,
    fresh: bool = False,
) -> None:
    """Create a run from a PyTorch or safetensors checkpoint of Blow, FloWaveNet or WaveGlow.

    The published code that wrote the file is recognised by the names of its weights. No code in the
    file is run, and PyTorch is not needed. The state of the optimizer is not taken.

    Args:
        file: the checkpoint.
        run: name of the new run, or a path; by default the name of the file.
        config: settings of the original: config.json of WaveGlow, or .args.pt of Blow.
        sampling_rate: Hz of the audio, if the settings are not given and it is not as published.
        fresh: move an existing run aside.
    """
    if sampling_rate is not None and sampling_rate < 1:
        raise UsageError(f"Expected --sampling_rate of at least 1. Received: {sampling_rate}.")
    given = {} if sampling_rate is None else {"sample_rate": sampling_rate}
    imported = import_checkpoint(file, run, config, arguments=given, fresh=fresh)
    original = imported.original
    print(
        f"{escape(str(file))}: {imported.count:,} weights of {original.source}, {imported.found}."
    )
    lines = {
        "From the weights": imported.from_weights,
        "From the settings": imported.from_config,
        "As published": imported.assumed,
    }
    for label, values in lines.items():
        if values:
            print(f"{label}: {', '.join(f'{key} {value}' for key, value in values.items())}.")
    if "speakers" in imported.from_weights:
        print("The checkpoint has no names of speakers; they are numbered from 0.")
    print(f"{escape(str(imported.run.directory))} is run {shown(imported.run.name)}.")
