"""Files of enrolled voices: safetensors files with an embedding and metadata."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np

from singlow.errors import DataError, UsageError
from singlow.files import atomic_write
from singlow.names import normal, shown
from singlow.runs.tensors import read_tensors

FOLDER, SUFFIX = "voices", ".safetensors"
FORMAT, VERSION = "singlow-voice", 1
_KEY = "singlow"
_LARGEST = 1 << 22
_LONGEST = 200  # largest size in bytes of a file name without its suffix
_UNSAFE = re.compile(r'^\.|[%/\\<>:"|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|[. ]$')


@dataclass(frozen=True)
class Voice:
    """An embedding that was fitted to recordings of one speaker.

    Attributes:
        embedding: `(embedding_size,)` float32.
        fingerprint: fingerprint of the weights that the embedding was fitted with.
        sources: file names of the recordings.
        seconds: duration of the sound that the embedding was fitted to.
        before: the metric, in bits per sample, of held-out excerpts under the initial embedding.
        after: the same metric under this embedding.
    """

    embedding: np.ndarray
    fingerprint: str
    sources: tuple[str, ...]
    seconds: float
    before: float
    after: float


def voice_path(folder: Path, name: str) -> Path:
    """Return the path of the voice with this name; `voice_name` is the inverse.

    A name may be any text. Characters that some file systems do not allow in a file name are
    percent-encoded, as in URLs.

    Raises:
        UsageError: the name is empty or too long for a file name.
    """
    try:
        stem = _UNSAFE.sub(lambda match: _quoted(match[0]), normal(name))
    except UnicodeEncodeError:  # half of a surrogate pair, which no file name can contain
        stem = ""
    if not 0 < len(stem.encode()) <= _LONGEST:
        raise UsageError(
            f"Expected a name that fits into a file name: 1 to {_LONGEST} bytes. "
            f"Received: {shown(name[:80]) or 'an empty name'}."
        )
    return folder / f"{stem}{SUFFIX}"


def voice_name(path: Path) -> str | None:
    """Return the name of the voice in a file; `None` if the file is not named like a voice."""
    stem = normal(path.name.removesuffix(SUFFIX))
    name = re.sub("(?:%[0-9A-F]{2})+", lambda match: _unquoted(match[0]), stem)
    try:
        return name if voice_path(path.parent, name).name == stem + SUFFIX else None
    except UsageError:
        return None


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def write_voice(path: Path, voice: Voice) -> None:
    """Write a voice atomically; its folder is created if it is missing."""
    from safetensors.numpy import save

    facts = {key: value for key, value in asdict(voice).items() if key != "embedding"}
    text = json.dumps({"format": FORMAT, "version": VERSION, **facts})
    embedding = np.ascontiguousarray(voice.embedding, np.float32)
    content = save({"embedding": embedding}, metadata={_KEY: text})
    with atomic_write(path) as file:
        file.write(content)


def read_voice(path: Path, size: int) -> Voice:
    """Read a voice and check every value; nothing in the file is executed.

    Args:
        path: path of the file.
        size: number of features of the run's embeddings.

    Raises:
        DataError: the file is damaged, belongs to another model, or is not a voice.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path}: Expected at most {_LARGEST} bytes. Received: a larger file.")
        embedding = read_tensors(path, {"embedding": ("float32", (size,))})["embedding"]
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, ""))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError, SafetensorError):
        raise DataError(f"{path}: Expected a voice. Received: a file without its facts.") from None
    if not np.isfinite(embedding).all():
        raise DataError(f"{path}: Expected a finite embedding. Received: NaN or infinite values.")
    _check(path, facts)
    sources = tuple(facts["sources"])
    numbers = {key: facts[key] for key in ("seconds", "before", "after")}
    return Voice(embedding, facts["fingerprint"], sources, **numbers)


def _check(path: Path, facts: Any) -> None:
    if not isinstance(facts, Mapping) or facts.get("format") != FORMAT:
        raise DataError(f"{path}: Expected the format {FORMAT}. Received: another one.")
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
