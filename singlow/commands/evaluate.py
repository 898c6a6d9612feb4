"""The verb `evaluate`: held-out bits per sample, singer by singer."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from singlow.commands.runs import Epoch, RunName, open_run


def evaluate(
    run: RunName,
    dataset: Annotated[str | None, arg(metavar="builtin|DIR")] = None,
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Print held-out bits per sample beside FLAC's and an independent Gaussian's, by singer.

    Args:
        run: name under checkpoints/, or a path.
        dataset: other data than the run's own: a folder, or builtin.
        data_dir: where records of a folder of audio are kept; beside it when None.
        epoch: which checkpoint.
    """
    from rich.console import Console

    from singlow.evaluation.likelihood import measure, table
    from singlow.training.fit import open_windows, prepare_data
    from singlow.training.settings import absolute_source

    opened = open_run(run, epoch)
    config = opened.config
    if dataset is not None:
        config = {**config, "data": {"dataset": absolute_source(dataset)}}
    config = prepare_data(config, data_dir)
    measured = measure(opened.flow, *open_windows(config, opened.flow))
    Console().print(table(measured, opened.run.name))
    print(f"Epoch {opened.checkpoint.epoch} on the held-out clips of {config['data']['dataset']}.")
