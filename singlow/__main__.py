"""The command line: `singlow VERB ...`, or `python3 -m singlow VERB ...`."""

import sys

from singlow.errors import run_command

_DESCRIPTION = """\
Train normalizing flows for sound, and use trained runs. RUN is the name of a folder in
checkpoints/, or a path."""


def main() -> None:
    """Run the verb given on the command line."""
    # Imported here, so that Ctrl-C during the imports ends the command without a traceback.
    from singlow.commands import VERBS
    from singlow.commands.flags import run_verb

    run_verb(VERBS, _DESCRIPTION)


def run() -> None:
    """Run the command line and exit with its code."""
    # Training continues when the program that reads its output exits, such as `head`.
    run_command(main, lasting=sys.argv[1:2] == ["train"])


if __name__ == "__main__":
    run()
