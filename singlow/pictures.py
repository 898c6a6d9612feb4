"""Draw figures and spectrograms, and read and write pictures."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError
from singlow.files import atomic_write

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 1 << 26


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


def alignment_picture(durations: np.ndarray, frames: int) -> np.ndarray:
    """Draw which token each frame has, tokens over frames.

    Args:
        durations: number of frames of each token, `(tokens,)`.
        frames: number of frames.

    Returns:
        The picture, `(height, width, 3)` uint8.
    """
    ends = np.cumsum(durations)
    position = np.arange(frames)[:, None]
    path = (position >= ends - durations) & (position < ends)
    figure, axes = drawing(6, 3)
    axes.imshow(path.T, origin="lower", aspect="auto", cmap="gray_r", interpolation="nearest")
    axes.set_xlabel("frames")
    axes.set_ylabel("tokens")
    return _pixels(figure)


def _pixels(figure: Any) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def read_picture(path: str | Path, height: int, width: int, channels: int) -> np.ndarray:
    """Read a picture of a given size.

    Args:
        path: an image file.
        height: pixels.
        width: pixels.
        channels: 1 converts to grey, 3 to red, green and blue.

    Returns:
        `(height, width, channels)` uint8.

    Raises:
        DataError: the file cannot be read, or the picture has another size; see `decode_picture`.
    """
    picture = decode_picture(path, channels)
    if picture.size != (width, height):
        raise DataError(
            f"{path}: Expected a picture of {width} x {height} pixels. "
            f"Received: {picture.width} x {picture.height}."
        )
    return np.asarray(picture, np.uint8).reshape(height, width, channels)


def decode_picture(path: str | Path, channels: int) -> "Image.Image":
    """Decode a picture as 8-bit grey, or as red, green and blue.

    Pictures with a palette or in CMYK are converted. Transparent parts become white. Values of 16
    bits keep their highest 8 bits. The rotation in a photograph's EXIF data is applied. Of a
    picture with several frames, the first is decoded.

    Args:
        path: an image file of a format in `FORMATS`.
        channels: 1 for grey, 3 for red, green and blue.

    Raises:
        DataError: the file is no picture, is damaged or incomplete, has more than `MOST_PIXELS`
            pixels, or has values of more than 16 bits.
    """
    from PIL import Image, ImageOps

    try:
        with quiet_about_sizes(), Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise DataError(
                    f"{path}: Expected at most {MOST_PIXELS} pixels. "
                    f"Received: {picture.width} x {picture.height}."
                )
            picture.load()
            deep = picture.mode.startswith("I;16") or (
                picture.mode == "I" and picture.format == "PPM"
            )
            return _eight_bits(path, ImageOps.exif_transpose(picture), channels, deep)
    except Image.UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise DataError(f"{path}: Expected a picture ({kinds}). Received: another file.") from None
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path}: Expected a picture. Received: {error.strerror}.") from None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{path}: Expected an intact picture. Received: {error}.") from error
    except Image.DecompressionBombError:
        raise DataError(f"{path}: Expected at most {MOST_PIXELS} pixels. Received: more.") from None


@contextlib.contextmanager
def quiet_about_sizes() -> Iterator[None]:
    """Silence Pillow's warning about large pictures in this block.

    Threads share the filters of warnings, so threads that decode pictures run inside of this block.
    """
    from PIL import Image

    kind = Image.DecompressionBombWarning
    if any(each[0] == "ignore" and each[2] is kind for each in warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kind)
        yield


def _eight_bits(
    path: str | Path, picture: "Image.Image", channels: int, deep: bool
) -> "Image.Image":
    """Convert a picture of any mode, deep if it has 16 bits, to 8 bits; see `decode_picture`.

    Raises:
        DataError: the picture has values of more than 16 bits.
    """
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    if deep:
        values = np.asarray(picture).astype(np.int64)
        high = np.clip(values >> 8, 0, 255).astype(np.uint8)
        clear = picture.info.get("transparency")
        if isinstance(clear, int):
            high[values == clear] = 255
        picture = Image.fromarray(high)
    elif picture.mode in ("I", "F"):
        raise DataError(
            f"{path}: Expected values of 8 or 16 bits. Received: 32-bit values; convert the "
            "picture first."
        )
    if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.new("RGBA", picture.size, "white")
        picture.alpha_composite(layer)
    return picture.convert(mode)


def squared(picture: "Image.Image", size: int) -> np.ndarray:
    """Cut the central square out of a picture, and resize it.

    Args:
        picture: 8-bit grey, or red, green and blue.
        size: pixels along each side of the result.

    Returns:
        `(size, size, channels)` uint8.
    """
    from PIL import Image

    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if side != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(picture, np.uint8).reshape(size, size, -1)


def grid(pictures: Sequence[np.ndarray], columns: int, scale: int = 1, gap: int = 1) -> np.ndarray:
    """Arrange pictures of one size in rows, on white.

    Args:
        pictures: uint8, each `(height, width, 3)`.
        columns: number of pictures in a row.
        scale: number of pixels along each axis that a pixel becomes.
        gap: white pixels between pictures, before scaling.

    Returns:
        `(height, width, 3)` uint8.
    """
    height, width = (size + gap for size in pictures[0].shape[:2])
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height + gap, columns * width + gap, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * height + gap, (index % columns) * width + gap
        sheet[top : top + height - gap, left : left + width - gap] = picture
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)


def picture_bytes(picture: np.ndarray) -> bytes:
    """Return a picture, uint8 `(height, width, 1 or 3)`, as the content of a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    pixels = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "png", optimize=True)
    return file.getvalue()


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 `(height, width, 1 or 3)`, as a PNG file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(picture_bytes(picture))
