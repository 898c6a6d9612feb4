"""Enrollment of a new voice: fits an embedding to recordings and adds it to a trained run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError, UsageError, warn
from singlow.files import require_writable, set_aside
from singlow.names import shown
from singlow.progress import progress
from singlow.runs.data import window_length
from singlow.runs.opening import TrainedRun, open_run
from singlow.voices.enrolled import Voice, write_voice
from singlow.voices.recordings import (
    Excerpts,
    Inputs,
    Recording,
    excerpts_of,
    log_probs,
    loudness_gain,
    name_of,
    naming_recording,
    read_recording,
    run_loudness,
)
from singlow.voices.speakers import SPEAKER, convertible_speakers, speaker_inputs

if TYPE_CHECKING:
    from singlow.models.flow import Flow
    from singlow.ops.tensors import Tensor

HELD_OUT = 5  # every fifth excerpt is held out
MOST_STEPS = 1000
_BATCH, _LEARNING_RATE = 8, 0.03
_EVERY, _PATIENCE = 20, 4  # steps between evaluations; evaluations without improvement to wait
_COMPARED = 64  # largest number of excerpts for the held-out cost and for choosing the start


@dataclass(frozen=True)
class Fitted:
    """The result of fitting an embedding.

    Attributes:
        embedding: `(embedding_size,)` float32.
        start: index of the trained speaker from which fitting started, -1 for their mean.
        before: the signal's metric, in bits per sample, of the held-out excerpts under the initial
            embedding.
        after: the same metric under the fitted embedding.
        steps: number of steps of Adam.
    """

    embedding: np.ndarray
    start: int
    before: float
    after: float
    steps: int


@dataclass(frozen=True)
class Enrolled:
    """A voice that was added to a run.

    Attributes:
        path: path of the voice's file.
        voice: content of the file.
        fitted: result of fitting the embedding.
        start: name of the trained speaker from which fitting started; "" for the mean of all.
        excerpts: number of excerpts of the recordings.
        replaced: new path of the previous voice of this name; `None` if there was none.
    """

    path: Path
    voice: Voice
    fitted: Fitted
    start: str
    excerpts: int
    replaced: Path | None = None


def enroll(
    run: str | TrainedRun,
    name: str,
    recordings: Iterable[Recording],
    sample_rate: int | None = None,
    seed: int = 0,
    fresh: bool = False,
) -> Enrolled:
    """Fit an embedding to a few recordings of a speaker and add it to a run as a new voice.

    The weights of the run do not change. A recording that cannot be used is skipped with a warning.

    Args:
        run: a run with speakers, or its name.
        name: name of the voice: any text that is not the name of a trained speaker.
        recordings: paths of audio files, or audio `(time,)` or `(time, channels)`, float in +-1.
        sample_rate: rate, in Hz, of recordings that are arrays; the run's rate when `None`.
        seed: random seed for drawing the batches of excerpts.
        fresh: whether to move an existing voice of this name aside; otherwise it is an error.

    Raises:
        UsageError: the run has no speakers, the name cannot be used, or the voice exists.
        DataError: no recording can be used, or the recordings are too short.
    """
    run = open_run(run)
    speakers = convertible_speakers(run)
    path, flow = speakers.new_path(name), run.flow
    if path.exists() and not fresh:
        raise UsageError(f"{path}: this voice exists. Give another NAME, or --fresh to replace it.")
    require_writable(path.parent)
    clips = _usable(run, recordings, sample_rate)
    window = window_length(run.config, flow)
    excerpts = excerpts_of((clip for _, clip in clips), window, flow.multiple)
    with progress(f"Fitting {shown(name)}", MOST_STEPS) as done:
        fitted = fit_embedding(flow, excerpts, speakers.table, seed, done)
    voice = Voice(
        fitted.embedding,
        run.fingerprint,
        tuple(source for source, _ in clips),
        float(excerpts.samples.sum()) / flow.signal.sample_rate,
        fitted.before,
        fitted.after,
    )
    replaced = set_aside(path) if path.exists() else None
    write_voice(path, voice)
    start = "" if fitted.start < 0 else speakers.trained[fitted.start]
    return Enrolled(path, voice, fitted, start, len(excerpts), replaced)


def _usable(
    run: TrainedRun, recordings: Iterable[Recording], sample_rate: int | None
) -> list[tuple[str, np.ndarray]]:
    """Return the name and audio of each recording, at the run's rate and loudness.

    Raises:
        DataError: no recording can be used.
    """
    rate, loudness = run.flow.signal.sample_rate, run_loudness(run)
    clips, errors = [], []
    for recording in recordings:
        try:
            audio = read_recording(recording, rate, sample_rate)
            with naming_recording(recording):
                gain = loudness_gain(audio, loudness)
        except DataError as error:
            errors.append(str(error))
            continue
        clips.append((name_of(recording), audio * np.float32(gain)))
    if not clips:
        raise DataError(errors[0] if errors else "Expected recordings. Received: none.")
    for error in errors:
        warn(f"left out: {error}")
    return clips


def fit_embedding(
    flow: "Flow",
    excerpts: Excerpts,
    table: np.ndarray,
    seed: int = 0,
    done: Callable[[], None] = lambda: None,
) -> Fitted:
    """Find the embedding `e` that maximises `log p(x | e)`, with the weights of the flow fixed.

    Adam updates only `e`, on random batches of excerpts. It starts from the embedding of a trained
    speaker or from the mean of all, whichever makes the excerpts likeliest. Every fifth excerpt is
    held out. Fitting ends when the cost of the held-out excerpts does not fall for 80 steps, and
    the embedding with the lowest cost is the result.

    Args:
        flow: a flow whose input `speaker` has an embedding.
        excerpts: excerpts of the new speaker's recordings.
        table: embeddings of the trained speakers, `(speakers, embedding_size)`.
        seed: random seed for drawing the batches.
        done: function that is called after every step, at most `MOST_STEPS` times.

    Raises:
        DataError: there are fewer than two excerpts, or a likelihood is not finite.
    """
    import keras
    from keras import ops

    if len(excerpts) < 2:
        raise DataError(
            f"Expected at least two windows of sound, {2 * excerpts.x.shape[1]} samples at "
            f"{flow.signal.sample_rate} Hz. Received: {len(excerpts)}; give more recordings."
        )
    indices, every = np.arange(len(excerpts)), min(HELD_OUT, len(excerpts))
    apart = indices % every == every - 1
    fitted, held_out = excerpts[~apart], excerpts[_evenly(indices[apart])]
    starts = np.concatenate([table, table.mean(axis=0, keepdims=True)])
    costs = _costs(flow, fitted[_evenly(np.arange(len(fitted)))], map(speaker_inputs, starts))
    start = int(np.argmin(costs))
    embedding = keras.Variable(starts[start], name="embedding")
    before = best = float(_costs(flow, held_out, [speaker_inputs(starts[start])])[0])
    if not (np.isfinite(costs).all() and np.isfinite(before)):
        raise DataError("Expected finite likelihoods. Received: NaN or infinite ones.")
    kept, waited, step = starts[start], 0, 0
    gradient, optimizer = _gradient(flow), keras.optimizers.Adam(_LEARNING_RATE)
    rng = np.random.default_rng(seed)
    while step < MOST_STEPS and waited < _PATIENCE:
        batch = fitted[rng.integers(len(fitted), size=_BATCH)]
        slope = gradient(batch.x, batch.frame_mask, ops.convert_to_tensor(embedding.value))
        optimizer.apply([slope], [embedding])
        step += 1
        done()
        if step % _EVERY == 0:
            current = ops.convert_to_numpy(embedding)
            cost = float(_costs(flow, held_out, [speaker_inputs(current)])[0])
            waited = 0 if cost < best else waited + 1
            if cost < best:
                best, kept = cost, current
    index = start if start < len(table) else -1
    return Fitted(kept.astype(np.float32), index, before, best, step)


def _evenly(indices: np.ndarray) -> np.ndarray:
    """Return at most `_COMPARED` of the indices, evenly spaced."""
    return indices[np.linspace(0, len(indices) - 1, min(_COMPARED, len(indices))).astype(int)]


def _costs(flow: "Flow", excerpts: Excerpts, speakers: Iterable[Inputs]) -> np.ndarray:
    """Return the signal's metric over all excerpts, for each speaker: `(speakers,)`."""
    total = log_probs(flow, excerpts, list(speakers)).sum(axis=0)
    count = excerpts.samples.sum()
    return flow.signal.cost(total, count) / count


def _gradient(flow: "Flow") -> Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]:
    """Return a function for the gradient of a batch's metric with respect to an embedding."""
    from keras import ops

    from singlow.inputs import EMBEDDING
    from singlow.models.traced import traced
    from singlow.ops.control import vjp

    def gradient(x: "Tensor", frame_mask: "Tensor", embedding: "Tensor") -> "Tensor":
        def cost(embedding: "Tensor") -> "Tensor":
            inputs = {"x": x, "frame_mask": frame_mask}
            # All items of the batch share the embedding.
            inputs[SPEAKER + EMBEDDING] = embedding * ops.ones_like(x[:, 0, :1])
            log_prob = flow(inputs, training=False)[1]
            count = flow.signal.count(x, frame_mask)
            return ops.sum(flow.signal.cost(log_prob, count)) / ops.sum(count)

        value, pull = vjp(cost, embedding)
        return pull(ops.ones_like(value))[0]

    return traced(flow, gradient)
