"""Train in forked processes that tests kill; TensorFlow is imported only once, before the forks.

Each line of stdin is a JSON object with the working `directory`, the `flags` of train.py, and
optionally `kill_at_sync`: the training kills itself at this synchronisation with the disk, counted
while a checkpoint is written. The script prints the process id and, at the end, the exit code. Each
training step appends a line to `steps.txt` in the directory.
"""

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import matplotlib.backends.backend_agg  # noqa: F401
import tensorboardX  # noqa: F401

import singlow.commands.flags
import singlow.commands.train
import singlow.data.prepare.build
import singlow.evaluation.likelihood
import singlow.models.registry
import singlow.training.callbacks  # noqa: F401


def train(task: dict) -> None:
    """Run train.py in this process, which kills itself at the synchronisation `kill_at_sync`."""
    import train as script
    from singlow import files, pictures
    from singlow.errors import run_command
    from singlow.runs import tensors
    from singlow.training.callbacks import Guard
    from tests.songs import blank

    pictures.spectrogram = blank
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    os.chdir(task["directory"])
    output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    steps = os.open("steps.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ended = Guard.on_train_batch_end

    def counted(self: Guard, batch: int, logs: dict | None = None) -> None:
        ended(self, batch, logs)
        os.write(steps, b"step\n")

    Guard.on_train_batch_end = counted
    writes = 0

    def sync(descriptor: int) -> None:
        nonlocal writes
        if list(Path("checkpoints").glob("*/.tmp-epoch-*")):
            writes += 1
        if writes == task.get("kill_at_sync"):
            os.kill(os.getpid(), signal.SIGKILL)

    files.sync = tensors.sync = sync
    sys.argv = ["train.py", *task["flags"]]
    run_command(script.main)


def main() -> None:
    """Run tasks from stdin until it ends."""
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                train(task)
            except SystemExit as error:
                code = int(error.code or 0)
            except BaseException:
                import traceback

                traceback.print_exc()
            os._exit(code)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    assert keras.backend.backend() == "tensorflow"
    main()
