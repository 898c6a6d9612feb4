"""Train a flow: parse, build, adapt, fit. See common_definitions.py for the settings."""

from singlow.errors import run_command


def main() -> None:
    # Here, so that Ctrl-C while they load is told as any other.
    from common_definitions import CHECKPOINTS, LOGS, Settings
    from singlow.commands.flags import parse
    from singlow.runs.run import locate
    from singlow.runs.settings import default_name, given, resolve

    flags = parse(Settings)
    wanted = given(flags)
    run = locate(flags.run or default_name(wanted), CHECKPOINTS, LOGS)
    config = resolve(wanted, run, flags.fresh)

    from singlow.training import fit, report, state

    if flags.dry_run:
        report.describe(config)
        return
    run.require_free()
    flow = state.build_flow(config)
    fit.window_length(config, flow)
    config, flow = state.settled(fit.prepare_data(config, flags.data_dir), flow)
    train, held_out = fit.open_windows(config, flow)
    report.introduce(flow, run, config, train, held_out)
    with run.begin(config, flags.fresh):
        fit.fit(flow, run, config, train, held_out)
    report.conclude(run, config, train, held_out)


if __name__ == "__main__":
    run_command(main, lasting=True)
