"""Pictures: figures, spectrograms and PNG files."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from singlow.files import atomic_write


def drawing(width: float, height: float) -> tuple[Any, Any]:
    """Create a matplotlib figure of `width` by `height` inches and return it with its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def png(figure: Any) -> bytes:
    """Return a matplotlib figure as the content of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Draw the spectrogram of a clip, in decibels over seconds and Hz.

    Args:
        audio: `(time,)`.
        sample_rate: Hz.

    Returns:
        The picture, `(height, width, 3)` uint8.
    """
    figure, axes = drawing(6.4, 3.2)
    size = max(2, min(512, len(audio) // 4))
    # The logarithm of digital silence is infinite; this noise is inaudible.
    dithered = audio + 1e-5 * np.random.default_rng(0).standard_normal(len(audio))
    axes.specgram(dithered, NFFT=size, Fs=sample_rate, noverlap=3 * size // 4, vmin=-140, vmax=-30)
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, `(height, width, 3)` uint8, as a PNG file, whole or not at all."""
    from matplotlib import image

    with atomic_write(path) as file:
        image.imsave(file, picture, format="png")
