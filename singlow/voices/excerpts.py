"""Windows of recordings, as long as those a run was trained on, to measure likelihoods on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from singlow.audio.frames import cut

_AUDIBLE = 0.1  # of the loudest window's rms
_BATCH = 32


@dataclass(frozen=True)
class Windows:
    """Windows and which of their samples are valid.

    Attributes:
        x: `(windows, time, 1)` float32.
        frame_mask: `(windows, time)` float32, 1 = valid.
    """

    x: np.ndarray
    frame_mask: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, places: Any) -> "Windows":
        return Windows(self.x[places], self.frame_mask[places])

    @property
    def samples(self) -> np.ndarray:
        """How many of each window are valid: `(windows,)`."""
        return self.frame_mask.sum(axis=1)


def windows_of(clips: Iterable[np.ndarray], window: int, multiple: int) -> Windows:
    """The windows of clips that have sound in them, in order.

    A rest shorter than half a window is left out, unless it is a whole clip. What lies 20 dB below
    the loudest window is left out too.

    Args:
        clips: each `(time, 1)` at the flow's rate and level.
        window: samples; a multiple of `multiple`.
        multiple: of which valid lengths are.
    """
    frames, counts = [np.zeros((0, window, 1), np.float32)], [np.zeros(0, int)]
    for clip in clips:
        starts = np.arange(max(1, -(-len(clip) // window))) * window
        valid = np.minimum(len(clip) - starts, window) // multiple * multiple
        kept = (valid >= window / 2) | ((starts == 0) & (valid > 0))
        frames.append(cut(clip, window, window)[kept])
        counts.append(valid[kept])
    x, valid = np.concatenate(frames), np.concatenate(counts)
    mask = (np.arange(window) < valid[:, None]).astype(np.float32)
    x = x * mask[..., None]
    rms = np.sqrt(np.square(x, dtype=np.float64).sum(axis=(1, 2)) / np.maximum(valid, 1))
    heard = rms > _AUDIBLE * rms.max(initial=0)
    return Windows(x[heard].astype(np.float32), mask[heard])


def log_probs(flow: Any, windows: Windows, embeddings: np.ndarray) -> np.ndarray:
    """`log p(x_w | e_s)`, natural logarithm, of every window under every speaker.

    Args:
        flow: of a model that takes embeddings as its condition.
        windows: `w`.
        embeddings: `(speakers, embedding_size)`.

    Returns:
        `(windows, speakers)` float64.
    """
    from keras import ops

    pairs = len(windows) * len(embeddings)
    found = []
    for start in range(0, pairs, _BATCH):
        # Always as many, so that a backend which compiles for every shape does so once.
        places = np.arange(start, start + min(_BATCH, pairs)) % pairs
        window, speaker = np.divmod(places, len(embeddings))
        batch = {
            "x": windows.x[window],
            "frame_mask": windows.frame_mask[window],
            "condition": embeddings[speaker][:, None],
        }
        found.append(ops.convert_to_numpy(flow.log_prob(batch)))
    return np.concatenate(found)[:pairs].astype(np.float64).reshape(-1, len(embeddings))
