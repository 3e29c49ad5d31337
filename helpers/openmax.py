"""OpenMax three times: as source 1 prints it, as Bendale & Boulton had it, as the course advises.

Derived in lesson 06. Each is a detector (see `detectors`) that gives (n, K+1) probabilities,
"unknown" last. A Weibull model F_c of the largest distances to class c says how unusual a distance
is: w_c = F_c(d_c), α_c = 1 - w_c.

What happens in thin cases, each with a warning: a tail of fewer than three points takes the three
largest; a class with fewer than three distances that are not zero takes the tail of all classes
together; a tail of equal values gets the steepest shape. No class has any: CourseError.
"""

import warnings
from math import ceil

import numpy as np
from scipy import optimize, special
from scipy.spatial.distance import cdist

from helpers.arrays import class_labels, matrix, positive
from helpers.detectors import Detector
from helpers.distances import Mahalanobis, MinMinusStd
from helpers.errors import CourseError

STEEPEST = 1e3  # shape of a Weibull at location 0 that is a step: 1/1000 of the distance wide
FAR = 1e6  # a tail moved to begin here is a Gumbel's, whatever its unit
DISTANCES = {"mahalanobis": Mahalanobis, "min_minus_std": MinMinusStd}


def fit_weibull(tail, location: float = 0.0) -> tuple[float, float]:
    """Shape k and scale λ of a Weibull at `location`, by maximum likelihood.

    What SciPy's `weibull_min.fit(tail, floc=0)` searches for in two dimensions is the root of one
    rising function of k, a hundred times faster; the tests compare both. Far below the tail, the
    location makes k large: (location's distance) / (width of the tail), and the fit a Gumbel's.

    >>> shape, scale = fit_weibull([1.0, 2.0, 3.0])
    >>> round(shape, 2), round(scale, 2)
    (2.74, 2.26)
    """
    tail = np.asarray(tail, float)
    moved = tail - location
    if len(tail) < 3 or moved.min() <= 0:
        raise CourseError("tail: a Weibull fit needs three positive distances or more")
    size = np.abs(tail).max()
    steepest = STEEPEST * moved.max() / size  # as wide a step, whatever the location
    if np.ptp(tail) <= 1e-6 * size:
        warnings.warn("the distances of a tail are all equal: its Weibull is a step", stacklevel=2)
        return steepest, float(moved.max())
    unit = moved.mean()  # a scale near 1 keeps the powers small
    logs = np.log(moved / unit)

    def slope(k):
        return special.softmax(k * logs) @ logs - 1 / k - logs.mean()

    shape = optimize.brentq(slope, 1e-3, steepest) if slope(steepest) > 0 else steepest
    scale = np.exp((special.logsumexp(shape * logs) - np.log(len(logs))) / shape)
    return float(shape), float(scale * unit)


def fit_tails(distances, labels, classes: int, size, begin: float | None = None) -> np.ndarray:
    """(K, 3) shape, scale, location of each class' tail; `size(n)` says how many of n it takes.

    `distances (n,)`: of each row to its own class. `begin`: where each tail is moved to begin;
    None leaves it where it is, at location 0 (source 1).
    """
    fits, apart = np.empty((classes, 3)), distances != 0
    for c in range(classes):
        own = distances[(labels == c) & apart]
        if len(own) < 3:
            warnings.warn(f"class {c}: fewer than 3 distances; tail of all classes", stacklevel=3)
            own = distances[apart]
        if len(own) < 3:
            raise CourseError("fewer than 3 distances in all: no tail to fit; give more rows")
        if (count := size(len(own))) < 3:
            warnings.warn(f"class {c}: a tail of {count} points; the 3 largest", stacklevel=3)
        tail = np.sort(own)[-max(count, 3) :]
        location = 0.0 if begin is None else tail[0] - begin
        fits[c] = *fit_weibull(tail, location), location
    return fits


def log_alpha(distances, weibull) -> np.ndarray:
    """log α_c = log(1 - F_c(d_c)) = -((d - location) / λ)^k, exact where α itself is 0: (n, K).

    >>> weibull = np.array([[2.0, 1.0, 0.0]])  # shape, scale, location
    >>> log_alpha(np.array([[3.0], [40.0]]), weibull).round(3).tolist()  # exp(-1600) is 0 here
    [[-9.0], [-1600.0]]
    """
    shape, scale, location = weibull.T
    with np.errstate(over="ignore"):
        power = (np.maximum(distances - location, 0) / scale) ** shape
    return -np.minimum(power, 1e300)


def share(tail: float):
    """How many of n distances are "the largest γ fraction" (rounded up).

    >>> share(0.25)(10)
    3
    """
    if not 0 < tail <= 1:
        raise CourseError(f"tail: expected a fraction of (0, 1], got {tail}")
    return lambda n: ceil(tail * n - 1e-9)


class _OpenSet(Detector):
    kind = "classifier"

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """P(unknown) of each row: higher = more unknown."""
        return self.predict_proba(embeddings, logits)[:, -1]

    def _logits(self, logits, rows):
        logits = matrix(logits, "logits", len(self.weibull_)).astype(np.float64)
        if len(logits) != rows:
            raise CourseError(f"logits: {len(logits)} rows, but embeddings have {rows}")
        return logits


class PrintedOpenMax(_OpenSet):
    """Mahalanobis-OpenMax exactly as printed (source 1, 6.2, algorithm 1), slips and all.

    `epsilon` (added to each class' own covariance), `tail` (γ) are not given in the source.
    Fitted: `gaussians_`, `weibull_ (K, 3)`. All of a class' rows are used, right or wrong.

    >>> rows, y = np.random.default_rng(0).normal(size=(12, 2)), np.array([0, 1] * 6)
    >>> model = PrintedOpenMax(tail=1.0).fit(rows, None, y)  # next: all logits shifted by one
    >>> np.allclose(*(model.predict_proba(rows, z) for z in (rows, rows + 1)))
    False
    """

    def __init__(self, epsilon=1e-3, tail=0.1, temperature=1.0):
        self.epsilon = epsilon
        self.tail = tail
        self.temperature = temperature

    def fit(self, embeddings, logits, y, head=None):
        """Class models and tails from `embeddings (n, H)`, `y (n,)`; each class needs a row."""
        size, gaussians = share(self.tail), Mahalanobis("full", self.epsilon, space="unit")
        self.gaussians_ = gaussians.fit(embeddings, logits, y)
        if min(np.bincount(y)) == 1:
            warnings.warn("a class has one row: its covariance is ε I alone", stacklevel=2)
        own = self.gaussians_.distances(embeddings)[np.arange(len(y)), y]
        self.weibull_ = fit_tails(own, np.asarray(y), len(self.gaussians_.means_), size)
        return self

    def predict_proba(self, embeddings, logits) -> np.ndarray:
        """(n, H), (n, K) -> (n, K+1): softmax of [α z, Σ (1 - α) z] / T."""
        logits = self._logits(logits, len(embeddings))
        alpha = np.exp(log_alpha(self.gaussians_.distances(embeddings), self.weibull_))
        unknown = ((1 - alpha) * logits).sum(axis=1, keepdims=True)
        activations = np.hstack([alpha * logits, unknown])
        return special.softmax(activations / positive(self.temperature), axis=1)


class BendaleOpenMax(_OpenSet):
    """Bendale & Boulton 2016, "Towards open set deep networks", algorithms 1 and 2.

    Class means of the *logits* of correctly classified rows, a Weibull on the `tail` largest
    Euclidean distances (a count), and the `rank` highest logits revised, the i-th with weight
    (rank - i + 1) / rank, as their code has it (printed: (rank - i) / rank, which leaves the
    rank-th untouched, and at rank 1 everything). `translate`: where each tail is moved to begin,
    10,000 in their libMR (MetaRecognition.h). A later PyTorch port has 1, and then the fit depends
    on the unit of the logits. (Lesson 06 tries the other distance of their code, too.)
    Fitted: `means_ (K, K)`, `weibull_ (K, 3)`. A class without a correct row takes all it has.

    >>> z = np.array([[2.0, 0.0], [3, 0], [7, 0], [0, 2], [0, 3], [0, 7], [0, 9]])
    >>> model = BendaleOpenMax().fit(None, z, [0, 0, 0, 1, 1, 1, 0])
    >>> model.means_.round(3).tolist()  # the last row is wrong and left out
    [[4.0, 0.0], [0.0, 4.0]]
    """

    def __init__(self, tail=20, rank=3, translate=10_000.0):
        self.tail = tail
        self.rank = rank
        self.translate = translate

    def fit(self, embeddings, logits, y, head=None):
        """Class means and tails from `logits (n, K)`, `y (n,)` of the training rows."""
        if self.rank < 1 or self.tail < 3:
            raise CourseError(f"expected rank >= 1 and tail >= 3, got {self.rank}, {self.tail}")
        logits = matrix(logits, "logits").astype(np.float64)
        classes = logits.shape[1]
        y = class_labels(y, len(logits), classes=classes)
        keep = logits.argmax(axis=1) == y
        for c in range(classes):
            if not (y == c).any():
                raise CourseError(f"labels: class {c} has no row to fit on")
            if not keep[y == c].any():
                warnings.warn(f"class {c} has no correct row: all its rows are used", stacklevel=2)
                keep |= y == c
        logits, y = logits[keep], y[keep]
        self.means_ = np.stack([logits[y == c].mean(axis=0) for c in range(classes)])
        own, begin = (
            self.distances(logits)[np.arange(len(y)), y],
            positive(self.translate, "translate"),
        )
        self.weibull_ = fit_tails(own, y, classes, lambda n: min(n, self.tail), begin)
        return self

    def distances(self, logits) -> np.ndarray:
        """Euclidean, from each row to each class mean: (n, K) -> (n, K)."""
        return cdist(logits, self.means_)

    def predict_proba(self, embeddings, logits) -> np.ndarray:
        """(n, K) -> (n, K+1): softmax of [v ∘ ω, Σ v (1 - ω)]."""
        logits = self._logits(logits, len(logits))
        place = np.argsort(np.argsort(-logits, axis=1, kind="stable"), axis=1)  # 0 = the highest
        rank = min(self.rank, logits.shape[1])
        weight = np.maximum(rank - place, 0) / rank
        omega = 1 + weight * special.expm1(log_alpha(self.distances(logits), self.weibull_))
        unknown = (logits * (1 - omega)).sum(axis=1, keepdims=True)
        return special.softmax(np.hstack([logits * omega, unknown]), axis=1)


class OpenMax(_OpenSet):
    """The form the course advises: P(c) = α_c p_c, P(unknown) = Σ (1 - α_c) p_c.

    p = softmax(z / T), so a common shift of the logits changes nothing and the row sums to one. The
    covariance is tied and shrunk; the tails (γ = `tail`) come from *held-out* distances.
    `distance` to each class in a `space` (see `distances`): "mahalanobis", or
    "min_minus_std", which can be negative. So each tail is moved to begin far away, where a Weibull
    is a Gumbel: α = exp(-exp((d - μ) / σ)).
    Fitted: `gaussians_`, `weibull_ (K, 3)`.

    >>> rows, y = np.random.default_rng(0).normal(size=(12, 2)), np.array([0, 1] * 6)
    >>> model = OpenMax(tail=1.0).fit(rows[:6], None, y[:6]).fit_held(rows[6:], None, y[6:])
    >>> np.allclose(*(model.predict_proba(rows, z) for z in (rows, rows + 1)))
    True
    """

    def __init__(self, distance="min_minus_std", space="scaled", tail=0.5, temperature=1.0):
        self.distance = distance
        self.space = space
        self.tail = tail
        self.temperature = temperature

    def fit(self, embeddings, logits, y, head=None):
        """Class models from `embeddings (n, H)` and `y (n,)`."""
        if self.distance not in DISTANCES:
            raise CourseError(f"distance: no {self.distance!r}; {', '.join(DISTANCES)}")
        gaussians = DISTANCES[self.distance](space=self.space)
        self.gaussians_ = gaussians.fit(embeddings, logits, y)
        return self

    def fit_held(self, embeddings, logits, y):
        """Tails from distances of rows that no fit met, of *known* classes only.

        A class with fewer than three of them takes the tail of all classes together, which a tied
        covariance allows (with a warning).
        """
        classes = len(self.gaussians_.means_)
        y = class_labels(y, len(embeddings), classes=classes)
        own = self.gaussians_.class_scores(embeddings)[np.arange(len(y)), y]
        self.weibull_ = fit_tails(own, y, classes, share(self.tail), FAR)
        return self

    def _log_known(self, embeddings, logits):
        logits = self._logits(logits, len(embeddings)) / positive(self.temperature)
        distances = self.gaussians_.class_scores(embeddings)
        return special.log_softmax(logits, axis=1) + log_alpha(distances, self.weibull_)

    def predict_proba(self, embeddings, logits) -> np.ndarray:
        """(n, H), (n, K) -> (n, K+1)."""
        known = np.exp(self._log_known(embeddings, logits))
        return np.hstack([known, np.maximum(1 - known.sum(axis=1, keepdims=True), 0)])

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """-log(1 - P(unknown)): ranks as P(unknown) does, without the ties where that is 1."""
        return -special.logsumexp(self._log_known(embeddings, logits), axis=1)
