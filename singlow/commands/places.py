"""Files and folders of the command line: the inputs that a verb reads and the results it writes."""

import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro

from singlow.data.sources.layouts import find_files
from singlow.errors import DataError, UsageError
from singlow.files import require_writable
from singlow.names import shown
from singlow.progress import progress
from singlow.runs.opening import CHECKPOINTS
from singlow.runs.run import find
from singlow.streams import escape, one_line

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
OnlyRun = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")]
Files = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILES")]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Epoch = Annotated[str, tyro.conf.arg(metavar="newest|best|N")]


def only_run(run: str | None, checkpoints: Path = CHECKPOINTS) -> str:
    """Return the run that a verb uses: `run`, or by default the only one under checkpoints/.

    Raises:
        UsageError: `run` is `None`, and there is no run or more than one. The message lists them.
    """
    if run is not None:
        return run
    names = sorted(path.parent.name for path in checkpoints.glob("*/config.json"))
    if len(names) == 1:
        return names[0]
    known = ", ".join(map(shown, names)) or "none; python3 -m singlow train creates one"
    raise UsageError(f"Expected RUN, the name of a run. Received: none. Known runs: {known}.")


def is_of_images(run: str) -> bool:
    """Return whether a run is of images, from its settings alone.

    Raises:
        UsageError: there is no such run.
        DataError: the settings are damaged.
    """
    return "height" in find(run, CHECKPOINTS).config["data"]


def inputs(paths: tuple[Path, ...], suffixes: Collection[str]) -> list[tuple[Path, Path]]:
    """Find the files to read, as in training.

    Args:
        paths: Files of any name, and folders.
        suffixes: Suffixes of the files to take from folders, in lower case, with the dot.

    Returns:
        Pairs of a file and its name, relative to the folder from `paths`, or the bare file name.

    Raises:
        UsageError: There are no paths, one does not exist, or a folder holds no such file.
    """
    if not paths:
        raise UsageError("Expected at least one file or folder. Received: none.")
    files = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in find_files(path, suffixes) if file.is_file()]
            if not inside:
                raise UsageError(
                    f"{path}: Expected a folder with {', '.join(sorted(suffixes))} files. "
                    "Received: one without."
                )
            files += [(file, file.relative_to(path)) for file in inside]
        elif path.exists():
            files.append((path, Path(path.name)))
        else:
            raise UsageError(f"{path}: no such file or folder.")
    return files


def one_file(paths: tuple[Path, ...]) -> bool:
    """Return whether the paths are a single file."""
    return len(paths) == 1 and not paths[0].is_dir()


def outputs(files: list[tuple[Path, Path]], output: Path, suffix: str, single: bool) -> list[Path]:
    """Choose where results are written.

    A single result is written to `output` if that has a suffix. Otherwise `output` is a folder.

    Args:
        files: The pairs that `inputs` returns.
        output: The value of `-o`.
        suffix: Suffix of the results.
        single: Whether the input is one file, not a folder.

    Raises:
        UsageError: Two results would have one name, an input would be overwritten, or `output` has
            another suffix, cannot be created, or names a file for several results.
    """
    if single and output.suffix and not output.is_dir():
        if output.suffix.lower() != suffix:
            raise UsageError(f"Expected -o with the suffix {suffix}. Received: {output}.")
        results = [output]
    else:
        check_folder(output, suffix)
        results = [output / name.with_suffix(suffix) for _, name in files]
    check_results([(source, result) for (source, _), result in zip(files, results, strict=True)])
    return results


def check_folder(output: Path, suffix: str) -> None:
    """Refuse a file name as the folder of several results.

    Raises:
        UsageError: `output` has the suffix of a result and is not a folder.
    """
    if output.suffix.lower() == suffix and not output.is_dir():
        raise UsageError(f"Expected a folder for -o, for several results. Received: {output}.")


def check_results(pairs: list[tuple[Path, Path]]) -> None:
    """Refuse results that would overwrite each other or an input, or cannot be written.

    Args:
        pairs: Inputs and their results.

    Raises:
        UsageError: Two results have one name, or a result is an input or a folder.
        EnvironmentFault: The system does not allow a result to be created.
    """
    seen, sources = set(), _identities(source for source, _ in pairs)
    for _, result in pairs:
        if result in seen:
            raise UsageError(
                f"{result}: two inputs would be written there. Give them in two calls, each with "
                "an -o of its own."
            )
        seen.add(result)
        _refuse_input(result, sources)
        check_place(result)


def check_place(result: Path, sources: Iterable[Path] = ()) -> None:
    """Refuse a result that cannot be written, before long work.

    Args:
        result: The path to write to.
        sources: The files that it is computed from.

    Raises:
        UsageError: `result` is a folder, lies below a file, or is one of `sources`.
        EnvironmentFault: The system does not allow it to be created.
    """
    _refuse_input(result, _identities(sources))
    if result.is_dir():
        raise UsageError(f"{result}: is a folder where a file is expected. Choose another -o.")
    require_writable(result.parent)


def _refuse_input(result: Path, sources: set[tuple[int, int]]) -> None:
    if _identities([result]) & sources:
        raise UsageError(f"{result}: is the input itself. Choose another -o.")


def _identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Return device and inode of the files that exist; all names of a file have the same."""
    stats = [path.stat() for path in paths if path.exists()]
    return {(stat.st_dev, stat.st_ino) for stat in stats}


def each(pairs: list[tuple[Path, Path]], work: Callable[[Path, Path], Any]) -> None:
    """Call `work(source, result)` for every pair, with a progress bar, and print the results.

    A file that fails does not stop the others; the errors are printed at the end.

    Args:
        pairs: Inputs and their results.
        work: Function that returns the paths that it wrote, or `None` for the result alone.

    Raises:
        DataError: A file failed.
    """
    faults = []
    with progress("Working", len(pairs)) as advance:
        for source, result in pairs:
            try:
                written = work(source, result)
                for path in [result] if written is None else written:
                    print(escape(str(path)))
            except DataError as error:
                if len(pairs) == 1:
                    raise
                faults.append(str(error))
            advance()
    for fault in faults:
        print(one_line(fault), file=sys.stderr)
    if faults:
        raise DataError(
            f"{len(faults)} of {len(pairs)} files could not be used; the reasons are above."
        )
