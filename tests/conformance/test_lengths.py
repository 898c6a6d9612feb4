"""Layers take other batch sizes and lengths than those of `build`, when eager and when traced."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from singlow.testing import check_invertible
from tests.conformance.cases import CASES, Case, data, given, mapped, parts, ready, tolerance
from tests.conftest import PRECISIONS


def _stretched(shape, multiple: int):
    """Return a shape, or a mapping of shapes, with one more item and more positions."""
    if isinstance(shape, dict):
        return {name: _stretched(entry, multiple) for name, entry in shape.items()}
    lengths = [2 * n + multiple for n in shape[1:-1]]
    return (shape[0] + 1, *lengths, shape[-1])


def _stretched_case(case: Case) -> Case:
    if case.condition is None:
        return dataclasses.replace(case, x=_stretched(case.x, case.multiple))
    x = _stretched(case.x, case.multiple)
    if isinstance(case.condition, dict) and "coarse" in case.condition:
        batch, frames, features = case.condition["coarse"]
        longer = {"coarse": (batch + 1, x[1] * frames // case.x[1], features)}
        return dataclasses.replace(case, x=x, condition=longer)
    longer = _stretched(case.condition, case.multiple)
    if isinstance(case.condition, dict) and "text" in case.condition:
        values = longer["text"]["values"]
        longer = {"text": {"values": values, "mask": values[:2]}}
    return dataclasses.replace(case, x=x, condition=longer)


def test_other_lengths_and_batch_sizes_invert(sampled_case: Case):
    case = sampled_case
    layer = ready(case)
    check_invertible(layer, *given(_stretched_case(case)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX traces known shapes only")
@pytest.mark.parametrize("case", [(n, PRECISIONS[-1]) for n in CASES], ids="-".join, indirect=True)
def test_one_trace_takes_every_length(compiled_case: Case):
    import tensorflow as tf

    case = compiled_case
    layer = ready(case)

    def spec(tensor):
        unknown = [None] * (len(tensor.shape) - 1)
        return tf.TensorSpec([*unknown, tensor.shape[-1]], keras.config.floatx())

    if isinstance(case.condition, dict) and "text" in case.condition:
        pytest.skip("the last axis of a mask is a length, which the signature would fix")
    inputs = [part for part in given(case) if part is not None]
    signature = keras.tree.map_structure(spec, inputs)
    traced = tf.function(lambda *args: layer(*args), input_signature=signature)
    for other in (case, _stretched_case(case)):
        inputs = [part for part in given(other) if part is not None]
        z, log_det = mapped(case) if other is case else layer(*inputs)
        traced_z, traced_log_det = traced(*inputs)
        for expected, result in zip(parts(z), parts(traced_z), strict=True):
            np.testing.assert_allclose(result, expected, atol=tolerance(1e-10, 1e-4))
        np.testing.assert_allclose(
            ops.convert_to_numpy(traced_log_det),
            ops.convert_to_numpy(log_det),
            atol=tolerance(1e-9, 1e-3),
        )


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.multiple > 1])
def test_a_length_that_does_not_fit_is_refused(name: str):
    case = CASES[name]
    layer = ready(case)
    wrong = (case.x[0], case.x[1] + 1, *case.x[2:])
    with pytest.raises(ValueError, match=r"multiples of|aligned with x|divide those of x"):
        layer(data(wrong), given(case)[1])
