"""The verbs `encode` and `decode`: convert recordings to latents and back."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from singlow.audio import write_audio
from singlow.commands.places import Epoch, Files, Output, RunName, each, inputs, one_file, outputs
from singlow.data.sources.layouts import SUFFIXES
from singlow.errors import naming, warn
from singlow.names import escape
from singlow.runs.opening import TrainedRun, open_run
from singlow.voices.speakers import AUTO, speakers_of


def encode(
    run: RunName,
    files: Files,
    output: Output,
    speaker: Annotated[str | None, arg(metavar="SPEAKER|auto")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Encode recordings as latents (npz), from which `decode` restores them.

    Args:
        run: name under checkpoints/, or a path.
        files: recordings, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: speaker of the recordings, for a run with speakers, or auto, which identifies the
            likeliest one (auto).
        epoch: checkpoint to use.
    """
    from singlow.latents.codes import encode as encode_recording
    from singlow.latents.codes import write_song

    sources = inputs(files, SUFFIXES)
    results = outputs(sources, output, ".npz", one_file(files))
    trained = open_run(run, epoch)
    _check_speaker(trained, speaker, AUTO)

    def work(source: Path, result: Path) -> None:
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
    epoch: Epoch = "newest",
) -> None:
    """Decode latents (npz) to recordings (wav, 32-bit float).

    Args:
        run: name under checkpoints/, or a path.
        files: latents from `encode`, or folders of them.
        output: a file for one input and a name with a suffix, otherwise a folder.
        speaker: speaker to convert to, for a run with speakers; by default the recording is
            restored.
        epoch: checkpoint to use.
    """
    from singlow.latents.codes import decode as decode_latents
    from singlow.latents.codes import read_song
    from singlow.voices.convert import burst_note

    sources = inputs(files, frozenset({".npz"}))
    results = outputs(sources, output, ".wav", one_file(files))
    trained = open_run(run, epoch)
    _check_speaker(trained, speaker)

    def work(source: Path, result: Path) -> None:
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


def _check_speaker(trained: TrainedRun, speaker: str | None, *words: str) -> None:
    """Refuse an unknown speaker, or a speaker for a run without speakers, before long work.

    Raises:
        UsageError: the run has no speakers, or no speaker of this name.
    """
    if speaker is not None:
        speakers = speakers_of(trained, "leave --speaker out")
        if speaker not in words:
            speakers.find(speaker)
