"""Audio: decode files, convert rate, channels and level, write files."""

from singlow.audio.arrays import (
    BLOCK,
    FULL_SCALE,
    SILENCE,
    blocks_of,
    dequantize,
    is_silent,
    level,
    quantize,
    resample,
    resampled,
    root_mean_square,
    snr_db,
    to_channels,
)
from singlow.audio.decoding import AudioError
from singlow.audio.files import load_audio, write_audio, write_blocks

__all__ = [
    "BLOCK",
    "FULL_SCALE",
    "SILENCE",
    "AudioError",
    "blocks_of",
    "dequantize",
    "is_silent",
    "level",
    "load_audio",
    "quantize",
    "resample",
    "resampled",
    "root_mean_square",
    "snr_db",
    "to_channels",
    "write_audio",
    "write_blocks",
]
