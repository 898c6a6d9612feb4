"""A trained run, opened for a verb."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro

from singlow.data.sources.layouts import find_files
from singlow.errors import UsageError
from singlow.files import require_writable

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Files = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILES")]
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="PATH")]
Epoch = Annotated[str, tyro.conf.arg(metavar="newest|best|N")]


def inputs(given: tuple[Path, ...], suffixes: frozenset[str]) -> list[tuple[Path, Path]]:
    """Files to work on, folders searched as for training: pairs of a file and its name below.

    Raises:
        UsageError: nothing is given, something does not exist, or a folder holds no such file.
    """
    if not given:
        raise UsageError("Expected at least one file or folder. Received: none.")
    found = []
    for path in given:
        if path.is_dir():
            inside = [p for p in find_files(path, suffixes) if p.is_file()]
            if not inside:
                raise UsageError(
                    f"{path}: Expected a folder with {', '.join(sorted(suffixes))} files. "
                    "Received: one without."
                )
            found += [(p, p.relative_to(path)) for p in inside]
        elif path.exists():
            found.append((path, Path(path.name)))
        else:
            raise UsageError(f"{path}: no such file or folder.")
    return found


def one_file(given: tuple[Path, ...]) -> bool:
    """Whether a single file was given, not a folder."""
    return len(given) == 1 and not given[0].is_dir()


def outputs(found: list[tuple[Path, Path]], output: Path, suffix: str, single: bool) -> list[Path]:
    """Where results go: `output` itself for one input and a name with a suffix, else a folder.

    Args:
        found: what `inputs` returned.
        output: what `-o` said.
        suffix: of the results.
        single: one file was given, not a folder.

    Raises:
        UsageError: two results would have one name, an input would be overwritten, or the name has
            another suffix, cannot be made, or is a file's where there are several inputs.
    """
    if single and output.suffix and not output.is_dir():
        if output.suffix.lower() != suffix:
            raise UsageError(f"Expected -o with the suffix {suffix}. Received: {output}.")
        results = [output]
    else:
        check_folder(output, suffix)
        results = [output / name.with_suffix(suffix) for _, name in found]
    check_results([(source, result) for (source, _), result in zip(found, results, strict=True)])
    return results


def check_folder(output: Path, suffix: str) -> None:
    """Refuse a file's name for the folder of several results.

    Raises:
        UsageError: it has the suffix of a result and is no folder.
    """
    if output.suffix.lower() == suffix and not output.is_dir():
        raise UsageError(f"Expected a folder for -o, for several results. Received: {output}.")


def check_results(pairs: list[tuple[Path, Path]]) -> None:
    """Refuse results that would meet each other or their inputs, or cannot be made.

    Args:
        pairs: of an input and a result.

    Raises:
        UsageError: as it says.
    """
    seen, given = set(), _files(source for source, _ in pairs)
    for _, result in pairs:
        if result in seen:
            raise UsageError(
                f"{result}: two inputs would be written there. Give them in two calls, each with "
                "an -o of its own."
            )
        seen.add(result)
        _refuse_input(result, given)
        check_place(result)


def check_place(result: Path, given: Iterable[Path] = ()) -> None:
    """Refuse a result that cannot be made, before long work.

    Args:
        result: where it would be written.
        given: what it is made from.

    Raises:
        UsageError: it is a folder, would lie below a file, or would take the place of what it is
            made from.
        EnvironmentFault: the system lets nothing be made there.
    """
    _refuse_input(result, _files(given))
    if result.is_dir():
        raise UsageError(f"{result}: is a folder where a file is expected. Choose another -o.")
    require_writable(result.parent)


def _refuse_input(result: Path, given: set[tuple[int, int]]) -> None:
    if _files([result]) & given:
        raise UsageError(f"{result}: is the input itself. Choose another -o.")


def _files(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """What tells files from others, whatever they are called; of those that are there."""
    told = [path.stat() for path in paths if path.exists()]
    return {(each.st_dev, each.st_ino) for each in told}


def each(pairs: list[tuple[Path, Path]], work: Any) -> None:
    """Do `work(source, result)` for every pair with a progress bar; faults are told at the end.

    Args:
        pairs: of an input and its result, or the first of its results.
        work: returns what it made where that is not the result alone.

    Raises:
        DataError: a file failed; with several, the others were done.
    """
    from rich.console import Console
    from rich.progress import track

    from singlow.errors import DataError

    faults = []
    console = Console(stderr=True)
    for source, result in track(
        pairs, "Working", console=console, transient=True, disable=not sys.stderr.isatty()
    ):
        try:
            made = work(source, result)
            print(*([result] if made is None else made), sep="\n")
        except DataError as error:
            if len(pairs) == 1:
                raise
            faults.append(str(error))
    if faults:
        for fault in faults:
            print(fault, file=sys.stderr)
        raise DataError(f"{len(faults)} of {len(pairs)} files could not be used; they stand above.")
