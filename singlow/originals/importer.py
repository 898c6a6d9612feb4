"""Create a run from a checkpoint of the published code of a paper."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from singlow.errors import DataError, UsageError, naming
from singlow.files import sha256, write_text
from singlow.names import shown
from singlow.originals.checkpoint import Weights, read_checkpoint, weights_of
from singlow.originals.state import StoredState, checked
from singlow.pickles import Record
from singlow.runs.opening import build_flow
from singlow.runs.run import Run, locate
from singlow.runs.settings import Request, resolve

if TYPE_CHECKING:
    from singlow.models.flow import Flow

CARD = "README.md"
_LARGEST_CONFIG = 2**20


@dataclasses.dataclass(frozen=True)
class Original:
    """A published implementation whose checkpoints can be imported.

    Attributes:
        source: its repository.
        model: name of the model of singlow.
        preset: preset of the model that computes the same.
        names: weights by which its checkpoints are recognised; all of them are there.
        unknown: arguments that the weights do not determine.
        settings: names in its settings, and the arguments that they are.
    """

    source: str
    model: str
    preset: str
    names: tuple[str, ...]
    unknown: tuple[str, ...]
    settings: Mapping[str, str]


_MEL = ("sample_rate", "n_fft", "recipe")
_SETTINGS = {  # names in the settings of vocoders and Blow, and the arguments that they are
    "sampling_rate": "sample_rate",
    "sample_rate": "sample_rate",
    "sr": "sample_rate",
    "filter_length": "n_fft",
    "hop_length": "hop_length",
    "n_mel_channels": "n_mels",
}
_SPOKEN = {**_SETTINGS, "n_mel_channels": "out_channels"}
_SPOKEN |= {name: name for name in ("dilation_rate", "sigmoid_scale")}
ORIGINALS = (
    Original(
        "joansj/blow",
        "blow",
        "blow_original",
        ("blocks.0.flows.0.mixer.w_l", "embedding.weight"),
        ("sample_rate",),
        _SETTINGS,
    ),
    Original(
        "ksw0306/FloWaveNet",
        "flowavenet",
        "flowavenet_original",
        ("blocks.0.flows.0.actnorm.loc", "upsample_conv.0.bias"),
        _MEL,
        _SETTINGS,
    ),
    Original(
        "NVIDIA/waveglow",
        "waveglow",
        "waveglow_original",
        ("upsample.weight", "convinv.0.conv.weight"),
        _MEL,
        _SETTINGS,
    ),
    Original(
        "jaywalnut310/glow-tts",
        "glow_tts",
        "glow_tts_original",
        ("encoder.proj_w.proj.weight", "decoder.flows.0.logs"),
        (*_MEL, "hop_length", "dilation_rate", "sigmoid_scale"),
        _SPOKEN,
    ),
    Original(
        "NVIDIA/flowtron",
        "flowtron",
        "flowtron_original",
        ("flows.0.attention_layer.query.linear_layer.weight", "encoder.lstm.weight_ih_l0"),
        (*_MEL, "hop_length"),
        {**_SETTINGS, "n_mel_channels": "n_mel_channels"},
    ),
)


@dataclasses.dataclass(frozen=True)
class Imported:
    """A run that was created from a checkpoint, and where its settings came from.

    Attributes:
        run: the run.
        original: the implementation that wrote the checkpoint.
        count: number of weights in the checkpoint.
        found: where the weights were.
        from_weights: arguments that the shapes of the weights determine.
        from_config: arguments that were given, or are in the settings of the original.
        assumed: arguments as published, since neither determines them.
    """

    run: Run
    original: Original
    count: int
    found: str
    from_weights: dict[str, Any]
    from_config: dict[str, Any]
    assumed: dict[str, Any]


def import_checkpoint(
    path: str | os.PathLike,
    run: str | os.PathLike | None = None,
    config: str | os.PathLike | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    fresh: bool = False,
    checkpoints: str | os.PathLike = "checkpoints",
    logs: str | os.PathLike = "logs",
) -> Imported:
    """Create a run from a checkpoint of the published code of a paper; `ORIGINALS` lists them.

    The code that wrote the checkpoint is recognised by the names and shapes of its weights. Nothing
    in the file is run. Optimizer states are not taken. The weights are read one at a time.

    Args:
        path: a file of `torch.save` or safetensors: the weights of the model, by themselves or
            under `state_dict` or `model`, or a whole model.
        run: name of the new run, or path of its folder; by default the name of the file.
        config: settings of the original: its JSON file, or `.args.pt` of Blow.
        arguments: constructor arguments that the weights do not determine, as `sample_rate`.
        fresh: whether to move an existing run aside.
        checkpoints: folder of all runs.
        logs: folder of the TensorBoard events and samples.

    Raises:
        UsageError: the run exists, or an argument is unknown or out of range.
        DataError: a file cannot be read, is no checkpoint of these models, or contradicts the
            settings.

    Example:
        >>> import singlow
        >>> singlow.import_checkpoint("waveglow.pt", "mine")  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    place = locate(os.fspath(run or path.stem), Path(checkpoints), Path(logs))
    if place.exists and not fresh:
        raise UsageError(
            f"Run {place.name} exists. Give another --run NAME, or --fresh to move it aside."
        )
    place.require_free()
    with naming(path):
        weights = weights_of(read_checkpoint(path))
        state = StoredState(weights.tensors)
        original = original_of(state)
        module = import_module(f"singlow.originals.{original.model}")
        with _shapes_of(original):
            from_weights = module.arguments_of(state)
    from_config = {**_settings_in(config, original), **(arguments or {})}
    contradicted = [
        key for key in from_config if from_config[key] != from_weights.get(key, from_config[key])
    ]
    if contradicted:
        key = contradicted[0]
        raise DataError(
            f"{path}: Expected {key} {from_weights[key]}, which the weights have. "
            f"Received: {from_config[key]}."
        )
    request = Request(original.model, original.preset, arguments={**from_weights, **from_config})
    settings = resolve(request, place, fresh)
    # One cycle of the steps has the paths and shapes of all of them, and needs less memory.
    steps = getattr(module, "STEPS", "k_glow")
    flow = build_flow(settings, **({steps: module.CYCLE} if module.CYCLE else {}))
    own = {**flow.get_config(), **({steps: settings["arguments"][steps]} if module.CYCLE else {})}
    own.pop("name")
    times = own[steps] // module.CYCLE if module.CYCLE else 1
    values = module.values_of(state, own)
    weights_by_path = {
        weight.path: LazyWeight(weight.path, str(weight.dtype), shape, values)
        for weight, shape in _stacked_shapes(flow, times)
    }
    with naming(path), _shapes_of(original):
        for weight in weights_by_path.values():
            np.asarray(weight)  # all are checked before anything is written
    imported = Imported(
        place,
        original,
        state.count,
        _found(weights),
        from_weights,
        from_config,
        {key: own[key] for key in original.unknown if key not in from_config},
    )
    facts = {"original": original.source, "file": path.name, "sha256": sha256(path)}
    settings = {
        **settings,
        "arguments": own,
        "data": _data(path, flow),
        "imported": facts,
    }
    with place.begin(settings, fresh):
        place.save(0, weights_by_path, {}, {"imported": facts})
        write_text(place.directory / CARD, card(imported, facts))
    return imported


@dataclasses.dataclass(frozen=True)
class LazyWeight:
    """A weight of a flow whose value is computed each time that it becomes an array.

    Attributes:
        path: its path.
        dtype: its type.
        shape: its shape.
        values: function from the path to the value.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    values: Callable[[str], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = checked(self.path, self.values(self.path), self.shape)
        return value.astype(dtype or self.dtype)


def _stacked_shapes(flow: "Flow", times: int) -> list[tuple[Any, tuple[int, ...]]]:
    """Return the weights of a flow, with their shapes if each `Repeat` had this number of steps."""
    from singlow.bijections import Repeat

    repeats = [layer for layer in flow._flatten_layers() if isinstance(layer, Repeat)]
    stacked = {id(weight) for layer in repeats for weight in layer.stacked}
    return [
        (weight, (times, *weight.shape[1:]) if id(weight) in stacked else tuple(weight.shape))
        for weight in flow.weights
    ]


@contextlib.contextmanager
def _shapes_of(original: Original) -> Iterator[None]:
    """Raise a `DataError` if arrays in the block have shapes with which numpy cannot compute.

    Raises:
        DataError: the shapes of the weights do not belong together.
    """
    try:
        yield
    except (ValueError, IndexError) as error:
        raise DataError(
            f"Expected weights of {original.source} whose shapes belong together. "
            f"Received: others ({error})."
        ) from error


def original_of(state: Mapping[str, Any]) -> Original:
    """Return the implementation that wrote a state.

    Raises:
        DataError: none of them did.
    """
    for original in ORIGINALS:
        if all(name in state for name in original.names):
            return original
    known = ", ".join(original.source for original in ORIGINALS)
    first = ", ".join(shown(name) for name in list(state)[:3])
    raise DataError(f"Expected the weights of {known}. Received: {len(state)} others: {first}, ...")


def _found(weights: Weights) -> str:
    place = f"under {weights.place}" if weights.place else "by themselves"
    return f"{place}, in a whole {shown(weights.kind)}" if weights.kind else place


def _settings_in(path: str | os.PathLike | None, original: Original) -> dict[str, Any]:
    """Read the arguments that a file of settings of an original determines.

    Raises:
        DataError: the file cannot be read, or its mels are not those of the preset.
    """
    if path is None:
        return {}
    path = Path(path).expanduser()
    settings = _flat(_read_settings(path))
    with naming(path):
        if original.model in ("waveglow", "glow_tts"):
            _check_mel(settings)
        known = original.settings
        found = {known[key]: value for key, value in settings.items() if key in known}
        kinds = {"sigmoid_scale": bool}
        wrong = [key for key, value in found.items() if type(value) is not kinds.get(key, int)]
        if wrong:
            kind = "true or false" if wrong[0] in kinds else "a whole number"
            raise DataError(f"Expected {wrong[0]} to be {kind}. Received: another value.")
        if not found:
            raise DataError(
                f"Expected settings of {original.source}, as {', '.join(known)}. "
                "Received: none of them."
            )
    accepted = {*original.unknown, "hop_length", "n_mels", "out_channels", "n_mel_channels"}
    return {key: value for key, value in found.items() if key in accepted}


def _read_settings(path: Path) -> Any:
    if path.suffix.lower() != ".json":
        content = read_checkpoint(path)
        return content.state if isinstance(content, Record) else content
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise DataError(f"{path}: Expected at most {_LARGEST_CONFIG} bytes. Received: more.")
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}).") from error


def _flat(settings: Any) -> dict[str, Any]:
    """Return settings by name, with those of the parts of a file."""
    if not isinstance(settings, dict):
        return {}
    parts = [value for value in settings.values() if isinstance(value, dict)]
    flat = {key: value for part in parts for key, value in part.items()}
    return {**flat, **{k: v for k, v in settings.items() if not isinstance(v, dict)}}


def _check_mel(settings: Mapping[str, Any]) -> None:
    """Check that a model has mels of the recipe `tacotron`, which has no other frequencies.

    Raises:
        DataError: it reads others.
    """
    from singlow.spectral import RECIPES

    recipe = RECIPES["tacotron"]
    length = settings.get("filter_length", recipe.n_fft)
    expected = {"win_length": length, "mel_fmin": recipe.low, "mel_fmax": recipe.high}
    for key, value in expected.items():
        if settings.get(key, value) != value:
            raise DataError(f"Expected {key} {value:g}. Received: {str(settings[key])[:40]}.")


def _data(path: Path, flow: "Flow") -> dict[str, Any]:
    """Return the settings of the data of a run, which are not known; speakers are numbered."""
    data = {"dataset": str(path.absolute()), "layout": "auto"}
    if "speaker" in flow.inputs:
        data["singers"] = [str(number) for number in range(flow.inputs["speaker"].size)]
    return data


def card(imported: Imported, facts: Mapping[str, Any]) -> str:
    """Return the text of the model card of an imported run, in Markdown."""
    original = imported.original
    lines = [
        f"# {imported.run.name}",
        "",
        f"Weights of a model of [{original.source}](https://github.com/{original.source}), "
        "imported by singlow.",
        "",
        f"- File: `{facts['file']}`, SHA-256 `{facts['sha256']}`",
        f"- Weights: {imported.count:,} values, {imported.found}",
        f"- Model: `{original.model}` with the arguments of `{original.preset}`",
        f"- From the shapes of the weights: {_listed(imported.from_weights)}",
        f"- From its settings: {_listed(imported.from_config)}",
        f"- As published, since no settings were given: {_listed(imported.assumed)}",
        "",
        "The state of its optimizer was not imported. The licence of the weights is that of "
        "whoever published them.",
    ]
    return "\n".join(lines) + "\n"


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in arguments.items()) or "nothing"
