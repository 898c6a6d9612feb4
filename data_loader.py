"""Turn folders of wav, flac, ogg and mp3 into TFRecord shards: `singlow prepare` as a script.

    python3 data_loader.py recordings --out data/mine
    python3 data_loader.py human=choir virtual=voicebank --out data/both --sampling_rate 44100
    python3 data_loader.py --verify data/mine
    python3 data_loader.py --texts recordings

Exit codes: 0 done, 2 usage, 3 data, 4 environment, 5 interrupted (run it again to continue).
"""

from singlow.errors import run_command


def main() -> None:
    """Prepare data with the flags of the command line."""
    # Imported here, so that Ctrl-C during the imports ends the command without a traceback.
    from singlow.commands.flags import run_function
    from singlow.commands.prepare import prepare

    run_function(prepare)


if __name__ == "__main__":
    run_command(main)
