"""Pictures: drawings as arrays and PNG files, and spectrograms."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
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


def mel_picture(mel: np.ndarray, sample_rate: int, hop_length: int) -> np.ndarray:
    """A picture of a mel spectrogram: seconds by mel bin, `(height, width, 3)` uint8.

    Args:
        mel: `(frames, n_mels)`.
        sample_rate: Hz of the audio that it was computed from.
        hop_length: samples between frames.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), dpi=100, layout="tight")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    extent = (0.0, len(mel) * hop_length / sample_rate, 0.0, mel.shape[1])
    axes.imshow(mel.T, origin="lower", aspect="auto", extent=extent)
    axes.set_xlabel("seconds")
    axes.set_ylabel("mel bin")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


MOST_PIXELS = 1 << 26


def read_picture(path: str | Path, height: int, width: int, channels: int) -> np.ndarray:
    """Read a png or jpg file, resized: `(height, width, channels)` uint8.

    Args:
        path: of the file.
        height: pixels of the result.
        width: pixels of the result.
        channels: 1 for grey, 3 for red, green and blue.

    Raises:
        DataError: the file is not a picture, is damaged, or holds more than `MOST_PIXELS` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{path}: Expected at most {MOST_PIXELS} pixels. "
                    f"Received: {picture.width} x {picture.height}."
                )
            picture = picture.convert("L" if channels == 1 else "RGB")
            picture = picture.resize((width, height), Image.Resampling.BOX)
            return np.asarray(picture, np.uint8).reshape(height, width, channels)
    except UnidentifiedImageError:
        raise DataError(f"{path}: Expected a png or jpg file. Received: another file.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a picture: {error}.") from None
