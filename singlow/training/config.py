"""The settings a run was started with, as its config.json holds them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from singlow.errors import DataError, UsageError
from singlow.training.limits import DEFAULTS, LATER, require_training

FORMAT = "singlow-run"
VERSION = 1
FREE = ("epochs", "patience")  # they change when a run ends, not what it is
_LARGEST = 1 << 20


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a config.json.

    Raises:
        DataError: it is missing, damaged or of another kind.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any run's settings.")
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: missing; this is not a run.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: not the settings of a singlow run.")
    if config.get("version") != VERSION:
        raise DataError(
            f"{path}: Expected version {VERSION} of the run format. "
            f"Received: {str(config.get('version'))[:40]}; install the singlow that wrote it."
        )
    kinds = {"model": str, "preset": str, "arguments": dict, "data": dict, "training": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise DataError(f"{path}: Expected {key} to be a {kind.__name__}. It is not.")
    data = {"directory": "", **config["data"]}
    if not isinstance(data["directory"], str):
        raise DataError(f"{path}: Expected directory of data to be a str. It is not.")
    dataset = data.get("dataset")
    sources = dataset if isinstance(dataset, list) else [dataset]
    if not sources or not all(isinstance(source, str) for source in sources):
        raise DataError(f"{path}: Expected dataset of data to be a str, or several. It is not.")
    try:
        require_training(config["training"])
    except UsageError as error:
        raise DataError(f"{path}: {error}") from None
    later = {key: DEFAULTS[key] for key in LATER}
    return {**config, "training": {**later, **config["training"]}}


def refuse_differences(name: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse what was given where it disagrees with the settings of a run.

    Args:
        name: of the run.
        config: its settings.
        given: `arguments` and `training`, and where given `model`, `preset` and `dataset`.

    Raises:
        UsageError: something disagrees; everything that does is listed.
    """
    pairs = [(key, config[key], given[key]) for key in ("model", "preset") if key in given]
    if "dataset" in given:
        pairs.append(("dataset", config["data"].get("dataset"), given["dataset"]))
    for part in ("arguments", "training"):
        pairs += [(key, config[part].get(key), value) for key, value in given[part].items()]
    differing = [
        f"{key} is {_shown(old)}, given {_shown(new)}"
        for key, old, new in pairs
        if key not in FREE and not _same(old, new)
    ]
    if differing:
        raise UsageError(
            f"Run {name} exists with other settings: {'; '.join(differing)}. Leave them out to go "
            "on with it, give another --run NAME, or --fresh to move it aside."
        )


def common(config: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as `refuse_differences` takes them: those of `config` that `known` has too."""
    parts = {
        part: {key: value for key, value in config[part].items() if key in known[part]}
        for part in ("arguments", "training")
    }
    return {
        "model": config["model"],
        "preset": config["preset"],
        "dataset": config["data"].get("dataset"),
        **parts,
    }


def _same(old: Any, new: Any) -> bool:
    return json.dumps(old) == json.dumps(new) or (
        isinstance(old, float) and isinstance(new, int | float) and old == new
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str | Path) else json.dumps(value)
