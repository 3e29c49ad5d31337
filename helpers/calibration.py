"""Post-hoc calibration of class probabilities, built in lesson 03. Plain arrays only.

`logits (n, K)`, `y (n,)` column numbers in `0..K-1`. Estimators as in scikit-learn: `fit`,
`predict_proba`, `predict`; fitted attributes end in `_`. Fit on clips that the model was
neither trained nor stopped on, of speakers it never met. Swapping classes swaps the output columns.
"""

import warnings

import numpy as np
from scipy.special import log_softmax, softmax

from helpers.arrays import class_labels, matrix
from helpers.errors import CourseError
from helpers.estimators import Estimator

FEW = 20  # a calibration set below this many clips is fitted with a warning


def _checked(logits, y) -> tuple[np.ndarray, np.ndarray]:
    logits = matrix(logits, "logits").astype(np.float64)
    if logits.shape[1] < 2:
        raise CourseError("logits: one column is one class; two are the least to choose from")
    if logits.min() >= 0 and np.allclose(logits.sum(axis=1), 1, atol=0.05):  # also when rounded
        raise CourseError("logits: these are probabilities; give the logits before the softmax")
    y = class_labels(y, len(logits), "y, of known emotions only", classes=logits.shape[1])
    if len(y) < FEW:
        warnings.warn(f"calibration rests on {len(y)} clips; {FEW} are few", stacklevel=3)
    if len(np.unique(y)) == 1:
        warnings.warn("calibration part holds a single class", stacklevel=3)
    return logits, y


class _Calibrator(Estimator):
    """What the three calibrators share: checks, class numbers and `predict`."""

    def fit(self, logits, y, speakers=None):
        """Fit on `logits (n, K)` and `y (n,)`. CourseError for NaN or labels off the columns.

        `speakers (n,)`, whose clips these are: only a temperature makes use of them.
        """
        logits, y = _checked(logits, y)
        self.classes_ = np.arange(logits.shape[1])
        self.n_features_in_ = logits.shape[1]
        self._fit(logits, y, speakers)
        return self

    def predict_proba(self, logits):
        """Calibrated probabilities `(n, K)`; rows sum to one."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return self._probabilities(matrix(logits, "logits", self.n_features_in_).astype(float))

    def predict(self, logits):
        """Column number `(n,)` of the most probable class."""
        return self.predict_proba(logits).argmax(axis=1)


class TemperatureScaling(_Calibrator):
    """p = softmax(z / T) with the T > 0 of least negative log-likelihood (source 1, section 5).

    L-BFGS on log T from T = 1. The loss is convex in 1/T, so it has one minimum at most; it has
    none when every clip is right (T falls to 0) or when the true class gets less than the mean
    logit (T grows without end). Both warn. For "every clip right" T is that of smoothed targets,
    one error in n + 2 clips (Platt 1999); otherwise it stays within `lowest` and `highest`.
    The largest probability stays where it was, so accuracy does not change.

    A few tuning speakers can be far from the next ones. With `speakers`, T is the most probable
    one when log T is standard normal beforehand and each speaker counts as `clips_a_voice` clips:
    two voices leave T near 1, many leave it where the likelihood puts it. That prior is ours; its
    weight was chosen on corpora of no figure of calibration (`tools/choose_prior.py`).

    `temperature_`: the T found.

    >>> z, y = [[2.0, 0.0]] * 20, [0] * 15 + [1] * 5  # 0.88 sure, right in 15 of 20
    >>> model = TemperatureScaling().fit(z, y)  # softmax(z / T) is 3/4 at T = 2 / log 3
    >>> round(model.temperature_, 2), model.predict_proba(z)[0].round(2).tolist()
    (1.82, [0.75, 0.25])
    """

    def __init__(self, lowest: float = 0.05, highest: float = 20.0, clips_a_voice: float = 2):
        self.lowest = lowest
        self.highest = highest
        self.clips_a_voice = clips_a_voice

    def _fit(self, logits, y, speakers):
        from scipy.optimize import minimize

        n, k = logits.shape
        weight = np.inf if speakers is None else self.clips_a_voice * len(np.unique(speakers))
        target = np.eye(k)[y]
        if speakers is None and (logits[np.arange(n), y] == logits.max(axis=1)).all():
            warnings.warn("every clip is right: T is that of one error in n + 2", stacklevel=3)
            target = np.where(target > 0, 1 - 1 / (n + 2), 1 / (n + 2) / (k - 1))

        def loss(theta):
            log_p = log_softmax(logits * np.exp(-theta[0]), axis=1)
            slope = ((target - np.exp(log_p)) * logits).sum() * np.exp(-theta[0])
            prior = theta[0] ** 2 / 2  # -log density of log T, but for a constant
            return -(target * log_p).sum() / n + prior / weight, slope / n + theta / weight

        limits = np.log([self.lowest, self.highest])
        tight = {"gtol": 1e-9, "ftol": 1e-14}
        found = minimize(loss, [0.0], jac=True, method="L-BFGS-B", bounds=[limits], options=tight)
        self.temperature_ = float(np.exp(found.x[0]))
        if np.isclose(found.x[0], limits, atol=1e-3).any():
            warnings.warn(
                f"temperature stopped at its bound {self.temperature_:.3g}: this calibration part "
                "does not determine it (all clips wrong, or logits of another scale)",
                stacklevel=3,
            )

    def _probabilities(self, logits):
        return softmax(logits / self.temperature_, axis=1)


class VectorScaling(_Calibrator):
    """p = softmax(w * z + b), one weight and one bias a class (Guo et al. 2017, section 4.2).

    `pull` draws w to 1 and b to 0: without it separable data send both to infinity. This small
    penalty is ours. `weight_ (K,)`, `bias_ (K,)`. It can change the arg-max.

    >>> z, y = [[0.0, 0.0]] * 20, [0] * 15 + [1] * 5  # no temperature could tell these two apart
    >>> VectorScaling(pull=0).fit(z, y).predict_proba([[0.0, 0.0]]).round(2).tolist()
    [[0.75, 0.25]]
    """

    def __init__(self, pull: float = 1e-3):
        self.pull = pull

    def _fit(self, logits, y, speakers):
        from scipy.optimize import minimize

        n, k = logits.shape
        hot = np.eye(k)[y]
        start = np.concatenate([np.ones(k), np.zeros(k)])

        def loss(theta):
            log_p = log_softmax(logits * theta[:k] + theta[k:], axis=1)
            off = (np.exp(log_p) - hot) / n
            away = theta - start
            slope = np.concatenate([(off * logits).sum(axis=0), off.sum(axis=0)])
            return -(hot * log_p).sum() / n + self.pull * away @ away, slope + 2 * self.pull * away

        found = minimize(loss, start, jac=True, method="L-BFGS-B").x
        self.weight_, self.bias_ = found[:k], found[k:]

    def _probabilities(self, logits):
        return softmax(logits * self.weight_ + self.bias_, axis=1)


class IsotonicCalibration(_Calibrator):
    """One rising step function a class against the rest, then normalised (Zadrozny & Elkan 2002).

    Works on the softmax of the logits. It can change the arg-max and gives exact zeros, which cost
    dearly in log-likelihood. A row that is zero for every class keeps its softmax.
    `curves_`: K fitted `IsotonicRegression`.

    >>> z, y = [[1.0, 0.0]] * 10 + [[3.0, 0.0]] * 10, [0, 1] * 5 + [0] * 10
    >>> IsotonicCalibration().fit(z, y).predict_proba([[1.0, 0.0], [3.0, 0.0]]).round(2).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """

    def _fit(self, logits, y, speakers):
        from sklearn.isotonic import IsotonicRegression

        probs = softmax(logits, axis=1)
        self.curves_ = [
            IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(probs[:, k], y == k)
            for k in self.classes_
        ]

    def _probabilities(self, logits):
        probs = softmax(logits, axis=1)
        mapped = np.column_stack([c.predict(probs[:, k]) for k, c in enumerate(self.curves_)])
        total = mapped.sum(axis=1, keepdims=True)
        return np.where(total > 0, mapped / np.where(total > 0, total, 1), probs)


def by_turn(calibrator, logits, labels, tune, speakers=None) -> tuple[list, np.ndarray]:
    """One copy of `calibrator` a turn, fitted on that turn's tune part; `(fitted, probs)`.

    `logits (turns, n, K)`, `labels` and `speakers (n,)`, `tune`: row numbers of each turn's
    tune part (known emotions only). `probs (turns, n, K)`: all clips as each turn's model and
    calibrator see them; NaN where the turn's model was not asked (`logits` are NaN there).

    >>> z, y = np.tile([2.0, 0.0], (2, 40, 1)), np.array([0, 0, 0, 1] * 5 + [0, 0, 0, 0, 1] * 4)
    >>> _, probs = by_turn(TemperatureScaling(), z, y, tune=[range(20), range(20, 40)])
    >>> probs[:, 0, 0].round(2).tolist()  # one clip; right were 3 of 4, and 4 of 5
    [0.75, 0.8]
    """
    given = [labels] if speakers is None else [labels, speakers]
    fitted = [
        type(calibrator)(**calibrator.get_params()).fit(z[rows], *(each[rows] for each in given))
        for z, rows in zip(logits, tune, strict=True)
    ]
    probs = np.full(np.shape(logits), np.nan)
    for turn, (model, z) in enumerate(zip(fitted, logits, strict=True)):
        asked = np.isfinite(z).all(axis=1)
        probs[turn, asked] = model.predict_proba(z[asked])
    return fitted, probs
