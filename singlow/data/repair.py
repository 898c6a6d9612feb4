"""Damaged shards: told by record and byte, and their intact records written to whole shards."""

import os
from pathlib import Path
from typing import Any

from singlow.data.assemble import describe_shard, hash_file
from singlow.data.dataset import read_info, write_info
from singlow.data.example import read_example
from singlow.data.folder import own_folder
from singlow.data.progress import Report
from singlow.data.records import Damage, Record, index_shard, map_shard, write_shard
from singlow.errors import DataError


def verify_dataset(directory: str | os.PathLike, report: Report = print) -> None:
    """Hold every shard of a dataset to its checksums.

    Raises:
        DataError: something is damaged or missing; each was reported by shard, record and byte.
    """
    directory, info = Path(directory), read_info(directory)
    faults = shards = records = 0
    for part in info["splits"].values():
        for shard in part["shards"]:
            shards += 1
            found, damages = _examine(directory, shard)
            records += len(found)
            faults += len(damages)
            for damage in damages:
                report(str(damage))
    if faults:
        raise DataError(
            f"{directory}: {faults} damaged place(s) in {shards} shards, {records} records are "
            f"intact. Run: python3 data_loader.py --recover {directory}"
        )
    report(f"{directory}: {shards} shards and {records} records, all intact.")


def recover_dataset(directory: str | os.PathLike, report: Report = print) -> dict[str, Any]:
    """Write the intact records of damaged shards to whole ones; each old file is kept beside.

    Returns:
        What `dataset_info.json` holds now.

    Raises:
        DataError: a split has no intact record left.
        EnvironmentFault: the folder cannot be written or somebody builds in it.
    """
    directory, info = Path(directory), read_info(directory)
    with own_folder(directory):
        for name, part in info["splits"].items():
            kept = [_mend(directory, part, number, report) for number in range(len(part["shards"]))]
            rows = dict(pair for pairs in kept for pair in pairs.items())
            if not rows:
                raise DataError(f"{directory}: no {name} record is intact. Build it again.")
            pairs = [(id, rows[id]) for id in part["ids"] if id in rows]
            part["ids"], part["index"] = [id for id, _ in pairs], [row for _, row in pairs]
            part["clips"], part["samples"] = len(pairs), sum(row[5] for _, row in pairs)
        write_info(directory, info)
    return info


def _examine(directory: Path, shard: dict[str, Any]) -> tuple[list[Record], list[Damage]]:
    path = directory / shard["name"]
    if not path.is_file():
        return [], [Damage(path, 0, 0, 0, "the shard is missing")]
    records, damages = index_shard(path)
    if not damages and hash_file(path) != shard["sha256"]:
        reason = f"expected {shard['records']} records, {len(records)} came"
        if len(records) == shard["records"]:
            reason = "whole, but not the shard that was written"
        damages = [Damage(path, len(records), path.stat().st_size, 0, reason)]
    return records, damages


def _mend(directory: Path, part: dict[str, Any], number: int, report: Report) -> dict[str, list]:
    """Make shard `number` whole; its clips' rows of the index by id."""
    shard = part["shards"][number]
    rows = {
        id: list(row)
        for id, row in zip(part["ids"], part["index"], strict=True)
        if row[1] == number
    }
    records, damages = _examine(directory, shard)
    if not damages:
        return rows
    for damage in damages:
        report(str(damage))
    path = directory / shard["name"]
    if not path.is_file():
        write_shard(path, [])
    data = map_shard(path)
    payloads = [data[record.start : record.start + record.length].tobytes() for record in records]
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    offsets = write_shard(path, payloads)
    kept = {}
    for payload, record, offset in zip(payloads, records, offsets, strict=True):
        id = read_example(payload)["id"].decode("utf-8", "surrogateescape")
        if id in rows:
            row, shift = rows[id], offset - record.offset
            begin = row[4] - row[2]
            row[2], row[3] = record.start + shift, len(payload)
            row[4] = row[2] + begin
            kept[id] = row
    part["shards"][number] = describe_shard(path, len(payloads))
    lost = sorted(set(rows) - set(kept))
    report(
        f"{path}: {len(kept)} intact record(s) kept, {len(lost)} lost"
        f"{': ' + ', '.join(lost) if lost else ''}; the damaged file is {aside.name}."
    )
    return kept
