"""Measure how much audio data_loader.py prepares per minute, and how much soundfile decodes.

    python3 benchmarks/prepare.py [FOLDER ...] [--runs 5]

Without a folder, an hour of songs is synthesised: 44.1 kHz stereo as wav, flac, ogg and mp3.
The table is printed in Markdown. A run of data_loader.py is measured from start to exit: it starts
Python and the workers, decodes, checks, resamples to 16 kHz mono, splits and writes shards.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
WORKERS = (1, 2)
sys.path.insert(0, str(ROOT))


def make_songs(folder: Path, songs: int = 5, copies: int = 3, rate: int = 44100) -> Path:
    """Write songs of one minute and copies of them in each format, and return the folder."""
    time = np.arange(60 * rate) / rate
    for song in range(songs):
        rng = np.random.default_rng(song)
        pitch = 2 * np.pi * np.cumsum(200 + 30 * np.sin(time + song)) / rate
        voice = sum(np.sin(k * pitch) / k for k in range(1, 12))
        sound = 0.2 * voice[:, None] + 0.01 * rng.standard_normal((len(time), 2))
        for form in ("wav", "flac", "ogg", "mp3"):
            path = folder / form / f"song{song}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with soundfile.SoundFile(path, "w", rate, 2, format=form.upper()) as file:
                for start in range(0, len(sound), rate):
                    file.write(sound[start : start + rate])
            for copy in range(1, copies):
                shutil.copy(path, path.with_stem(f"song{song}-{copy}"))
    return folder


def seconds(job: Callable[[], None]) -> float:
    """Return the time that a job takes, in seconds."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def measure(source: Path, runs: int) -> tuple[float, np.ndarray]:
    """Return the hours of audio in `source` and the hours per minute of three jobs, `(runs, 3)`.

    The jobs are decoding, one worker and two workers. They alternate, so that other load of the
    machine affects all of them.
    """
    from singlow.data.sources.layouts import find_clips

    paths = [clip.path for clip in find_clips([source])[0]]
    hours = sum(soundfile.info(path).duration for path in paths) / 3600

    def decode() -> None:
        for path in paths:
            soundfile.read(path, dtype="float32")

    def prepare(workers: int) -> Callable[[], None]:
        def job() -> None:
            with tempfile.TemporaryDirectory() as out:
                command = [sys.executable, str(ROOT / "data_loader.py"), str(source)]
                command += ["--out", out, "--workers", str(workers)]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        return job

    jobs = [decode, *map(prepare, WORKERS)]
    decode()
    return hours, hours * 60 / np.array([[seconds(job) for job in jobs] for _ in range(runs)])


def main() -> None:
    """Measure the folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--runs", type=int, default=5, help="timed rounds, whose medians are printed"
    )
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores; hours of audio per minute, medians of {options.runs} rounds\n")
    print("| audio | hours | soundfile alone | 1 worker | 2 workers | 2 : 1 | 2 : soundfile |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for source in options.folders or [make_songs(Path(scratch) / "songs")]:
            hours, rates = measure(source, options.runs)
            bare, one, two = rates.T
            columns = [bare, one, two, two / one, two / bare]
            cells = [f"{np.median(column):.2f}" for column in columns]
            print(f"| {source.name} | {hours:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
