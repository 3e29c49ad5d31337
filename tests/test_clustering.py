"""Online clustering: by hand, batched against one by one, order of arrival, memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples, silhouette_score

from helpers.clustering import OnlineClustering, choose_similarity, supported_silhouette, unit
from helpers.errors import CourseError


def blobs(seed=0, count=40, size=12):
    rng = np.random.default_rng(seed)
    centres = 3 * np.eye(size)[:3]
    labels = np.repeat(np.arange(3), count)
    return centres[labels] + 0.3 * rng.normal(size=(len(labels), size)), labels


def algorithm_2(rows, threshold):
    """Source 1, algorithm 2, word for word."""
    prototypes, counts, labels = [], [], []
    for f in rows:
        f = f / np.linalg.norm(f)
        similarities = [f @ mu / np.linalg.norm(mu) for mu in prototypes]
        if similarities and max(similarities) >= threshold:
            j = int(np.argmax(similarities))
            prototypes[j] = (counts[j] * prototypes[j] + f) / (counts[j] + 1)
            counts[j] += 1
        else:
            j = len(prototypes)
            prototypes.append(f)
            counts.append(1)
        labels.append(j)
    return np.array(prototypes), counts, labels


def test_first_two_items_by_hand():
    rows = np.array([[2.0, 0.0], [3.0, 4.0]])  # unit vectors [1, 0] and [0.6, 0.8], cosine 0.6
    apart = OnlineClustering(0.61).fit(rows)
    assert apart.labels_.tolist() == [0, 1] and apart.counts_.tolist() == [1, 1]
    together = OnlineClustering(0.59).fit(rows)
    assert together.labels_.tolist() == [0, 0]
    assert np.allclose(together.prototypes_, [[0.8, 0.4]])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(-1, 1), cuts=st.lists(st.integers(1, 29)))
def test_agrees_with_algorithm_2_however_it_is_cut(seed, threshold, cuts):
    rows = np.random.default_rng(seed).normal(size=(30, 3))
    model = OnlineClustering(threshold)
    labels = []
    for part in np.split(rows, sorted(set(cuts))):
        labels += model.partial_fit(part).labels_.tolist()
    prototypes, counts, wanted = algorithm_2(rows, threshold)
    assert labels == wanted and model.counts_.tolist() == counts
    assert np.allclose(model.prototypes_, prototypes)


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.99])
def test_predict_in_a_batch_is_predict_one_by_one(threshold):
    rows, _ = blobs()
    model = OnlineClustering(threshold).fit(rows[::2])
    one_by_one = [model.predict(row[None])[0] for row in rows]
    assert model.predict(rows).tolist() == one_by_one
    assert model.counts_.sum() == 60  # predict learnt nothing
    assert model.predict(-rows[:1]).tolist() == [-1]


def test_finds_clear_groups_and_promotes_the_supported():
    rows, labels = blobs()
    model = OnlineClustering(0.6, min_support=10).fit(np.r_[rows, -rows[:1]])
    assert model.promoted_.tolist() == [True, True, True, False]
    found = model.labels_[:-1]
    assert all(len(set(found[labels == c])) == 1 for c in range(3))
    assert (OnlineClustering(0.6).fit_predict(rows) == found).all()


def test_the_order_of_arrival_decides():
    # Items at 0, 40 and 80 degrees; δ lets 40 degrees join, 80 not.
    angle = np.deg2rad([0, 40, 80])
    rows = np.column_stack([np.cos(angle), np.sin(angle)])
    threshold = np.cos(np.deg2rad(45))
    assert OnlineClustering(threshold).fit(rows).labels_.tolist() == [0, 0, 1]
    assert OnlineClustering(threshold).fit(rows[[2, 1, 0]]).labels_.tolist() == [0, 0, 1]
    assert OnlineClustering(threshold).fit(rows[[0, 2, 1]]).counts_.tolist() == [2, 1]
    assert OnlineClustering(threshold).fit(rows[[2, 0, 1]]).counts_.tolist() == [2, 1]
    # The middle one is with the first in one order, with the last in the other.
    assert OnlineClustering(threshold).fit(rows).predict(rows).tolist() == [0, 0, 1]
    assert OnlineClustering(threshold).fit(rows[::-1]).predict(rows).tolist() == [1, 0, 0]


def test_repeats_single_precision_and_zeros():
    rows, _ = blobs()
    once = OnlineClustering(0.6).fit(rows)
    low = OnlineClustering(0.6).fit(rows.astype(np.float32))
    assert (once.labels_ == low.labels_).all()
    assert np.allclose(once.prototypes_, low.prototypes_, atol=1e-4)
    same = OnlineClustering(0.999).fit(np.ones((50, 4)))
    assert same.counts_.tolist() == [50]
    assert OnlineClustering(0.5).fit(np.array([[1.0, 0], [0, 0]])).labels_.tolist() == [0, 1]
    assert OnlineClustering(0.5).fit(np.ones((3, 1))).counts_.tolist() == [3]


def test_a_cosine_of_exactly_delta_joins():
    rows = np.array([[1.0, 0.0], [3.0, 4.0]])  # cosine 3 / 5
    model = OnlineClustering(3 / 5).fit(rows)
    assert model.labels_.tolist() == [0, 0]
    assert OnlineClustering(3 / 5).fit(rows[:1]).predict(rows).tolist() == [0, 0]


def test_delta_is_chosen_over_three_orders_of_arrival():
    rows = np.random.default_rng(3).normal(size=(40, 3))  # no groups: the order decides
    _, tried = choose_similarity(rows)
    thirds = 3 * tried[:, 2]  # three times the mean number of clusters
    assert np.allclose(thirds, np.round(thirds))
    assert np.mean(np.abs(tried[:, 2] - np.round(tried[:, 2])) > 0.1) > 0.3


def test_threshold_chosen_without_labels():
    rows, labels = blobs()
    threshold, tried = choose_similarity(rows)
    found = OnlineClustering(threshold).fit_predict(rows)
    assert found.max() == 2 and all(len(set(found[labels == c])) == 1 for c in range(3))
    assert tried.shape[1] == 3 and threshold in tried[:, 0]
    assert choose_similarity(rows)[0] == threshold
    with pytest.warns(UserWarning, match="no δ splits"):
        threshold, _ = choose_similarity(np.ones((5, 3)))
    assert OnlineClustering(threshold - 1e-9).fit(np.ones((5, 3))).counts_.tolist() == [5]


def test_only_supported_clusters_count_in_the_silhouette():
    rows, labels = blobs()
    far = 1 - np.clip(unit(rows) @ unit(rows).T, -1, 1)
    np.fill_diagonal(far, 0)
    assert supported_silhouette(far, labels) == pytest.approx(
        silhouette_score(far, labels, metric="precomputed")
    )
    stray = np.zeros(len(rows), dtype=int)
    stray[0] = 1  # a heap and one item
    assert supported_silhouette(far, stray) == 0
    # Items of small clusters count 0 in the mean; they do not leave it.
    mixed = labels.copy()
    mixed[:20] = 3 + np.arange(20) // 2
    each = silhouette_samples(far, mixed, metric="precomputed")
    wanted = each[np.bincount(mixed)[mixed] >= 5].sum() / len(rows)
    assert supported_silhouette(far, mixed) == pytest.approx(wanted) and wanted > 0.1
    pairs = np.arange(len(rows)) // 2  # many tiny clusters
    assert supported_silhouette(far, pairs) == 0
    assert supported_silhouette(far, pairs, min_support=2) != 0


def test_memory_does_not_grow_with_the_items():
    rng = np.random.default_rng(0)
    model = OnlineClustering(-1.0)  # everything is one cluster
    peaks = []
    tracemalloc.start()
    for _ in range(4):
        tracemalloc.reset_peak()
        for _ in range(5):
            model.partial_fit(rng.normal(size=(1000, 16)))
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert model.counts_.tolist() == [20_000]
    assert peaks[-1] < 1.1 * peaks[0]


def test_bad_input_is_one_clear_line():
    with pytest.raises(CourseError, match="partial_fit first"):
        OnlineClustering().predict(np.ones((1, 2)))
    with pytest.raises(CourseError, match="cosine from -1 to 1"):
        OnlineClustering(2.0).fit(np.ones((1, 2)))
    with pytest.raises(CourseError, match="expected shape"):
        OnlineClustering().fit(np.ones((2, 2))).partial_fit(np.ones((2, 3)))
    with pytest.raises(CourseError, match="three items"):
        choose_similarity(np.ones((2, 2)))
