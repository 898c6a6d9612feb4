"""The similarity of two voices according to a speaker encoder that is installed separately.

Resemblyzer includes its weights, so nothing is downloaded. PyTorch 2.6 and later reads only tensors
from them, so no code in them is executed.

References:
    Wan, Wang, Papir and Moreno, Generalized end-to-end loss for speaker verification, 2018,
    https://arxiv.org/abs/1710.10467
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from singlow.audio import resample
from singlow.errors import EnvironmentFault

Encoder = Callable[[np.ndarray, int], np.ndarray]
"""A function from a recording `(time,)` and its rate in Hz to a speaker embedding `(features,)`."""

_RATE = 16000
_LOUDNESS = -30  # loudness in dBFS to which quieter recordings are scaled
_INSTALL = "pip3 install 'resemblyzer>=0.1.4' 'torch>=2.6' 'setuptools<81'"


def open_encoder() -> Encoder:
    """Open Resemblyzer's encoder, whose embeddings have 256 non-negative features and norm 1.

    Raises:
        EnvironmentFault: Resemblyzer is not installed, or does not load.
    """
    try:
        with warnings.catch_warnings():  # webrtcvad imports deprecated modules
            warnings.simplefilter("ignore")
            from resemblyzer import VoiceEncoder, normalize_volume
    except ImportError as error:
        raise EnvironmentFault(
            f"Speaker similarity needs Resemblyzer ({error}). Run: {_INSTALL}"
        ) from None
    model = VoiceEncoder("cpu", verbose=False)

    def encode(audio: np.ndarray, sample_rate: int) -> np.ndarray:
        speech = resample(np.asarray(audio, np.float32)[:, None], sample_rate, _RATE)[:, 0]
        return model.embed_utterance(normalize_volume(speech, _LOUDNESS, increase_only=True))

    return encode


def centroid(embeddings: Sequence[np.ndarray]) -> np.ndarray:
    """Scale a speaker's embeddings `(features,)` to norm 1 and return their mean."""
    return np.mean([embedding / np.linalg.norm(embedding) for embedding in embeddings], axis=0)


def cosine(embedding: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine `a . b / (|a| |b|)` of two embeddings `(features,)`."""
    return float(embedding @ other / (np.linalg.norm(embedding) * np.linalg.norm(other)))
