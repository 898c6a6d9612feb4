"""Build a dataset from recordings: decode them, hold some out, and write shards.

An interrupted build continues where it stopped, and an unchanged dataset is reused."""

import dataclasses
import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.builtin import build_builtin, builtin_fingerprint
from singlow.data.prepare.decoders import decode_clips, read_staged
from singlow.data.prepare.folder import (
    STAGING,
    cache_folder,
    check_settings,
    fingerprint,
    own_folder,
    own_shards,
    printable,
    remove_empty,
    reusable,
)
from singlow.data.sources.clips import Clip, require_free_names
from singlow.data.sources.layouts import (
    BUILTIN,
    BUILTINS,
    LAYOUTS,
    NAMED,
    find_clips,
    needs_conversion,
    sources_of,
)
from singlow.data.sources.pictures import find_pictures
from singlow.data.sources.splits import describe_copies, describe_segmented, origin
from singlow.data.store.dataset import CACHE, INFO, SPLITS, entries, read_info, require_sound
from singlow.errors import DataError, SinglowError, UsageError
from singlow.names import shown
from singlow.progress import Report, progress
from singlow.streams import escape

__all__ = ["build_builtin", "build_dataset", "describe_changes", "prepare"]
LISTED = 20
_ADVICE = "ffmpeg -i FILE FILE.wav"  # part of the reasons that `load_audio` gives


def build_dataset(
    sources: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    layout: str = "auto",
    sample_rate: int = 16000,
    channels: int = 1,
    workers: int | None = None,
    seed: int = 0,
    validation_share: float = 0.1,
    loudness: float | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Decode every recording under `sources` and write them as a dataset.

    The bytes of a dataset depend only on the files and the settings, not on the number of workers.
    A build that was interrupted continues where it stopped. A dataset whose files and settings are
    unchanged is reused.

    Args:
        sources: one source or several. Each is a folder, a file, or `LABEL=SRC`, which names the
            singer of a flat folder and the style of everything in it.
        out: folder of the dataset.
        layout: where the singers' names come from: "auto", "folders", "blow", "fsdd", "ljspeech" or
            "manifest"; see `find_clips`.
        sample_rate: sample rate of the records, in Hz.
        channels: number of channels of the records.
        workers: number of processes that decode; one per core when None.
        seed: random seed for choosing the held-out clips.
        validation_share: fraction of every singer's recordings to hold out.
        loudness: rms in dBFS to which every clip is normalized; None leaves clips unchanged.
        report: receives one line at a time for the user.

    Returns:
        The content of `dataset_info.json`.

    Raises:
        DataError: there is no audio, or no audio that can be used.
        UsageError: a setting is out of its range, a source does not exist, a singer has a reserved
            name, or `out` holds records that singlow did not write.
        EnvironmentFault: `out` cannot be written, or another process builds in it.
    """
    sources = sources_of(sources)
    settings = check_settings(sample_rate, channels, seed, validation_share, loudness)
    if workers is not None and workers < 1:
        raise UsageError(f"Expected at least 1 worker. Received: {workers}.")
    report = printable(report)
    clips, layout = find_clips(sources, layout, report)
    require_free_names(clips)
    report(f"Layout: {layout}. {_count(clips)}.")
    mark = fingerprint(clips, settings, layout)
    out = Path(out).expanduser()
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            _describe(info, report)
            return info
        own_shards(out)
        staging = out / STAGING
        staging.mkdir(exist_ok=True)
        staged = decode_clips(clips, settings, staging, workers or _cores())
        kept = [
            dataclasses.replace(clip, content=staged[clip.path].content)
            for clip in clips
            if not staged[clip.path].reason
        ]
        rejected = [
            {"path": _file_id(clip), "reason": _reason(clip, staged[clip.path].reason)}
            for clip in clips
            if staged[clip.path].reason
        ]
        if not kept:
            shutil.rmtree(staging, ignore_errors=True)
        _list_rejected(rejected, clips, kept, report)
        _list_notes([line for item in staged.values() for line in item.notes.splitlines()], report)
        about = {
            "layout": layout,
            "sources": [Path(source).name for source in sources],
            "fingerprint": mark,
            "rejected": rejected,
        }
        frames = [staged[clip.path].frames for clip in kept]
        with progress("Writing", len(kept)) as advance:
            info = write_dataset(
                out,
                staging,
                kept,
                frames,
                lambda clip: read_staged(staged[clip.path], channels),
                settings,
                about,
                advance,
            )
        shutil.rmtree(staging, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    _describe(info, report)
    return info


def prepare(
    sources: str | os.PathLike | Sequence[str | os.PathLike] = BUILTIN,
    out: str | os.PathLike | None = None,
    *,
    data_dir: str | os.PathLike | None = None,
    layout: str = "auto",
    sample_rate: int = 16000,
    channels: int = 1,
    workers: int | None = None,
    seed: int = 0,
    loudness: float | None = None,
    report: Report = print,
) -> Path:
    """Return a folder of records for training, and build it first if it is missing or outdated.

    Args:
        sources: "builtin" or another of `BUILTINS`, a folder with `dataset_info.json`, or one
            source or several as for `build_dataset`.
        out: the folder of the records. By default it is `<folder>/.singlow/<fingerprint>` beside
            the first source.
        data_dir: folder in which `<fingerprint>` is created instead of `<folder>/.singlow`. The
            default for a built-in corpus, and for a source that cannot be written, is "data".
        layout: where the singers' names come from; see `build_dataset`.
        sample_rate: sample rate of the records, in Hz.
        channels: number of channels of the records.
        workers: number of processes that decode; one per core when None.
        seed: random seed for choosing the held-out clips.
        loudness: rms in dBFS to which every clip is normalized; None leaves clips unchanged.
        report: receives one line at a time for the user.

    Returns:
        A folder with `dataset_info.json`.

    Raises:
        DataError: there is no audio that can be used, or existing records have another rate or
            number of channels.
        UsageError: a source does not exist, a built-in corpus or a folder of records is one of
            several sources, or an argument cannot be used.
        EnvironmentFault: the folder cannot be written, another process builds in it, or a program
            that a built-in corpus needs is missing.

    Example:
        >>> import singlow
        >>> folder = singlow.prepare(["human=choir", "virtual=voicebank"])  # doctest: +SKIP
    """
    sources = sources_of(sources)
    for source in sources:
        ready = None if source in BUILTINS else Path(source).expanduser()
        if ready and not (ready / INFO).is_file():
            ready = None
        if len(sources) > 1 and (ready or source in BUILTINS):
            raise UsageError(
                f"Expected folders of audio as one of several sources. Received: {source}, which "
                "can only be used alone."
            )
        if ready:
            if out is not None:
                raise UsageError(
                    f"Expected recordings for {out}. Received: {source}, which holds records. "
                    "Use that folder as it is."
                )
            _check_fit(ready, sample_rate, channels)
            return ready
    settings = check_settings(sample_rate, channels, seed, 0.1, loudness)
    common = {
        "sample_rate": sample_rate,
        "channels": channels,
        "seed": seed,
        "loudness": loudness,
        "report": report,
    }
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if sources[0] in BUILTINS:
        name = f"{sources[0]}-{builtin_fingerprint(settings, sources[0])}"
        out = Path(out).expanduser() if out is not None else (folder or Path("data")) / name
        if os.path.isdir(sources[0]):
            report(f"{sources[0]} is a built-in corpus; ./{sources[0]} is the folder.")
        build_builtin(out, sources[0], **common)
        return out
    clips, chosen = find_clips(sources, layout)
    require_free_names(clips)
    common |= {"layout": layout, "workers": workers}
    if out is not None:
        build_dataset(sources, out, **common)
        return Path(out).expanduser()
    cache = folder or cache_folder(sources[0])
    out = cache / fingerprint(clips, settings, chosen)
    try:
        build_dataset(sources, out, **common)
    finally:
        if cache.name == CACHE:
            remove_empty([cache])
    return out


def describe_changes(
    directory: str | os.PathLike, sources: str | os.PathLike | Sequence[str | os.PathLike]
) -> str:
    """Compare a dataset with the recordings or pictures that it was built from.

    Args:
        directory: folder of the dataset.
        sources: its sources, as for `prepare`.

    Returns:
        A line that lists the recordings that were added, removed or changed after the build. "" if
        nothing changed, or if the recordings cannot be found.

    Raises:
        DataError: the description of the dataset is missing or damaged.
    """
    info, sources = read_info(directory), sources_of(sources)
    if info["layout"] in NAMED or any((Path(s).expanduser() / INFO).exists() for s in sources):
        return ""
    layout = info["layout"] if info["layout"] in LAYOUTS else "auto"
    kind = "picture(s)" if "image" in info else "recording(s)"
    try:
        clips, chosen = find_pictures(sources) if "image" in info else find_clips(sources, layout)
    except SinglowError:
        return ""
    if fingerprint(clips, info["settings"], chosen) == info["fingerprint"]:
        return ""
    before = {origin(entry.id) for part in SPLITS for entry in entries(info, part)}
    before |= {origin(id) for id in info.get("lost", [])}
    rejected = {entry.get("path") for entry in info["rejected"]}
    added = [clip.id for clip in clips if clip.id not in before and _file_id(clip) not in rejected]
    removed = sorted(before - {clip.id for clip in clips})
    parts = [
        f"{len(ids)} {kind} were {what}: {_listed(ids)}"
        for what, ids in (("added", added), ("removed", removed))
        if ids
    ]
    place = shown(", ".join(sources))
    if parts:
        return f"{place}: since {directory} was prepared, {'; '.join(parts)}."
    written = (Path(directory) / INFO).stat().st_mtime
    changed = [clip.id for clip in clips if _changed_after(clip.path, written)]
    if not changed:
        return ""
    return (
        f"{place}: since {directory} was prepared, {len(changed)} {kind} were changed: "
        f"{_listed(changed)}."
    )


def _changed_after(path: Path, time: float) -> bool:
    try:
        return path.stat().st_mtime > time
    except OSError:
        return False


def _listed(ids: Sequence[str], most: int = 5) -> str:
    listed = ", ".join(map(shown, ids[:most]))
    return f"{listed} and {len(ids) - most} more" if len(ids) > most else listed


def _check_fit(directory: Path, sample_rate: int, channels: int) -> None:
    info = require_sound(directory)
    have = (info["sample_rate"], info["channels"])
    if have != (sample_rate, channels):
        raise DataError(
            f"{directory}: expected {sample_rate} Hz and {channels} channel(s). Received: "
            f"{have[0]} Hz and {have[1]}. Build it again or give --sampling_rate {have[0]} "
            f"--channel_size {have[1]}."
        )


def _reason(clip: Clip, reason: str) -> str:
    """Return the reason why a file was rejected, with a command that converts it if necessary."""
    command = shlex.join(["ffmpeg", "-i", str(clip.path), str(clip.path.with_suffix(".wav"))])
    if _ADVICE in reason or not needs_conversion(clip.path):
        return reason.replace(_ADVICE, command)
    return f"{reason}. Convert it first: {command}"


def _list_rejected(
    rejected: list[dict[str, str]], clips: Sequence[Clip], kept: Sequence[Clip], report: Report
) -> None:
    for entry in rejected[:LISTED]:
        report(f"Left out: {entry['path']}: {entry['reason']}")
    if len(rejected) > LISTED:
        report(f"Left out: {len(rejected) - LISTED} more; all are listed in {INFO}.")
    if rejected and not kept:
        raise DataError(
            f"None of {len(clips)} file(s) can be used; the first, {rejected[0]['path']}: "
            f"{rejected[0]['reason']}"
        )
    missing = sorted({clip.singer for clip in clips} - {clip.singer for clip in kept})
    if missing:
        report(f"No recording of these singers can be used: {_listed(missing)}.")


def _list_notes(notes: Sequence[str], report: Report) -> None:
    for line in notes[:LISTED]:
        report(f"Note: {line}")
    if len(notes) > LISTED:
        report(f"Note: {len(notes) - LISTED} more recordings have such notes.")


def _describe(info: dict[str, Any], report: Report) -> None:
    for line in (describe_copies(info), describe_segmented(info)):
        if line:
            report(line)


def _count(clips: Sequence[Clip]) -> str:
    singers = sorted({clip.singer for clip in clips})
    return f"{len(clips)} file(s) of {len(singers)} singer(s): {_listed(singers)}"


def _file_id(clip: Clip) -> str:
    """Return a clip's id with the suffix of its file, without control characters."""
    return escape(clip.id.removesuffix(clip.path.suffix) + clip.path.suffix)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
