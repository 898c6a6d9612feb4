"""The verb `completion`: a script that completes verbs and flags in a shell."""

from typing import Annotated, Literal

import tyro

from singlow.commands import VERBS

Shell = Annotated[
    Literal["bash", "zsh", "tcsh"], tyro.conf.Positional, tyro.conf.arg(metavar="bash|zsh|tcsh")
]


def completion(shell: Shell) -> None:
    """Print a script that completes verbs and flags of `singlow` in a shell.

    For bash: source <(singlow completion bash). For zsh, write the output to a file _singlow in a
    folder of fpath. For tcsh: singlow completion tcsh > FILE; source FILE.

    Args:
        shell: The shell that reads the script.
    """
    from singlow.commands.flags import CONFIG, load_verb

    tyro.extras.subcommand_cli_from_dict(
        {name: load_verb(home) for name, home in VERBS.items()},
        prog="singlow",
        args=["--tyro-print-completion", shell],
        config=CONFIG,
        use_underscores=True,
    )
