"""What models of speech share: they read texts, and speak them as mel spectrograms."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from singlow.inputs import MASK
from singlow.models.paper import Paper
from singlow.text import SymbolTable, Tokenizer

TEXT, SPEAKER = "text", "speaker"
IDS = "ids"  # the front end of a model that reads no texts


@dataclasses.dataclass(frozen=True)
class Speech:
    """Synthesised speech.

    Attributes:
        x: mel spectrograms, `(batch, frames, n_mels)` float32, with zeros after the end of each.
        lengths: frames of each, `(batch,)`.
        durations: frames of each token, `(batch, tokens)`, of a model that predicts them; their sum
            may exceed the length by frames that are cut to a multiple.
    """

    x: np.ndarray
    lengths: np.ndarray
    durations: np.ndarray | None = None


class TextReader(Paper):
    """A model with the input `text`, the ids of the tokens of a text.

    Attributes:
        tokenizer: turns texts into ids; `None` for a model that only reads ids.
    """

    tokenizer: Tokenizer | None

    def tokens(self, text: str, where: str = "") -> np.ndarray:
        """The ids of a text, int32 `(tokens,)`.

        Args:
            text: to be spoken.
            where: the place of the text, for messages.

        Raises:
            ValueError: the model only reads ids.
            DataError: the text has nothing to pronounce, or symbols that the model does not know.
            EnvironmentFault: the front end needs a package or a program that is missing.
        """
        if self.tokenizer is None:
            raise ValueError("Expected a model with a front end. Received: one that reads ids.")
        return self.tokenizer.encode(text, where)

    def text_inputs(self, texts: list[str], **others: Any) -> dict[str, np.ndarray]:
        """A batch of `text` and `text_mask` from texts, with further inputs.

        Args:
            texts: one for each item.
            others: further inputs, such as `speaker`.

        Raises:
            DataError: a text has nothing to pronounce, or symbols that the model does not know.
        """
        rows = [self.tokens(text) for text in texts]
        batch = np.zeros((len(rows), max(map(len, rows))), np.int32)
        mask = np.zeros(batch.shape, np.float32)
        for index, row in enumerate(rows):
            batch[index, : len(row)], mask[index, : len(row)] = row, 1
        return {TEXT: batch, TEXT + MASK: mask, **others}


def tokenizer_of(settings: dict[str, Any]) -> Tokenizer | None:
    """What turns texts into ids.

    Raises:
        ValueError: `num_chars` is not the size of the table of symbols.
        UsageError: the front end, its language or the table of symbols is unknown.
    """
    if settings["front_end"] == IDS:
        return None
    table = settings["characters"]
    tokenizer = Tokenizer(
        settings["front_end"],
        SymbolTable.from_config(table) if isinstance(table, Mapping) else table,
        language=settings["language"],
        add_blank=settings["add_blank"],
        marks=settings["enable_eos_bos_chars"],
    )
    if settings["num_chars"] not in (None, tokenizer.size):
        raise ValueError(
            f"Expected num_chars to be the size of the table of symbols, {tokenizer.size}. "
            f"Received: num_chars={settings['num_chars']}."
        )
    return tokenizer
