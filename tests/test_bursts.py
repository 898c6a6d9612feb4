"""A flow that bursts in places: what is left is heard, and the rest is told."""

import numpy as np
import pytest

from singlow.voices.convert import convert_recording

RATE = 8000


class Bursting:
    """A flow whose every conversion is the recording, but for some samples."""

    multiple, sample_rate = 4, RATE

    def __init__(self, peak: float, place: slice = slice(100, 104)) -> None:
        self.peak, self.place = peak, place

    def encode(self, inputs):
        return [inputs["x"]]

    def decode(self, z, condition):
        y = z[0].copy()
        y[:, self.place] = self.peak
        return y


@pytest.mark.parametrize(("peak", "burst"), [(1e6, 4 / 4000), (3.0, 0.0)])
def test_a_burst_is_cut_and_told_and_the_rest_keeps_its_level(peak, burst):
    x = (0.1 * np.random.default_rng(0).standard_normal((4000, 1))).astype(np.float32)
    (voice,) = convert_recording(Bursting(peak), x, RATE, np.zeros(2), [np.ones(2)])
    assert voice.burst == pytest.approx(burst)
    assert np.abs(voice.audio).max() <= 1
    if burst:
        rest = np.r_[0:100, 104:4000]
        assert np.std(voice.audio[rest]) == pytest.approx(np.std(x[rest]), rel=0.1)


@pytest.mark.parametrize("peak", [1e6, np.nan])
def test_what_bursts_after_the_end_changes_nothing(peak):
    x = (0.1 * np.random.default_rng(0).standard_normal((4001, 1))).astype(np.float32)
    flow = Bursting(peak, slice(4001, None))
    (voice,) = convert_recording(flow, x, RATE, np.zeros(2), [np.ones(2)])
    assert voice.burst == 0
    assert voice.tail is None
    np.testing.assert_allclose(voice.audio, x, atol=1e-6)
