"""Several emotions a clip: labels from votes, weights of losses, thresholds, temperatures.

Lesson 11 builds them (source 5). Plain arrays only: `votes (n, K)` counts of raters, `truth
(n, K)` bool, `probs (n, K)` one probability an emotion (rows need not sum to one), `logits
(n, K)` those before the sigmoid. Scores: `metrics.label_ece`, `sklearn.metrics.f1_score`.
"""

import numpy as np
from scipy.special import expit

from helpers.arrays import matrix
from helpers.calibration import TemperatureScaling
from helpers.errors import CourseError
from helpers.estimators import Estimator


def vote_counts(votes) -> np.ndarray:
    """`votes` as whole numbers (n, K), at least one a clip; CourseError otherwise.

    >>> vote_counts([[2.0, 1.0], [0.0, 3.0]]).tolist()
    [[2, 1], [0, 3]]
    >>> vote_counts([[0.67, 0.33]])  # shares of three votes: how many there were is lost
    Traceback (most recent call last):
    helpers.errors.CourseError: votes: expected whole numbers from 0 up, and a vote for every clip
    """
    counts = matrix(votes, "votes")
    if counts.min() < 0 or (counts % 1).any() or not counts.sum(axis=1).all():
        raise CourseError("votes: expected whole numbers from 0 up, and a vote for every clip")
    return counts.astype(int)


def multi_hot(votes) -> np.ndarray:
    """Labels (n, K) bool: emotions whose share of the votes is above 1/K (source 5, section 3.1).

    In whole numbers, because a share of exactly 1/K, such as one vote of six for six emotions, is
    not above it, and rounding could make it so. Every clip keeps an emotion unless its votes are
    spread evenly over all K.

    >>> multi_hot([[3, 2, 1], [4, 2, 0]]).astype(int).tolist()  # 2 of 6 is 1/3: not above
    [[1, 0, 0], [1, 0, 0]]
    """
    counts = vote_counts(votes)
    return counts * counts.shape[1] > counts.sum(axis=1, keepdims=True)


def rater_against_rest(votes):
    """Every rater alone against the labels that the others give: what agreement allows.

    Returns `said (m, K)` bool with one emotion a row, `rest (m, K)` the labels of the other
    raters by the same rule, `weight (m,)` the share of the clip's raters who said it, and the
    clips' `rows (m,)`. Clips of one rater are left out: nobody is left to compare with.

    >>> said, rest, weight, _ = rater_against_rest([[2, 1, 0]])
    >>> said.astype(int).tolist(), rest.astype(int).tolist(), weight.round(2).tolist()
    ([[1, 0, 0], [0, 1, 0]], [[1, 1, 0], [1, 0, 0]], [0.67, 0.33])
    """
    counts = vote_counts(votes)
    rows, emotion = np.nonzero(counts * (counts.sum(axis=1, keepdims=True) > 1))
    said = np.eye(counts.shape[1], dtype=int)[emotion]
    weight = counts[rows, emotion] / counts[rows].sum(axis=1)
    rest = multi_hot(counts[rows] - said) if len(rows) else said.astype(bool)
    return said.astype(bool), rest, weight, rows


# --- weights of the losses ----------------------------------------------------------------------


def _positives(truth) -> np.ndarray:
    positives = np.asarray(truth, dtype=bool).sum(axis=0)
    if not positives.all():
        raise CourseError(
            f"truth: emotion number {positives.argmin()} is in no clip to train on; leave it out"
        )
    return positives


def class_balanced_weights(truth, beta: float) -> np.ndarray:
    """Weights (K,) of mean 1, one an emotion, for n_j clips of `truth` with emotion j.

    beta = 0 weighs alike; towards 1 the weights go to 1 / n_j (at 1 the formula is 0/0:
    CourseError). Mean 1 as Cui et al. 2019, section 3; source 5 does not say.

    >>> class_balanced_weights([[1, 1], [1, 0]], beta=0.5).round(3).tolist()  # 2/3 and 1, mean 1
    [0.8, 1.2]
    """
    if not 0 <= beta < 1:
        raise CourseError(f"beta: expected 0 <= beta < 1, got {beta}")
    weights = (1 - beta) / (1 - beta ** _positives(truth))  # source 5, eq. 2
    return weights / weights.mean()


def cooccurrence_penalty(truth) -> np.ndarray:
    """P (K, K): how seldom emotion z comes with emotion j, 1 - n_jz / n_j; 0 on the diagonal.

    Source 5 counts pairs and gives no formula from there on: this one is ours.

    >>> cooccurrence_penalty([[1, 1], [1, 0]]).tolist()  # the second never comes without the first
    [[0.0, 0.5], [0.0, 0.0]]
    """
    hot = np.asarray(truth, dtype=float)
    return 1 - hot.T @ hot / _positives(truth)[:, None]


def penalty_weights(penalty) -> np.ndarray:
    """Weights (K,) of mean 1 that eq. 3 of source 5 amounts to: sum_z P_jz.

    Nothing else in eq. 3 depends on z, so its double sum is a weight an emotion. For
    `cooccurrence_penalty` that is K less the mean number of labels of the clips with emotion j.

    >>> penalty_weights(cooccurrence_penalty([[1, 1], [1, 0]])).tolist()  # as 2 - 3/2 to 2 - 2
    [2.0, 0.0]
    """
    total = np.asarray(penalty, dtype=float).sum(axis=1)
    if not total.sum() > 0:
        raise CourseError("penalty: holds nothing above 0; no loss is left")
    return total / total.mean()


# --- after training -----------------------------------------------------------------------------


def best_thresholds(probs, truth) -> np.ndarray:
    """Thresholds (K,) of largest F1, an emotion each; said is `probs >= threshold`.

    For development clips. Halfway to the next lower probability, so that a clip a little below is
    still said. An emotion that no clip has gets infinity: it is never said.

    >>> best_thresholds([[0.1], [0.2], [0.4]], [[0], [1], [1]]).round(2).tolist()
    [0.15]
    """
    probs, truth = matrix(probs, "probs").astype(float), np.asarray(truth, dtype=bool)
    thresholds = np.full(probs.shape[1], np.inf)
    for j in np.flatnonzero(truth.any(axis=0)):
        levels, where = np.unique(probs[:, j], return_inverse=True)
        said = np.bincount(where)[::-1].cumsum()[::-1]
        hits = np.bincount(where, truth[:, j])[::-1].cumsum()[::-1]
        best = np.argmax(2 * hits / (said + truth[:, j].sum()))
        thresholds[j] = levels[max(best - 1, 0) : best + 1].mean()
    return thresholds


class MultiLabelTemperature(Estimator):
    """One temperature an emotion, by negative log-likelihood on development clips.

    On logits: c = sigmoid(z / T), which moves no decision at 0.5. `printed`: source 5, eq. 6-7,
    whose log-softmax takes the *probabilities* [p, 1 - p]: c = sigmoid((2p - 1) / T), so that T = 1
    does not give p back but squeezes it into (0.27, 0.73). `temperature_ (K,)`. Fitting and
    warnings are those of `calibration.TemperatureScaling` on two columns.

    >>> z, truth = [[2.0, 2.0]] * 20, [[1, 1]] * 12 + [[1, 0]] * 3 + [[0, 0]] * 5
    >>> model = MultiLabelTemperature().fit(z, truth)  # 15 and 12 of 20 are true
    >>> model.predict_proba([[2.0, 2.0]]).round(2).tolist()
    [[0.75, 0.6]]
    """

    def __init__(self, printed: bool = False):
        self.printed = printed

    def _odds(self, logits, columns=None) -> np.ndarray:
        """Log-odds (n, K) that T divides."""
        logits = matrix(logits, "logits", columns)
        return 2 * expit(logits) - 1 if self.printed else logits

    def fit(self, logits, truth):
        """Fit on `logits (n, K)` and `truth (n, K)`; CourseError where they do not fit."""
        odds, truth = self._odds(logits), np.asarray(truth)
        if truth.shape != odds.shape or not np.isin(truth, (0, 1)).all():
            raise CourseError(f"truth: expected 0 or 1 of shape {odds.shape}, got {truth.shape}")
        self.n_features_in_ = odds.shape[1]
        self.temperature_ = np.array([
            TemperatureScaling().fit(np.stack([z, 0 * z], axis=1), 1 - y).temperature_
            for z, y in zip(odds.T, truth.T.astype(int), strict=True)
        ])  # fmt: skip
        return self

    def predict_proba(self, logits) -> np.ndarray:
        """Calibrated probabilities `(n, K)`, one an emotion: rows need not sum to one."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return expit(self._odds(logits, self.n_features_in_) / self.temperature_)
