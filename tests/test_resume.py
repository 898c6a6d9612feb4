"""A run that is killed at any moment and resumed gives the same bits as an unbroken one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
from safetensors.numpy import load_file

from tests.songs import TINY, write_songs

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND") == "jax", reason="the killed trainer runs on TensorFlow"
)
STEPS, EPOCHS = 4, 3
KILLED = -signal.SIGKILL


class Trainer:
    """Train in forked processes that are killed at a step or during a write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        songs = write_songs(folder / "songs", seconds=0.2)
        more = ["--set", "dropout=0.1", "--epochs", f"{EPOCHS}", "--steps_per_epoch", f"{STEPS}"]
        self.flags = [*TINY, *more, "--dataset", str(songs), "--run", "t"]
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("trainer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(
        self,
        directory: str,
        kill_after: int | None = None,
        sent: signal.Signals = signal.SIGKILL,
        delay: float = 0.0,
        **traps: int,
    ) -> int:
        """Train in `directory` and return the exit code.

        Args:
            directory: folder for checkpoints/ and logs/, in the trainer's folder.
            kill_after: the step after which to send a signal.
            sent: the signal that is sent.
            delay: seconds between the step and the signal.
            traps: other entries of the task, such as `kill_at_sync`.
        """
        place = self.folder / directory
        place.mkdir(exist_ok=True)
        steps = place / "steps.txt"
        steps.write_text("")
        task = {"directory": str(place), "flags": self.flags, **traps}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        child = json.loads(self.process.stdout.readline())["pid"]
        if kill_after is not None:
            until = time.monotonic() + 120
            while len(steps.read_text().splitlines()) < kill_after:
                assert time.monotonic() < until, self.output(directory)
                time.sleep(0.002)
            time.sleep(delay)
            os.kill(child, sent)
        return json.loads(self.process.stdout.readline())["code"]

    def output(self, directory: str) -> str:
        return (self.folder / directory / "output.txt").read_text()

    def result(self, directory: str) -> dict[str, bytes]:
        """Return the bytes of every tensor in the last checkpoint, by name."""
        newest = self.folder / directory / "checkpoints" / "t" / f"epoch-{EPOCHS:04d}"
        return {
            f"{file}:{name}": tensor.tobytes()
            for file in ("model.safetensors", "state.safetensors")
            for name, tensor in load_file(newest / file).items()
        }


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    trainer = Trainer(tmp_path_factory.mktemp("resume"))
    assert trainer.run("unbroken") == 0, trainer.output("unbroken")
    yield trainer
    trainer.process.communicate(timeout=30)


def check_same(trainer: Trainer, directory: str) -> None:
    expected, received = trainer.result("unbroken"), trainer.result(directory)
    assert expected.keys() == received.keys()
    assert [name for name in expected if expected[name] != received[name]] == []
    assert any("adam" in name for name in expected)
    assert any("seed" in name for name in expected)


def test_three_kills_and_two_stops_change_nothing(trainer):
    """The process is killed in an epoch, while it writes a checkpoint, and after that."""
    assert trainer.run("killed", kill_after=1, sent=signal.SIGINT) == 5
    assert "nothing is saved yet" in trainer.output("killed")
    assert trainer.run("killed", kill_after=STEPS + 2) == KILLED
    assert trainer.run("killed", kill_at_sync=2) == KILLED  # between two files of the checkpoint
    left = list((trainer.folder / "killed" / "checkpoints" / "t").glob(".tmp-*"))
    assert left
    delay = random.Random(0).uniform(0, 0.2)
    assert trainer.run("killed", kill_after=STEPS, delay=delay) == KILLED
    assert not left[0].exists()
    trainer.flags, kept = ["--run", "t"], trainer.flags
    try:
        assert trainer.run("killed", kill_after=1, sent=signal.SIGTERM) == 5
        last = trainer.output("killed").splitlines()[-1]
        assert last.startswith("Interrupted; epoch ")
        assert last.endswith(f"of {EPOCHS} is saved. Go on with: python3 train.py --run t")
        assert trainer.run("killed") == 0, trainer.output("killed")
    finally:
        trainer.flags = kept
    check_same(trainer, "killed")


def test_events_of_a_resumed_run_are_there_once(trainer):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for series in ("train", "validation"):
        events = accumulator.EventAccumulator(
            str(trainer.folder / "killed" / "logs" / "t" / series)
        ).Reload()
        steps = [event.step for event in events.Scalars("bits_per_sample")]
        assert steps == [STEPS * (epoch + 1) for epoch in range(EPOCHS)]


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(trainer):
    moments = random.Random(1)
    ends = []
    for _ in range(10):
        if moments.random() < 0.4:
            ends.append(trainer.run("often", kill_at_sync=moments.randrange(1, 9)))
        else:
            ends.append(
                trainer.run(
                    "often",
                    kill_after=moments.randrange(1, STEPS + 1),
                    delay=moments.uniform(0, 0.2),
                )
            )
    assert all(end in (KILLED, 0) for end in ends), trainer.output("often")
    assert trainer.run("often") == 0, trainer.output("often")
    check_same(trainer, "often")
