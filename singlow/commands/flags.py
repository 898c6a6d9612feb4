"""Read the flags of the command line from typed settings or signatures, with one-line errors."""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, TypeVar

import tyro

from singlow.errors import UsageError
from singlow.names import find_name, suggest
from singlow.streams import escape

Settings = TypeVar("Settings")
Verb = Callable[..., None]

CONFIG = (tyro.conf.FlagCreatePairsOff,)


def parse(settings: type[Settings], arguments: Sequence[str] | None = None) -> Settings:
    """Read the flags of a script as a dataclass whose fields are the flags.

    Args:
        settings: The dataclass.
        arguments: Words of the command line; those of this process when `None`.

    Raises:
        UsageError: A flag is unknown or its value cannot be read.
    """
    return _read(settings, arguments, prog=None)


def run_function(
    function: Verb, arguments: Sequence[str] | None = None, program: str | None = None
) -> None:
    """Call a function with the flags of the command line as its arguments.

    Args:
        function: Its parameters are the flags; its docstring is their help.
        arguments: Words of the command line; those of this process when `None`.
        program: Name of the command in the usage line; that of this process when `None`.

    Raises:
        UsageError: A flag is unknown or its value cannot be read.
    """
    _read(_bound(function), arguments, program or program_name())()


def run_verb(
    verbs: Mapping[str, str | Verb], description: str, arguments: Sequence[str] | None = None
) -> None:
    """Run the verb that the first argument names, with the flags that follow it.

    Args:
        verbs: The function of each verb, or its place as `module:name`.
        description: Text of the help between the usage line and the list of verbs.
        arguments: Words of the command line; those of this process when `None`.

    Raises:
        UsageError: The verb or a flag is unknown, or a value cannot be read.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    name = arguments[0]
    if name in ("-h", "--help"):
        _print_help(verbs, description)
    elif name == "--version":
        from singlow import __version__

        print(f"singlow {__version__}")
    elif name.startswith("-"):
        raise UsageError(f"Expected a verb, --help or --version. Received: {escape(name)}.")
    else:
        verb = find_name(name, verbs, "verb")
        run_function(load_verb(verbs[verb]), arguments[1:], f"{program_name()} {verb}")


def program_name() -> str:
    """The command that started this process: `singlow`, `train.py` or `python3 -m singlow`."""
    name = PurePath(sys.argv[0] if sys.argv else "").name
    if name in ("train.py", "data_loader.py"):
        return name
    return "singlow" if name.removesuffix(".exe") == "singlow" else "python3 -m singlow"


def load_verb(verb: str | Verb) -> Verb:
    """Return the function of a verb, and import it if the verb is a string `module:name`."""
    if not isinstance(verb, str):
        return verb
    module, name = verb.split(":")
    return getattr(import_module(module), name)


def flags_of(target: Any) -> list[str]:
    """Return the flags of a dataclass or a function, in the form `--sample_rate`."""
    flags = []
    hints = typing.get_type_hints(inspect.unwrap(target), include_extras=True)
    hints.pop("return", None)
    for name, kind in hints.items():
        options = getattr(kind, "__metadata__", ())
        plain = getattr(kind, "__origin__", kind)
        if dataclasses.is_dataclass(plain):
            flags += flags_of(plain)
        elif tyro.conf.Positional not in options:
            renamed = [option.name for option in options if getattr(option, "name", None)]
            flags.append(f"--{renamed[0] if renamed else name}")
    return flags


def _print_help(verbs: Mapping[str, str | Verb], description: str) -> None:
    program, width = program_name(), max(map(len, verbs))
    print(f"usage: {program} VERB ...\n\n{description}\n\nverbs:")
    for name, verb in verbs.items():
        summary = inspect.getdoc(load_verb(verb)) or ""
        print(f"  {name:{width}}  {summary.partition(chr(10))[0]}")
    print(f"\n{program} VERB --help lists the flags of a verb; {program} --version the version.")


def _read(target: Any, arguments: Sequence[str] | None, prog: str | None) -> Any:
    """Read flags with tyro after a check for unknown ones.

    Raises:
        UsageError: A flag is unknown or its value cannot be read.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    known = ["--help", *flags_of(target)]
    _refuse([word for word in _before_dashes(arguments) if _is_unknown(word, known)], known)
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            result, unknown = tyro.cli(
                target,
                prog=prog,
                args=arguments,
                config=CONFIG,
                use_underscores=True,
                return_unknown_args=True,
            )
    except SystemExit as error:
        if not error.code:
            raise
        raise UsageError(_sentence(message.getvalue())) from None
    _refuse(unknown, known)
    return _expanded(result)


def _bound(function: Verb) -> Callable[..., Callable[[], None]]:
    """Wrap a function so that it binds its arguments and returns the call for later."""

    @functools.wraps(function)
    def bound(**arguments: Any) -> Callable[[], None]:
        return lambda: function(**_expanded(arguments))

    return bound


def _expanded(value: Any) -> Any:
    """Replace `~` at the start of paths by the home folder, because shells skip it in quotes."""
    if isinstance(value, str | Path) and f"{value}/".startswith(("~/", f"~{os.sep}")):
        return type(value)(os.path.expanduser(value))
    if isinstance(value, tuple):
        return tuple(map(_expanded, value))
    if isinstance(value, dict):
        return {name: _expanded(entry) for name, entry in value.items()}
    if dataclasses.is_dataclass(value):
        changes = {name: _expanded(entry) for name, entry in vars(value).items()}
        return dataclasses.replace(value, **changes)
    return value


def _before_dashes(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _is_unknown(word: str, known: Sequence[str]) -> bool:
    flag = word.partition("=")[0].replace("-", "_")
    return word.startswith("--") and flag.replace("__", "--", 1) not in known


def _refuse(words: Sequence[str], known: Sequence[str]) -> None:
    """Raise an error that names the first unknown word and suggests the nearest flag.

    Raises:
        UsageError: There is an unknown word.
    """
    if not words:
        return
    word = escape(words[0])
    if not word.startswith("-"):
        raise UsageError(f"Expected no further argument. Received: {word}.")
    near = suggest(words[0].partition("=")[0], known)
    raise UsageError(f"Expected a flag that --help lists. Received: {word}.{near}")


def _sentence(box: str) -> str:
    """Return the first paragraph below the title of a box that tyro drew, as one line."""
    lines = [line.strip(" │╭╮╰╯|+") for line in box.splitlines()]
    rule = [not line or set(line) <= set("─-") for line in lines]
    start = next((i for i in range(1, len(lines)) if not rule[i]), len(lines))
    stop = next((i for i in range(start, len(lines)) if rule[i]), len(lines))
    text = re.sub(r"\s+", " ", " ".join(lines[start:stop])) or "The flags cannot be read"
    return f"{text.rstrip('.')}. See --help."
