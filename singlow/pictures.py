"""Draw figures and spectrograms, and read and write PNG files."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
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
    return _pixels(figure)


def mel_picture(mel: np.ndarray, sample_rate: int, hop_length: int) -> np.ndarray:
    """Draw a mel spectrogram, bands over seconds.

    Args:
        mel: `(frames, n_mels)`.
        sample_rate: Hz of the audio.
        hop_length: samples between frames.

    Returns:
        The picture, `(height, width, 3)` uint8.
    """
    figure, axes = drawing(6.4, 3.2)
    ends = (0.0, max(1, len(mel)) * hop_length / sample_rate, 0.0, float(mel.shape[1]))
    axes.imshow(np.asarray(mel, np.float32).T, origin="lower", aspect="auto", extent=ends)
    axes.set_xlabel("seconds")
    axes.set_ylabel("mel band")
    return _pixels(figure)


def _pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def read_picture(path: str | Path, height: int, width: int, channels: int) -> np.ndarray:
    """Read a picture of a given size.

    Args:
        path: an image file of any format that Pillow reads.
        height: pixels.
        width: pixels.
        channels: 1 converts to grey, 3 to red, green and blue.

    Returns:
        `(height, width, channels)` uint8.

    Raises:
        DataError: the file cannot be read, or the picture has another size.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.size != (width, height):
                raise DataError(
                    f"{path}: Expected a picture of {width} x {height} pixels. "
                    f"Received: {picture.width} x {picture.height}."
                )
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: Expected a picture. Received: {error}.") from error
    return pixels.reshape(height, width, channels)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, `(height, width, 3)` uint8, as a PNG file, whole or not at all."""
    from matplotlib import image

    with atomic_write(path) as file:
        image.imsave(file, picture, format="png")
