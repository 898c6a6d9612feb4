"""The verb `align`: find the times of the tokens of texts in their recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from singlow.commands.places import Epoch, Files, Output, RunName, check_place, each
from singlow.errors import UsageError
from singlow.files import write_text
from singlow.names import escape
from singlow.runs.opening import open_run

if TYPE_CHECKING:
    from singlow.voices.align import Aligned

_TABLE = "alignment.csv"


def align(
    run: RunName,
    files: Files,
    output: Output,
    layout: Annotated[str, arg(metavar="LAYOUT")] = "auto",
    speaker: Annotated[str | None, arg(metavar="NAME")] = None,
    epoch: Epoch = "newest",
) -> None:
    """Find the times of the tokens of texts in their recordings.

    Writes a TextGrid for each recording, and alignment.csv with the tokens of all. The texts are
    those of a manifest, of LJSpeech's metadata.csv, or of a .txt or .lab file beside a recording.

    Args:
        run: name under checkpoints/, or a path.
        files: folders of recordings with texts.
        output: a folder.
        layout: where the names and texts come from, as for training.
        speaker: speaker of all recordings in the run (the singer of each recording).
        epoch: checkpoint to use.
    """
    from singlow.data.feed.recordings import find_recordings
    from singlow.voices.align import align as find_times
    from singlow.voices.align import as_table, as_text_grid
    from singlow.voices.speak import speaking_flow, voice_inputs

    if not files:
        raise UsageError("Expected at least one folder. Received: none.")
    table = output / _TABLE
    check_place(table)
    trained = open_run(run, epoch)
    if speaker is not None:
        voice_inputs(trained, speaker)
    rate = speaking_flow(trained).signal.recipe.sample_rate
    recordings = find_recordings([str(path) for path in files], rate, 1, print, layout)
    spoken = {output / f"{each_of.id}.TextGrid": each_of for each_of in recordings if each_of.text}
    if not spoken:
        raise UsageError(
            f"{escape(' '.join(map(str, files)))}: Expected recordings with texts. Received: "
            f"{len(recordings)} without."
        )
    if len(spoken) < len(recordings):
        print(f"{len(recordings) - len(spoken)} recording(s) have no text and are left out.")
    found: list[Aligned] = []

    def work(path: Path, _: Path) -> None:
        aligned = find_times(trained, spoken[path], speaker)
        write_text(path, as_text_grid(aligned))
        found.append(aligned)

    try:
        each([(path, path) for path in spoken], work)
    finally:
        if found:
            write_text(table, as_table(found))
            print(escape(str(table)))
