"""The verb `migrate`: songs with the features of other singers."""

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import arg

from singlow.commands.places import (
    Epoch,
    Files,
    Output,
    RunName,
    check_place,
    each,
    inputs,
    one_file,
    outputs,
)
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import DataError, UsageError, naming
from singlow.runs.opening import Opened, open_run

Change = Any  # audio at the flow's rate -> audio at the flow's rate


def migrate(
    run: RunName,
    files: Files,
    output: Output,
    source: Annotated[str | None, arg(name="from", metavar="SINGER|STYLE")] = None,
    target: Annotated[str | None, arg(name="to", metavar="SINGER|STYLE")] = None,
    reference: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = (),
    strength: Annotated[float, arg(metavar="FLOAT")] = 1.0,
    method: Annotated[
        Literal["transport", "moments", "difference", "midpoint", "slerp"],
        arg(metavar="transport|moments|difference|midpoint|slerp"),
    ] = "transport",
    levels: Annotated[tuple[int, ...], arg(metavar="INT...")] = (),
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Move features of one singer or style into songs of another.

    The result has the song's rate, length, channels and loudness. Strength 0 is the song itself.

    Args:
        run: name under checkpoints/, or a path.
        files: songs, or folders of them.
        output: a wav file for one song, otherwise a folder.
        source: whom the songs sound like; the song itself when only --reference is given.
        target: whom they are to sound like.
        reference: recordings to take the features from, instead of --to.
        strength: 0 is the song, 1 all of the way; more goes beyond, up to 10.
        method: transport carries the spectra of the latents, moments their means and variances,
            difference their means; midpoint is the original's half-way to a mean; slerp goes
            towards the latents of one --reference.
        levels: only these latents, 0 the finest.
        data_dir: where records of the run's data are kept; beside them when None.
        epoch: which checkpoint.
    """
    check_strength(strength)
    _check_sides(source, target, reference, method)
    found = inputs(files, SUFFIXES)
    results = outputs(found, output, ".wav", one_file(files))
    given = [path for path, _ in inputs(reference, SUFFIXES)] if reference else []
    for result in results:
        check_place(result, given)
    opened = open_run(run, epoch, speakers=False)
    change = _change(opened, source, target, given, strength, method, levels, data_dir)

    from singlow.audio import load_audio, write_blocks
    from singlow.audio.decoding import stream_audio
    from singlow.latents.change import changed_blocks

    def work(path: Path, result: Path) -> None:
        rate = opened.flow.sample_rate
        audio, _ = load_audio(path, rate, opened.flow.channels)
        with naming(path):
            changed = change(audio) - audio
        del audio
        before, after = _Peak(), _Peak()
        with stream_audio(path) as song:  # once more: a long song would fill the memory
            moved = changed_blocks(before(song.blocks), song.sample_rate, changed, rate)
            write_blocks(result, after(moved), song.sample_rate, song.channels, "FLOAT")
        if after.peak > max(1.0, before.peak):
            print(
                f"Warning: {result} peaks {20 * math.log10(after.peak):.1f} dB above full scale: "
                "turn it down before it is stored as whole numbers.",
                file=sys.stderr,
            )

    each([(path, result) for (path, _), result in zip(found, results, strict=True)], work)


class _Peak:
    """How loud the blocks were that came by."""

    def __init__(self) -> None:
        self.peak = 0.0

    def __call__(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
            yield block


def check_strength(strength: float) -> None:
    """Refuse a strength that no verb takes.

    Raises:
        UsageError: it is not from 0 to 10.
    """
    if not (math.isfinite(strength) and 0 <= strength <= 10):
        raise UsageError(f"Expected --strength from 0 to 10. Received: {strength}.")


def _check_sides(
    source: str | None, target: str | None, reference: tuple[Path, ...], method: str
) -> None:
    if target is not None and reference:
        raise UsageError("Expected --to or --reference. Received: both.")
    if method == "slerp":
        if source is not None or target is not None or not reference:
            raise UsageError(
                "Expected --reference FILE with --method slerp, and no --from or --to."
            )
    elif target is None and not reference:
        raise UsageError("Expected --from and --to, or --reference FILE. Received: neither.")
    elif source is None and not reference:
        raise UsageError("Expected --from with --to: whom the songs sound like. Received: none.")


def _change(
    opened: Opened,
    source: str | None,
    target: str | None,
    reference: list[Path],
    strength: float,
    method: str,
    levels: tuple[int, ...],
    data_dir: Path | None,
) -> Change:
    from singlow.latents.interpolate import towards
    from singlow.latents.methods import check_levels
    from singlow.latents.migrate import migrate

    flow, chosen = opened.coder, levels or None
    check_levels(chosen, flow.levels)
    if method == "slerp":
        if len(reference) != 1:
            raise UsageError(f"Expected one --reference for slerp. Received: {len(reference)}.")
        other = heard(flow, reference[0])
        return lambda audio: towards(flow, audio, other, strength, chosen)
    known = None
    if source is not None or target is not None:
        from singlow.runs.data import prepare_data

        opened.config = prepare_data(opened.config, data_dir)
        known = attributes(opened)
    begin = None if source is None else known[source]
    end = _of_files(flow, reference) if reference else known[target]

    return lambda audio: migrate(flow, audio, begin, end, strength, method, chosen)


def attributes(opened: Opened) -> Any:
    """The features of the singers and styles of a run's prepared data, kept in its folder."""
    from singlow.latents.attributes import Attributes

    data = opened.config["data"]
    mark = f"{opened.fingerprint} {data['content']}"
    folder = opened.run.directory / "features"
    return Attributes(opened.coder, Path(data["directory"]), folder, mark)


def heard(flow: Any, path: Path) -> np.ndarray:
    """A recording at a flow's rate, refused when there is no sound in it.

    Raises:
        DataError: it cannot be read, or is silent; named.
    """
    from singlow.audio import is_silent, load_audio

    audio, _ = load_audio(path, flow.sample_rate, flow.channels)
    if is_silent(audio):
        raise DataError(f"{path}: Expected a recording with sound. Received: silence.")
    return audio


def _of_files(flow: Any, paths: list[Path]) -> Any:
    from singlow.latents.features import measure_features

    features = measure_features(flow, (heard(flow, path) for path in paths))
    if not features.sounding:
        raise DataError(f"{paths[0]}: too short for features: give longer --reference files.")
    return features
