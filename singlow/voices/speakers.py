"""The speakers of a run: those that it was trained on and the enrolled voices."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from singlow.errors import DataError, UsageError, warn
from singlow.inputs import EMBEDDING
from singlow.names import RESERVED, find_name, normal, same_name, shown
from singlow.runs.opening import TrainedRun, require_input
from singlow.signals import Audio
from singlow.voices.enrolled import FOLDER, SUFFIX, Voice, read_voice, voice_name, voice_path

ALL, AUTO = RESERVED  # target that means every speaker, source that means the likeliest one
SPEAKER = "speaker"  # name of the flow's input


class Speakers:
    """The speakers of a run by name.

    `speakers[name]` returns the inputs of one item: a dictionary with the key "speaker_embedding"
    and an array of shape `(1, embedding_size)`. `singlow.names.find_name` compares the names:
    accents may be composed or decomposed, and a name may be typed as it is printed.

    Args:
        names: names of the speakers that the run was trained on, in the order of `table`.
        table: embeddings of these speakers, `(speakers, embedding_size)`.
        folder: folder of the enrolled voices; it need not exist.
        fingerprint: fingerprint of the run's weights.

    Raises:
        DataError: the number of different names is not the number of embeddings.
    """

    def __init__(self, names: list[str], table: np.ndarray, folder: Path, fingerprint: str) -> None:
        if not len(names) == len(set(names)) == len(table):
            raise DataError(
                f"{folder.parent}: Expected the names of {len(table)} speakers in config.json. "
                f"Received: {len(set(names))}."
            )
        self.trained = list(names)
        self.table = np.asarray(table, np.float32)
        self.folder, self.fingerprint = folder, fingerprint
        self._warned: set[str] = set()

    def __getitem__(self, name: str) -> dict[str, np.ndarray]:
        """Return the inputs for a speaker; warn if the voice was fitted with other weights.

        Raises:
            UsageError: no speaker has this name; the message lists the known names.
            DataError: the file of the voice is damaged.
        """
        name = self.find(name)
        if name in self.trained:
            return speaker_inputs(self.table[self.trained.index(name)])
        voice = self._read(name)
        if voice.fingerprint != self.fingerprint and name not in self._warned:
            self._warned.add(name)
            warn(
                f"{shown(name)} was enrolled for other weights of this run; enroll it again with "
                "--fresh to fit it to these."
            )
        return speaker_inputs(voice.embedding)

    @property
    def names(self) -> list[str]:
        """The names of the trained speakers, followed by those of the enrolled voices."""
        return [*self.trained, *self.enrolled]

    @property
    def enrolled(self) -> list[str]:
        """The names of all enrolled voices, including those fitted with other weights."""
        return list(self._files())

    def find(self, name: str) -> str:
        """Return the known name that matches `name`.

        Raises:
            UsageError: no speaker has this name; the message lists the known names.
        """
        return find_name(name, self.names)

    def current(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the inputs of each speaker whose embedding fits the run's current weights.

        A voice whose file is damaged is skipped with a warning.
        """
        speakers = {name: self[name] for name in self.trained}
        for name in self.enrolled:
            try:
                voice = self._read(name)
            except DataError as error:
                warn(f"left out: {error}")
                continue
            if voice.fingerprint == self.fingerprint:
                speakers[name] = speaker_inputs(voice.embedding)
        return speakers

    def choose(self, name: str, word: str) -> dict[str, dict[str, np.ndarray]]:
        """Return all current speakers if `name` is `word`, otherwise the speaker `name`.

        Raises:
            UsageError: no speaker has this name; the message lists the known names.
            DataError: the file of the voice is damaged.
        """
        return self.current() if name == word else {self.find(name): self[name]}

    def new_path(self, name: str) -> Path:
        """Return the path for an enrolled voice of this name; the file may already exist.

        Raises:
            UsageError: the name is reserved, empty, too long, or the name of a trained speaker.
        """
        path = self._files().get(normal(name)) or voice_path(self.folder, name)
        if normal(name) in RESERVED:
            raise UsageError(
                f"Expected a name other than {' and '.join(RESERVED)}, which mean every speaker "
                f"and the likeliest speaker. Received: {name}."
            )
        if any(same_name(name, trained) for trained in self.trained):
            raise UsageError(
                "Expected a name that no trained speaker has: "
                f"{', '.join(map(shown, self.trained))}. Received: {shown(name)}."
            )
        return path

    def _files(self) -> dict[str, Path]:
        """Return a mapping from the names of the enrolled voices to their files."""
        files = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            name = voice_name(path)
            if name is not None and not any(same_name(name, other) for other in self.trained):
                files[name] = path
        return files

    def _read(self, name: str) -> Voice:
        return read_voice(self._files()[name], self.table.shape[1])


def speaker_inputs(embedding: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs of one item for an embedding `(embedding_size,)`."""
    return {SPEAKER + EMBEDDING: np.asarray(embedding, np.float32)[None]}


def embedding_of(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the embedding `(embedding_size,)` in the inputs of one item."""
    return inputs[SPEAKER + EMBEDDING][0]


def speakers_of(run: TrainedRun, advice: str = "use migrate") -> Speakers:
    """Return the speakers of a run.

    Args:
        run: the run.
        advice: what the error recommends if the run has no speakers.

    Raises:
        UsageError: the run has no input `speaker` with an embedding.
        DataError: config.json does not name the speakers.
    """
    require_input(run, SPEAKER, advice)
    if run.flow.inputs[SPEAKER].embedding is None:
        raise UsageError(
            f"Expected a run with embeddings of its speakers. Received: {run.name}, a "
            f"{run.config['model']} without them; {advice}."
        )
    names = run.config["data"].get("singers")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{run.run.directory}: Expected config.json to name the speakers.")
    table = run.flow.embedding_table(SPEAKER)
    return Speakers(names, table, run.run.directory / FOLDER, run.fingerprint)


def convertible_speakers(run: TrainedRun) -> Speakers:
    """Return the speakers of a run whose recordings can be converted without their texts.

    Raises:
        UsageError: the run has no input `speaker` with an embedding, or is of mels with texts.
        DataError: config.json does not name the speakers.
    """
    speakers = speakers_of(run)
    if not isinstance(run.flow.signal, Audio):
        raise UsageError(
            f"Expected a run of recordings alone, as one of blow. Received: {run.name}, a "
            f"{run.config['model']} of mels with texts; use flow.decoder_inference(inputs, target) "
            "of the library."
        )
    return speakers


def part_of_file_name(name: str) -> str:
    """Return a speaker's name for use in a file name; unsafe characters become underscores."""
    return re.sub(r'[/\\:*?"<>|]', "_", shown(normal(name)))
