"""Metrics: hand-made cases, independent implementations, invariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from helpers import metrics
from helpers.errors import CourseError


def sample(seed, n=200, classes=4):
    rng = np.random.default_rng(seed)
    return softmax(rng.normal(scale=2, size=(n, classes)), axis=1), rng.integers(classes, size=n)


def two_class(confidence):
    confidence = np.asarray(confidence, dtype=float)
    return np.column_stack([confidence, 1 - confidence])


def test_uar_is_balanced_accuracy():
    probs, labels = sample(0)
    predicted = probs.argmax(axis=1)
    expected = balanced_accuracy_score(labels, predicted)
    assert metrics.uar(labels, predicted) == pytest.approx(expected)
    assert metrics.uar([0, 0, 0, 1], [0, 0, 0, 0]) == 0.5


def test_ece_by_hand():
    # Bin of 0.95: 2 clips, 1 right, gap 0.45. Bin of 0.65: 2 clips, 2 right, gap 0.35.
    probs = two_class([0.95, 0.95, 0.65, 0.65])
    labels = [0, 1, 0, 0]
    assert metrics.ece(probs, labels, bins=10) == pytest.approx((2 * 0.45 + 2 * 0.35) / 4)
    assert metrics.mce(probs, labels, bins=10) == pytest.approx(0.45)
    assert np.isnan(metrics.mce(probs, labels, bins=10, least=3))
    assert metrics.adaptive_ece(probs, labels, bins=2) == pytest.approx(0.4)


def test_confidence_of_one_is_in_the_last_bin_and_zero_in_the_first():
    bins = metrics.reliability([1.0, 0.0, 1.0], [False, True, False])
    assert bins.counts[-1] == 2 and bins.counts[0] == 1 and bins.counts.sum() == 3
    assert metrics.ece(two_class([1.0, 1.0]), [1, 1]) == pytest.approx(1.0)
    one = np.float32(1) + np.finfo(np.float32).eps  # a float32 softmax may exceed one
    assert metrics.reliability([one], [True]).counts[-1] == 1


@pytest.mark.parametrize("bins", [10, 15])
def test_ece_and_mce_agree_with_netcal(bins):
    from netcal.metrics import ECE, MCE

    for seed in range(5):
        probs, labels = sample(seed, 400)
        assert metrics.ece(probs, labels, bins) == pytest.approx(
            ECE(bins).measure(probs, labels), abs=1e-9
        )
        assert metrics.mce(probs, labels, bins) == pytest.approx(
            MCE(bins).measure(probs, labels), abs=1e-9
        )


def test_nll_and_brier():
    probs, labels = sample(1)
    assert metrics.nll(probs, labels) == pytest.approx(log_loss(labels, probs, labels=range(4)))
    assert metrics.nll(two_class([0.0]), [0]) == pytest.approx(-np.log(1e-12))
    assert metrics.brier(two_class([1.0]), [1]) == 2.0
    assert metrics.brier(two_class([0.7]), [0]) == pytest.approx(2 * 0.3**2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_rows_and_of_classes_does_not_matter(seed):
    probs, labels = sample(seed, 80)
    probs = probs.round(1) + 1e-3  # ties
    probs /= probs.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(80), rng.permutation(4)
    for score in (metrics.ece, metrics.adaptive_ece, metrics.mce, metrics.nll, metrics.brier):
        plain = score(probs, labels)
        assert score(probs[rows], labels[rows]) == pytest.approx(plain)
        if score in (metrics.nll, metrics.brier):
            swapped = score(probs[:, columns], np.argsort(columns)[labels])
            assert swapped == pytest.approx(plain)
    right = rng.random(80) < 0.6
    assert metrics.aurc(probs.max(axis=1)[rows], right[rows]) == pytest.approx(
        metrics.aurc(probs.max(axis=1), right)
    )


def test_float32_and_float64_agree():
    probs, labels = sample(2)
    narrow = probs.astype(np.float32)
    for score in (metrics.ece, metrics.nll, metrics.brier):
        assert score(narrow, labels) == pytest.approx(score(probs, labels), abs=1e-5)


def test_floor_is_what_a_calibrated_model_shows():
    rng = np.random.default_rng(0)
    probs = two_class(rng.uniform(0.5, 1, 300))
    shown = [metrics.ece(probs, (rng.random(300) > probs[:, 0]).astype(int)) for _ in range(300)]
    assert metrics.ece_floor(probs) == pytest.approx(np.mean(shown), rel=0.06)
    assert metrics.ece_floor(probs) == metrics.ece_floor(probs)
    assert metrics.ece_floor(two_class([1.0, 1.0])) == 0


def test_floors_of_the_sizes_in_the_papers_notes():
    # Confidences spread evenly over 0.2-1: about 0.14 at n = 68, 0.06 at 339, 0.04 at 864.
    for n, expected in ((68, 0.14), (339, 0.06), (864, 0.04)):
        top = np.linspace(0.2, 1, n)
        probs = np.column_stack([top, *[(1 - top) / 9] * 9])
        assert metrics.ece_floor(probs) == pytest.approx(expected, abs=0.012)


def test_aurc_by_hand():
    # Kept in order: right, wrong, right -> risks 0, 1/2, 1/3.
    assert metrics.aurc([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert metrics.aurc([0.5, 0.5], [1, 0]) == pytest.approx(0.5)  # a tie shares its error
    coverage, risk = metrics.risk_coverage([0.9, 0.8, 0.7], [1, 0, 1])
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    assert risk[-1] == pytest.approx(1 / 3)


def test_threshold_at_accuracy():
    confidence, correct = [0.9, 0.8, 0.8, 0.6], [1, 1, 0, 1]
    assert metrics.threshold_at_accuracy(confidence, correct, 0.95) == 0.9
    assert metrics.threshold_at_accuracy(confidence, correct, 0.75) == 0.6
    assert metrics.threshold_at_accuracy([0.9], [0], 0.95) == np.inf


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_auroc_is_scikit_learns(seed, ties):
    rng = np.random.default_rng(seed)
    scores, unknown = rng.normal(size=60), np.arange(60) % 3 == 0
    scores = scores.round() if ties else scores
    assert metrics.auroc(scores, unknown) == pytest.approx(roc_auc_score(unknown, scores))
    assert metrics.auroc(-scores, ~unknown) == pytest.approx(metrics.auroc(scores, unknown))


def test_fpr95_by_hand_and_both_ways():
    unknown = np.array([True] * 20 + [False] * 10)
    scores = np.concatenate([np.arange(1, 21), np.repeat([0.5, 2.5], 5)])
    # 95 % of 20 unknown = 19: threshold 2, which half of the known reach.
    assert metrics.fpr95(scores, unknown) == pytest.approx(0.5)
    # Known positive: all ten accepted up to 2.5, as are the unknown 1 and 2.
    assert metrics.fpr95(-scores, ~unknown) == pytest.approx(0.1)
    assert metrics.fpr95(np.ones(30), unknown) == 1.0
    assert metrics.aupr(np.ones(30), unknown) == pytest.approx(2 / 3)


def test_oscr_by_hand():
    unknown = np.array([False, False, True, True])
    correct = np.array([True, False, False, False])
    assert metrics.oscr([0, 1, 2, 3], unknown, correct) == pytest.approx(0.5)  # half is right
    assert metrics.oscr([2, 3, 0, 1], unknown, correct) == pytest.approx(0.0)
    # Accepted in the order right, unknown, wrong, unknown: CCR 1/2 over the whole FPR axis.
    assert metrics.oscr([0, 2, 1, 3], unknown, correct) == pytest.approx(0.5)
    assert metrics.oscr([1, 1, 1, 1], unknown, correct) == pytest.approx(0.25)  # one tie
    assert metrics.oscr([0, 1, 2, 3], unknown, ~unknown) == pytest.approx(1.0)


def test_oscr_is_auroc_when_all_known_are_right():
    rng = np.random.default_rng(0)
    scores, unknown = rng.normal(size=90).round(1), np.arange(90) % 3 == 0
    scores[unknown] += 0.7
    assert metrics.oscr(scores, unknown, ~unknown) == pytest.approx(metrics.auroc(scores, unknown))


def test_f1_of_unknown():
    rng = np.random.default_rng(1)
    unknown, flagged = rng.random(200) < 0.3, rng.random(200) < 0.4
    assert metrics.f1_unknown(flagged, unknown) == pytest.approx(f1_score(unknown, flagged))
    everything = np.ones(200, dtype=bool)
    assert metrics.f1_unknown(everything, unknown, 0.375) == pytest.approx(
        metrics.f1_reject_all(0.375)
    )


def test_ranking_needs_both_sides():
    for score in (metrics.auroc, metrics.aupr, metrics.fpr95):
        with pytest.raises(ValueError, match="one side is empty"):
            score([1, 2], [True, True])


@pytest.mark.parametrize("n", [20, 40, 60, 200])
def test_fpr95_flags_95_percent_exactly_where_that_is_a_whole_number_of_clips(n):
    scores = np.arange(n, dtype=float)  # unknown; 95 % are those from n / 20 up
    found = metrics.fpr95(np.append(scores, [n / 20 - 0.5, n / 20 + 0.5]), np.arange(n + 2) < n)
    assert found == 0.5


GOOD, NAMES = np.array([[0.7, 0.3], [0.2, 0.8]]), np.array([0, 1])


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.array([[4.0, -1.0], [0.5, 2.0]]), NAMES, "softmax"),
        (GOOD * [[1.0], [np.nan]], NAMES, "NaN"),
        (GOOD, np.array([0, -1]), "from 0 up"),
        (GOOD, np.array([0, 2]), "no column"),
        (GOOD, np.array([0]), "expected 2"),
        (GOOD, np.array([0.0, 1.0]), "class numbers"),
    ],
)
@pytest.mark.parametrize("metric", [metrics.ece, metrics.nll, metrics.brier, metrics.mce])
def test_wrong_arrays_are_refused(metric, probs, labels, message):
    with pytest.raises(CourseError, match=message):
        metric(probs, labels)


def test_wrong_scores_and_confidences_are_refused():
    with pytest.raises(CourseError, match="finite"):
        metrics.auroc([0.1, np.nan], [True, False])
    with pytest.raises(CourseError, match="each of 2"):
        metrics.fpr95([0.1, 0.2, 0.3], [True, False])
    with pytest.raises(CourseError, match="0 to 1"):
        metrics.reliability([0.5, 3.0], [True, False])
    with pytest.raises(CourseError, match="softmax"):
        metrics.ece_noise(np.array([[4.0, -1.0]]))


SURE, RIGHT = np.array([0.9, 0.6, 0.7]), np.array([True, False, True])
CLASSES, UNKNOWN = np.array([2, -1, 0]), np.array([True, False, False])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: metrics.reliability(SURE, CLASSES),
        lambda: metrics.reliability(SURE, RIGHT[:2]),
        lambda: metrics.reliability(SURE, np.array([1.0, np.nan, 0.0])),
        lambda: metrics.aurc(SURE, CLASSES),
        lambda: metrics.aurc(np.array([0.9, np.nan, 0.7]), RIGHT),
        lambda: metrics.risk_coverage([], []),
        lambda: metrics.threshold_at_accuracy(SURE, SURE),
        lambda: metrics.threshold_at_accuracy(SURE[:, None], RIGHT),
        lambda: metrics.auroc(SURE, CLASSES),
        lambda: metrics.fpr95(SURE, np.array(["sad", "happy", "sad"])),
        lambda: metrics.oscr(SURE, UNKNOWN, CLASSES),
        lambda: metrics.oscr(SURE, UNKNOWN, RIGHT[:2]),
        lambda: metrics.f1_unknown(SURE, UNKNOWN),
        lambda: metrics.label_ece(SURE[:, None], CLASSES[:, None]),
        lambda: metrics.label_ece(SURE[:, None], RIGHT),
        lambda: metrics.uar(CLASSES, CLASSES),
        lambda: metrics.uar([0, 1, 1], [0, 1]),
        lambda: metrics.uar([0, 1], [[0.9, 0.1], [0.2, 0.8]]),
        lambda: metrics.uar([0.0, np.nan], [0.0, 1.0]),
        lambda: metrics.uar([], []),
    ],
)
def test_wrong_arrays_give_no_figure(wrong):
    """Class numbers, and -1 for what was never taught, are no yes or no; scores are none either."""
    with pytest.raises(CourseError, match="expected|below 0"):
        wrong()


def test_yes_and_no_may_be_written_as_numbers():
    for dtype in (bool, int, float):
        assert metrics.aurc(SURE, RIGHT.astype(dtype)) == metrics.aurc(SURE, RIGHT)
        assert metrics.auroc(SURE, UNKNOWN.astype(dtype)) == 1
