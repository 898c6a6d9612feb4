"""Report on whether latents separate singers and styles: figures, a picture, TensorBoard files."""

import contextlib
import functools
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlow.data.feed.recordings import (
    Recording,
    find_recordings,
    label,
    read_recordings,
    spread,
    texts_as_styles,
)
from singlow.data.sources.pictures import find_pictures
from singlow.data.store.dataset import INFO, SPLITS, Clips, read_info, singer_names
from singlow.errors import DataError, UsageError, warn
from singlow.files import write_text
from singlow.latents.pictures import is_of_images, pool_pictures
from singlow.latents.planes import draw_planes, project_points
from singlow.latents.pool import LEAST_RECORDINGS, LEAST_SINGERS, Points, pool_recordings
from singlow.latents.probe import centre
from singlow.latents.separation import Separation, plural, separate, standardised
from singlow.names import shown
from singlow.pictures import decode_picture, squared, write_picture
from singlow.progress import Report, progress
from singlow.runs.data import prepare_data
from singlow.runs.events import EventLog
from singlow.runs.opening import open_run, require_no_inputs

if TYPE_CHECKING:
    from singlow.runs.opening import TrainedRun

PathLike = str | os.PathLike
PICTURE, FIGURES = "latents.png", "figures.json"
CONFIG, METADATA = "projector_config.pbtxt", "metadata.tsv"
MOST, SHORTEST, LONGEST = 20000, 0.1, 3600.0  # recordings; seconds of a stretch


@dataclass(frozen=True)
class Projected:
    """The result of `project`.

    Attributes:
        title: title of the picture, which describes the run and its recordings.
        points: the pooled latents.
        separation: figures of how well the latents separate singers and styles.
        picture: path of the picture.
        figures: path of the JSON file with the figures.
    """

    title: str
    points: Points
    separation: Separation
    picture: Path
    figures: Path


def project(
    run: "TrainedRun | PathLike",
    clips: Sequence[str] = (),
    output: PathLike | None = None,
    labels: str | None = None,
    split: str = "all",
    limit: int = 1000,
    seconds: float = 5.0,
    seed: int = 0,
    data_dir: PathLike | None = None,
    report: Report = warn,
) -> Projected:
    """Measure whether a run's latents separate singers or styles; write figures and a picture.

    TensorBoard can open the folder and show the points in its projector.

    Args:
        run: a trained run, its name under checkpoints/ or its path.
        clips: recordings or folders, with the layouts of training data and `LABEL=SRC`; or one
            folder with `dataset_info.json`. When empty, the run's own data is used. For a run of
            images, pictures or folders of them.
        output: folder for the results; `latents` in the run's folder of logs when None.
        labels: pattern that extracts labels from file names, such as `"{style}_{singer}_{take}"`.
        split: part of the run's own data to use: "all", "train" or "validation".
        limit: largest number of recordings; they are spread evenly over the singers.
        seconds: length of the stretches over which latents are pooled.
        seed: random seed for choosing recordings, for the folds and for shuffling labels.
        data_dir: folder for the records of the run's data; beside the recordings when None.
        report: function that receives a message about each recording or singer that is left out.

    Raises:
        UsageError: an argument is out of range, or the run has inputs that a recording does not
            determine.
        DataError: there are too few recordings, or the recordings cannot be used.
    """
    check_options(clips, split, limit, seconds, seed)
    opened = open_run(run)
    folder = Path(output) if output is not None else default_folder(opened.run.logs)
    if is_of_images(opened):
        points = _pictures(opened, clips, labels, split, limit, seed, data_dir, report)
        return _write(opened, points, folder, seed)
    if set(opened.flow.inputs) - set(opened.flow.derived):
        require_no_inputs(opened, "use a run without inputs")
    if clips:
        recordings = _read_clips(opened, clips, report)
    else:
        config = prepare_data(opened.config, data_dir and Path(data_dir))
        splits = SPLITS if split == "all" else (split,)
        recordings = read_recordings(config["data"]["directory"], splits)
    recordings = texts_as_styles(recordings if labels is None else label(recordings, labels))
    chosen = spread(recordings, limit, seed)
    with progress("Encoding", len(chosen)) as advance:
        points = pool_recordings(opened.coder, chosen, seconds, report, advance)
    return _write(opened, points, folder, seed)


def _write(opened: "TrainedRun", points: Points, folder: Path, seed: int) -> Projected:
    """Measure how well points are separated, and write the figures and the pictures."""
    separation = separate(points, seed)
    label, point = points.words
    title = (
        f"{'Pooled l' if point == 'recording' else 'L'}atents of {opened.name}, epoch "
        f"{opened.checkpoint.epoch}: {len(set(points.ids))} {point}s, "
        f"{len(set(points.singers))} {plural(label)}"
    )
    picture, figures = folder / PICTURE, folder / FIGURES
    image = _draw(points, separation, title, seed)
    write_picture(picture, image)
    write_text(figures, json.dumps({"title": title, **separation.as_dict()}, indent=1) + "\n")
    centred = centre(points.values, points.singers)
    tensors = {"latents": points.values, "latents_without_singers_means": centred}
    write_projector(folder, points, {name: standardised(x) for name, x in tensors.items()})
    # TensorBoard looks for the projector's files only in folders with events.
    with contextlib.closing(EventLog(folder)) as log:
        log.image("latents", image, opened.checkpoint.epoch)
        log.text("answer", separation.answer(), opened.checkpoint.epoch)
    return Projected(title, points, separation, picture, figures)


def _pictures(
    run: "TrainedRun",
    clips: Sequence[str],
    labels: str | None,
    split: str,
    limit: int,
    seed: int,
    data_dir: PathLike | None,
    report: Report,
) -> Points:
    """Return the latents of the run's own pictures, or of pictures in folders, as points.

    Raises:
        UsageError: `labels` is given.
        DataError: there are fewer than two classes of at least four pictures.
    """
    if labels is not None:
        raise UsageError(
            f'Expected no labels for pictures, whose classes are folders. Received: "{labels}".'
        )
    if clips and not (len(clips) == 1 and (Path(clips[0]) / INFO).is_file()):
        found = [
            Recording(c.id, c.singer, "", "", functools.partial(_pixels, run, c.path))
            for c in find_pictures(clips, report)[0]
        ]
    else:
        own = prepare_data(run.config, data_dir and Path(data_dir), signal=run.flow.signal)
        directory = Path(clips[0] if clips else own["data"]["directory"])
        found = _stored_pictures(directory, SPLITS if split == "all" else (split,))
    pixels, used = [], []
    for recording in spread(found, limit, seed):
        try:
            pixels.append(recording.read())
            used.append(recording)
        except DataError as error:
            report(f"Left out: {error}")
    counts = Counter(recording.singer for recording in used)
    few = [name for name, count in counts.items() if count < LEAST_RECORDINGS]
    if len(counts) - len(few) < LEAST_SINGERS:
        raise DataError(
            f"Expected at least {LEAST_SINGERS} classes of {LEAST_RECORDINGS} pictures each. "
            f"Received: {', '.join(f'{shown(n)} {c}' for n, c in counts.items())[:200] or 'none'}."
        )
    for name in few:
        report(f"Left out: class {shown(name)}: {counts[name]} picture(s).")
    kept = [index for index, recording in enumerate(used) if recording.singer not in few]
    names, ids = zip(*((used[index].singer, used[index].id) for index in kept), strict=True)
    return pool_pictures(run, np.stack([pixels[index] for index in kept]), names, ids)


def _pixels(run: "TrainedRun", path: Path) -> np.ndarray:
    signal = run.flow.signal
    return squared(decode_picture(path, signal.channels), signal.height)


def _stored_pictures(directory: Path, splits: Sequence[str]) -> list[Recording]:
    """Return the pictures of a dataset; their `read` returns pixels."""
    info = read_info(directory)
    names, found = singer_names(info), []
    for part in splits:
        stored = Clips(directory, info, part)
        found += [
            Recording(
                entry.id, names[entry.singer], "", "", functools.partial(stored.samples, index)
            )
            for index, entry in enumerate(stored.entries)
        ]
    return found


def check_options(clips: Sequence[str], split: str, limit: int, seconds: float, seed: int) -> None:
    """Check the options of `project`.

    Raises:
        UsageError: an option is out of range or excluded by another.
    """
    if split not in ("all", *SPLITS):
        raise UsageError(f"Expected split in all, {', '.join(SPLITS)}. Received: {split}.")
    if not 1 <= limit <= MOST:
        raise UsageError(f"Expected limit from 1 to {MOST}. Received: {limit}.")
    if not SHORTEST <= seconds <= LONGEST:
        raise UsageError(f"Expected seconds from {SHORTEST:g} to {LONGEST:g}. Received: {seconds}.")
    if seed < 0:
        raise UsageError(f"Expected seed of at least 0. Received: {seed}.")
    if clips and split != "all":
        raise UsageError("Expected split without CLIPS: it divides the run's own data.")


def default_folder(logs: Path) -> Path:
    """Return the folder in a run's folder of logs that `project` writes to by default."""
    return logs / "latents"


def _read_clips(run: "TrainedRun", clips: Sequence[str], report: Report) -> list[Recording]:
    """Return the recordings in files, folders or a dataset, at the rate and channels of a run."""
    rate, channels = run.flow.signal.sample_rate, run.flow.signal.channels
    if len(clips) == 1 and (Path(clips[0]) / INFO).is_file():
        from singlow.data.prepare.build import prepare

        return read_recordings(prepare(clips[0], sample_rate=rate, channels=channels))
    return find_recordings(clips, rate, channels, report)


def _draw(points: Points, separation: Separation, title: str, seed: int) -> np.ndarray:
    crossed = points.styled and not separation.nested
    centred = project_points(points, True, seed) if crossed else None
    return draw_planes(points, project_points(points, seed=seed), centred, title)


def write_projector(folder: Path, points: Points, tensors: Mapping[str, np.ndarray]) -> None:
    """Write the files of TensorBoard's projector: its configuration, labels and tensors.

    The option `embeddings_freq` of Keras's TensorBoard callback has no effect under Keras 3
    (https://github.com/keras-team/keras/issues/20210). Paths are relative to the configuration, as
    TensorBoard requires since version 2.21.

    Args:
        folder: a folder with events; it is the folder of `tensorboard --logdir` or inside it.
        points: points with their labels.
        tensors: mapping from names, which consist of letters, digits and `_`, to arrays
            `(points, features)`.
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
