"""Write the files in `tests/checkpoint_files` with PyTorch: `python -m tests.make_torch_files`.

They were written by PyTorch 2.14; the tests know the values, so they need no PyTorch.
"""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

FOLDER = Path(__file__).parent / "checkpoint_files"
TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")


class Voice(torch.nn.Module):
    """A module with what the modules of the originals consist of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.utils.weight_norm(torch.nn.Conv1d(2, 3, 3))
        self.norm = torch.nn.BatchNorm1d(3)
        self.lstm = torch.nn.LSTM(3, 2, bidirectional=True)
        self.parts = torch.nn.ModuleList([torch.nn.Embedding(4, 2), torch.nn.LayerNorm([2])])
        self.activation = torch.nn.functional.relu
        self.sizes = torch.Size([2, 3])
        self.names = {"one", "two"}
        self.register_buffer("scratch", torch.zeros(2), persistent=False)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    """Set the weights, in the order of their names, to 0, 1/8, 2/8 and so on."""
    state, start = module.state_dict(), 0
    for name in sorted(state):
        count = state[name].numel()
        values = (start + torch.arange(count)) / 8
        state[name].copy_(values.reshape(state[name].shape).to(state[name].dtype))
        start += count
    return module


def tensors() -> dict[str, Any]:
    """Tensors of every type, views of one storage, and the values that checkpoints also hold."""
    base = torch.arange(24, dtype=torch.float32)
    result = {kind: torch.arange(5).to(getattr(torch, kind)) for kind in TYPES}
    return {
        **result,
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "base": base,
        "part": base[4:10],
        "turned": base.reshape(4, 6).T,
        "sliced": base.reshape(4, 6)[1:, ::2],
        "parameter": torch.nn.Parameter(base.reshape(2, 12)[1]),
        "rate": np.float64(0.25),
        "steps": np.int64(7),
        "plain": [1, (2.5, None), {"x": True}, {3}, "grüße", 2**40, -1],
        "bytes": b"\x00\xff",
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    model = filled(Voice())
    optimizer = torch.optim.Adam(model.parameters())
    parallel = torch.nn.DataParallel(model)
    contents = {
        "module": {"model": model, "iteration": 5, "optimizer": optimizer.state_dict()},
        "parallel": parallel,
        "state": {"state_dict": parallel.state_dict(), "learning_rate": np.float64(1e-4)},
        "tensors": tensors(),
    }
    # The older form includes the source of each class; a short text stands for it here.
    source = (["class Anything: ...\n"], 1, "anything.py")
    for name, content in contents.items():
        torch.save(content, FOLDER / f"{name}.pt")
        with mock.patch("torch.serialization.get_source_lines_and_file", return_value=source):
            torch.save(content, FOLDER / f"{name}-old.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
