"""The front ends by name. No others can be loaded from a run."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from singlow.errors import UsageError
from singlow.names import suggest
from singlow.text.chinese import Pinyin
from singlow.text.front_end import Characters, FrontEnd
from singlow.text.japanese import Japanese
from singlow.text.phonemes import Espeak, Gruut
from singlow.text.romaji import Romaji

FRONT_ENDS: Mapping[str, type[FrontEnd]] = MappingProxyType(
    {kind.name: kind for kind in (Characters, Romaji, Gruut, Espeak, Pinyin, Japanese)}
)


def make_front_end(name: str, **settings: Any) -> FrontEnd:
    """Create a front end.

    Args:
        name: a name in `FRONT_ENDS`.
        settings: fields of the front end, such as `language`. A value of None is its default.

    Raises:
        UsageError: the name, a field or its value is unknown.
    """
    if not isinstance(name, str) or name not in FRONT_ENDS:
        near = suggest(name, FRONT_ENDS) if isinstance(name, str) else ""
        raise UsageError(
            f"Expected a front end in {', '.join(FRONT_ENDS)}. Received: {str(name)[:80]!r}.{near}"
        )
    kind = FRONT_ENDS[name]
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    settings = {key: value for key, value in settings.items() if value is not None}
    for key, value in settings.items():
        if key not in fields or type(value) is not fields[key]:
            known = ", ".join(f"{field}: {each.__name__}" for field, each in fields.items())
            raise UsageError(
                f"Expected settings of the front end {name}: {known}. "
                f"Received: {key}={str(value)[:80]!r}."
            )
    return kind(**settings)


def front_end_from_config(config: Mapping[str, Any]) -> FrontEnd:
    """Create a front end from the data that its `get_config` returns.

    Raises:
        UsageError: the data describe no front end.
    """
    if not isinstance(config, Mapping) or "name" not in config:
        raise UsageError(f"Expected a front end with its name. Received: {str(config)[:80]}.")
    settings = {str(key): value for key, value in config.items() if key != "name"}
    return make_front_end(config["name"], **settings)
