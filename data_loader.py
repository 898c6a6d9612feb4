"""Turn folders of wav, flac, ogg and mp3 into TFRecord shards.

    python3 data_loader.py recordings --out data/mine
    python3 data_loader.py human=choir virtual=voicebank --out data/both --sampling_rate 44100
    python3 data_loader.py --verify data/mine

Exit codes: 0 done, 2 usage, 3 data, 4 environment, 5 interrupted (run it again to go on).
"""

import dataclasses
from typing import Annotated, Literal

import tyro

from singlow.commands.flags import parse
from singlow.errors import UsageError, run_command


@dataclasses.dataclass
class Options:
    """Turn folders of wav, flac, ogg and mp3 into TFRecord shards."""

    sources: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[SRC ...]")
    ] = ()
    """Folders or files; LABEL=SRC names the singer of a flat folder and the style of all in it."""

    out: Annotated[str | None, tyro.conf.arg(metavar="DIR", aliases=["-o"])] = None
    """Folder for the shards and dataset_info.json."""

    layout: Literal["auto", "folders", "blow", "fsdd", "ljspeech", "manifest"] = "auto"
    """How singers are told: by folder, by file name, or by a table."""

    sampling_rate: Annotated[int, tyro.conf.arg(metavar="HZ")] = 16000
    """Rate to resample to."""

    channel_size: Annotated[int, tyro.conf.arg(metavar="C")] = 1
    """Channels to mix to."""

    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Processes that decode; as many as there are cores by default."""

    seed: Annotated[int, tyro.conf.arg(metavar="S")] = 0
    """Of the choice of held-out clips."""

    level: Annotated[float | None, tyro.conf.arg(metavar="DBFS")] = None
    """Bring every clip to this rms; by default levels stay as they are."""

    verify: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Check the shards of a finished folder instead; damage is named by shard, record and byte."""

    recover: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Write the intact records of damaged shards to whole ones instead."""


def load(options: Options) -> None:
    """Do what the options say."""
    if options.verify or options.recover:
        if options.sources or options.out or (options.verify and options.recover):
            raise UsageError(
                "Expected --verify DIR or --recover DIR alone. Received: other arguments with it."
            )
        from singlow.data.store.repair import recover_dataset, verify_dataset

        if options.verify:
            verify_dataset(options.verify)
        else:
            recover_dataset(options.recover)
        return
    if not options.sources or not options.out:
        raise UsageError(
            "Expected SRC... and --out DIR. Received: "
            f"{'no SRC' if not options.sources else 'no --out'}. Run: python3 data_loader.py --help"
        )
    from singlow.data.prepare.build import build_dataset

    build_dataset(
        options.sources,
        options.out,
        layout=options.layout,
        sample_rate=options.sampling_rate,
        channels=options.channel_size,
        workers=options.workers,
        seed=options.seed,
        level=options.level,
    )


def main() -> None:
    """Parse the command line and run."""
    load(parse(Options))


if __name__ == "__main__":
    run_command(main)
