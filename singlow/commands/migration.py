"""What `evaluate --migration` does: one page that tells and plays what a migration moved."""

from pathlib import Path
from typing import Any

from singlow.commands.migrate import attributes
from singlow.errors import DataError, UsageError
from singlow.runs.opening import Opened

_BUILTIN = {"source": "virtual", "target": "human"}


def evaluate_migration(
    opened: Opened,
    source: str | None,
    target: str | None,
    strength: float,
    method: str,
    output: Path,
) -> None:
    """Measure a migration on songs that were held out, write the page, print its figures.

    Args:
        opened: the run, its data prepared.
        source: singer or style; "virtual" when None, on the built-in corpus.
        target: likewise, "human".
        strength: of what is measured in full.
        method: a name in `methods.METHODS`.
        output: the page, an html file.

    Raises:
        UsageError: a name is unknown, or missing.
        DataError: there are too few recordings.
    """
    from rich.console import Console

    from singlow.evaluation.migration import measure_migration, steps
    from singlow.evaluation.migration_page import write_page
    from singlow.files import write_text
    from singlow.latents.migrate import migrate
    from singlow.progress import progress

    known, flow = attributes(opened), opened.coder
    builtin = opened.config["data"]["dataset"] == "builtin"
    if builtin:
        source, target = source or _BUILTIN["source"], target or _BUILTIN["target"]
    if source is None or target is None:
        raise UsageError(
            f"Expected --from and --to, singers or styles in {', '.join(known.names)}. "
            "Received: not both."
        )
    begin, end = known[source], known[target]
    songs, *sides = _originals(opened, known, source, target, builtin)
    with progress("Measuring", steps(len(songs), *map(len, sides))) as measured:
        report = measure_migration(
            lambda audio, share: migrate(flow, audio, begin, end, share, method),
            songs,
            *sides,
            flow.signal.sample_rate,
            strength,
            done=measured,
        )
    about = [
        f"Run {opened.run.name}, epoch {opened.checkpoint.epoch}; method {method}, "
        f"strength {strength:g}; {len(songs)} songs, {begin.clips} and {end.clips} clips pooled.",
        "Songs and originals are built-in clips that the run was not trained on."
        if builtin
        else "Songs were held out from training; the originals that the classifier is fitted to "
        "were trained on.",
    ]
    page = write_page(report, f"{source} to {target}", about, flow.signal.sample_rate)
    write_text(output, page)
    Console().print(_table(report, f"{source} to {target}, strength {strength:g}"))
    print(output)


def _originals(opened: Opened, known: Any, source: str, target: str, builtin: bool) -> tuple:
    from singlow.evaluation.originals import builtin_originals, dataset_originals

    flow = opened.coder
    if builtin:
        sides = (lambda *names, name=name: name in names for name in (source, target))
        return builtin_originals(*sides, flow.signal.sample_rate, flow.signal.channels)
    ids = [[clip.id for clip in known.clips(name)] for name in (source, target)]
    if set(ids[0]) & set(ids[1]):
        raise DataError(f"Expected two sides. Received: {source} and {target} share clips.")
    directory = opened.config["data"]["directory"]
    return dataset_originals(directory, *ids, flow.signal.sample_rate)


def _table(report: Any, title: str) -> Any:
    from rich.table import Table

    from singlow.evaluation.figures import finite_mean, shown_number
    from singlow.evaluation.migration_page import mean_of

    before, after = ([getattr(s, side) for s in report.songs] for side in ("before", "after"))
    shown = Table(title=title, title_justify="left")
    for column in ("", "source", "songs", "migrated", "target"):
        shown.add_column(column, justify="left" if not column else "right")
    for key, form in (
        ("vibrato_rate", "{:.1f} Hz"),
        ("vibrato_depth", "{:.0f} cents"),
        ("jitter", "{:.3%}"),
        ("breath", "{:.1f} dB"),
    ):
        groups = (report.source, before, after, report.target)
        shown.add_row(key.replace("_", " "), *(shown_number(form, mean_of(g, key)) for g in groups))
    scores = (0.0, report.position(0.0), report.position(report.strength), 1.0)
    shown.add_row("score", *(f"{score:.2f}" for score in scores))
    for name, key, form in (
        ("pitch correlation", "pitch", "{:.4f}"),
        ("pitch off by", "cents", "{:.1f} cents"),
        ("loudness", "loudness", "{:+.2f} dB"),
        ("to the target", "to_target", "{:.1f} dB"),
    ):
        mean = finite_mean([getattr(song, key) for song in report.songs])
        shown.add_row(name, "", "", shown_number(form, mean), "")
    return shown
