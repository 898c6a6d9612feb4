"""The data of a run: records built or found again, and windows of them."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from singlow.errors import DataError, UsageError


def prepare_data(config: Mapping[str, Any], data_dir: Path | None = None) -> dict[str, Any]:
    """The settings with their data: records are built, or reused when nothing has changed.

    A run that has its records goes on with them, whatever became of the recordings.

    Args:
        config: settings of a run.
        data_dir: where records of a folder of audio are kept; beside it when `None`.

    Raises:
        DataError: there is no audio, or it is not what the run began with.
    """
    from singlow.data.prepare.build import prepare
    from singlow.data.prepare.settings import rebuild_advice
    from singlow.data.sources.layouts import sources_of
    from singlow.data.store.dataset import INFO, read_info

    data, arguments = config["data"], config["arguments"]
    directory = Path(data.get("directory", ""))
    if "directory" not in data or not (directory / INFO).is_file():
        directory = prepare(
            data["dataset"],
            data_dir,
            sample_rate=arguments.get("sample_rate", 16000),
            channels=arguments.get("channels", 1),
        )
    info = read_info(directory)
    content = _content(info)
    if data.get("content", content) != content:
        sources = sources_of(data["dataset"])
        if info.get("lost"):
            known = ["SRC"] if (Path(sources[0]) / INFO).is_file() else sources
            raise DataError(
                f"{directory}: {len(info['lost'])} clip(s) were lost to damage since the run "
                f"began. {rebuild_advice(info, directory, known)}"
            )
        raise DataError(
            f"{' '.join(sources)}: these are not the recordings that the run began with. Give "
            "another --run NAME, or --fresh to start over with them."
        )
    facts = {
        "dataset": data["dataset"],
        "directory": os.path.abspath(directory),
        "content": content,
        "singers": sorted(info["singers"], key=info["singers"].get),
        "level": info["settings"].get("level"),
    }
    return {**config, "data": facts}


def _content(info: Mapping[str, Any]) -> str:
    """A hash of all records, in their order."""
    shards = [shard["sha256"] for part in info["splits"].values() for shard in part["shards"]]
    return hashlib.sha256("".join(shards).encode()).hexdigest()[:16]


def open_windows(config: Mapping[str, Any], flow: Any) -> tuple[Any, Any]:
    """Training and held-out windows for a flow.

    Raises:
        UsageError: the window is shorter than the flow takes.
        DataError: nothing is held out.
    """
    from singlow.data.feed.windows import Windows

    training = config["training"]
    window = window_length(config, flow)
    directory = Path(config["data"]["directory"])
    drawn = {key: training[key] for key in ("augment", "balanced", "min_rms")}
    train, held_out = (
        Windows(
            directory,
            split,
            window,
            training["batch_size"],
            training["seed"],
            multiple=flow.multiple,
            training=split == "train",
            speakers="speaker" in flow.conditions_on,
            **drawn,
        )
        for split in ("train", "validation")
    )
    if not held_out.steps:
        raise DataError(f"{directory}: nothing is held out; add recordings.")
    return train, held_out


def window_length(config: Mapping[str, Any], flow: Any) -> int:
    """Samples of a training window: the multiple that the flow takes nearest to `window_size`.

    Raises:
        UsageError: the window is shorter than the flow takes.
    """
    seconds = config["training"]["window_size"]
    window = round(seconds * flow.sample_rate / flow.multiple) * flow.multiple
    if window < flow.multiple:
        raise UsageError(
            f"Expected window_size of at least {flow.multiple / flow.sample_rate:.3g} seconds "
            f"for this model. Received: {seconds}."
        )
    return window
