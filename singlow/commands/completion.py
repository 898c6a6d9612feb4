"""The verb `completion`: print a script that completes verbs and flags in a shell."""

from typing import Annotated, Literal

import tyro

from singlow.commands import VERBS
from singlow.commands.flags import CONFIG, flags_of, load_verb

Shell = Annotated[
    Literal["bash", "zsh", "tcsh"], tyro.conf.Positional, tyro.conf.arg(metavar="bash|zsh|tcsh")
]


def completion(shell: Shell) -> None:
    """Print a script that completes verbs and flags of `singlow` in a shell.

    For bash: source <(singlow completion bash). For zsh: write the output to a file _singlow in a
    folder of fpath. For tcsh: singlow completion tcsh > FILE; source FILE.

    Args:
        shell: The shell that reads the script.
    """
    verbs = {name: load_verb(home) for name, home in VERBS.items()}
    if shell == "tcsh":
        flags = sorted({flag[2:] for verb in verbs.values() for flag in flags_of(verb)})
        print(f"complete singlow 'p/1/({' '.join(verbs)})/' 'c/--/({' '.join(flags)})/'")
        return
    tyro.extras.subcommand_cli_from_dict(
        verbs,
        prog="singlow",
        args=["--tyro-print-completion", shell],
        config=CONFIG,
        use_underscores=True,
    )
