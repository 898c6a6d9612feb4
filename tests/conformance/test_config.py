"""A layer that is created from a config has the same weights under the same names."""

import json

import keras
import numpy as np

from tests.conformance.cases import Case, given, mapped, parts, ready


def _by_place(layer: keras.layers.Layer) -> list[str]:
    return [weight.path.split(f"{layer.name}/", 1)[-1] for weight in layer.weights]


def test_a_config_makes_the_same_layer(portable_case: Case):
    case = portable_case
    layer = ready(case)
    inputs = given(case)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    if not again.built:
        again.build(case.x, case.condition)
    assert _by_place(again) == _by_place(layer)
    assert len(set(_by_place(layer))) == len(layer.weights)
    again.set_weights(layer.get_weights())
    for expected, result in zip(parts(mapped(case)[0]), parts(again(*inputs)[0]), strict=True):
        np.testing.assert_array_equal(result, expected)
