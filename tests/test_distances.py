"""Distances: formulas written out, scikit-learn's own, the slip of the scale, thin cases."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from test_detectors import groups

from helpers import probe
from helpers.distances import (
    Mahalanobis,
    MinMinusStd,
    NearestNeighbours,
    RelativeMahalanobis,
    ViM,
)
from helpers.errors import CourseError

EVERY = {
    "unit": Mahalanobis(space="unit"),
    "scaled": Mahalanobis(),
    "relative": RelativeMahalanobis(),
    "min_minus_std": MinMinusStd(),
    "vim": ViM(2),
    "knn": NearestNeighbours(3),
}


def fit(name, rows, labels):
    """A detector fitted on rows, with the head of a probe; and the logits of any rows."""
    weight, bias = probe.fit(rows, labels)
    model = clone(EVERY[name]).fit(rows, rows @ weight.T + bias, labels, head=(weight, bias))
    return model, lambda new: model.score_samples(new, new @ weight.T + bias)


@pytest.mark.parametrize("covariance", ["tied", "full"])
def test_mahalanobis_against_the_formula(covariance):
    rng = np.random.default_rng(0)
    rows, labels = groups(rng)
    model = Mahalanobis(covariance, epsilon=1e-2, space="raw").fit(rows, None, labels)
    new = rng.normal(size=(5, 6))
    for c in range(3):
        own = rows[labels == c]
        inverse = model.whiteners_[0].T @ model.whiteners_[0]
        if covariance == "full":
            inverse = np.linalg.inv(np.cov(own.T) + 1e-2 * np.eye(6))
        away = new - own.mean(axis=0)
        wanted = np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away))
        assert np.allclose(model.distances(new)[:, c], wanted)
    assert np.allclose(model.score_samples(new), model.distances(new).min(axis=1))
    assert np.allclose(model.distances(rows.astype(np.float32)), model.distances(rows), atol=1e-4)


def test_tied_covariance_is_ledoit_wolf_of_the_residuals():
    from sklearn.covariance import LedoitWolf

    rows, labels = groups(np.random.default_rng(1))
    model = Mahalanobis(space="raw").fit(rows, None, labels)
    wanted = LedoitWolf(assume_centered=True).fit(rows - model.means_[labels]).covariance_
    assert np.allclose(model.whiteners_[0].T @ model.whiteners_[0] @ wanted, np.eye(6))


@pytest.mark.parametrize("covariance", ["tied", "full"])
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), order=st.permutations(range(3)))
def test_permuted_classes_permute_the_distances(covariance, seed, order):
    rng = np.random.default_rng(seed)
    rows, labels = groups(rng, (5, 6, 7))
    model = Mahalanobis(covariance, space="unit")
    old = model.fit(rows, None, labels).distances(rows)
    new = model.fit(rows, None, np.argsort(order)[labels]).distances(rows)
    assert np.allclose(new, old[:, order])


@pytest.mark.parametrize("covariance", ["tied", "full"])
@pytest.mark.parametrize(("counts", "size"), [((4, 4), 20), ((9, 9), 1), ((1, 6), 4), ((60, 2), 3)])
def test_thin_cases_stay_finite(covariance, counts, size):
    # Fewer rows than dimensions, one dimension, a class of a single row, and all of it repeated.
    rows, labels = groups(np.random.default_rng(2), counts, size)
    for repeat in (1, 3):
        model = Mahalanobis(covariance, space="unit" if size > 1 else "raw")
        model.fit(np.repeat(rows, repeat, axis=0), None, np.repeat(labels, repeat))
        assert np.isfinite(model.distances(rows)).all()


def standardised(rows, new):
    return (new - rows.mean(axis=0)) / rows.std(axis=0)


def squares(rows, labels, new):
    """d_k² (n, K) of rows as they are, with an explicit inverse."""
    means = np.stack([rows[labels == c].mean(axis=0) for c in range(labels.max() + 1)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(rows - means[labels]).covariance_)
    away = new[:, None] - means
    return np.einsum("nki,ij,nkj->nk", away, inverse, away)


@pytest.mark.parametrize(("count", "kept"), [(6, 3), (8, 6), (150, 6)])
def test_scaled_distances_against_the_formula(count, kept):
    rng = np.random.default_rng(5)
    rows, labels = groups(rng, (count - 5, 3, 2))
    rows *= np.geomspace(0.01, 100, 6)
    new = rows[:6] + rng.normal(size=(6, 6))
    pca = PCA(kept).fit(standardised(rows, rows))
    a, b = (pca.transform(standardised(rows, x)) for x in (rows, new))
    d, d_0 = squares(a, labels, b), squares(a, np.zeros_like(labels), b)
    scaled = Mahalanobis().fit(rows, None, labels)
    assert np.allclose(scaled.distances(new), np.sqrt(d))
    relative = RelativeMahalanobis().fit(rows, None, labels)
    assert np.allclose(relative.score_samples(new), d.min(axis=1) - d_0[:, 0])
    ours = MinMinusStd().fit(rows, None, labels)
    spread = [np.sqrt(np.mean((row - row.mean()) ** 2)) for row in d]
    assert np.allclose(ours.score_samples(new), d.min(axis=1) - spread)


def test_components_are_one_for_two_training_rows_where_these_are_few():
    rows, labels = groups(np.random.default_rng(6), (6, 7, 8), size=40)
    assert Mahalanobis().fit(rows, None, labels).means_.shape == (3, 10)
    assert Mahalanobis().fit(rows[:, :21], None, labels).means_.shape == (3, 10)
    assert Mahalanobis().fit(rows[:, :20], None, labels).means_.shape == (3, 20)


def test_only_the_scaled_space_forgets_the_unit_of_a_dimension():
    rows, labels = groups(np.random.default_rng(7))
    loud = rows * [1, 1, 1000, 1, 1, 1]
    moved = {}
    for space in ("unit", "raw", "scaled"):
        a, b = (Mahalanobis(space=space).fit(x, None, labels).distances(x) for x in (rows, loud))
        moved[space] = np.abs(a - b).max() / a.mean()
    assert moved["scaled"] < 1e-6 and min(moved["unit"], moved["raw"]) > 0.2


def test_vim_against_the_paper():
    rng = np.random.default_rng(8)
    rows, labels = groups(rng)
    new = rng.normal(size=(9, 6))
    weight, bias = probe.fit(rows, labels)
    logits, new_logits = rows @ weight.T + bias, new @ weight.T + bias
    # In standardised features the same logits come from W' = W s, b' = b + W m.
    x, z = (standardised(rows, part) for part in (rows, new))
    scaled = weight * rows.std(axis=0)
    assert np.allclose(x @ scaled.T + bias + weight @ rows.mean(axis=0), logits)
    origin = -np.linalg.pinv(scaled) @ (bias + weight @ rows.mean(axis=0))
    _, vectors = np.linalg.eigh((x - origin).T @ (x - origin))
    null = vectors[:, :-2]  # all but the two largest
    alpha = logits.max(axis=1).sum() / np.linalg.norm((x - origin) @ null, axis=1).sum()
    virtual = alpha * np.linalg.norm((z - origin) @ null, axis=1)
    wanted = virtual - np.log(np.exp(new_logits).sum(axis=1))
    model = ViM(2).fit(rows, logits, labels, head=(weight, bias))
    assert np.allclose(model.score_samples(new, new_logits), wanted)
    hot = ViM(2, temperature=2.0).fit(rows, logits, labels, head=(weight, bias))
    half = virtual / 2 - np.log(np.exp(new_logits / 2).sum(axis=1))
    assert np.allclose(hot.score_samples(new, new_logits), half)
    with pytest.raises(CourseError, match="head="):
        ViM().fit(rows, logits, labels)


def test_neighbours_against_scikit_learn():
    rng = np.random.default_rng(9)
    rows, labels = groups(rng)
    new = rng.normal(size=(8, 6))
    a, b = (standardised(rows, x) for x in (rows, new))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    wanted = NearestNeighbors(n_neighbors=4).fit(a).kneighbors(b)[0][:, -1]
    assert np.allclose(NearestNeighbours(4).fit(rows, None, labels).score_samples(new), wanted)
    assert np.allclose(
        NearestNeighbours(1).fit(rows, None, labels).score_samples(rows), 0, atol=1e-7
    )
    with pytest.raises(CourseError, match="k: expected 1 to 120"):
        NearestNeighbours(121).fit(rows, None, labels)


@pytest.mark.parametrize("name", EVERY)
def test_the_far_is_more_unknown_and_one_by_one_is_together(name):
    rng = np.random.default_rng(10)
    rows, labels = groups(rng, size=8)
    _, score = fit(name, rows, labels)
    new, far = rows[::4] + 0.1 * rng.normal(size=rows[::4].shape), -2 * rows[::4]
    assert score(far).mean() > score(new).mean() + score(new).std()
    assert np.allclose([score(x[None])[0] for x in new], score(new))
    low = score(new.astype(np.float32))
    assert np.allclose(low, score(new), atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_the_order_of_classes_does_not_matter(name, order):
    rows, labels = groups(np.random.default_rng(11))
    scores = [fit(name, rows, y)[1](rows + 0.5) for y in (labels, np.argsort(order)[labels])]
    assert np.allclose(*scores, atol=1e-3 if name == "vim" else 1e-9)  # the probe is a search


@pytest.mark.parametrize("name", EVERY)
def test_more_dimensions_than_rows_stay_finite(name):
    rows, labels = groups(np.random.default_rng(12), (4, 5, 6), size=30)
    _, score = fit(name, rows, labels)
    assert np.isfinite(score(rows)).all() and np.isfinite(score(100 * rows)).all()


def test_bad_input_is_one_clear_line():
    rows, labels = groups(np.random.default_rng(3))
    with pytest.raises(CourseError, match="class 1 has no row"):
        Mahalanobis().fit(rows[labels != 1], None, labels[labels != 1])
    with pytest.raises(CourseError, match="singular"):
        Mahalanobis().fit(np.ones((4, 3)), None, np.array([0, 0, 1, 1]))
    with pytest.raises(CourseError, match="epsilon"):
        Mahalanobis("full", 0).fit(rows, None, labels)
    with pytest.raises(CourseError, match="covariance: 'tied' or 'full'"):
        Mahalanobis("diagonal").fit(rows, None, labels)
    with pytest.raises(CourseError, match="space: one of raw, unit, sphere, scaled, not 'cosine'"):
        Mahalanobis(space="cosine").fit(rows, None, labels)
    for name in EVERY:
        model, _ = fit(name, rows, labels)
        with pytest.raises(CourseError, match="expected shape"):
            model.score_samples(rows[:, :2], np.zeros((len(rows), 3)))


def test_a_million_rows_take_bounded_memory():
    rng = np.random.default_rng(4)
    rows, labels = groups(rng, (50, 50), 16)
    model = Mahalanobis("full", space="unit").fit(rows, None, labels)
    many = rng.normal(size=(1_000_000, 16)).astype(np.float32)
    tracemalloc.start()
    model.distances(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    results, three_chunks = 16_000_000, 3 * 32_000_000
    assert peak < results + three_chunks + 10_000_000
