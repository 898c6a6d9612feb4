"""The worker process that decodes files for a build: `python3 -c "...; worker.main()" PART`.

A file may crash or hang the decoder, or exhaust the memory. Files are therefore decoded in separate
processes with limits on memory and time. A worker reads one line of JSON for each file from its
standard input. It writes "." for progress, and one line of JSON for each result, to its standard
output. It appends the decoded samples, as records, to the file PART.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TextIO

import numpy as np

from singlow.audio import (
    FULL_SCALE,
    AudioError,
    load_audio,
    normalize,
    quantize,
    root_mean_square,
)
from singlow.data.store.records import frame, write_example
from singlow.errors import warn

MEMORY = 4 << 30
CPU_SECONDS = 1800
SILENCE = -60.0


def prepare_audio(
    job: dict[str, Any],
    beat: Callable[[], None] | None = None,
    report: Callable[[str], None] = warn,
) -> np.ndarray:
    """Decode a file and return its samples as a dataset stores them, int16 `(time, channels)`.

    Args:
        job: `path`, `sample_rate` in Hz, `channels` and `loudness` (rms in dBFS, or None).
        beat: called repeatedly to signal progress.
        report: receives one line for each irregularity of the file that does not prevent its use.

    Raises:
        AudioError: the file cannot be read, or is silent.
    """
    audio, _ = load_audio(job["path"], job["sample_rate"], job["channels"], beat, report)
    rms = root_mean_square(audio)
    if rms < 10 ** (SILENCE / 20):
        loudness = f"{20 * np.log10(rms):.0f} dBFS" if rms > 0 else "nothing but zeros"
        raise AudioError(job["path"], f"silent: {loudness}, expected at least {SILENCE:.0f} dBFS")
    stored = quantize(normalize(audio, job["loudness"]))
    if job["loudness"] is not None and not stored.any():
        reason = f"silent at {job['loudness']} dBFS and 1/{FULL_SCALE} a step"
        raise AudioError(job["path"], reason)
    return stored


def stage(
    part: BinaryIO, key: str, outcome: np.ndarray | str, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Append the result of a file, its samples or the reason of a failure, to a part file.

    Args:
        part: the file, open for appending.
        key: identifies the recording and the settings.
        outcome: samples, int16 `(time, channels)`, or the reason why the file is rejected.
        notes: lines about the file for the user.

    Returns:
        A dictionary with `key`, `notes`, the `offset` of the record in bytes, and either `frames`
        and `content` of the samples or the `reason`.
    """
    offset = part.tell()
    if isinstance(outcome, str):
        features = result = {"reason": outcome}
    else:
        audio = outcome.astype("<i2", copy=False).tobytes()
        content = hashlib.blake2b(audio, digest_size=16).hexdigest()
        features = {"audio": audio, "length": len(outcome), "content": content}
        result = {"frames": len(outcome), "content": content}
    text = "\n".join(notes)
    part.write(frame(write_example({"key": key, "notes": text, **features})))
    part.flush()
    return {"key": key, "notes": text, "offset": offset, **result}


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = int(time.process_time())
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (used + CPU_SECONDS, hard))


def _outcome(job: dict[str, Any], answers: TextIO, notes: list[str]) -> np.ndarray | str:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > 0.5:
            last = time.monotonic()
            print(".", file=answers, flush=True)

    try:
        return prepare_audio(job, beat, notes.append)
    except AudioError as error:
        return error.reason
    except MemoryError:
        return "too long: it does not fit the memory allowed for it"
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"


def main() -> None:
    """Decode the files that the standard input lists, until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_memory()
    print(".", file=answers, flush=True)
    try:
        with open(sys.argv[1], "ab") as part:
            for line in sys.stdin:
                _limit_time()
                job, notes = json.loads(line), []
                outcome = _outcome(job, answers, notes)
                print(".", file=answers, flush=True)
                result = stage(part, job["key"], outcome, notes)
                print(json.dumps(result), file=answers, flush=True)
    except OSError as error:
        fatal = {"errno": error.errno, "fatal": error.strerror or str(error)}
        print(json.dumps(fatal), file=answers, flush=True)
