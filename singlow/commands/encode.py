"""The verbs `encode` and `decode`: recordings to latents and back."""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from singlow.commands.places import Epoch, Files, Output, RunName, each, inputs, one_file, outputs
from singlow.commands.speaking import AUTO, Speaker, open_speaking, tell_burst, who_speaks
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import naming
from singlow.runs.opening import Opened


def encode(
    run: RunName,
    files: Files,
    output: Output,
    speaker: Annotated[str | None, tyro.conf.arg(metavar="SPEAKER|auto")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Turn recordings into latents (npz), from which `decode` gives them back.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: who speaks, for a run with speakers; auto takes the one under whom the recording is
            likeliest (auto).
        epoch: which checkpoint.
    """
    from singlow.audio import load_audio
    from singlow.latents.codes import encode_song, write_song

    found = inputs(files, SUFFIXES)
    results = outputs(found, output, ".npz", one_file(files))
    opened, speakers = open_speaking(run, epoch, speaker)
    voices = {} if speakers is None else speakers.chosen(speaker or AUTO, AUTO)
    facts = {
        "run": opened.run.name,
        "epoch": opened.checkpoint.epoch,
        "fingerprint": opened.fingerprint,
    }

    def work(source: Path, result: Path) -> None:
        audio, _ = load_audio(source, opened.flow.sample_rate, opened.flow.channels)
        if voices:
            song = _encoded(opened, voices, source, audio, facts)
        else:
            song = encode_song(opened.coder, audio, **facts)
        write_song(result, song)

    each([(source, result) for (source, _), result in zip(found, results, strict=True)], work)


def _encoded(
    opened: Opened, voices: dict[str, np.ndarray], path: Path, audio: np.ndarray, facts: Any
) -> Any:
    from singlow.voices.spoken import encode_spoken

    level = opened.config["data"].get("level")
    with naming(path):
        name = who_speaks(opened, voices, path, audio, opened.flow.sample_rate)
        return encode_spoken(opened.coder, audio, name, voices[name], level, **facts)


def decode(
    run: RunName,
    files: Files,
    output: Output,
    speaker: Speaker = None,
    epoch: Epoch = "newest",
) -> None:
    """Turn latents (npz) into recordings (wav, 32-bit float).

    Args:
        run: name under checkpoints/, or a path.
        files: latents from `encode`, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: who is to speak, for a run with speakers: the recording in another voice; without
            it, it is the recording again.
        epoch: which checkpoint.
    """
    from singlow.audio import write_audio
    from singlow.latents.codes import decode_song, read_song

    found = inputs(files, frozenset({".npz"}))
    results = outputs(found, output, ".wav", one_file(files))
    opened, speakers = open_speaking(run, epoch, speaker)
    embedding = None if speaker is None else speakers[speaker]

    def work(source: Path, result: Path) -> None:
        song = read_song(source)
        if song.fingerprint != opened.fingerprint:
            own = f"epoch {opened.checkpoint.epoch} of {opened.run.name}"
            print(
                f"Warning: {source} was encoded by epoch {song.epoch} of run {song.run[:80]!a}: "
                f"its weights are not those of {own}.",
                file=sys.stderr,
            )
        with naming(source):
            if speakers is None:
                audio = decode_song(opened.coder, song)
            else:
                from singlow.voices.spoken import decode_spoken

                audio, burst = decode_spoken(opened.coder, song, embedding)
                tell_burst(result, burst)
        # Whole numbers would lose quiet songs and clip what mp3 decodes to beyond full scale.
        write_audio(result, audio, song.sample_rate, subtype="FLOAT")

    each([(source, result) for (source, _), result in zip(found, results, strict=True)], work)
