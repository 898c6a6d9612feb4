"""A condition changes the output of a layer that takes one; wrong conditions are refused."""

import keras
import numpy as np
import pytest
from keras import ops

from singlow.bijections import (
    ActNorm,
    AffineCoupling,
    ConditionalShift,
    PositionalAffine,
    Squeezed,
    WithCondition,
)
from singlow.networks import ConvNet, HyperNet, WaveNet
from tests.conformance.cases import (
    CASES,
    Case,
    data,
    embedding,
    given,
    mapped,
    parts,
    ready,
    small_net,
    tried,
)

CONDITIONAL = [name for name, case in CASES.items() if case.condition]


@pytest.mark.parametrize("case", tried(CONDITIONAL), ids="-".join, indirect=True)
def test_another_condition_gives_other_latents(case: Case):
    x, condition = given(case)
    shifted = keras.tree.map_structure(
        lambda part: part if part.shape == (2, 5) else part + 1.0, condition
    )
    one, other = mapped(case)[0], ready(case)(x, shifted)[0]
    assert any(np.abs(p - q).max() > 1e-4 for p, q in zip(parts(one), parts(other), strict=True))


def test_a_missing_condition_is_refused():
    x = data((2, 8, 4))
    layer = WithCondition(ActNorm(), embedding(2))
    layer(x, data((2, 8, 3)))
    with pytest.raises(ValueError, match="Received: condition=None"):
        layer(x)
    with pytest.raises(ValueError, match="Received: condition=None"):
        WithCondition(ActNorm(), embedding(2))(x)


def test_a_coupling_built_with_a_condition_needs_it():
    coupling = AffineCoupling(small_net())
    coupling(data((2, 8, 4)), data((2, 8, 3)))
    with pytest.raises(ValueError, match="condition"):
        coupling(data((2, 8, 4)))


def test_a_coupling_built_without_a_condition_refuses_one():
    coupling = AffineCoupling(small_net())
    coupling(data((2, 8, 4)))
    with pytest.raises(ValueError, match="condition"):
        coupling(data((2, 8, 4)), data((2, 8, 3)))


def test_a_condition_at_the_squeezed_rate_is_refused():
    """Earlier versions squeezed it again, and repeated a single remaining frame."""
    squeezed = Squeezed(AffineCoupling(small_net()), 4)
    x, condition = data((2, 16, 1)), data((2, 4, 3))
    with pytest.raises(
        ValueError, match=r"\(2, 16, features\) aligned with x. Received: \(2, 4, 3\)"
    ):
        squeezed(x, condition)
    squeezed(x, data((2, 16, 3)))
    with pytest.raises(ValueError, match=r"Received: \(2, 4, 3\)"):
        squeezed.adapt(x, condition)
    with pytest.raises(ValueError, match=r"Received: \(2, 1, 3\)"):
        squeezed(x, data((2, 1, 3)))


@pytest.mark.parametrize("shape", [(2, 1, 3), (2, 7, 3), (2, 8, 8, 3), (1, 8, 3)])
def test_a_condition_that_is_not_aligned_is_refused(shape):
    coupling = AffineCoupling(small_net())
    coupling(data((2, 8, 4)), data((2, 8, 3)))
    with pytest.raises(ValueError, match="aligned with x"):
        coupling(data((2, 8, 4)), data(shape))


def test_an_item_condition_equals_a_constant_frames_condition():
    item = data((2, 3))
    frames = ops.repeat(item[:, None], 8, axis=1)
    for network in (small_net(), WaveNet(6, 2)):
        coupling = AffineCoupling(network)
        x = data((2, 8, 4))
        coupling(x, item)
        for weight in coupling.trainable_weights:
            weight.assign(weight + 0.1)
        np.testing.assert_allclose(coupling(x, item)[0], coupling(x, frames)[0], atol=1e-5)


@pytest.mark.parametrize("network", [small_net, lambda: WaveNet(6, 2), lambda: HyperNet(6)])
def test_a_network_without_attention_refuses_a_sequence(network):
    sequence = {"values": data((2, 5, 3)), "mask": data((2, 5))}
    with pytest.raises(ValueError, match=r"sequence|\(batch, features\)"):
        AffineCoupling(network())(data((2, 8, 4)), sequence)
    with pytest.raises(ValueError, match="sequence or a mapping"):
        ConditionalShift()(data((2, 8, 4)), sequence)


def test_a_mask_is_refused_for_an_image():
    """Earlier versions divided the log-determinant of an ActNorm by the width."""
    image, mask = data((2, 4, 6, 3)), ops.ones((2, 4))
    for layer in (ActNorm(), AffineCoupling(ConvNet(6)), Squeezed(ActNorm(), 2)):
        with pytest.raises(ValueError, match="none for images"):
            layer(image, None, mask)


def test_the_log_det_of_an_image_counts_its_pixels():
    layer = ActNorm()
    layer.build((None, None, None, 3))
    layer.log_scale.assign([0.1, 0.2, -0.05])
    _, log_det = layer(data((2, 4, 6, 3)))
    np.testing.assert_allclose(log_det, [24 * 0.25] * 2, rtol=1e-6)


def test_a_convnet_reads_both_axes_of_an_image():
    """Earlier versions convolved along the width only."""
    network = ConvNet(6, (3,), channels=2)
    x = np.zeros((1, 5, 5, 1), keras.config.floatx())
    network(x)
    for weight in network.trainable_weights:
        weight.assign(np.ones(weight.shape))
    x[0, 2, 2, 0] = 1.0
    y = ops.convert_to_numpy(network(x) - network(np.zeros_like(x)))[0, :, :, 0]
    assert (np.abs(y) > 1e-3).tolist() == [
        [1 <= row <= 3 and 1 <= column <= 3 for column in range(5)] for row in range(5)
    ]


@pytest.mark.parametrize("shape", [(2, 8), (2, 3, 4, 5, 6)])
def test_another_rank_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, time, channels\)"):
        ActNorm()(data(shape))


@pytest.mark.parametrize("shape", [(2, 7), (2, 8, 1), (3, 8)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="frame_mask"):
        ActNorm()(data((2, 8, 4)), None, ops.ones(shape))


def test_a_network_over_time_refuses_images():
    for network in (WaveNet(6, 2), HyperNet(6), ConvNet(6, causal=True)):
        with pytest.raises(ValueError, match=r"\(batch, time, channels\)"):
            AffineCoupling(network)(data((2, 4, 4, 4)), data((2, 3)))


def test_a_layer_over_time_refuses_images():
    with pytest.raises(ValueError, match=r"\(batch, time, channels\)"):
        PositionalAffine(4)(data((2, 4, 4, 4)))


def test_an_embedding_of_a_mapping_is_refused():
    layer = WithCondition(ActNorm(), embedding(2))
    with pytest.raises(ValueError, match="Received: a sequence or a mapping"):
        layer(data((2, 8, 3)), {"mel": data((2, 8, 3)), "speaker": data((2, 3))})
