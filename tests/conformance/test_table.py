"""No public layer is missing from the table."""

import inspect

import keras

from singlow import bijections, networks
from singlow.bijections.base import InvertibleLayer
from tests.conformance.cases import CASES, IGNORED


def _inside(layer: keras.layers.Layer) -> set[str]:
    return {type(part).__name__ for part in layer._flatten_layers()}


def test_every_public_layer_is_in_the_table_or_listed_as_ignored():
    public = {
        name
        for module in (bijections, networks)
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
        and issubclass(getattr(module, name), keras.layers.Layer)
    }
    seen = set()
    for case in CASES.values():
        seen |= _inside(case.make())
    assert public - seen - set(IGNORED) - {"Network"} == set()
    assert all(
        issubclass(getattr(bijections, name, InvertibleLayer), InvertibleLayer) for name in IGNORED
    )
