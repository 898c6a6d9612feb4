"""The process that decodes files for a build: `python3 -c "...; worker.main()" PART`.

A file may crash or hang a decoder, or fill the memory, so it is opened here and not in the process
of the user. Lines of JSON come in, one per file; lines go out: "." for progress, JSON for an
outcome. Decoded samples are appended, as records, to the file PART.
"""

import contextlib
import json
import os
import sys
import time
from typing import Any, BinaryIO, TextIO

import numpy as np

from singlow.audio import FULL_SCALE, AudioError, level, load_audio, quantize, root_mean_square
from singlow.data.store.example import write_example
from singlow.data.store.records import frame

MEMORY = 4 << 30
CPU_SECONDS = 1800
SILENCE = -60.0


def prepare_audio(job: dict[str, Any], beat: Any = None) -> np.ndarray:
    """A file as the int16 `(time, channels)` that is stored.

    Args:
        job: `path`, `sample_rate`, `channels` and `level` (rms in dBFS or None).
        beat: called now and then.

    Raises:
        AudioError: it cannot be read, or is silent.
    """
    audio, _ = load_audio(job["path"], job["sample_rate"], job["channels"], beat)
    rms = root_mean_square(audio)
    if rms < 10 ** (SILENCE / 20):
        loud = f"{20 * np.log10(rms):.0f} dBFS" if rms > 0 else "nothing but zeros"
        raise AudioError(job["path"], f"silent: {loud}, expected at least {SILENCE:.0f} dBFS")
    stored = quantize(level(audio, job["level"]))
    if job["level"] is not None and not stored.any():
        raise AudioError(job["path"], f"silent at {job['level']} dBFS and 1/{FULL_SCALE} a step")
    return stored


def stage(part: BinaryIO, key: str, outcome: np.ndarray | str) -> dict[str, Any]:
    """Append samples, or the reason for having none, to a part file; say where they lie."""
    offset = part.tell()
    if isinstance(outcome, str):
        features, found = {"reason": outcome}, {"reason": outcome}
    else:
        audio = outcome.astype("<i2", copy=False).tobytes()
        features, found = {"audio": audio, "length": len(outcome)}, {"frames": len(outcome)}
    part.write(frame(write_example({"key": key, **features})))
    part.flush()
    return {"key": key, "offset": offset, **found}


def _limit() -> None:
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


def _outcome(job: dict[str, Any], answers: TextIO) -> np.ndarray | str:
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > 0.5:
            last = time.monotonic()
            print(".", file=answers, flush=True)

    try:
        return prepare_audio(job, beat)
    except AudioError as error:
        return error.reason
    except MemoryError:
        return "too long: it does not fit the memory allowed for it"
    except Exception as error:
        return f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())}"


def main() -> None:
    """Serve files until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit()
    print(".", file=answers, flush=True)
    try:
        with open(sys.argv[1], "ab") as part:
            for line in sys.stdin:
                _limit_time()
                job = json.loads(line)
                outcome = _outcome(job, answers)
                print(".", file=answers, flush=True)
                found = stage(part, job["key"], outcome)
                print(json.dumps(found), file=answers, flush=True)
    except OSError as error:
        fatal = {"errno": error.errno, "fatal": error.strerror or str(error)}
        print(json.dumps(fatal), file=answers, flush=True)
