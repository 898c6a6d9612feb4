"""The verb `vocode`: synthesise audio from mels, or from the mels of recordings."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from tyro.conf import arg

from singlow.commands.places import (
    Epoch,
    Files,
    Output,
    RunName,
    check_results,
    each,
    inputs,
    one_file,
)
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import UsageError, warn
from singlow.files import write_text
from singlow.names import escape
from singlow.runs.opening import open_run, require_input
from singlow.spectral import MEL_SUFFIXES
from singlow.voices.vocode import MEL, TEMPERATURE, noise_spectrum

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

_PAGE = "index.html"


def vocode(
    run: RunName,
    files: Files,
    output: Output,
    temperature: Annotated[tuple[float, ...], arg(metavar="FLOAT...")] = (TEMPERATURE,),
    num_samples: Annotated[int, arg(metavar="INT")] = 1,
    seed: Annotated[int, arg(metavar="INT")] = 0,
    denoise: Annotated[float, arg(metavar="FLOAT")] = 0.0,
    epoch: Epoch = "newest",
) -> None:
    """Synthesise audio from mels (npy, npz), or from the mels of recordings, at any length.

    Several temperatures also write index.html, a page that plays the results beside each other.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, mels, or folders of them. A mel has the shape (frames, bins); an npz file
            also has its recipe.
        output: a folder, or a wav file for one input, one temperature and one sample.
        temperature: one or several scales of the noise. 1 samples the model itself; lower values
            have less noise.
        num_samples: number of results of each input and temperature.
        seed: random seed of the first result; each further one uses the next number.
        denoise: share of the model's constant noise that is subtracted; 0.1 is usual.
        epoch: checkpoint to use.
    """
    if not temperature or not all(0 <= each_of <= 100 for each_of in temperature):
        raise UsageError(f"Expected --temperature from 0 to 100. Received: {temperature}.")
    if not 0 <= denoise <= 100:
        raise UsageError(f"Expected --denoise from 0 to 100. Received: {denoise}.")
    if num_samples < 1 or seed < 0:
        raise UsageError(
            "Expected --num_samples of at least 1 and --seed of at least 0. "
            f"Received: {num_samples}, {seed}."
        )
    sources = inputs(files, SUFFIXES | MEL_SUFFIXES)
    wanted = [(t, seed + n) for t in dict.fromkeys(temperature) for n in range(num_samples)]
    results = _results(sources, wanted, output, one_file(files))
    trained = open_run(run, epoch)
    require_input(trained, MEL, "use the verb sample")
    noise = noise_spectrum(trained.coder) if denoise else None

    def work(source: Path, _: Path) -> list[Path]:
        paths = results[source]
        _vocode_one(trained, source, dict(zip(paths, wanted, strict=True)), noise, denoise)
        return paths

    each([(source, paths[0]) for source, paths in results.items()], work)
    if len(temperature) > 1:
        from singlow.evaluation.synthesis import write_sweep

        page = output / _PAGE
        names = dict(sources)
        write_text(page, write_sweep(trained, names, results, wanted))
        print(escape(str(page)))


def _results(
    sources: list[tuple[Path, Path]], wanted: list[tuple[float, int]], output: Path, single: bool
) -> dict[Path, list[Path]]:
    """Return the files of the results by source, in the order of `wanted`.

    Raises:
        UsageError: two results would have one path, a result would replace a source, or a file
            cannot be created.
    """
    if single and len(wanted) == 1 and output.suffix and not output.is_dir():
        if output.suffix.lower() != ".wav":
            raise UsageError(f"Expected -o with the suffix .wav. Received: {output}.")
        results = {sources[0][0]: [output]}
    elif output.suffix.lower() == ".wav" and not output.is_dir():
        raise UsageError(f"Expected a folder for -o, for several results. Received: {output}.")
    else:
        results = {
            source: [
                output / name.parent / f"{name.stem}-t{t:g}-seed{number}.wav"
                for t, number in wanted
            ]
            for source, name in sources
        }
    check_results([(source, path) for source, paths in results.items() for path in paths])
    return results


def _vocode_one(
    trained: "TrainedRun",
    source: Path,
    results: dict[Path, tuple[float, int]],
    noise: np.ndarray | None,
    denoise: float,
) -> None:
    from singlow.audio import write_blocks
    from singlow.voices.denoise import denoised
    from singlow.voices.vocode import TILE, mel_of, synthesised

    mel, length, rate = mel_of(trained, source)
    if rate is not None:
        target = trained.flow.signal.sample_rate
        print(f"{escape(str(source))}: resampled from {rate} to {target} Hz.")
    for path, (temperature, seed) in results.items():
        clipped = _Clipped()
        blocks = synthesised(trained.coder, mel, length, temperature, seed, TILE)
        if noise is not None:
            blocks = denoised(blocks, noise, denoise)
        write_blocks(path, clipped.count(blocks), trained.flow.signal.sample_rate, 1)
        if clipped.samples:
            warn(f"{path}: {clipped.samples} sample(s) exceeded full scale and were clipped.")


class _Clipped:
    """Counts samples beyond full scale in blocks that pass through."""

    def __init__(self) -> None:
        self.samples = 0

    def count(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the blocks unchanged."""
        for block in blocks:
            self.samples += int((np.abs(block) > 1).sum())
            yield block
