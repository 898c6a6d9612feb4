"""Convert the sample rate, channels, loudness and sample type of audio arrays.

Arrays are `(time, channels)`, float32 in [-1, 1] or int16.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import soxr

FULL_SCALE = 32768
SILENCE = 1e-4  # audio whose peak does not exceed this is silent
BLOCK = 1 << 17  # samples per channel
_QUIET_CHANNEL = 1e-4  # power relative to the loudest channel, -40 dB
_OPPOSITE = -0.5  # channels with a correlation below this cancel each other in a sum


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate of `audio` (time, channels) from `from_rate` to `to_rate` Hz.

    The resampler is soxr with its setting for high quality. If the rates are equal, the result is
    `audio` itself.
    """
    if from_rate == to_rate:
        return audio
    return soxr.resample(np.ascontiguousarray(audio, np.float32), from_rate, to_rate)


def resampled(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resample one recording block by block; the result equals that of `resample`.

    Args:
        blocks: `(time, channels)` each, float32 at `from_rate`.
        from_rate: Hz.
        to_rate: Hz.

    Yields:
        Float32 blocks `(time, channels)` at `to_rate`. Their lengths differ from those of `blocks`.
    """
    stream = pending = None
    for block in blocks:
        if from_rate == to_rate:
            yield block
            continue
        if stream is None:
            stream = soxr.ResampleStream(from_rate, to_rate, block.shape[1], dtype="float32")
        else:
            yield stream.resample_chunk(pending)
        pending = block
    if stream is not None:
        yield stream.resample_chunk(pending, last=True)


@dataclasses.dataclass(frozen=True)
class Mixdown:
    """A way of mixing the channels of one recording to another number of channels.

    Each output channel is the mean of a group of input channels. `ChannelPower` chooses the groups
    for a whole recording, so that mixing it block by block gives the same result.

    Attributes:
        groups: for each output channel, the indices of the input channels to average.
        signs: the polarity of each input channel, `(inputs,)`: 1 or -1; 0 for a silent channel.
        note: one line that names channels which are left out because they cancel others, or "".
    """

    groups: tuple[tuple[int, ...], ...]
    signs: tuple[int, ...]
    note: str = ""

    @classmethod
    def of_equals(cls, inputs: int, outputs: int) -> "Mixdown":
        """Return the mix for a recording whose channels are all audible and do not cancel out."""
        everything = tuple(range(inputs))
        if inputs == outputs:
            groups = tuple((index,) for index in everything)
        elif outputs == 2 and inputs > 2:
            centre = {3: (2,), 5: (2,), 6: (2, 3), 7: (2, 3, 4), 8: (2, 3)}.get(inputs, ())
            sides = [index for index in everything if index not in centre]
            groups = tuple(tuple(sorted((*sides[side::2], *centre))) for side in (0, 1))
        else:
            groups = (everything,) * outputs
        return cls(groups, (1,) * inputs)

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Mix `audio` (time, inputs) to (time, outputs)."""
        if all(group == (index,) for index, group in enumerate(self.groups)):
            return audio[:, : len(self.groups)]
        mixed = np.empty((len(audio), len(self.groups)), audio.dtype)
        for output, group in enumerate(self.groups):
            column = audio[:, group[0]].copy()
            for index in group[1:]:
                column += audio[:, index]
            column *= audio.dtype.type(1 / len(group))
            mixed[:, output] = column
        return mixed

    def spread(self, change: np.ndarray) -> np.ndarray:
        """Distribute a change of the mixed audio over the input channels.

        With one output channel, mixing the result returns `change`. Silent channels stay silent,
        and channels of opposite polarity receive the negative of the change.

        Args:
            change: `(time, outputs)`.

        Returns:
            The change of each input channel, `(time, inputs)`.
        """
        if len(self.groups) == len(self.signs):
            return change * np.abs(self.signs, dtype=change.dtype)
        result = np.zeros((len(change), len(self.signs)), change.dtype)
        for index, sign in enumerate(self.signs):
            outputs = [output for output, group in enumerate(self.groups) if index in group]
            if sign:
                chosen = change[:, outputs] if outputs else change[:, :1]
                result[:, index] = sign * chosen.mean(axis=1)
        return result


class ChannelPower:
    """Accumulate the power and correlation of the channels of a recording, block by block.

    Args:
        channels: number of channels of the recording.
    """

    def __init__(self, channels: int) -> None:
        self._sums = np.zeros((channels, channels))

    def add(self, block: np.ndarray) -> np.ndarray:
        """Include a block `(time, channels)`, and return it."""
        for part in blocks_of(block):
            wide = part.astype(np.float64)
            self._sums += wide.T @ wide
        return block

    def mixdown(self, channels: int) -> Mixdown:
        """Choose how to mix the recording to `channels` channels.

        - A mix to one channel is the mean of all channels that are not silent. A channel is silent
          if it is 40 dB below the loudest one. If channels cancel each other (their correlation is
          below -0.5, for example because one is the negative of the other), the mix uses only
          those with the polarity of the first channel that is at most 3 dB below the loudest one.
        - A mix from one channel to more repeats the channel.
        - A mix from three or more channels to two assumes the channel order of WAVE files. It adds
          left and right channels to their side, and the other channels to both sides.
        - In all other cases, every output channel is the mix to one channel.
        """
        inputs = len(self._sums)
        power = np.diag(self._sums)
        sounding = power > _QUIET_CHANNEL * power.max()
        if not sounding.any():
            return Mixdown.of_equals(inputs, channels)
        reference = int(np.argmax(power > power.max() / 2))
        scale = np.sqrt(np.maximum(power * power[reference], np.finfo(np.float64).tiny))
        opposite = sounding & (self._sums[reference] / scale < _OPPOSITE)
        signs = tuple(int(s) for s in np.where(sounding, np.where(opposite, -1, 1), 0))
        if inputs == channels:
            return Mixdown(Mixdown.of_equals(inputs, channels).groups, signs)
        groups, note = [], ""
        for group in Mixdown.of_equals(inputs, channels).groups:
            kept = [index for index in group if sounding[index]]
            inverted = [index for index in kept if opposite[index]]
            if 0 < len(inverted) < len(kept):
                loud = max(power[index] for index in kept) / 2
                first = next(index for index in kept if power[index] > loud)
                kept = [index for index in kept if opposite[index] == opposite[first]]
                note = (
                    "its channels are out of phase and would cancel each other; mixed without "
                    f"channel {', '.join(str(i + 1) for i in group if i not in kept)}"
                )
            groups.append(tuple(kept) or tuple(group))
        return Mixdown(tuple(groups), signs, note)


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Mix a recording `audio` (time, inputs) to `channels` channels; see `ChannelPower.mixdown`."""
    return audio if audio.shape[1] == channels else mixdown_of(audio, channels)(audio)


def mixdown_of(audio: np.ndarray, channels: int) -> Mixdown:
    """Choose how to mix a recording `audio` (time, inputs) to `channels` channels."""
    power = ChannelPower(audio.shape[1])
    power.add(audio)
    return power.mixdown(channels)


def normalize(audio: np.ndarray, rms: float | None = None, peak: float = 0.0) -> np.ndarray:
    """Scale `audio` to a given RMS, and reduce the gain if a sample would exceed the peak.

    Args:
        audio: `(time, channels)` float32.
        rms: RMS in dBFS (0 for a full-scale square wave); None does not set the loudness.
        peak: largest absolute value of a sample, in dBFS.
    """
    loudest, ceiling = float(np.abs(audio).max(initial=0)), 10 ** (peak / 20)
    gain = 1.0
    if rms is not None and loudest > 0:
        gain = 10 ** (rms / 20) / root_mean_square(audio)
    if loudest * gain > ceiling:
        gain = ceiling / loudest
    return audio if gain == 1.0 else audio * np.float32(gain)


def is_silent(audio: np.ndarray) -> bool:
    """Return whether no sample of `audio` exceeds -80 dBFS."""
    return not float(np.abs(audio).max(initial=0)) > SILENCE


def root_mean_square(audio: np.ndarray) -> float:
    """Return the root mean square of all samples of `audio`, computed in float64.

    Channels more than 40 dB below the loudest one are ignored, so that near-silent channels do not
    lower the loudness of a recording.
    """
    power = np.zeros(audio.shape[1:])
    for block in blocks_of(audio):
        power = power + np.square(block, dtype=np.float64).sum(axis=0)
    if audio.ndim > 1 and power.size > 1:
        power = power[power > _QUIET_CHANNEL * power.max()] if power.max() > 0 else power
    return float(np.sqrt(power.mean() / max(1, len(audio))))


def blocks_of(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Yield slices of at most `BLOCK` samples of `audio`, so that temporary arrays stay small."""
    for start in range(0, len(audio), BLOCK):
        yield audio[start : start + BLOCK]


def quantize(audio: np.ndarray) -> np.ndarray:
    """Round float `audio` in [-1, 1] to int16; values outside are clipped.

    Raises:
        ValueError: a sample is not finite.
    """
    integers = np.empty(audio.shape, np.int16)
    for source, block in zip(blocks_of(audio), blocks_of(integers), strict=True):
        if not np.isfinite(source).all():
            raise ValueError("Expected finite samples. Received: NaN or infinite samples.")
        block[...] = np.clip(np.round(source * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return integers


def dequantize(audio: np.ndarray) -> np.ndarray:
    """Convert int16 `audio` to float32: `audio / 32768`."""
    return audio.astype(np.float32) / FULL_SCALE


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the signal-to-noise ratio of `estimate` in dB.

    The ratio is `10 log10(sum r^2 / sum (r - e)^2)`. It is infinite if the arrays are equal.
    """
    reference = np.asarray(reference, np.float64)
    noise = np.sum((reference - estimate) ** 2)
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(np.sum(reference**2) / noise))
