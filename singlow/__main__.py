"""Everything done with a trained run: python3 -m singlow VERB RUN ..."""

from singlow.errors import run_command


def main() -> None:
    """Run the verb that the command line names."""
    # Here, so that Ctrl-C while they load is told as any other.
    from singlow.commands.check import check
    from singlow.commands.convert import convert
    from singlow.commands.doctor import doctor
    from singlow.commands.encode import decode, encode
    from singlow.commands.enroll import enroll
    from singlow.commands.evaluate import evaluate
    from singlow.commands.flags import run_verb
    from singlow.commands.interpolate import interpolate
    from singlow.commands.migrate import migrate
    from singlow.commands.project import project
    from singlow.commands.sample import sample
    from singlow.commands.votes import votes

    verbs = (check, sample, encode, decode, migrate, interpolate, convert, enroll, evaluate)
    verbs = {verb.__name__: verb for verb in (*verbs, project, votes, doctor)}
    run_verb(verbs, "Use a trained run: RUN is a name under checkpoints/, or a path.")


if __name__ == "__main__":
    run_command(main)
