"""The closed list of models that a run may name."""

import inspect
from collections.abc import Mapping
from typing import Any

from singlow.errors import UsageError
from singlow.models.blow import Blow
from singlow.models.flow import Flow
from singlow.models.singlow import SinGlow

MODELS: Mapping[str, type[Flow]] = {"singlow": SinGlow, "blow": Blow}


def build_model(name: str, arguments: Mapping[str, Any]) -> Flow:
    """The model `name` with these constructor arguments.

    Raises:
        UsageError: there is no such model or argument, or a value is out of its range.
    """
    if name not in MODELS:
        raise UsageError(f"Expected a model in {', '.join(MODELS)}. Received: {name}.")
    known = [key for key in inspect.signature(MODELS[name]).parameters if key != "name"]
    unknown = sorted(set(arguments) - set(known) - {"name"})
    if unknown:
        raise UsageError(
            f"Expected arguments of {name}: {', '.join(known)}. Received: {', '.join(unknown)}."
        )
    try:
        return MODELS[name](**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
