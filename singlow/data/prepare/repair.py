"""Find damage in shards, and write the intact records of damaged shards to new shards."""

import os
from pathlib import Path
from typing import Any

from singlow.data.prepare.assemble import describe_shard
from singlow.data.prepare.folder import own_folder, printable, rebuild_advice
from singlow.data.store.dataset import ASIDE, read_info, write_info
from singlow.data.store.records import (
    HEADER,
    Damage,
    Record,
    index_shard,
    map_shard,
    read_example,
    recover_advice,
    write_shard,
)
from singlow.errors import DataError
from singlow.files import keep_copy, sha256
from singlow.progress import Report


def verify_dataset(directory: str | os.PathLike, report: Report = print) -> None:
    """Check every shard of a dataset against its checksums.

    Args:
        directory: folder of the dataset.
        report: receives a line for each damage, with the shard, the record and the byte.

    Raises:
        DataError: a shard is damaged or missing.
    """
    directory, report = Path(directory).expanduser(), printable(report)
    info = read_info(directory)
    faults = shards = records = 0
    for part in info["splits"].values():
        for shard in part["shards"]:
            shards += 1
            intact, damages = _examine(directory, shard)
            records += len(intact)
            faults += len(damages)
            for damage in damages:
                report(str(damage))
    if faults:
        raise DataError(
            f"{directory}: {faults} damaged place(s) in {shards} shards, {records} records are "
            f"intact. {recover_advice(directory)}"
        )
    report(f"{directory}: {shards} shards and {records} records, all intact.")


def recover_dataset(directory: str | os.PathLike, report: Report = print) -> dict[str, Any]:
    """Write the intact records of damaged shards to new shards, and keep the damaged files.

    Each damaged file is kept beside its new shard. Lost clips are listed under `lost` in
    `dataset_info.json`, and the next build writes them again. If the recovery is interrupted, no
    intact record is lost, and the same call continues it.

    Args:
        directory: folder of the dataset.
        report: receives a line for each damage and each shard.

    Returns:
        The new content of `dataset_info.json`.

    Raises:
        DataError: a split has no intact record left.
        EnvironmentFault: the folder cannot be written, or another process builds in it.
    """
    directory, report = Path(directory).expanduser(), printable(report)
    read_info(directory)
    with own_folder(directory):
        info = read_info(directory)
        lost = set(info.get("lost", []))
        for name, part in info["splits"].items():
            before = list(part["shards"])
            kept = [_mend(directory, part, number, report) for number in range(len(before))]
            rows = dict(pair for pairs in kept for pair in pairs.items())
            if not rows:
                advice = rebuild_advice(info, directory)
                raise DataError(f"{directory}: no {name} record is intact. {advice}")
            lost |= set(part["ids"]) - set(rows)
            if part["shards"] != before:
                info["fingerprint"] = ""
            pairs = [(id, rows[id]) for id in part["ids"] if id in rows]
            part["ids"], part["index"] = [id for id, _ in pairs], [row for _, row in pairs]
            part["clips"], part["samples"] = len(pairs), sum(row[5] for _, row in pairs)
        if lost:
            info["lost"] = sorted(lost)
            report(f"{directory}: {len(lost)} clip(s) lost. {rebuild_advice(info, directory)}")
        write_info(directory, info)
    return info


def _examine(directory: Path, shard: dict[str, Any]) -> tuple[list[Record], list[Damage]]:
    path = directory / shard["name"]
    if not path.is_file():
        return [], [Damage(path, 0, 0, 0, "the shard is missing")]
    records, damages = index_shard(path)
    if not damages and sha256(path) != shard["sha256"]:
        reason = f"expected {shard['records']} records. Received: {len(records)}"
        if len(records) == shard["records"]:
            reason = "every record is intact, but it is not the shard that was written"
        damages = [Damage(path, len(records), path.stat().st_size, 0, reason)]
    return records, damages


def _mend(directory: Path, part: dict[str, Any], number: int, report: Report) -> dict[str, list]:
    """Replace shard `number` if it is damaged, and return the index rows of its clips by id."""
    shard = part["shards"][number]
    rows = {
        id: list(row)
        for id, row in zip(part["ids"], part["index"], strict=True)
        if row[1] == number
    }
    _, damages = _examine(directory, shard)
    if not damages:
        return rows
    for damage in damages:
        report(str(damage))
    path = directory / shard["name"]
    source = keep_copy(path, "damaged") if path.is_file() else _kept_copy(path)
    records = _intact(source, rows) if source else {}
    data = map_shard(source) if source else b""
    offsets = write_shard(
        path, (bytes(data[r.start : r.start + r.length]) for r in records.values())
    )
    part["shards"][number] = describe_shard(path, len(records))
    lost = sorted(set(rows) - set(records))
    report(
        f"{path}: {len(records)} intact record(s) kept, {len(lost)} lost"
        f"{': ' + ', '.join(lost) if lost else ''}; "
        f"{f'the damaged file is {source.name}' if source else 'nothing is left of the file'}."
    )
    return {id: _moved(rows[id], offset) for id, offset in zip(records, offsets, strict=True)}


def _moved(row: list[int], offset: int) -> list[int]:
    """Return the index row of a record after the record was moved to `offset`."""
    singer, shard, start, length, audio, frames = row
    begin = offset + HEADER
    return [singer, shard, begin, length, begin + audio - start, frames]


def _intact(source: Path, rows: dict[str, list[int]]) -> dict[str, Record]:
    """Return by id the intact records of a file that are described in `rows`."""
    data, intact = map_shard(source), {}
    for record in index_shard(source)[0]:
        id = _id_of(data[record.start : record.start + record.length].tobytes())
        if id in rows and rows[id][3] == record.length:
            intact.setdefault(id, record)
    return intact


def _id_of(payload: bytes) -> str | None:
    try:
        id = read_example(payload).get("id")
    except DataError:
        return None
    return id.decode("utf-8", "surrogateescape") if isinstance(id, bytes) else None


def _kept_copy(path: Path) -> Path | None:
    """Return the kept copy of a missing shard that has the most intact records."""
    copies = [
        other
        for other in sorted(path.parent.glob(f"{path.name}.damaged*"))
        if ASIDE.fullmatch(other.name) and other.is_file()
    ]
    return max(copies, key=lambda other: len(index_shard(other)[0]), default=None)
