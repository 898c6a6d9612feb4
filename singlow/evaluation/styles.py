"""A small classifier that separates two groups of singers by their mel cepstra."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from singlow.errors import DataError
from singlow.evaluation.measures import mel_cepstra, mel_spectrum, sounding

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LEAST_CLIPS = 4
_FOLDS = 5


def describe_clip(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return mean and deviation of the mel cepstra, and deviation of their first differences.

    Only frames that sound count. Loudness and duration do not change these features; pitch changes
    them little.

    Args:
        audio: `(time,)`.
        sample_rate: Hz.

    Returns:
        `(39,)`.
    """
    spectrum = mel_spectrum(audio, sample_rate)
    sounds = sounding(spectrum)
    cepstra = mel_cepstra(spectrum)
    steps = np.diff(cepstra, axis=0, prepend=cepstra[:1])
    rows = cepstra[sounds].mean(axis=0), cepstra[sounds].std(axis=0), steps[sounds].std(axis=0)
    return np.concatenate(rows)


class Classifier:
    """Logistic regression on `describe_clip`, calibrated on clips that it was not fitted to.

    Args:
        source: recordings of one group, `(time,)` each.
        target: recordings of the other group.
        sample_rate: sample rate of all recordings, in Hz.

    Attributes:
        accuracy: share of clips that are classified correctly in cross-validation.

    Raises:
        DataError: a group has fewer than 4 clips.
    """

    def __init__(
        self, source: Sequence[np.ndarray], target: Sequence[np.ndarray], sample_rate: int
    ) -> None:
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        fewest = min(len(source), len(target))
        if fewest < LEAST_CLIPS:
            raise DataError(
                f"Expected at least {LEAST_CLIPS} clips of either side for a classifier. "
                f"Received: {fewest}; add recordings."
            )
        rows = np.stack([describe_clip(audio, sample_rate) for audio in [*source, *target]])
        sides = np.repeat([False, True], (len(source), len(target)))
        self._rate = sample_rate
        self._model = _model()
        folds = StratifiedKFold(min(_FOLDS, fewest), shuffle=True, random_state=0)
        scores = cross_val_predict(_model(), rows, sides, cv=folds, method="decision_function")
        self._ends = scores[~sides].mean(), scores[sides].mean()
        self.accuracy = float(((scores > 0) == sides).mean())
        self._model.fit(rows, sides)

    def score(self, audio: np.ndarray) -> float:
        """Return the log-odds of the target for `audio` `(time,)`, positive if it is likelier."""
        return float(self._model.decision_function([describe_clip(audio, self._rate)])[0])

    def position(self, audio: np.ndarray) -> float:
        """Return the score, scaled so that the clips of the source have mean 0, the target's 1."""
        begin, end = self._ends
        return float((self.score(audio) - begin) / (end - begin))


def _model() -> "Pipeline":
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
