"""Flags from typed settings, with mistakes told in one line."""

import contextlib
import functools
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from singlow.errors import UsageError

Settings = TypeVar("Settings")


def parse(settings: type[Settings], arguments: Sequence[str] | None = None) -> Settings:
    """The flags of a script, as the dataclass whose fields they are.

    Raises:
        UsageError: a flag is unknown or its value cannot be read.
    """
    parsed, unknown = _told_in_one_line(
        lambda: tyro.cli(
            settings,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
            use_underscores=True,
            return_unknown_args=True,
        )
    )
    _refuse(unknown)
    return parsed


def run_verb(
    verbs: dict[str, Callable[..., None]], description: str, arguments: Sequence[str] | None = None
) -> None:
    """Run the verb that the first argument names, with the flags after it.

    Raises:
        UsageError: the verb or a flag is unknown, or a value cannot be read.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        arguments = ["--help"]
    name = arguments[0]
    if not name.startswith("-") and name not in verbs:
        raise UsageError(f"Expected a verb in {', '.join(verbs)}. Received: {name}.")
    if name in verbs:
        parsed = _told_in_one_line(
            lambda: tyro.cli(
                _bound(verbs[name]),
                prog=f"python3 -m singlow {name}",
                args=arguments[1:],
                config=(tyro.conf.FlagCreatePairsOff,),
                use_underscores=True,
                return_unknown_args=True,
            )
        )
        call, unknown = parsed
        _refuse(unknown)
        call()
        return
    if name not in ("-h", "--help"):
        raise UsageError(f"Expected a verb in {', '.join(verbs)}. Received: {name}.")
    width = max(map(len, verbs))
    print(f"usage: python3 -m singlow VERB ...\n\n{description}\n\nverbs:")
    for verb, function in verbs.items():
        print(f"  {verb:{width}}  {(function.__doc__ or '').strip().splitlines()[0]}")
    print("\npython3 -m singlow VERB --help tells its flags.")


def _bound(function: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The function with its signature, returning the call instead of making it."""

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return lambda: function(*args, **kwargs)

    return later


def _told_in_one_line(read: Callable[[], Any]) -> Any:
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return read()
    except SystemExit as left:
        if not left.code:
            raise
        raise UsageError(_sentence(told.getvalue())) from None


def _sentence(box: str) -> str:
    """The first paragraph under the title of a box that tyro drew, in whatever characters."""
    lines = [line.strip(" │╭╮╰╯|+") for line in box.splitlines()]
    rule = [not line or set(line) <= set("─-") for line in lines]
    start = next((i for i in range(1, len(lines)) if not rule[i]), len(lines))
    stop = next((i for i in range(start, len(lines)) if rule[i]), len(lines))
    text = re.sub(r"\s+", " ", " ".join(lines[start:stop])) or "The flags cannot be read"
    return f"{text.rstrip('.')}. See --help."


def _refuse(unknown: Sequence[str]) -> None:
    if unknown:
        kind = "a flag that --help lists" if unknown[0].startswith("-") else "no further argument"
        raise UsageError(f"Expected {kind}. Received: {unknown[0]}.")
