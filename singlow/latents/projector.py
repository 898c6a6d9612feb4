"""Pooled latents for TensorBoard's projector.

Keras's `embeddings_freq` writes nothing that TensorBoard shows under Keras 3
(https://github.com/keras-team/keras/issues/20210), so the files are written here, their paths
relative to the configuration, as TensorBoard demands since 2.21.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from singlow.files import write_text
from singlow.latents.pool import Points

CONFIG, METADATA = "projector_config.pbtxt", "metadata.tsv"


def write_projector(folder: Path, points: Points, tensors: Mapping[str, np.ndarray]) -> None:
    """Write `projector_config.pbtxt`, `metadata.tsv` and a file of numbers for every tensor.

    Args:
        folder: below the one that `tensorboard --logdir` is given, with events in it, or that one.
        points: whose labels are shown.
        tensors: `(points, features)`, by a name of letters, digits and `_`.
    """
    columns = {"singer": points.singers, "style": points.styles, "recording": points.ids}
    lines = ["\t".join(columns), *("\t".join(row) for row in zip(*columns.values(), strict=True))]
    write_text(folder / METADATA, "\n".join(lines) + "\n")
    entries = []
    for name, values in tensors.items():
        rows = ("\t".join(f"{value:.6g}" for value in row) for row in values)
        write_text(folder / f"{name}.tsv", "\n".join(rows) + "\n")
        entries.append(
            "embeddings {\n"
            f'  tensor_name: "{name}"\n'
            f'  tensor_path: "{name}.tsv"\n'
            f'  metadata_path: "{METADATA}"\n'
            "}\n"
        )
    write_text(folder / CONFIG, "".join(entries))
