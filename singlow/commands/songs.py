"""The verbs `encode` and `decode`: recordings to latents and back."""

import sys
from pathlib import Path

from singlow.commands.runs import (
    Epoch,
    Files,
    Output,
    RunName,
    each,
    inputs,
    one_file,
    open_run,
    outputs,
)
from singlow.data.corpora import SUFFIXES


def encode(run: RunName, files: Files, output: Output, epoch: Epoch = "newest") -> None:
    """Turn recordings into latents (npz), from which `decode` gives them back.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        epoch: which checkpoint.
    """
    from singlow.audio import load_audio
    from singlow.latents.song import encode_song, write_song

    found = inputs(files, SUFFIXES)
    results = outputs(found, output, ".npz", one_file(files))
    opened = open_run(run, epoch, speakers=False)
    facts = {
        "run": opened.run.name,
        "epoch": opened.checkpoint.epoch,
        "fingerprint": opened.fingerprint,
    }

    def work(source: Path, result: Path) -> None:
        audio, _ = load_audio(source, opened.flow.sampling_rate, opened.flow.channel_size)
        write_song(result, encode_song(opened.coder, audio, **facts))

    each([(source, result) for (source, _), result in zip(found, results, strict=True)], work)


def decode(run: RunName, files: Files, output: Output, epoch: Epoch = "newest") -> None:
    """Turn latents (npz) into recordings (wav, 32-bit float).

    Args:
        run: name under checkpoints/, or a path.
        files: latents from `encode`, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        epoch: which checkpoint.
    """
    from singlow.audio import write_audio
    from singlow.errors import DataError
    from singlow.latents.song import decode_song, read_song

    found = inputs(files, frozenset({".npz"}))
    results = outputs(found, output, ".wav", one_file(files))
    opened = open_run(run, epoch, speakers=False)

    def work(source: Path, result: Path) -> None:
        song = read_song(source)
        if song.fingerprint != opened.fingerprint:
            own = f"epoch {opened.checkpoint.epoch} of {opened.run.name}"
            print(
                f"Warning: {source} was encoded by epoch {song.epoch} of run {song.run[:80]!a}: "
                f"its weights are not those of {own}.",
                file=sys.stderr,
            )
        try:
            audio = decode_song(opened.coder, song)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        # Whole numbers would lose quiet songs and clip what mp3 decodes to beyond full scale.
        write_audio(result, audio, song.sample_rate, subtype="FLOAT")

    each([(source, result) for (source, _), result in zip(found, results, strict=True)], work)
