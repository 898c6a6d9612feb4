"""The data of a run: find or build its records, and open windows of them."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singlow.errors import DataError, UsageError
from singlow.names import shown
from singlow.progress import Report
from singlow.runs.settings import (
    DEFAULT_CHANNELS,
    DEFAULT_RATE,
    absolute_sources,
    other_settings,
)
from singlow.signals import Audio, Image, LogMel, Signal
from singlow.streams import escape

if TYPE_CHECKING:
    from singlow.data.feed.utterances import Utterances
    from singlow.data.feed.windows import Windows
    from singlow.models.flow import Flow


def prepare_data(
    config: Mapping[str, Any],
    data_dir: str | os.PathLike | None = None,
    *,
    dataset: str | list[str] | None = None,
    signal: Signal | None = None,
    name: str = "",
    report: Report | None = None,
) -> dict[str, Any]:
    """Return the settings of a run with its records, and build the records if there are none.

    Records are identified by a hash of their content, not by their path. If the records of a run
    were moved, `dataset` and `data_dir` are searched for them. A run that has its records does not
    need the recordings.

    Args:
        config: settings of a run.
        data_dir: folder in which the records of a folder of audio are stored; beside the audio when
            `None`.
        dataset: the sources, if they are not those in `config`.
        signal: the signal that `x` represents; by default audio with the rate and the channels in
            `config`.
        name: name of the run, for the message about another dataset.
        report: receives lines about the records, and a line about recordings that were added,
            removed or changed after the run began.

    Raises:
        DataError: there is no audio, or its content differs from that at the start of the run.
        UsageError: `dataset` is not the dataset of the run, or a source does not exist.
    """
    from singlow.data.prepare.build import describe_changes
    from singlow.data.sources.layouts import sources_of
    from singlow.data.store.dataset import INFO, clip_form, content_hash, read_info, singer_names

    data = config["data"]
    sources = absolute_sources(sources_of(dataset)) if dataset else data["dataset"]
    content = data.get("content")
    directory = Path(data.get("directory") or os.devnull)
    known = (directory / INFO).is_file()
    if sources == data["dataset"] and known:
        if report is not None and (changes := describe_changes(directory, sources)):
            report(
                f"{changes} The run continues with the records that it began with. To train on the "
                "recordings as they are now, give another --run NAME, or --fresh to start over."
            )
    else:
        other = sources != data["dataset"]
        folders = [Path(each) for each in (data_dir, "data") if each is not None and not other]
        records = _find(content, sources, folders)
        if records is None and known and content and _lists_others(directory, sources):
            raise other_settings(name, [("dataset", data["dataset"], sources)])
        directory = records or _build(config, sources, data_dir, signal, report)
    info = read_info(directory)
    if content not in (None, content_hash(info)):
        _refuse(config, sources, directory, info, name)
    facts = {
        "dataset": sources,
        "layout": data.get("layout", "auto"),
        "directory": os.path.abspath(directory),
        "content": content_hash(info),
        **clip_form(info),
        "singers": singer_names(info),
        "loudness": info["settings"].get("level"),
    }
    return {**config, "data": facts}


def _find(content: str | None, sources: str | list[str], folders: list[Path]) -> Path | None:
    """Return the folder of the records with this content, if `folders` or a source has them."""
    from singlow.data.sources.layouts import NAMED, part_source, sources_of
    from singlow.data.store.dataset import find_dataset

    if content is None:
        return None
    places = list(folders)
    for source in sources_of(sources):
        if source not in NAMED:
            with contextlib.suppress(UsageError):
                places.append(part_source(source)[1])
    return find_dataset(content, places)


def _lists_others(directory: Path, sources: str | list[str]) -> bool:
    """Return whether recordings were added to or removed from the sources of a dataset."""
    from singlow.data.prepare.build import describe_changes

    changes = describe_changes(directory, sources)
    return any(f"(s) were {what}" in changes for what in ("added", "removed"))


def _build(
    config: Mapping[str, Any],
    sources: str | list[str],
    data_dir: str | os.PathLike | None,
    signal: Signal | None,
    report: Report | None,
) -> Path:
    from singlow.data.prepare.build import prepare
    from singlow.data.prepare.pictures import prepare_pictures
    from singlow.data.sources.layouts import NAMED, PICTURES, require_sources, sources_of

    data, arguments = config["data"], config["arguments"]
    try:
        require_sources(sources)
    except UsageError as error:
        if "content" not in data:
            raise
        raise UsageError(
            f"{shown(' '.join(sources_of(sources)))}: neither the recordings of the run nor their "
            f"records, {shown(data.get('directory', ''))}, are there. If they were moved, give "
            "--dataset DIR or --data_dir DIR with their new place."
        ) from error
    options = {"data_dir": data_dir, **({} if report is None else {"report": report})}
    listed, pictures = sources_of(sources), isinstance(signal, Image)
    named = [source for source in listed if source in NAMED]
    if named and pictures != (named[0] in PICTURES):
        raise UsageError(
            f"Expected {'pictures' if pictures else 'recordings'} for the model {config['model']}. "
            f"Received: {named[0]}."
        )
    if isinstance(signal, Image):
        if signal.height != signal.width:
            raise UsageError(
                "Expected a model of square images. "
                f"Received: {signal.height} x {signal.width}; prepare the records yourself."
            )
        form = {"img_size": signal.height, "channels": signal.channels}
        return prepare_pictures(sources, **form, **options)
    defaults = {"sample_rate": DEFAULT_RATE, "channels": DEFAULT_CHANNELS}
    form = {key: data.get(key, arguments.get(key, defaults[key])) for key in defaults}
    form |= {} if signal is None else stored_form(signal)
    return prepare(sources, layout=data.get("layout", "auto"), **form, **options)


def _refuse(
    config: Mapping[str, Any],
    sources: str | list[str],
    directory: Path,
    info: Mapping[str, Any],
    name: str,
) -> None:
    """Raise the error for records that differ from those that a run began with.

    Raises:
        UsageError: the run has other sources.
        DataError: the run has the same sources, but their content has changed.
    """
    from singlow.data.prepare.folder import rebuild_advice
    from singlow.data.sources.layouts import sources_of
    from singlow.data.store.dataset import INFO

    data = config["data"]
    if sources != data["dataset"]:
        raise other_settings(name, [("dataset", data["dataset"], sources)])
    listed = sources_of(sources)
    if info.get("lost"):
        known = ["SRC"] if (Path(listed[0]) / INFO).is_file() else listed
        raise DataError(
            f"{directory}: {len(info['lost'])} clip(s) were lost to damage since the run began. "
            f"{rebuild_advice(info, directory, known)}"
        )
    raise DataError(
        f"{escape(' '.join(listed))}: these are not the recordings that the run began with. Give "
        "another --run NAME, or --fresh to start over with them."
    )


def open_windows(
    config: Mapping[str, Any], flow: "Flow"
) -> "tuple[Windows, Windows] | tuple[Utterances, Utterances]":
    """Open the training and the held-out windows of a run, or whole utterances for mels.

    Args:
        config: settings that `prepare_data` returned.
        flow: flow of the run, with its signal and its inputs.

    Raises:
        UsageError: the window is shorter than the flow allows.
        DataError: a record is damaged, the records have another rate or number of channels than
            the flow, or nothing is held out.
    """
    from singlow.data.feed.utterances import Utterances
    from singlow.data.feed.windows import Windows
    from singlow.data.store.dataset import clip_form, read_info

    training = config["training"]
    directory = Path(config["data"]["directory"])
    info = read_info(directory)
    form = clip_form(info)
    for key, wanted in stored_form(flow.signal).items():
        if wanted != form.get(key):
            raise DataError(
                f"{directory}: Expected records with {key} {wanted}, as the run began. "
                f"Received: {form.get(key, 'none')}. Prepare the data again."
            )
    kind, own = Windows, {key: training[key] for key in ("augment", "min_rms")}
    own["margin"] = flow.margin
    if isinstance(flow.signal, LogMel):
        refused = [key for key in ("augment", "min_rms") if training[key]]
        if refused:
            raise UsageError(f"Expected no {refused[0]} for a model of mels. Received: it is set.")
        kind, own = Utterances, {}
    train, held_out = (
        kind(
            directory,
            split,
            window_length(config, flow),
            training["batch_size"],
            training["seed"],
            multiple=flow.multiple,
            signal=flow.signal,
            inputs=flow.inputs,
            inputs_of=flow.inputs_of,
            training=split == "train",
            balanced=training["balanced"],
            **own,
        )
        for split in ("train", "validation")
    )
    if not held_out.steps:
        raise DataError(f"{directory}: nothing is held out; add recordings.")
    return train, held_out


def window_length(config: Mapping[str, Any], flow: "Flow") -> int:
    """Return the number of positions in a training window: along time, or of a whole picture.

    Along time, the number is the multiple of `flow.multiple` nearest to `window_size`.

    Args:
        config: settings of a run.
        flow: flow of the run, with its signal.

    Raises:
        UsageError: the window is shorter than the flow allows.
    """
    seconds = config["training"]["window_size"]
    if isinstance(flow.signal, Image) == (seconds is not None):
        wanted = "seconds for this model" if seconds is None else "null for a model of images"
        raise UsageError(f"Expected window_size to be {wanted}. Received: {seconds}.")
    if isinstance(flow.signal, Image):
        return flow.signal.height * flow.signal.width
    rate = positions_per_second(flow.signal)
    window = round(seconds * rate / flow.multiple) * flow.multiple
    if window < flow.multiple:
        raise UsageError(
            f"Expected window_size of at least {flow.multiple / rate:.3g} seconds for this model. "
            f"Received: {seconds}."
        )
    return window


def positions_per_second(signal: Signal) -> float:
    """Return the number of positions per second: samples, or frames of a mel spectrogram."""
    hop_length = signal.recipe.hop_length if isinstance(signal, LogMel) else 1
    return stored_form(signal)["sample_rate"] / hop_length


def stored_form(signal: Signal) -> dict[str, int]:
    """Return the form of the clips that a signal is computed from, as `clip_form` does."""
    if isinstance(signal, LogMel):
        return {"sample_rate": signal.recipe.sample_rate, "channels": 1}
    if isinstance(signal, Image):
        size = {"height": signal.height, "width": signal.width}
        return {**size, "channels": signal.channels}
    if isinstance(signal, Audio):
        return {"sample_rate": signal.sample_rate, "channels": signal.channels}
    return {}
