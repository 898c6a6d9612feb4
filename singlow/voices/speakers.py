"""The speakers a run knows: those it was trained on, and those enrolled since."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from singlow.errors import DataError, UsageError
from singlow.runs.run import NAME
from singlow.voices.enrolled import FOLDER, SUFFIX, read_voice
from singlow.voices.tag import LONGEST

WORDS = ("all", "auto")  # that stand for speakers on the command line


class Speakers:
    """Embeddings by name.

    Args:
        names: of the speakers trained on, in the order of `table`.
        table: their embeddings, `(speakers, embedding_size)`.
        folder: where enrolled voices lie.
        fingerprint: of the run's weights.

    Raises:
        DataError: there are not as many names, each of its own, as embeddings.
    """

    def __init__(self, names: list[str], table: np.ndarray, folder: Path, fingerprint: str) -> None:
        if not len(names) == len(set(names)) == len(table):
            raise DataError(
                f"{folder.parent}: Expected the names of {len(table)} speakers in config.json. "
                f"Received: {len(set(names))}."
            )
        self.trained = list(names)
        self.folder, self.fingerprint = folder, fingerprint
        self._known = dict(zip(names, table, strict=True))
        self._size = table.shape[1]
        self._warned: set[str] = set()
        self._current: dict[str, np.ndarray] | None = None

    @property
    def enrolled(self) -> list[str]:
        """Names of the voices enrolled, whatever weights they were enrolled for."""
        found = sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}"))
        return [n for n in found if NAME.fullmatch(n) and n not in self.trained]

    @property
    def names(self) -> list[str]:
        """Those trained on, in their order, then those enrolled."""
        return [*self.trained, *self.enrolled]

    def path(self, name: str) -> Path:
        """Where an enrolled voice of this name lies, or would."""
        return self.folder / f"{name}{SUFFIX}"

    def __getitem__(self, name: str) -> np.ndarray:
        """The embedding of a speaker, `(embedding_size,)`.

        A voice that was enrolled for other weights of the run is named in a warning.

        Raises:
            UsageError: nobody has this name; the known ones are listed.
            DataError: the voice's file is damaged.
        """
        if name in self._known:
            return self._known[name]
        if name not in self.enrolled:
            raise UsageError(
                f"Expected a speaker in {', '.join(self.names)}. Received: {name[:80]}."
            )
        voice = read_voice(self.path(name), self._size)
        if voice.fingerprint != self.fingerprint and name not in self._warned:
            self._warned.add(name)
            print(
                f"Warning: {name} was enrolled for other weights of this run; enroll it again with "
                "--fresh to fit it to these.",
                file=sys.stderr,
            )
        return voice.embedding

    def current(self) -> dict[str, np.ndarray]:
        """Everybody whose embedding was made for the run's weights; a damaged voice is named."""
        fitting = {}
        for name in self.enrolled:
            try:
                voice = read_voice(self.path(name), self._size)
            except DataError as error:
                print(f"Warning: left out: {error}", file=sys.stderr)
                continue
            if voice.fingerprint == self.fingerprint:
                fitting[name] = voice.embedding
        return {**self._known, **fitting}

    def chosen(self, name: str, word: str) -> dict[str, np.ndarray]:
        """Embeddings by name: everybody's for the word that stands for them, else one's.

        Raises:
            UsageError: nobody has this name; the known ones are listed.
            DataError: the voice's file is damaged.
        """
        if name != word:
            return {name: self[name]}
        if self._current is None:
            self._current = self.current()
        return self._current

    def require_new(self, name: str) -> None:
        """Refuse a name for a voice that cannot be a file's, or is a trained speaker's.

        Raises:
            UsageError: as it says.
        """
        if not NAME.fullmatch(name) or name in WORDS or len(name) > LONGEST:
            raise UsageError(
                f"Expected a name of up to {LONGEST} letters, digits, '_', '-', '+' and '.' that "
                f"is not {' or '.join(WORDS)}. Received: {name[:80]!r}."
            )
        if name in self.trained:
            raise UsageError(
                f"Expected a name that no trained speaker has: {', '.join(self.trained)}. "
                f"Received: {name}."
            )


def speakers_of(opened: Any) -> Speakers:
    """The speakers of a run that was opened for a verb.

    Raises:
        DataError: its config.json does not name them.
    """
    from keras import ops

    names = opened.config["data"].get("singers")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{opened.run.directory}: Expected config.json to name the speakers.")
    table = ops.convert_to_numpy(opened.flow.embeddings)
    return Speakers(names, table, opened.run.directory / FOLDER, opened.fingerprint)
