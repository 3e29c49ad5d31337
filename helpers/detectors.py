"""Detectors: scores that say "unknown", from plain arrays. Higher = more unknown, everywhere.

Derived in lessons 05 (entropy, maximum probability, margin, MaxLogit, energy), 08 (triplet
thresholds) and 13. All of them, those of `distances` and those of `openmax` are used alike::

    detector.fit(embeddings, logits, y)         # clips that the model was trained on
    detector.fit_held(embeddings, logits, y)    # clips of speakers that it never met
    detector.score_samples(embeddings, logits)  # (n,)

`embeddings (n, H)`, `logits (n, K)`, `y (n,)` in 0..K-1: each takes from them what it needs.
Thresholds come from pseudo-unknowns, at a stated prevalence: `pseudo.tune`, `pseudo.threshold`.
"""

import warnings

import numpy as np
from scipy import special

from helpers import probe
from helpers.arrays import blocks, class_labels, matrix, positive, probabilities
from helpers.errors import CourseError
from helpers.estimators import Estimator


class Detector(Estimator):
    """What every detector has; a subclass overrides what it needs, and `score_samples`.

    `fit_held` sets attributes and changes none in place, so that copies may share a `fit`.
    """

    kind = "outlier_detector"

    def fit(self, embeddings, logits, y, head=None):
        """Learn from clips that the model was trained on.

        `head`: weight (K, H) and bias (K,) with logits = embeddings @ weight.T + bias.
        """
        return self

    def fit_held(self, embeddings, logits, y):
        """Learn from known clips of speakers that the model never met: tails and thresholds."""
        return self

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """Score of each row: higher = more unknown, (n,)."""
        raise NotImplementedError


def needed(head, name: str):
    """`head` as it is; CourseError where a detector that needs it was not given one."""
    if head is None:
        raise CourseError(f"{name}: give head=(weight, bias): it asks for other logits")
    return head


def in_blocks(score, rows) -> np.ndarray:
    """`score` of all `rows`, block by block: many need little more memory than they take."""
    return np.concatenate([score(rows[block]) for block in blocks(*rows.shape)])


# --- scores of probabilities and logits --------------------------------------------------------


def mean_probabilities(segment_logits, owner, temperature: float = 1.0) -> np.ndarray:
    """Mean over segments of the temperature-scaled softmax (source 1, 6.1): (S, K) -> (n, K).

    `owner (S,)` holds the row 0..n-1 that a segment belongs to; no row may be without one.

    >>> mean_probabilities([[0.0, 0.0], [99.0, 0.0], [0.0, 0.0]], [0, 0, 1]).round(3).tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    logits = matrix(segment_logits, "segment_logits")
    owner = class_labels(owner, len(logits), "owner")
    counts = np.bincount(owner)
    if not counts.all():
        raise CourseError(f"owner: row {int(np.argmin(counts))} has no segment; number rows 0..n-1")
    probs = special.softmax(logits / positive(temperature), axis=1)
    sums = [np.bincount(owner, weights=column) for column in probs.T]
    return np.column_stack(sums) / counts[:, None]


def entropy(probs) -> np.ndarray:
    """Shannon entropy in nats, 0..log K, of each row (source 1, 6.1; 0 log 0 = 0 needs no ε).

    >>> entropy([[0.5, 0.5], [1.0, 0.0]]).round(3).tolist()
    [0.693, 0.0]
    """
    return special.entr(np.maximum(probabilities(probs), 0)).sum(axis=1)


def msp(probs) -> np.ndarray:
    """1 - maximum softmax probability.

    >>> msp([[0.75, 0.25]]).tolist()
    [0.25]
    """
    return 1 - probabilities(probs).max(axis=1)


def margin(probs) -> np.ndarray:
    """1 - margin, the margin being the best probability less the second best.

    >>> margin([[0.75, 0.25]]).tolist()
    [0.5]
    """
    return 1 - _lead(probabilities(probs))[2]


def max_logit(logits) -> np.ndarray:
    """Minus the largest logit.

    >>> max_logit([[3.0, -1.0]]).tolist()
    [-3.0]
    """
    return -matrix(logits, "logits").max(axis=1)


def energy(logits, temperature: float = 1.0) -> np.ndarray:
    """-T log Σ exp(z / T) (Liu et al. 2020, "Energy-based out-of-distribution detection").

    >>> energy([[0.0, 0.0]]).round(3).tolist()  # -log 2
    [-0.693]
    """
    temperature = positive(temperature)
    return -temperature * special.logsumexp(matrix(logits, "logits") / temperature, axis=1)


def _lead(probs):
    """Class and value of the highest confidence, and its lead over the second."""
    if probs.shape[1] < 2:
        raise CourseError("probs: a margin needs two classes or more")
    second, top = np.partition(probs, -2, axis=1)[:, -2:].T
    return probs.argmax(axis=1), top, top - second


OF_PROBABILITIES = {"entropy": entropy, "msp": msp, "margin": margin}
OF_LOGITS = {"maxlogit": max_logit, "energy": energy}


class Confidence(Detector):
    """One of the scores above as a detector; nothing is fitted (lesson 05).

    `score`: "entropy", "msp" or "margin" of softmax(z / T); "maxlogit" or "energy" of z / T.

    >>> Confidence("msp").score_samples(None, [[0.0, 0.0]]).tolist()
    [0.5]
    """

    def __init__(self, score="entropy", temperature=1.0):
        self.score = score
        self.temperature = temperature

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """The score of each row of `logits`; `embeddings` are not looked at."""
        logits = matrix(logits, "logits") / positive(self.temperature)
        if self.score in OF_LOGITS:
            return OF_LOGITS[self.score](logits)
        if self.score not in OF_PROBABILITIES:
            known = ", ".join(OF_PROBABILITIES | OF_LOGITS)
            raise CourseError(f"score: one of {known}, not {self.score!r}")
        return OF_PROBABILITIES[self.score](special.softmax(logits, axis=1))


class TripletThresholds(Detector):
    """Accept above η, reject below μ = ε η, and in between ask the lead δ (source 2, eq. 1-3).

    Parameters: `epsilon` (ε, in (0, 1]), `rho` (ρ, 0 or more); the source gives neither.
    Confidences are softmax(z / `temperature`). Fitted by `fit_held` on correctly classified
    rows: `eta_`, `mu_`, `delta_`, each (K,).
    The source does not say what happens when p_l < μ_l and another p_k >= μ_k. Here "unknown if
    *all* are below μ" is read to the letter: the lead then decides, as it does in between.
    A class without a correct row takes the mean of the others' η and lead, with a warning.

    >>> z = np.log([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> model = TripletThresholds().fit_held(None, z, [0, 0, 1])  # η 0.8, μ 0.56, δ 0.3
    >>> model.predict(None, np.log([[0.7, 0.3], [0.6, 0.4]])).tolist()  # leads 0.4 and 0.2
    [0, -1]
    """

    def __init__(self, epsilon=0.7, rho=0.5, temperature=1.0):
        self.epsilon = epsilon
        self.rho = rho
        self.temperature = temperature

    def fit_held(self, embeddings, logits, y):
        """`logits (n, K)`, `y (n,)`. CourseError when no row at all is correct."""
        if not 0 < self.epsilon <= 1 or not self.rho >= 0:
            raise CourseError(f"expected 0 < epsilon <= 1 and rho >= 0: {self.epsilon}, {self.rho}")
        probs = self._confidences(logits)
        y = class_labels(y, len(probs))
        best, top, lead = _lead(probs)
        right = best == y
        if not right.any():
            raise CourseError("labels: no row is classified correctly, so eq. 1 has no mean")
        eta, gap = np.full((2, probs.shape[1]), np.nan)
        for c in range(probs.shape[1]):
            if (right & (y == c)).any():
                eta[c], gap[c] = top[right & (y == c)].mean(), lead[right & (y == c)].mean()
            else:
                warnings.warn(f"class {c} has no correct row: the others' mean", stacklevel=2)
        self.eta_ = np.where(np.isnan(eta), np.nanmean(eta), eta)
        self.mu_ = self.epsilon * self.eta_
        self.delta_ = self.rho * np.where(np.isnan(gap), np.nanmean(gap), gap)
        return self

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """Minus the largest margin over the thresholds: unknown where > 0, higher = more unknown.

        Known means p_l >= η_l, or both some p_k >= μ_k and lead >= δ_l; the margin is
        max(p_l - η_l, min(max_k (p_k - μ_k), lead - δ_l)), so a threshold rule can be ranked.
        """
        probs = self._confidences(logits, len(self.eta_))
        best, top, lead = _lead(probs)
        between = np.minimum((probs - self.mu_).max(axis=1), lead - self.delta_[best])
        return -np.maximum(top - self.eta_[best], between)

    def predict(self, embeddings, logits) -> np.ndarray:
        """The class of the highest confidence, -1 for unknown: (n,)."""
        unknown = self.score_samples(embeddings, logits) > 0
        return np.where(unknown, -1, np.asarray(logits).argmax(axis=1))

    def _confidences(self, logits, columns=None):
        logits = matrix(logits, "logits", columns).astype(np.float64)
        return special.softmax(logits / positive(self.temperature), axis=1)


# --- what nobody has ----------------------------------------------------------------------------


class Oracle(Detector):
    """What a linear model would know that was taught the unknown: a roof, never a result.

    `fit` takes rows of unknown emotions too, their `y` -1, of other speakers than are scored.
    `strength`: C of the probe. Fitted: `weight_ (H,)`, `bias_`.

    >>> model = Oracle().fit([[0.0], [1.0], [2.0], [3.0]], None, [0, 1, -1, -1])
    >>> np.sign(model.score_samples([[1.4], [1.6]])).tolist()  # even odds at 1.5, halfway
    [-1.0, 1.0]
    """

    def __init__(self, strength=1e-2):
        self.strength = strength

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)`, `y (n,)`: -1 is unknown."""
        weight, bias = probe.fit(matrix(embeddings, "embeddings"), np.asarray(y) < 0, self.strength)
        self.weight_, self.bias_ = weight[1] - weight[0], bias[1] - bias[0]
        return self

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """Log odds of "unknown"."""
        embeddings = matrix(embeddings, "embeddings", len(self.weight_))
        return in_blocks(lambda rows: rows @ self.weight_ + self.bias_, embeddings)
