"""Test conversions by a flow whose output has bursts: only the bursts are clipped."""

import numpy as np
import pytest

from singlow.signals import Audio
from singlow.voices.convert import convert_recording
from singlow.voices.speakers import speaker_inputs

RATE = 8000
ADA, BO = speaker_inputs(np.zeros(2)), speaker_inputs(np.ones(2))


class Bursting:
    """A flow that returns the recording, except that some samples have the value `peak`."""

    multiple, signal = 4, Audio(RATE)

    def __init__(self, peak: float, place: slice = slice(100, 104)) -> None:
        self.peak, self.place = peak, place

    def encode(self, inputs):
        return [inputs["x"]]

    def decode(self, z, inputs):
        y = z[0].copy()
        y[:, self.place] = self.peak
        return y


@pytest.mark.parametrize(("peak", "burst"), [(1e6, 4 / 4000), (4.1, 4 / 4000), (3.9, 0.0)])
def test_a_burst_is_clipped_and_the_rest_keeps_its_loudness(peak, burst):
    x = (0.1 * np.random.default_rng(0).standard_normal((4000, 1))).astype(np.float32)
    (result,) = convert_recording(Bursting(peak), x, RATE, ADA, [BO])
    assert result.burst == pytest.approx(burst)
    assert np.abs(result.audio).max() <= 1
    if burst:
        rest = np.r_[0:100, 104:4000]
        assert np.std(result.audio[rest]) == pytest.approx(np.std(x[rest]), rel=0.1)


def test_the_share_of_a_burst_is_of_all_samples_beyond_full_scale():
    x = (0.1 * np.random.default_rng(0).standard_normal((4000, 1))).astype(np.float32)
    peaks = np.array([[[5.0], [-1.5], [0.9], [-0.9]]])
    (result,) = convert_recording(Bursting(peaks), x, RATE, ADA, [BO])
    assert result.burst == pytest.approx(2 / 4000)


@pytest.mark.parametrize("peak", [1e6, np.nan])
def test_a_burst_after_the_end_changes_nothing(peak):
    x = (0.1 * np.random.default_rng(0).standard_normal((4001, 1))).astype(np.float32)
    flow = Bursting(peak, slice(4001, None))
    (result,) = convert_recording(flow, x, RATE, ADA, [BO])
    assert result.burst == 0
    assert result.tail is None
    np.testing.assert_allclose(result.audio, x, atol=1e-6)
