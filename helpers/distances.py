"""Detectors that ask how far a clip lies from what was taught. Higher = more unknown.

Built in lesson 06 (Mahalanobis, and the slip of its scale) and compared in lesson 13; the interface
is that of `detectors`. Spaces: "unit" divides each row by its length; "scaled" standardises by
the training rows, for Ledoit and Wolf shrink towards μ I and a few loud dimensions would decide;
where columns are more than rows it keeps the first principal components, one for every two rows;
"sphere" standardises and divides by the length; "raw" leaves rows as they are.
"""

import numpy as np
from scipy import linalg
from scipy.spatial.distance import cdist

from helpers.arrays import class_labels, matrix, positive
from helpers.detectors import Detector, energy, in_blocks, needed
from helpers.errors import CourseError


class Mahalanobis(Detector):
    """Distance to Gaussian classes, their covariances full as in source 1 (6.2), or one for all.

    Parameters: `covariance` "tied" (one Ledoit-Wolf estimate from all rows less their class mean)
    or "full" (one a class, plus `epsilon` I); `space`: see above.
    Fitted: `means_ (K, d)`, `whiteners_`: 1 or K lower triangles W (d, d) with Σ⁻¹ = Wᵀ W.
    A class of one row has no covariance of its own: "full" then leaves `epsilon` I.

    >>> rows, y = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.zeros(4, dtype=int)
    >>> model = Mahalanobis(space="raw").fit(rows, None, y)  # Σ = I / 2
    >>> model.score_samples([[3.0, 0.0]]).round(3).tolist()  # 3 √2
    [4.243]
    """

    def __init__(self, covariance="tied", epsilon=1e-3, space="scaled"):
        self.covariance = covariance
        self.epsilon = epsilon
        self.space = space

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)`, `y (n,)`; every class 0..max(y) needs a row (CourseError)."""
        from sklearn.covariance import ledoit_wolf

        if self.covariance not in ("tied", "full"):
            raise CourseError(f"covariance: 'tied' or 'full', not {self.covariance!r}")
        embeddings = matrix(embeddings, "embeddings")
        self.n_features_in_, self.space_ = embeddings.shape[1], _space(self.space, embeddings)
        rows, y = self._placed(embeddings), class_labels(y, len(embeddings))
        counts = np.bincount(y)
        if not counts.all():
            raise CourseError(f"labels: class {int(np.argmin(counts))} has no row to fit on")
        self.means_ = np.stack([rows[y == c].mean(axis=0) for c in range(len(counts))])
        residuals = rows - self.means_[y]
        if self.covariance == "tied":
            matrices = [ledoit_wolf(residuals, assume_centered=True)[0]]
        else:
            ridge = positive(self.epsilon, "epsilon") * np.eye(rows.shape[1])
            parts = (residuals[y == c] for c in range(len(counts)))
            matrices = [part.T @ part / max(len(part) - 1, 1) + ridge for part in parts]
        self.whiteners_ = [_whitener(matrix) for matrix in matrices]
        return self

    def distances(self, embeddings) -> np.ndarray:
        """Mahalanobis distance |W (x - μ)| of each row to each class: (n, H) -> (n, K), float64."""
        return in_blocks(self._distances, matrix(embeddings, "embeddings", self.n_features_in_))

    def _distances(self, rows):
        rows = self._placed(rows)
        centres = [self.means_] if self.covariance == "tied" else self.means_[:, None]
        pairs = zip(self.whiteners_, centres, strict=True)
        return np.hstack([cdist(rows @ root.T, mean @ root.T) for root, mean in pairs])

    def class_scores(self, embeddings) -> np.ndarray:
        """How unlike each class a row is, (n, K): here the distance itself."""
        return self.distances(embeddings)

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """The lowest of `class_scores`: how unlike the nearest class."""
        return self.class_scores(embeddings).min(axis=1)

    def _placed(self, rows):
        return self.space_.transform(rows.astype(np.float64))


class RelativeMahalanobis(Mahalanobis):
    """min_k d_k² - d_0², d_0 from one Gaussian over all rows (Ren et al. 2021, arXiv 2106.09022).

    Fitted also: `background_`, the Gaussian of d_0.

    >>> rows, y = np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> model = RelativeMahalanobis(space="raw").fit(rows, None, y)  # variances 1 and 5
    >>> model.score_samples([[2.0], [0.0]]).round(3).tolist()  # 0 - 4/5 and 4 - 0
    [-0.8, 4.0]
    """

    def fit(self, embeddings, logits, y, head=None):
        """As `Mahalanobis`; the background takes all rows as one class."""
        background = Mahalanobis(**self.get_params())
        self.background_ = background.fit(embeddings, logits, np.zeros(len(embeddings), dtype=int))
        return super().fit(embeddings, logits, y)

    def class_scores(self, embeddings) -> np.ndarray:
        """d_k² - d_0², (n, K)."""
        return self.distances(embeddings) ** 2 - self.background_.distances(embeddings) ** 2


class MinMinusStd(Mahalanobis):
    """min_k d_k² less the standard deviation of the d_k² over the classes: ours.

    What was taught lies near one class and far from the others; what was not lies as far from all.
    Near kin: MahaVar (arXiv 2605.14413).

    >>> rows, y = np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.array([0, 0, 1, 1])
    >>> model = MinMinusStd(space="raw").fit(rows, None, y)  # means -2 and 2, variance 1
    >>> model.score_samples([[2.0], [0.0]]).round(3).tolist()  # of 16, 0: 0 - 8; of 4, 4: 4 - 0
    [-8.0, 4.0]
    """

    def class_scores(self, embeddings) -> np.ndarray:
        """d_k² - std_k d_k², (n, K)."""
        squares = self.distances(embeddings) ** 2
        return squares - squares.std(axis=1, keepdims=True)


class ViM(Detector):
    """α |x_⊥| - log Σ exp z: what the training rows do not span, against the energy.

    Wang et al. 2022, arXiv 2203.10807, eq. 7 and 9-11. x: standardised rows (ours) less the origin
    o = -W⁺ b of the head; x_⊥: what lies outside their `dimensions` first directions; α: mean
    largest logit over mean |x_⊥|, of the training rows. `fit` needs the `head`.
    Fitted: `scaler_`, `origin_ (H,)`, `directions_ (dimensions, H)`, `alpha_`.

    >>> rows, head = np.array([[3.0, 1.0], [-3.0, 1.0], [0.0, -2.0]]), (np.eye(2), np.zeros(2))
    >>> virtual = ViM(1).fit(rows, rows, None, head).score_samples(rows, rows) - energy(rows)
    >>> round(float(virtual.mean()), 3)  # the mean largest logit, (3 + 1 + 0) / 3
    1.333
    """

    def __init__(self, dimensions=60, temperature=1.0):
        self.dimensions = dimensions
        self.temperature = temperature

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)`, `logits (n, K)` and `head`; CourseError without one."""
        from sklearn.preprocessing import StandardScaler
        from sklearn.utils.extmath import randomized_svd

        weight, bias = needed(head, "ViM")
        embeddings = matrix(embeddings, "embeddings")
        self.scaler_ = StandardScaler().fit(embeddings)
        origin = np.linalg.pinv(weight * self.scaler_.scale_) @ (bias + weight @ self.scaler_.mean_)
        self.origin_ = -origin
        most = max(1, min(self.dimensions, len(embeddings) - 1, embeddings.shape[1] - 1))
        self.directions_ = randomized_svd(self._placed(embeddings), most, random_state=0)[2]
        self.alpha_ = np.max(logits, axis=1).mean() / self._outside(embeddings).mean()
        return self

    def score_samples(self, embeddings, logits) -> np.ndarray:
        """α |x_⊥| / T - log Σ exp(z / T): the virtual logit against the others."""
        outside = in_blocks(self._outside, matrix(embeddings, "embeddings", len(self.origin_)))
        temperature = positive(self.temperature)
        return self.alpha_ * outside / temperature + energy(matrix(logits, "logits") / temperature)

    def _placed(self, rows):
        return self.scaler_.transform(rows.astype(np.float64)) - self.origin_

    def _outside(self, rows):
        rows = self._placed(rows)
        rows -= rows @ self.directions_.T @ self.directions_
        return np.sqrt(np.einsum("ij,ij->i", rows, rows))


class NearestNeighbours(Detector):
    """Distance to the `k`-th nearest training row, rows at unit length (Sun et al. 2022).

    arXiv 2204.06507; standardised first (ours): space "sphere". Fitted: `space_`, `search_`. A
    training row counts itself as its nearest.

    >>> rows = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    >>> model = NearestNeighbours(k=2).fit(rows, None, None)
    >>> model.score_samples([[1.0, 0.0], [9.0, 0.0]]).round(3).tolist()  # √2: length is no matter
    [1.414, 1.414]
    """

    def __init__(self, k=5):
        self.k = k

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)`, at least `k` rows."""
        from sklearn.neighbors import NearestNeighbors

        embeddings = matrix(embeddings, "embeddings")
        if not 1 <= self.k <= len(embeddings):
            raise CourseError(f"k: expected 1 to {len(embeddings)} (the rows), got {self.k}")
        self.space_ = _space("sphere", embeddings)
        rows = self.space_.transform(embeddings.astype(np.float64))
        self.search_ = NearestNeighbors(n_neighbors=self.k, algorithm="brute").fit(rows)
        return self

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """Distance of each row, 0 to 2."""

        def score(rows):
            rows = self.space_.transform(rows.astype(np.float64))
            return self.search_.kneighbors(rows)[0][:, -1]

        return in_blocks(score, matrix(embeddings, "embeddings", self.search_.n_features_in_))


def _space(name, rows):
    """The map into a space: see the top of this module."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

    count = rows.shape[1] if rows.shape[1] < len(rows) else max(1, len(rows) // 2)
    spaces = {
        "raw": [FunctionTransformer()],
        "unit": [Normalizer(copy=False)],
        "sphere": [StandardScaler(), Normalizer(copy=False)],
        "scaled": [StandardScaler(), PCA(count, random_state=0)],
    }
    if name not in spaces:
        raise CourseError(f"space: one of {', '.join(spaces)}, not {name!r}")
    return make_pipeline(*spaces[name]).fit(rows.astype(np.float64))


def _whitener(covariance):
    try:
        root = linalg.cholesky(covariance, lower=True)
    except linalg.LinAlgError as error:
        raise CourseError(
            "embeddings: a covariance is singular (identical rows?); raise epsilon, or give "
            "classes more than one distinct row"
        ) from error
    return linalg.solve_triangular(root, np.eye(len(root)), lower=True)
