"""From recordings to a dataset: decode, hold out, write shards; nothing is done twice."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from singlow.data.prepare.assemble import summary, write_dataset
from singlow.data.prepare.builtin import build_builtin, builtin_fingerprint
from singlow.data.prepare.folder import STAGING, own_folder, own_shards, remove_empty, reusable
from singlow.data.prepare.settings import check_settings, fingerprint
from singlow.data.prepare.staging import decode_clips, unstage
from singlow.data.sources.clip import Clip
from singlow.data.sources.layouts import find_clips, part_source, sources_of
from singlow.data.sources.splits import told
from singlow.data.store.dataset import INFO, read_info
from singlow.errors import DataError, UsageError
from singlow.progress import Report, progress

__all__ = ["build_builtin", "build_dataset", "prepare"]
LISTED = 20
CACHE = ".singlow"
BUILTIN = "builtin"


def build_dataset(
    sources: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    layout: str = "auto",
    sample_rate: int = 16000,
    channels: int = 1,
    workers: int | None = None,
    seed: int = 0,
    validation_share: float = 0.1,
    level: float | None = None,
    report: Report = print,
) -> dict[str, Any]:
    """Decode every recording under `sources` and write them as a dataset.

    The same files and settings give the same bytes, whatever the number of workers. A build that
    was interrupted goes on where it stopped; one whose files and settings are unchanged is reused.

    Args:
        sources: as for `corpora.find_clips`.
        out: the dataset's folder.
        layout: as for `corpora.find_clips`.
        sample_rate: Hz to resample to.
        channels: channels to mix to.
        workers: processes; as many as there are cores when None.
        seed: of the choice of held-out clips.
        validation_share: of every singer's clips to hold out.
        level: rms in dBFS to bring every clip to; None leaves them, unless they would clip.
        report: receives a line at a time for the user.

    Returns:
        What `dataset_info.json` holds.

    Raises:
        DataError: no audio, or none that can be used.
        UsageError: a setting is out of its range, a source does not exist, or `out` holds records
            of somebody else.
        EnvironmentFault: `out` cannot be written, or somebody else is building it.
    """
    settings = check_settings(sample_rate, channels, seed, validation_share, level)
    if workers is not None and workers < 1:
        raise UsageError(f"Expected at least 1 worker. Received: {workers}.")
    clips, layout = find_clips(sources, layout, report)
    report(f"Layout: {layout}. {_count(clips)}.")
    mark = fingerprint(clips, settings, layout)
    out = Path(out)
    with own_folder(out):
        info = reusable(out, mark, report)
        if info is not None:
            _tell(info, report)
            return info
        own_shards(out)
        staging = out / STAGING
        staging.mkdir(exist_ok=True)
        staged = decode_clips(clips, settings, staging, workers or _cores())
        rejected = [
            {"path": _shown(clip), "reason": staged[clip.path].reason}
            for clip in clips
            if staged[clip.path].reason
        ]
        kept = [clip for clip in clips if not staged[clip.path].reason]
        if not kept:
            shutil.rmtree(staging, ignore_errors=True)
        _list(rejected, len(clips), report)
        about = {
            "layout": layout,
            "sources": [Path(os.fspath(source)).name for source in sources],
            "fingerprint": mark,
            "rejected": rejected,
        }
        frames = [staged[clip.path].frames for clip in kept]
        with progress("Writing", len(kept)) as wrote:
            info = write_dataset(
                out,
                staging,
                kept,
                frames,
                lambda clip: unstage(staged[clip.path], channels),
                settings,
                about,
                wrote,
            )
        shutil.rmtree(staging, ignore_errors=True)
    report(f"{out}: {summary(info)}.")
    _tell(info, report)
    return info


def prepare(
    dataset: str | os.PathLike | Sequence[str],
    data_dir: str | os.PathLike | None = None,
    *,
    layout: str = "auto",
    sample_rate: int = 16000,
    channels: int = 1,
    workers: int | None = None,
    seed: int = 0,
    report: Report = print,
) -> Path:
    """The folder of records for a dataset, built first where it has to be.

    Args:
        dataset: "builtin", a folder with `dataset_info.json`, or one source or several as for
            `corpora.find_clips`, whose records go to a cache beside the first,
            `<folder>/.singlow/<fingerprint>`.
        data_dir: where records are built instead; "data" for what has no folder of its own or one
            that cannot be written.

    Returns:
        A folder with `dataset_info.json`. Other arguments and errors are `build_dataset`'s.

    Raises:
        DataError: the records are there, but at another rate or of other channels.
        UsageError: "builtin" or a folder of records is one of several.
    """
    sources = sources_of(dataset)
    for source in sources:
        ready = (Path(source) / INFO).is_file()
        if len(sources) > 1 and (ready or source == BUILTIN):
            raise UsageError(
                f"Expected folders of audio when there are several. Received: {source}, which "
                "stands alone."
            )
        if ready:
            _check_fit(Path(source), sample_rate, channels)
            return Path(source)
    settings = check_settings(sample_rate, channels, seed, 0.1, None)
    common = {
        "sample_rate": sample_rate,
        "channels": channels,
        "seed": seed,
        "report": report,
    }
    if sources == [BUILTIN]:
        out = Path(data_dir or "data") / f"{BUILTIN}-{builtin_fingerprint(settings)}"
        build_builtin(out, **common)
        return out
    clips, chosen = find_clips(sources, layout)
    cache = _cache(sources[0], data_dir)
    out = cache / fingerprint(clips, settings, chosen)
    try:
        build_dataset(sources, out, layout=layout, workers=workers, **common)
    finally:
        if cache.name == CACHE:
            remove_empty([cache])
    return out


def _cache(source: str, data_dir: str | os.PathLike | None) -> Path:
    if data_dir is not None:
        return Path(data_dir)
    folder = part_source(source)[1]
    beside = (folder if folder.is_dir() else folder.parent) / CACHE
    try:
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside
    except OSError:
        pass
    return Path("data")


def _check_fit(directory: Path, sample_rate: int, channels: int) -> None:
    info = read_info(directory)
    held = (info["sample_rate"], info["channels"])
    if held != (sample_rate, channels):
        raise DataError(
            f"{directory}: expected {sample_rate} Hz and {channels} channel(s). Received: "
            f"{held[0]} Hz and {held[1]}. Build it again or give --sampling_rate {held[0]} "
            f"--channel_size {held[1]}."
        )


def _list(rejected: list[dict[str, str]], total: int, report: Report) -> None:
    for entry in rejected[:LISTED]:
        report(f"Left out: {entry['path']}: {entry['reason']}")
    if len(rejected) > LISTED:
        report(f"Left out: {len(rejected) - LISTED} more; all are listed in {INFO}.")
    if rejected and len(rejected) == total:
        raise DataError(
            f"None of {total} file(s) can be used; the first, {rejected[0]['path']}: "
            f"{rejected[0]['reason']}"
        )


def _tell(info: dict[str, Any], report: Report) -> None:
    line = told(info)
    if line:
        report(line)


def _count(clips: Sequence[Clip]) -> str:
    singers = len({clip.singer for clip in clips})
    return f"{len(clips)} file(s) of {singers} singer(s)"


def _shown(clip: Clip) -> str:
    name = clip.id.removesuffix(clip.path.suffix) + clip.path.suffix
    return name.encode("utf-8", "replace").decode()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
