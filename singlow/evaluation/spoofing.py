"""A linear classifier that recognizes speakers by their cepstra: Blow's "spoofing".

The score of a conversion system is the share of conversions that are recognized as their target.
The classifier uses global statistics alone and does not measure intelligibility or naturalness.

References:
    Serra, Pascual and Segura, Blow: a single-scale hyperconditioned flow for non-parallel raw-audio
    voice conversion, 2019, https://arxiv.org/abs/1906.00794
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError

if TYPE_CHECKING:
    import keras

SHORTEST = 0.128  # length of one transform in seconds
FEATURES = 242
_MELS, _CEPSTRA = 200, 40
_TRANSFORM, _WINDOW, _HOP = 0.128, 0.016, 0.008  # seconds
_RMS_FRAME, _RMS_HOP = 0.128, 0.032  # seconds
_PEAK = 0.99
_DROPOUT, _RATE, _BATCH, _EPOCHS, _PATIENCE, _VALIDATION = 0.4, 1e-3, 128, 200, 5, 0.1


def describe_speech(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return mean and deviation over time of 40 MFCCs, first and second deltas, and frame rms.

    These are the paper's features. The mean of the audio is removed and its peak is scaled to 0.99.
    Power spectra have size 2048, window 256 and hop 128 at 16 kHz, and the same durations at other
    rates. The 200 mel bands range from 0 Hz to half the rate.

    Args:
        audio: `(time,)`, at least `SHORTEST` seconds.
        sample_rate: Hz, at least 2000; at lower rates some bands are empty.

    Returns:
        `(FEATURES,)`.

    Raises:
        ValueError: the audio is too short, or its rate is too low.
    """
    import librosa

    size, window, hop, frame, step = (
        round(seconds * sample_rate)
        for seconds in (_TRANSFORM, _WINDOW, _HOP, _RMS_FRAME, _RMS_HOP)
    )
    if len(audio) < size or sample_rate < 2000:
        raise ValueError(
            f"Expected at least {SHORTEST} s at 2000 Hz or more. "
            f"Received: {len(audio)} samples at {sample_rate} Hz."
        )
    y = np.asarray(audio, np.float32) - np.float32(np.mean(audio, dtype=np.float64))
    y *= _PEAK / (np.abs(y).max() + 1e-7)
    power = librosa.feature.melspectrogram(
        y=y, sr=sample_rate, n_fft=size, win_length=window, hop_length=hop, n_mels=_MELS
    )
    cepstra = librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=_CEPSTRA)
    steps = librosa.feature.delta(cepstra)
    rms = librosa.feature.rms(y=y, frame_length=frame, hop_length=step)
    tracks = cepstra, steps, librosa.feature.delta(steps), rms
    rows = [track.mean(axis=1) for track in tracks] + [track.std(axis=1) for track in tracks]
    return np.concatenate(rows)


class SpeakerClassifier:
    """Standard scaling, dropout and a linear layer on `describe_speech`, fitted by cross-entropy.

    The settings are those of the paper: dropout 0.4, Adam at 1e-3, batches of 128, at most 200
    epochs, patience 5 on a random tenth of the clips. Unlike the paper, it keeps the best weights
    rather than the last.

    Args:
        clips: recordings to fit to, `(time,)` each.
        speakers: names of the speakers of the clips.
        sample_rate: sample rate of all recordings, in Hz.
        seed: random seed for the choice of the tenth, the order of the clips, the initial weights
            and the dropout.

    Attributes:
        speakers: the distinct names, sorted.

    Raises:
        DataError: there are fewer than two speakers.
    """

    def __init__(
        self, clips: Sequence[np.ndarray], speakers: Sequence[str], sample_rate: int, seed: int = 0
    ) -> None:
        from sklearn.preprocessing import StandardScaler

        names, labels = np.unique(np.asarray(speakers, str), return_inverse=True)
        if len(names) < 2:
            raise DataError(
                f"Expected recordings of at least 2 speakers. Received: {len(names)}; add others."
            )
        self.speakers = tuple(map(str, names))
        self._sample_rate = sample_rate
        rows = self._describe(clips)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rows))
        held = max(1, round(_VALIDATION * len(rows)))
        self._scaler = StandardScaler().fit(rows[order[held:]])
        rows = self._scaler.transform(rows)
        self._model = _model(len(names), seed)
        _fit(self._model, rows, labels, order[held:], order[:held], rng)

    def recognize(self, clips: Sequence[np.ndarray]) -> list[str]:
        """Return the likeliest speaker of each recording `(time,)`."""
        if not len(clips):
            return []
        from keras import ops

        scores = self._model(self._scaler.transform(self._describe(clips)), training=False)
        return [self.speakers[k] for k in ops.convert_to_numpy(scores).argmax(axis=1)]

    def _describe(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([describe_speech(audio, self._sample_rate) for audio in clips])


def _model(speakers: int, seed: int) -> "keras.Model":
    import keras

    start = keras.initializers.GlorotUniform(seed)
    model = keras.Sequential(
        [
            keras.layers.Input((FEATURES,)),
            keras.layers.Dropout(_DROPOUT, seed=seed, dtype="float32"),
            keras.layers.Dense(speakers, kernel_initializer=start, dtype="float32"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def _fit(
    model: "keras.Model",
    rows: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Fit the model to the training rows until it stops improving on the held-out ones.

    Args:
        model: the model.
        rows: features of all clips, `(clips, FEATURES)`.
        labels: indices of their speakers, `(clips,)`.
        train: indices of the clips to fit to.
        held: indices of the clips that are held out.
        rng: random generator for the order of the clips.
    """
    best, kept, since = np.inf, model.get_weights(), 0
    for _ in range(_EPOCHS):
        order = rng.permutation(train)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            model.train_on_batch(rows[batch], labels[batch])
        loss = float(model.test_on_batch(rows[held], labels[held]))
        since += 1
        if loss < best:
            best, kept, since = loss, model.get_weights(), 0
        if since == _PATIENCE:
            break
    model.set_weights(kept)


def chance_of_targets(recognized: Sequence[str], targets: Sequence[str]) -> float:
    """Return the share that would be recognized as their targets if the targets were shuffled.

    A system that produces the same voices equally often, but regardless of the targets, reaches
    `sum_s n_recognized(s) n_target(s) / n^2`.

    Args:
        recognized: recognized speaker of each conversion.
        targets: target of each conversion.
    """
    recognized, targets = np.asarray(recognized), np.asarray(targets)
    shares = ((recognized == s).mean() * (targets == s).mean() for s in np.unique(targets))
    return float(sum(shares))
