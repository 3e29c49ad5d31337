"""Scores that say "unknown", from plain arrays. Higher = more unknown, everywhere.

Derived in lesson 05 (entropy, maximum probability, margin, MaxLogit, energy) and lesson 06
(Mahalanobis). Source 1: Anand, Singh, Shukla, "Extending Wav2Vec2-Based Speech Emotion Classifiers
to the Open-Set". ``logits``, ``probs (n, K)``; ``embeddings (n, H)``; ``labels (n,)`` in 0..K-1.
Thresholds: ``pseudo.tune`` and ``pseudo.threshold``, on pseudo-unknowns, at a stated prevalence.
"""

import numpy as np
from scipy import linalg, special

from helpers.arrays import CHUNK, class_labels, matrix, positive, probabilities
from helpers.errors import CourseError
from helpers.estimators import Estimator


def mean_probabilities(segment_logits, owner, temperature: float = 1.0) -> np.ndarray:
    """Mean over segments of the temperature-scaled softmax (source 1, 6.1): (S, K) -> (n, K).

    ``owner (S,)`` holds the row 0..n-1 that a segment belongs to; no row may be without one.
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
    """Shannon entropy in nats, 0..log K, of each row (source 1, 6.1; 0 log 0 = 0 needs no ε)."""
    return special.entr(np.maximum(probabilities(probs), 0)).sum(axis=1)


def msp(probs) -> np.ndarray:
    """1 - maximum softmax probability (MSP)."""
    return 1 - probabilities(probs).max(axis=1)


def margin(probs) -> np.ndarray:
    """1 - margin, the margin being the best probability less the second best."""
    probs = probabilities(probs)
    if probs.shape[1] < 2:
        raise CourseError("probs: a margin needs two classes or more")
    top = np.partition(probs, -2, axis=1)[:, -2:]
    return 1 - (top[:, 1] - top[:, 0])


def max_logit(logits) -> np.ndarray:
    """Minus the largest logit."""
    return -matrix(logits, "logits").max(axis=1)


def energy(logits, temperature: float = 1.0) -> np.ndarray:
    """-T log Σ exp(z / T) (Liu et al. 2020, "Energy-based out-of-distribution detection")."""
    temperature = positive(temperature)
    return -temperature * special.logsumexp(matrix(logits, "logits") / temperature, axis=1)


class Mahalanobis(Estimator):
    """Distance to Gaussian classes, their covariances full as in source 1 (6.2), or one for all.

    Parameters: ``covariance`` "tied" (one Ledoit-Wolf estimate from all rows less their class mean)
    or "full" (one a class, plus ``epsilon`` I); ``normalise``: divide rows by their length first.
    Fitted: ``means_ (K, H)``, ``whiteners_``: 1 or K lower triangles W (H, H) with Σ⁻¹ = Wᵀ W.
    A class of one row has no covariance of its own: "full" then leaves ``epsilon`` I.
    """

    kind = "outlier_detector"

    def __init__(self, covariance: str = "tied", epsilon: float = 1e-3, normalise: bool = True):
        self.covariance = covariance
        self.epsilon = epsilon
        self.normalise = normalise

    def fit(self, embeddings, y):
        """``embeddings (n, H)``, ``y (n,)``; every class 0..max(y) needs a row (CourseError)."""
        if self.covariance not in ("tied", "full"):
            raise CourseError(f"covariance: 'tied' or 'full', not {self.covariance!r}")
        rows = self._prepare(matrix(embeddings, "embeddings"))
        y = class_labels(y, len(rows))
        counts = np.bincount(y)
        if not counts.all():
            raise CourseError(f"labels: class {int(np.argmin(counts))} has no row to fit on")
        self.means_ = np.stack([rows[y == c].mean(axis=0) for c in range(len(counts))])
        residuals = rows - self.means_[y]
        if self.covariance == "tied":
            from sklearn.covariance import ledoit_wolf

            matrices = [ledoit_wolf(residuals, assume_centered=True)[0]]
        else:
            ridge = positive(self.epsilon, "epsilon") * np.eye(rows.shape[1])
            parts = (residuals[y == c] for c in range(len(counts)))
            matrices = [part.T @ part / max(len(part) - 1, 1) + ridge for part in parts]
        try:
            roots = [linalg.cholesky(matrix, lower=True) for matrix in matrices]
        except linalg.LinAlgError as error:
            raise CourseError(
                "embeddings: a covariance is singular (identical rows?); raise epsilon, or give "
                "classes more than one distinct row"
            ) from error
        eye = np.eye(rows.shape[1], order="F")
        self.whiteners_ = [linalg.solve_triangular(root, eye, lower=True) for root in roots]
        return self

    def distances(self, embeddings) -> np.ndarray:
        """Mahalanobis distance of each row to each class: (n, H) -> (n, K), float64.

        d = |W (x - μ)|: one triangular product for many rows at once, half the work of a full one,
        and in chunks, so that many rows need little more memory than they take themselves.
        """
        embeddings = matrix(embeddings, "embeddings", self.means_.shape[1])
        out = np.empty((len(embeddings), len(self.means_)))
        step = max(1, CHUNK // embeddings.shape[1])
        centres = self.means_
        if self.covariance == "tied":
            centres = self._whiten(self.means_.copy(), 0)
        for start in range(0, len(embeddings), step):
            rows = self._prepare(embeddings[start : start + step])
            if self.covariance == "tied":
                rows = self._whiten(rows, 0)
            for c, centre in enumerate(centres):
                moved = rows - centre
                if self.covariance == "full":
                    moved = self._whiten(moved, c)
                out[start : start + step, c] = np.sqrt(np.einsum("ij,ij->i", moved, moved))
        return out

    def score_samples(self, embeddings) -> np.ndarray:
        """Distance to the nearest class: higher = more unknown."""
        return self.distances(embeddings).min(axis=1)

    def _whiten(self, rows, c):
        # rows.T is in Fortran order, so that BLAS multiplies in place.
        return linalg.blas.dtrmm(1.0, self.whiteners_[c], rows.T, lower=1, overwrite_b=1).T

    def _prepare(self, rows):
        rows = rows.astype(np.float64)
        if self.normalise:
            norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            rows /= np.where(norms > 0, norms, 1)[:, None]
        return rows
