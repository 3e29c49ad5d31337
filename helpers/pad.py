"""Place clips in the PAD space, and name them (source 2: E-ODN, eq. 4-5, table 1).

Derived in lesson 08. PAD: pleasure, arousal, dominance. `vectors (K, 3)` are the standard vectors
of the known emotions in the order of the columns of `probs (n, K)`; candidates map names to them.
"""

from collections.abc import Mapping

import numpy as np

from helpers.arrays import blocks, matrix, probabilities
from helpers.errors import CourseError


def pad_points(probs, vectors) -> np.ndarray:
    """Σ_j p_j F_j over the known classes (eq. 4; printed up to X_i, not n): (n, K) -> (n, 3).

    >>> pad_points([[0.5, 0.5]], [(0, 0, 0), (2, 1, -1)]).tolist()
    [[1.0, 0.5, -0.5]]
    """
    probs = probabilities(probs)
    vectors = matrix(vectors, "vectors", 3)
    if len(vectors) != probs.shape[1]:
        raise CourseError(f"vectors: {len(vectors)} rows for {probs.shape[1]} classes")
    return probs @ vectors


def name_points(points, candidates: Mapping[str, tuple], top: int = 1) -> np.ndarray:
    """Names of the `top` nearest candidates, nearest first (eq. 5): (n, 3) -> (n, top).

    Equally near ones come in the order of `candidates`. In chunks: beside the result, memory does
    not grow with the points.

    >>> name_points([[0.9, 0.2, 0.0]], {"calm": (0, 0, 0), "glad": (1, 0, 0)}, top=2).tolist()
    [['glad', 'calm']]
    """
    from scipy.spatial.distance import cdist

    points, names = matrix(points, "points", 3), np.array(list(candidates))
    if not 1 <= top <= len(names):
        raise CourseError(f"top: expected 1 to {len(names)} (the candidates), got {top}")
    vectors = matrix(list(candidates.values()), "candidates", 3)
    named = np.empty((len(points), top), names.dtype)
    for block in blocks(len(points), len(names)):
        order = np.argsort(cdist(points[block], vectors), axis=1, kind="stable")[:, :top]
        named[block] = names[order]
    return named


def reach(vectors, candidates: Mapping[str, tuple]) -> dict[str, float]:
    """How deep the convex hull of the known `vectors (K, 3)` reaches into each candidate's cell.

    Eq. 4 never leaves that hull, so a candidate can be the nearest one only if its Voronoi cell
    meets it. Solved exactly, one linear program each: maximise r over the weights λ of a hull point
    x = Σ λ_k F_k (λ >= 0, Σ λ = 1) that is r or more away from each bisector, on the candidate's
    side. r >= 0: nameable (0 just touches); r < 0: never. Two equal candidates share a cell; a
    lone candidate gets infinity. In units of the PAD scale.

    >>> found = reach([(0, 0, 0), (1, 0, 0)], {"a": (0, 0, 0), "b": (1, 0, 0), "c": (5, 0, 0)})
    >>> {name: round(depth, 3) for name, depth in found.items()}  # the cell of c begins at 3
    {'a': 0.5, 'b': 0.5, 'c': -2.0}
    """
    from scipy.optimize import linprog

    hull = matrix(vectors, "vectors", 3)
    others = matrix(list(candidates.values()), "candidates", 3)
    one, free = np.append(np.ones(len(hull)), 0), [(0, None)] * len(hull) + [(None, None)]
    depths = {}
    for name, own in zip(candidates, others, strict=True):
        rivals = others[(others != own).any(axis=1)]
        if not len(rivals):
            depths[name] = np.inf
            continue
        normals = rivals - own
        sides = np.column_stack([normals @ hull.T, np.linalg.norm(normals, axis=1)])
        offsets = ((rivals**2).sum(axis=1) - own @ own) / 2
        # Of λ and r, Σ λ = 1, the greatest r: `one - 1` is -1 in its place and else 0.
        depths[name] = float(-linprog(one - 1, sides, offsets, [one], [1], free).fun)
    return depths
