"""The verbs `encode` and `decode`: convert recordings or pictures to latents and back."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from singlow.audio import write_audio
from singlow.commands.places import (
    Epoch,
    Files,
    Output,
    RunName,
    each,
    inputs,
    is_of_images,
    one_file,
    outputs,
)
from singlow.data.sources.layouts import SUFFIXES
from singlow.data.sources.pictures import SUFFIXES as PICTURE_SUFFIXES
from singlow.errors import UsageError, naming, warn
from singlow.names import escape
from singlow.runs.opening import TrainedRun, open_run
from singlow.voices.speakers import AUTO, speakers_of


def encode(
    run: RunName,
    files: Files,
    output: Output,
    speaker: Annotated[str | None, arg(metavar="SPEAKER|auto")] = None,
    label: Annotated[str | None, arg(metavar="CLASS|auto")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Encode recordings or pictures as latents (npz), from which `decode` restores them.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or pictures for a run of images, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: speaker of the recordings, for a run with speakers, or auto, which identifies the
            likeliest one (auto).
        label: class of the pictures, for a run of images with classes, or auto, which finds the
            likeliest one (auto).
        epoch: checkpoint to use.
    """
    from singlow.latents import pictures
    from singlow.latents.codes import encode as encode_recording
    from singlow.latents.codes import write_song

    images = is_of_images(run)
    sources = inputs(files, PICTURE_SUFFIXES if images else SUFFIXES)
    results = outputs(sources, output, ".npz", one_file(files))
    _check_flags(run, images, speaker, label)
    trained = open_run(run, epoch)
    if not images:
        _check_speaker(trained, speaker, AUTO)

    def work(source: Path, result: Path) -> None:
        if images:
            pictures.write_code(result, pictures.encode(trained, source, label or AUTO))
            return
        song, identity = encode_recording(trained, source, speaker or AUTO)
        if identity is not None:
            print(f"{escape(str(source))}: {identity}.")
        write_song(result, song)

    each([(source, result) for (source, _), result in zip(sources, results, strict=True)], work)


def decode(
    run: RunName,
    files: Files,
    output: Output,
    speaker: Annotated[str | None, arg(metavar="SPEAKER")] = None,
    label: Annotated[str | None, arg(metavar="CLASS")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Decode latents (npz) to recordings (wav, 32-bit float) or pictures (png).

    Args:
        run: name under checkpoints/, or a path.
        files: latents from `encode`, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: speaker to convert to, for a run with speakers; by default the recording is
            restored.
        label: class to decode with, for a run of images with classes; by default the picture is
            restored.
        epoch: checkpoint to use.
    """
    from singlow.latents import pictures
    from singlow.latents.codes import decode as decode_latents
    from singlow.latents.codes import read_song
    from singlow.voices.convert import burst_note

    images = is_of_images(run)
    sources = inputs(files, frozenset({".npz"}))
    results = outputs(sources, output, ".png" if images else ".wav", one_file(files))
    _check_flags(run, images, speaker, label)
    trained = open_run(run, epoch)
    if not images:
        _check_speaker(trained, speaker)

    def work(source: Path, result: Path) -> None:
        if images:
            code = pictures.read_code(source)
            pictures.warn_of_other_weights(trained, code, source)
            with naming(source):
                x = pictures.decode(trained, code, label)
            trained.flow.signal.write(result, x)
            return
        song = read_song(source)
        if song.fingerprint != trained.fingerprint:
            warn(
                f"{source} was encoded by epoch {song.epoch} of run {song.run[:80]!a}: its weights "
                f"are not those of epoch {trained.checkpoint.epoch} of {trained.name}."
            )
        with naming(source):
            audio, burst = decode_latents(trained, song, speaker)
        if burst:
            warn(f"{result}: {burst_note(burst)}")
        # 16 bits would lose quiet recordings and clip loud ones; decoded mp3 can exceed full scale.
        write_audio(result, audio, song.sample_rate, subtype="FLOAT")

    each([(source, result) for (source, _), result in zip(sources, results, strict=True)], work)


def _check_flags(run: str, images: bool, speaker: str | None, label: str | None) -> None:
    """Refuse a speaker for a run of images, or a class for a run of sound, before long work.

    Raises:
        UsageError: the flag does not belong to the run.
    """
    flag = "--speaker" if images else "--label"
    if (speaker if images else label) is not None:
        kind = "sound" if images else "images"
        raise UsageError(f"Expected {flag} for a run of {kind}. Received: {run}.")


def _check_speaker(trained: TrainedRun, speaker: str | None, *words: str) -> None:
    """Refuse an unknown speaker, or a speaker for a run without speakers, before long work.

    Raises:
        UsageError: the run has no speakers, or no speaker of this name.
    """
    if speaker is not None:
        speakers = speakers_of(trained, "leave --speaker out")
        if speaker not in words:
            speakers.find(speaker)
