"""An enrolled voice as a file: a safetensors file of one embedding and what is known of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.files import atomic_write
from singlow.runs.tensors import read_tensors

FOLDER, SUFFIX = "voices", ".safetensors"
FORMAT, VERSION = "singlow-voice", 1
_KEY = "singlow"
_LARGEST = 1 << 22


@dataclass(frozen=True)
class Voice:
    """A voice fitted to recordings.

    Attributes:
        embedding: `(embedding_size,)` float32.
        fingerprint: of the weights it was fitted for.
        sources: names of the recordings.
        seconds: of sound that it was fitted to.
        before: bits per sample of what was held out of them, under the best trained embedding.
        after: the same under this one.
    """

    embedding: np.ndarray
    fingerprint: str
    sources: tuple[str, ...]
    seconds: float
    before: float
    after: float


def write_voice(path: Path, voice: Voice) -> None:
    """Write a voice, whole or not at all; its folder is made if need be."""
    from safetensors.numpy import save

    facts = {key: value for key, value in asdict(voice).items() if key != "embedding"}
    text = json.dumps({"format": FORMAT, "version": VERSION, **facts})
    embedding = np.ascontiguousarray(voice.embedding, np.float32)
    content = save({"embedding": embedding}, metadata={_KEY: text})
    with atomic_write(path) as file:
        file.write(content)


def read_voice(path: Path, size: int) -> Voice:
    """Read a voice; nothing in it is executed, everything is checked.

    Args:
        path: of the file.
        size: of the run's embeddings.

    Raises:
        DataError: the file is damaged, of another model, or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: larger than any voice.")
        embedding = read_tensors(path, {"embedding": ("float32", (size,))})["embedding"]
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, ""))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError, SafetensorError):
        raise DataError(f"{path}: not a voice of singlow's: it does not say what it is.") from None
    if not np.isfinite(embedding).all():
        raise DataError(f"{path}: Expected a finite embedding. Received: NaN or infinite.")
    _check(path, facts)
    sources = tuple(facts["sources"])
    numbers = {key: facts[key] for key in ("seconds", "before", "after")}
    return Voice(embedding, facts["fingerprint"], sources, **numbers)


def _check(path: Path, facts: Any) -> None:
    if not isinstance(facts, Mapping) or facts.get("format") != FORMAT:
        raise DataError(f"{path}: Expected the format {FORMAT}. Received: something else.")
    if facts.get("version") != VERSION:
        raise DataError(
            f"{path}: Expected version {VERSION} of {FORMAT}. "
            f"Received: {str(facts.get('version'))[:40]}."
        )
    numbers = (facts.get(key) for key in ("seconds", "before", "after"))
    sources = facts.get("sources")
    fits = isinstance(facts.get("fingerprint"), str) and isinstance(sources, list)
    fits = fits and all(isinstance(source, str) for source in sources)
    if not fits or not all(type(n) is float and math.isfinite(n) for n in numbers):
        raise DataError(
            f"{path}: Expected fingerprint, sources, seconds, before and after. "
            "Received: others; enroll the voice again with --fresh."
        )
