"""Group what was rejected, as it arrives: online clustering by cosine (source 1, algorithm 2).

Derived in lesson 07. Memory grows with the clusters, never with the items; so does the cost of one.
"""

import warnings
from math import sqrt

import numpy as np

from helpers.arrays import blocks, matrix
from helpers.errors import CourseError
from helpers.estimators import Estimator


class OnlineClustering(Estimator):
    """Each item joins the most similar cluster, or founds one when no cosine reaches `threshold`.

    Parameters: `threshold` (δ, a cosine); `min_support`: items a cluster needs to be promoted.
    Fitted: `prototypes_ (M, H)` (running means of unit vectors, not unit themselves),
    `counts_ (M,)`, `promoted_ (M,)` bool, `labels_` (of the last `fit` or `partial_fit`).
    The result depends on the order of arrival; a row of zeros has cosine 0 to everything.

    >>> OnlineClustering(0.9).fit([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]]).labels_.tolist()
    [0, 0, 1]
    """

    kind = "clusterer"

    def __init__(self, threshold=0.9, min_support=5):
        self.threshold = threshold
        self.min_support = min_support

    def fit(self, embeddings, y=None):
        """Start anew, then `partial_fit`."""
        vars(self).pop("counts_", None)
        return self.partial_fit(embeddings)

    def fit_predict(self, embeddings, y=None) -> np.ndarray:
        """`fit`, and the cluster that each row joined: (n,)."""
        return self.fit(embeddings).labels_

    def partial_fit(self, embeddings, y=None):
        """Take in `embeddings (n, H)` one after the other."""
        if not -1 <= self.threshold <= 1:
            raise CourseError(f"threshold: expected a cosine from -1 to 1, got {self.threshold}")
        used = len(getattr(self, "counts_", ()))
        embeddings = matrix(embeddings, "embeddings", self._means.shape[1] if used else None)
        if not used:  # room for eight clusters, doubled whenever it is full
            self._means, self._units = np.zeros((2, 8, embeddings.shape[1]))
            self._counts = np.zeros(8, dtype=np.int64)
        self.labels_ = np.empty(len(embeddings), dtype=np.int64)
        for i, item in enumerate(_units(embeddings)):
            cosines = self._units[:used] @ item
            best = int(cosines.argmax()) if used else 0
            if not used or cosines[best] < self.threshold:
                best, used = used, used + 1
                if used > len(self._counts):
                    for name in ("_means", "_units", "_counts"):
                        old = getattr(self, name)
                        setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
            self._counts[best] += 1
            mean = self._means[best]
            mean += (item - mean) / self._counts[best]  # the source's update, rearranged
            self._units[best] = mean / (sqrt(mean @ mean) or 1)
            self.labels_[i] = best
        self.prototypes_, self.counts_ = self._means[:used], self._counts[:used]
        return self

    @property
    def promoted_(self) -> np.ndarray:
        """(M,) bool: which clusters have `min_support` items or more."""
        return self.counts_ >= self.min_support

    def predict(self, embeddings) -> np.ndarray:
        """The cluster of each row, nothing learnt; -1 where none is similar enough: (n,).

        >>> found = OnlineClustering(0.9).fit([[1.0, 0.0]])
        >>> found.predict([[7.0, 0.0], [0.0, 7.0]]).tolist()  # cosines 1 and 0
        [0, -1]
        """
        if not hasattr(self, "counts_"):
            raise CourseError("OnlineClustering: nothing was taken in yet; call partial_fit first")
        embeddings = matrix(embeddings, "embeddings", self.prototypes_.shape[1])
        labels = np.empty(len(embeddings), dtype=np.int64)
        units = self._units[: len(self.counts_)]
        for block in blocks(len(embeddings), max(units.shape)):
            cosines = unit(embeddings[block].astype(np.float64)) @ units.T
            best = np.where(cosines.max(axis=1) >= self.threshold, cosines.argmax(axis=1), -1)
            labels[block] = best
        return labels


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).round(3).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def _units(embeddings):
    for block in blocks(*embeddings.shape):
        yield from unit(embeddings[block].astype(np.float64))


def supported_silhouette(distances, labels, min_support: int = 5) -> float:
    """Mean silhouette of `labels (n,)` in which only clusters of `min_support` items count.

    `distances (n, n)`. An item of a smaller cluster counts 0: the plain mean rewards many tiny
    clusters, and one stray item beside a heap. 0 with fewer than two clusters large enough.

    >>> far = abs(np.subtract.outer([0, 0, 9, 9], [0, 0, 9, 9]))  # two pairs
    >>> [supported_silhouette(far, np.array([0, 0, 1, 1]), least) for least in (2, 3)]
    [1.0, 0.0]
    """
    from sklearn.metrics import silhouette_samples

    large = np.bincount(labels) >= min_support
    if large.sum() < 2:
        return 0.0
    each = silhouette_samples(distances, labels, metric="precomputed")
    return float(each[large[labels]].sum() / len(labels))


def arrive(items, threshold, order) -> np.ndarray:
    """Clusters (n,) of `items (n, H)` when they arrive in this `order (n,)` of row numbers.

    >>> items = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])  # cosine 0.71 from one to the next
    >>> [arrive(items, 0.7, np.array(order)).tolist() for order in ([0, 1, 2], [2, 1, 0])]
    [[0, 0, 1], [1, 0, 0]]
    """
    labels = np.empty(len(items), dtype=np.int64)
    labels[order] = OnlineClustering(threshold).fit(items[order]).labels_
    return labels


def choose_similarity(
    embeddings, seed: int = 0, candidates: int = 20, orders: int = 3, min_support: int = 5
):
    """δ without labels: the candidate with the highest `supported_silhouette` (cosine).

    Candidates are quantiles of the cosines between items (embeddings fill a narrow cone: a fixed
    grid would miss it); the silhouette is averaged over `orders` orders of arrival. At most 1,000
    items are looked at. Returns δ and an array (candidates, 3): δ, mean silhouette, mean number of
    clusters. Of equal silhouettes the smaller δ. When no candidate finds two clusters of
    `min_support` items, δ joins them all, with a warning.

    >>> delta, tried = choose_similarity(np.repeat(np.eye(2), 5, axis=0))  # two heaps, cosine 0
    >>> 0 < delta <= 1, tried[-1].round(3).tolist()
    (True, [1.0, 1.0, 2.0])
    """
    rng = np.random.default_rng(seed)
    items = matrix(embeddings, "embeddings")
    if len(items) < 3:
        raise CourseError(f"embeddings: choosing δ needs three items or more, got {len(items)}")
    items = unit(items[rng.permutation(len(items))[:1000]].astype(np.float64))
    cosines = np.clip(items @ items.T, -1, 1)
    between = cosines[np.triu_indices(len(items), 1)]
    far = 1 - cosines
    np.fill_diagonal(far, 0)
    shuffles = [rng.permutation(len(items)) for _ in range(orders)]
    found = []
    for threshold in np.unique(np.quantile(between, np.linspace(0.02, 0.98, candidates))):
        tried = [arrive(items, threshold, order) for order in shuffles]
        scores = [supported_silhouette(far, labels, min_support) for labels in tried]
        sizes = [labels.max() + 1 for labels in tried]
        found.append((threshold, np.mean(scores), np.mean(sizes)))
    found = np.array(found)
    if not found[:, 1].any():
        warnings.warn("no δ splits these items: all are joined", stacklevel=2)
        return float(between.min()), found
    return float(found[np.argmax(found[:, 1]), 0]), found
