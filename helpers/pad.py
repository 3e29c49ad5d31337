"""Reject by triplet thresholds, place in the PAD space, name (source 2: E-ODN, eq. 1-5, table 1).

Derived in lesson 08. PAD: pleasure, arousal, dominance. ``vectors (K, 3)`` are the standard vectors
of the known emotions in the order of the columns of ``probs (n, K)``; candidates map names to them.
"""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from helpers.arrays import CHUNK, class_labels, matrix, probabilities
from helpers.errors import CourseError, nearest
from helpers.estimators import Estimator


class TripletThresholds(Estimator):
    """Accept above η, reject below μ = ε η, and in between ask the lead δ (source 2, eq. 1-3).

    Parameters: ``epsilon`` (ε, in (0, 1]), ``rho`` (ρ, 0 or more); the source gives neither.
    Fitted: ``eta_``, ``mu_``, ``delta_``, each (K,), from correctly classified rows.
    The source does not say what happens when p_l < μ_l and another p_k >= μ_k. Here "unknown if
    *all* are below μ" is read to the letter: the lead then decides, as it does in between.
    A class without a correct row takes the mean of the others' η and lead, with a warning.
    """

    def __init__(self, epsilon: float = 0.7, rho: float = 0.5):
        self.epsilon = epsilon
        self.rho = rho

    def fit(self, probs, y):
        """``probs (n, K)`` confidences, ``y (n,)``. CourseError when no row at all is correct."""
        if not 0 < self.epsilon <= 1 or not self.rho >= 0:
            raise CourseError(f"expected 0 < epsilon <= 1 and rho >= 0: {self.epsilon}, {self.rho}")
        probs = matrix(probs, "probs").astype(np.float64)
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

    def score_samples(self, probs) -> np.ndarray:
        """Minus the largest margin over the thresholds: unknown where > 0, higher = more unknown.

        Known means p_l >= η_l, or both some p_k >= μ_k and lead >= δ_l; the margin is
        max(p_l - η_l, min(max_k (p_k - μ_k), lead - δ_l)), so a threshold rule can be ranked.
        """
        probs = matrix(probs, "probs", len(self.eta_)).astype(np.float64)
        best, top, lead = _lead(probs)
        between = np.minimum((probs - self.mu_).max(axis=1), lead - self.delta_[best])
        return -np.maximum(top - self.eta_[best], between)

    def predict(self, probs) -> np.ndarray:
        """The class of the highest confidence, -1 for unknown: (n,)."""
        return np.where(self.score_samples(probs) > 0, -1, np.asarray(probs).argmax(axis=1))


def _lead(probs):
    """Class and value of the highest confidence, and its lead over the second."""
    if probs.shape[1] < 2:
        raise CourseError("probs: triplet thresholds need two classes or more")
    second, top = np.partition(probs, -2, axis=1)[:, -2:].T
    return probs.argmax(axis=1), top, top - second


def pad_points(probs, vectors) -> np.ndarray:
    """Σ_j p_j F_j over the known classes (eq. 4; printed up to X_i, not n): (n, K) -> (n, 3)."""
    probs = probabilities(probs)
    vectors = matrix(vectors, "vectors", 3)
    if len(vectors) != probs.shape[1]:
        raise CourseError(f"vectors: {len(vectors)} rows for {probs.shape[1]} classes")
    return probs @ vectors


def name_points(points, candidates: Mapping[str, tuple], top: int = 1) -> np.ndarray:
    """Names of the ``top`` nearest candidates, nearest first (eq. 5): (n, 3) -> (n, top).

    Equally near ones come in the order of ``candidates``. In chunks: beside the result, memory does
    not grow with the points.
    """
    from scipy.spatial.distance import cdist

    points, names = matrix(points, "points", 3), np.array(list(candidates))
    if not 1 <= top <= len(names):
        raise CourseError(f"top: expected 1 to {len(names)} (the candidates), got {top}")
    vectors = matrix(list(candidates.values()), "candidates", 3)
    named = np.empty((len(points), top), names.dtype)
    step = max(1, CHUNK // len(names))
    for start in range(0, len(points), step):
        distances = cdist(points[start : start + step], vectors)
        order = np.argsort(distances, axis=1, kind="stable")[:, :top]
        named[start : start + step] = names[order]
    return named


def reach(vectors, candidates: Mapping[str, tuple]) -> dict[str, float]:
    """How deep the convex hull of the known ``vectors (K, 3)`` reaches into each candidate's cell.

    Eq. 4 never leaves that hull, so a candidate can be the nearest one only if its Voronoi cell
    meets it. Solved exactly, one linear program each: maximise r over the weights λ of a hull point
    x = Σ λ_k F_k (λ >= 0, Σ λ = 1) that is r or more away from each bisector, on the candidate's
    side. r >= 0: nameable (0 just touches); r < 0: never. Two equal candidates share a cell; a
    lone candidate gets infinity. In units of the PAD scale.
    """
    from scipy.optimize import linprog

    hull = matrix(vectors, "vectors", 3)
    others = matrix(list(candidates.values()), "candidates", 3)
    depths = {}
    for name, own in zip(candidates, others, strict=True):
        normals = others - own
        lengths = np.linalg.norm(normals, axis=1)
        real = lengths > 0
        if not real.any():
            depths[name] = np.inf
            continue
        offsets = (others**2).sum(axis=1) / 2 - (own**2).sum() / 2
        weights, one = np.zeros(len(hull) + 1), np.ones((1, len(hull) + 1))
        weights[-1], one[0, -1] = -1, 0
        solved = linprog(
            weights,
            A_ub=np.column_stack([normals @ hull.T, lengths])[real],
            b_ub=offsets[real],
            A_eq=one,
            b_eq=[1],
            bounds=[(0, None)] * len(hull) + [(None, None)],
        )
        if not solved.success:
            raise CourseError(f"candidates: no answer for {name}: {solved.message}")
        depths[name] = float(-solved.fun)
    return depths


def reachable_share(table_: Mapping[str, tuple], known: Iterable[str], unknown: Iterable[str]):
    """Share of the ``unknown`` names that eq. 4-5 can give; candidates: all of ``table_``."""
    known, unknown = list(known), list(unknown)
    for name in known + unknown:
        if name not in table_:
            raise CourseError(f"{name!r} has no PAD vector{nearest(name, table_)}")
    if not unknown:
        raise CourseError("unknown: no emotion given; the share of none is undefined")
    depths = reach([table_[name] for name in known], table_)
    return float(np.mean([depths[name] >= -1e-9 for name in unknown]))
