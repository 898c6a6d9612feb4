"""Train a flow, or continue a run: `singlow train` as a script, with common_definitions.py."""

from singlow.errors import run_command


def main() -> None:
    """Train with the settings of common_definitions.py and the flags of the command line."""
    # Imported here, so that Ctrl-C during the imports ends the command without a traceback.
    from common_definitions import CHECKPOINTS, LOGS, Settings
    from singlow.commands.flags import parse
    from singlow.commands.train import train

    train(parse(Settings), CHECKPOINTS, LOGS)


if __name__ == "__main__":
    run_command(main, lasting=True)
