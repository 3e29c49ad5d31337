"""Detectors that ask how far a clip lies from what was taught. Higher = more unknown.

Built in lesson 06 (Mahalanobis, and the slip of its scale) and compared in lesson 13; the interface
is that of ``detectors``. Spaces: "unit" divides each row by its length; "scaled" standardises by
the training rows and keeps their first principal components, for Ledoit and Wolf shrink towards
μ I, so that without it a few loud dimensions decide; "raw" leaves rows as they are. ``components``:
how many; None takes one for every two training rows.
"""

import numpy as np
from scipy import linalg

from helpers.arrays import blocks, class_labels, matrix, positive
from helpers.detectors import Detector, energy
from helpers.errors import CourseError


class Mahalanobis(Detector):
    """Distance to Gaussian classes, their covariances full as in source 1 (6.2), or one for all.

    Parameters: ``covariance`` "tied" (one Ledoit-Wolf estimate from all rows less their class mean)
    or "full" (one a class, plus ``epsilon`` I); ``space`` and ``components``: see above.
    Fitted: ``means_ (K, d)``, ``whiteners_``: 1 or K lower triangles W (d, d) with Σ⁻¹ = Wᵀ W.
    A class of one row has no covariance of its own: "full" then leaves ``epsilon`` I.

    >>> rows, y = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.zeros(4, dtype=int)
    >>> model = Mahalanobis(space="raw").fit(rows, None, y)  # Σ = I / 2
    >>> model.score_samples([[3.0, 0.0]]).round(3).tolist()  # 3 √2
    [4.243]
    """

    def __init__(self, covariance="tied", epsilon=1e-3, space="unit", components=None):
        self.covariance = covariance
        self.epsilon = epsilon
        self.space = space
        self.components = components

    def fit(self, embeddings, logits, y, head=None):
        """``embeddings (n, H)``, ``y (n,)``; every class 0..max(y) needs a row (CourseError)."""
        if self.covariance not in ("tied", "full"):
            raise CourseError(f"covariance: 'tied' or 'full', not {self.covariance!r}")
        if self.space not in ("unit", "scaled", "raw"):
            raise CourseError(f"space: 'unit', 'scaled' or 'raw', not {self.space!r}")
        embeddings = matrix(embeddings, "embeddings")
        self.n_features_in_ = embeddings.shape[1]
        if self.space == "scaled":
            self.map_ = _scaled(embeddings, self.components)
        rows = self._prepare(embeddings)
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
        and in blocks, so that many rows need little more memory than they take themselves.
        """
        embeddings = matrix(embeddings, "embeddings", self.n_features_in_)
        out = np.empty((len(embeddings), len(self.means_)))
        centres = self.means_
        if self.covariance == "tied":
            centres = self._whiten(self.means_.copy(), 0)
        for block in blocks(*embeddings.shape):
            rows = self._prepare(embeddings[block])
            if self.covariance == "tied":
                rows = self._whiten(rows, 0)
            for c, centre in enumerate(centres):
                moved = rows - centre
                if self.covariance == "full":
                    moved = self._whiten(moved, c)
                out[block, c] = np.sqrt(np.einsum("ij,ij->i", moved, moved))
        return out

    def class_scores(self, embeddings) -> np.ndarray:
        """How unlike each class a row is, (n, K): here the distance itself."""
        return self.distances(embeddings)

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """The lowest of ``class_scores``: how unlike the nearest class."""
        return self.class_scores(embeddings).min(axis=1)

    def _whiten(self, rows, c):
        # rows.T is in Fortran order, so that BLAS multiplies in place.
        return linalg.blas.dtrmm(1.0, self.whiteners_[c], rows.T, lower=1, overwrite_b=1).T

    def _prepare(self, rows):
        rows = rows.astype(np.float64)
        if self.space == "scaled":
            return np.ascontiguousarray(self.map_.transform(rows))
        return _unit(rows) if self.space == "unit" else rows


class _Scaled(Mahalanobis):
    def __init__(self, components=None):
        super().__init__(space="scaled", components=components)


class RelativeMahalanobis(_Scaled):
    """min_k d_k² - d_0², d_0 from one Gaussian over all rows (Ren et al. 2021, arXiv 2106.09022).

    Tied covariance, space "scaled". Fitted also: ``background_``, the Gaussian of d_0.
    """

    def fit(self, embeddings, logits, y, head=None):
        """As ``Mahalanobis``; the background takes all rows as one class."""
        super().fit(embeddings, logits, y)
        background = Mahalanobis(space="scaled", components=self.components)
        self.background_ = background.fit(embeddings, logits, np.zeros(len(embeddings), dtype=int))
        return self

    def class_scores(self, embeddings) -> np.ndarray:
        """d_k² - d_0², (n, K)."""
        return self.distances(embeddings) ** 2 - self.background_.distances(embeddings) ** 2


class MinMinusStd(_Scaled):
    """min_k d_k² less the standard deviation of the d_k² over the classes: ours.

    What was taught lies near one class and far from the others; what was not lies as far from all.
    Tied covariance, space "scaled". Near kin: MahaVar (arXiv 2605.14413).
    """

    def class_scores(self, embeddings) -> np.ndarray:
        """d_k² - std_k d_k², (n, K)."""
        squares = self.distances(embeddings) ** 2
        return squares - squares.std(axis=1, keepdims=True)


class ViM(Detector):
    """α |x_⊥| - log Σ exp z: what the training rows do not span, against the energy.

    Wang et al. 2022, arXiv 2203.10807, eq. 7 and 9-11. x: standardised rows (ours) less the origin
    o = -W⁺ b of the head; x_⊥: what lies outside their ``dimensions`` first directions; α: mean
    largest logit over mean |x_⊥|, of the training rows. ``fit`` needs the ``head``.
    Fitted: ``scaler_``, ``origin_ (H,)``, ``directions_ (dimensions, H)``, ``alpha_``.
    """

    def __init__(self, dimensions=60, temperature=1.0):
        self.dimensions = dimensions
        self.temperature = temperature

    def fit(self, embeddings, logits, y, head=None):
        """``embeddings (n, H)``, ``logits (n, K)`` and ``head``; CourseError without one."""
        from sklearn.preprocessing import StandardScaler
        from sklearn.utils.extmath import randomized_svd

        if head is None:
            raise CourseError("ViM: give head=(weight, bias): its origin is that of the logits")
        embeddings = matrix(embeddings, "embeddings")
        self.scaler_ = StandardScaler().fit(embeddings)
        weight = head[0] * self.scaler_.scale_
        self.origin_ = -np.linalg.pinv(weight) @ (head[1] + head[0] @ self.scaler_.mean_)
        most = min(self.dimensions, len(embeddings) - 1, embeddings.shape[1] - 1)
        rows = self.scaler_.transform(embeddings.astype(np.float64)) - self.origin_
        self.directions_ = randomized_svd(rows, max(1, most), random_state=0)[2]
        self.alpha_ = np.max(logits, axis=1).mean() / self._outside(embeddings).mean()
        return self

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """α |x_⊥| / T - log Σ exp(z / T): the virtual logit against the others."""
        virtual = self.alpha_ * self._outside(embeddings) / positive(self.temperature)
        return virtual + energy(matrix(logits, "logits") / self.temperature)

    def _outside(self, embeddings):
        embeddings = matrix(embeddings, "embeddings", len(self.origin_))
        out = np.empty(len(embeddings))
        for block in blocks(*embeddings.shape):
            rows = self.scaler_.transform(embeddings[block].astype(np.float64)) - self.origin_
            rows -= rows @ self.directions_.T @ self.directions_
            out[block] = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        return out


class NearestNeighbours(Detector):
    """Distance to the ``k``-th nearest training row, rows at unit length (Sun et al. 2022).

    arXiv 2204.06507; standardised first (ours). Fitted: ``scaler_``, ``search_``. A training row
    counts itself as its nearest.
    """

    def __init__(self, k=5):
        self.k = k

    def fit(self, embeddings, logits, y, head=None):
        """``embeddings (n, H)``, at least ``k`` rows."""
        from sklearn.neighbors import NearestNeighbors
        from sklearn.preprocessing import StandardScaler

        embeddings = matrix(embeddings, "embeddings")
        if not 1 <= self.k <= len(embeddings):
            raise CourseError(f"k: expected 1 to {len(embeddings)} (the rows), got {self.k}")
        self.scaler_ = StandardScaler().fit(embeddings)
        rows = _unit(self.scaler_.transform(embeddings.astype(np.float64)))
        self.search_ = NearestNeighbors(n_neighbors=self.k, algorithm="brute").fit(rows)
        return self

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """Distance of each row, 0 to 2."""
        embeddings = matrix(embeddings, "embeddings", self.search_.n_features_in_)
        out = np.empty(len(embeddings))
        for block in blocks(*embeddings.shape):
            rows = _unit(self.scaler_.transform(embeddings[block].astype(np.float64)))
            out[block] = self.search_.kneighbors(rows)[0][:, -1]
        return out


def _scaled(rows, components):
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wanted = len(rows) // 2 if components is None else components
    most = max(1, min(wanted, len(rows) - 1, rows.shape[1]))
    return make_pipeline(StandardScaler(), PCA(most, random_state=0)).fit(rows.astype(np.float64))


def _unit(rows):
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows /= np.where(norms > 0, norms, 1)[:, None]
    return rows
