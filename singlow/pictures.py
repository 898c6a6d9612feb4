"""Pictures: drawings as arrays and PNG files, and spectrograms."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from singlow.files import whole


def drawing(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def png(figure: Any) -> bytes:
    """What was drawn."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def spectrogram(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """A picture of a clip `(time,)`: seconds by Hz in decibels, `(height, width, 3)` uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=100, layout="tight")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    size = max(2, min(512, len(audio) // 4))
    audible = audio + 1e-5 * np.random.default_rng(0).standard_normal(len(audio))
    axes.specgram(audible, NFFT=size, Fs=sample_rate, noverlap=3 * size // 4, vmin=-140, vmax=-30)
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a png file, whole or not at all."""
    from matplotlib import image

    with whole(path) as file:
        image.imsave(file, picture, format="png")
