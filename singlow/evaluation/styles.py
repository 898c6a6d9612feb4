"""A small classifier of two groups of singers, by their mel cepstra."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from singlow.errors import DataError
from singlow.evaluation.measures import mel_cepstra, mel_spectrum, sounding

LEAST_CLIPS = 4
_FOLDS = 5


def describe_clip(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean and deviation of the mel cepstra and deviation of their steps, over what sounds.

    Args:
        audio: `(time,)`.
        sample_rate: Hz.

    Returns:
        `(39,)`; level and duration are not in it, pitch hardly.
    """
    spectrum = mel_spectrum(audio, sample_rate)
    heard = sounding(spectrum)
    cepstra = mel_cepstra(spectrum)
    steps = np.diff(cepstra, axis=0, prepend=cepstra[:1])
    rows = cepstra[heard].mean(axis=0), cepstra[heard].std(axis=0), steps[heard].std(axis=0)
    return np.concatenate(rows)


class Classifier:
    """Logistic regression on `describe_clip`, calibrated on clips it was not fitted to.

    Args:
        source: recordings `(time,)` of one group.
        target: of the other.
        sample_rate: Hz of all.

    Attributes:
        accuracy: of cross-validation: every clip is told by a classifier that did not see it.

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
                f"Expected at least {LEAST_CLIPS} clips of either side to tell them apart. "
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
        """Log-odds of the target: positive where `audio` sounds like it."""
        return float(self._model.decision_function([describe_clip(audio, self._rate)])[0])

    def position(self, audio: np.ndarray) -> float:
        """The score on a scale where clips of the source have 0 on average, of the target 1."""
        begin, end = self._ends
        return (self.score(audio) - begin) / (end - begin)


def _model() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
