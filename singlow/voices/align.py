"""The times of the symbols of a text in its recording, by a run that reads texts."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from singlow.data.feed.recordings import Recording
from singlow.errors import DataError
from singlow.inputs import MASK
from singlow.names import shown
from singlow.runs.opening import TrainedRun, open_run
from singlow.spectral import mel_spectrogram
from singlow.text import Timed
from singlow.voices.speak import speaking_flow, voice_inputs
from singlow.voices.speakers import SPEAKER

if TYPE_CHECKING:
    from singlow.models.glow_tts import GlowTTS

_TEXT = "text"


@dataclass(frozen=True)
class Aligned:
    """A recording with the times of the tokens of its text.

    Attributes:
        id: id of the recording.
        text: its text.
        tokens: each token with its times, in seconds; blanks and marks have the symbol "".
        seconds: length of the recording.
        score: mean log-likelihood of a mel value. A text that was not spoken has a low one.
    """

    id: str
    text: str
    tokens: tuple[Timed, ...]
    seconds: float
    score: float


def align(run: str | TrainedRun, recording: Recording, speaker: str | None = None) -> Aligned:
    """Find the times of the tokens of a recording's text.

    Args:
        run: a run that reads texts, or its name.
        recording: with its text and audio at the run's sample rate, of
            `singlow.data.feed.recordings.find_recordings`.
        speaker: name of the speaker in the run; the recording's singer when `None`.

    Raises:
        UsageError: the run reads no texts, or the speaker is unknown.
        DataError: the recording has no text, symbols that the run does not know, more tokens than
            frames, or is too short.
    """
    run = open_run(run)
    flow = speaking_flow(run)
    recipe = flow.signal.recipe
    if not recording.text.strip():
        raise DataError(f"{shown(recording.id)}: Expected a recording with a text. Received: none.")
    tokens = flow.tokens(recording.text, recording.id)
    audio = recording.read()[:, 0]
    try:
        mel = mel_spectrogram(audio, recipe)
    except ValueError as error:
        raise DataError(f"{shown(recording.id)}: {error}") from None
    frames = len(mel) // flow.multiple * flow.multiple
    if len(tokens) > frames:
        raise DataError(
            f"{shown(recording.id)}: Expected at most {frames} tokens, as many as the mel has "
            f"frames. Received: {len(tokens)}; use a shorter text or a longer recording."
        )
    known = speaker or (recording.singer if SPEAKER in flow.inputs else None)
    inputs = {
        "x": mel[None, :frames],
        _TEXT: tokens[None],
        _TEXT + MASK: np.ones((1, len(tokens)), np.float32),
        **voice_inputs(run, known),
    }
    coder = cast("GlowTTS", run.coder)
    durations = coder.align(inputs)[0]
    seconds = len(audio) / recipe.sample_rate
    # Frame t is centred on sample t * hop_length.
    bounds = (np.cumsum([0, *durations]) - 0.5) * recipe.hop_length / recipe.sample_rate
    bounds = np.clip(bounds, 0.0, seconds)
    bounds[-1] = seconds
    special = flow.tokenizer.symbols.special
    names = ["" if name in special else name for name in flow.tokenizer.decode(tokens)]
    timed = tuple(map(Timed, names, bounds[:-1].tolist(), bounds[1:].tolist()))
    score = float(np.asarray(coder.log_prob(inputs))[0]) / (frames * recipe.n_mels)
    return Aligned(recording.id, recording.text, timed, seconds, score)


def as_text_grid(aligned: Aligned) -> str:
    """Return an alignment as a TextGrid of Praat, with a tier of tokens.

    References:
        Boersma and Weenink, Praat: doing phonetics by computer,
        https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
    """
    intervals = [token for token in aligned.tokens if token.stop > token.start]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {aligned.seconds:.6f}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        '        name = "tokens"',
        "        xmin = 0",
        f"        xmax = {aligned.seconds:.6f}",
        f"        intervals: size = {len(intervals)}",
    ]
    for number, token in enumerate(intervals, 1):
        symbol = token.symbol.replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {token.start:.6f}",
            f"            xmax = {token.stop:.6f}",
            f'            text = "{symbol}"',
        ]
    return "\n".join(lines) + "\n"


def as_table(alignments: Sequence[Aligned]) -> str:
    """Return alignments as a csv table: recording, place of the token, symbol, start and stop."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(("recording", "token", "symbol", "start", "stop"))
    for aligned in alignments:
        for place, token in enumerate(aligned.tokens):
            times = (f"{token.start:.4f}", f"{token.stop:.4f}")
            table.writerow((aligned.id, place, token.symbol, *times))
    return file.getvalue()
