"""Several emotions a clip: labels from votes, weights of losses, thresholds, temperatures."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from torch.nn.functional import binary_cross_entropy, log_softmax

from helpers import metrics
from helpers.errors import CourseError
from helpers.multilabel import (
    MultiLabelTemperature,
    best_thresholds,
    class_balanced_weights,
    cooccurrence_penalty,
    multi_hot,
    penalty_weights,
    rater_against_rest,
)

VOTES = arrays(
    np.int64, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.integers(0, 9)
)
VOTES = VOTES.map(lambda v: v + (v.sum(axis=1, keepdims=True) == 0))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def told(rng):
    """Logits (4000, 3) of a perfect model and the truth (4000, 3) drawn from them."""
    logits = rng.normal([-1.5, 0, 1], 1.5, (4000, 3))
    return logits, rng.random(logits.shape) < expit(logits)


# --- votes ------------------------------------------------------------------------------------


@given(VOTES)
def test_labels_are_shares_above_one_in_k(votes):
    n, K = votes.shape
    expected = [[Fraction(int(v), int(row.sum())) > Fraction(1, K) for v in row] for row in votes]
    assert multi_hot(votes).tolist() == expected
    assert (multi_hot(3 * votes) == multi_hot(votes)).all()
    assert (multi_hot(votes[:, ::-1])[:, ::-1] == multi_hot(votes)).all()


def test_labels_by_hand():
    assert multi_hot([[4, 1, 1, 0, 0, 0]]).tolist() == [[True] + [False] * 5]  # 1 of 6: not above
    assert multi_hot([[5, 2, 2, 0, 0, 0]]).sum() == 3
    assert not multi_hot([[1, 1, 1]]).any()  # even votes: nothing stands out


@pytest.mark.parametrize("votes", [[[0, 0]], [[-1, 3]], [[0.4, 0.6]], [[np.nan, 1]], [1, 2]])
def test_votes_that_are_none(votes):
    with pytest.raises(CourseError, match="votes"):
        multi_hot(votes)


def test_each_rater_is_compared_with_the_others(rng):
    votes = rng.multinomial(5, [0.5, 0.3, 0.2], size=30)
    votes[7] = [0, 1, 0]  # a lone rater has nobody to agree with
    said, rest, weight, rows = rater_against_rest(votes)
    one_by_one = []
    for clip in range(len(votes)):
        raters = [e for e, count in enumerate(votes[clip]) for _ in range(count)]
        for i, emotion in enumerate(raters if len(raters) > 1 else ()):
            others = raters[:i] + raters[i + 1 :]
            labels = [others.count(e) / len(others) > 1 / 3 for e in range(3)]
            one_by_one.append((np.arange(3) == emotion, labels, 1 / len(raters)))
    a, b, w = (np.array(x) for x in zip(*one_by_one, strict=True))
    expected = f1_score(b, a, average=None, sample_weight=w)
    assert f1_score(rest, said, average=None, sample_weight=weight) == pytest.approx(expected)
    assert weight.sum() == pytest.approx(29) and 7 not in rows
    assert [len(x) for x in rater_against_rest([[1, 0], [0, 1]])] == [0, 0, 0, 0]


# --- weights ----------------------------------------------------------------------------------


def test_class_balanced_weights_by_formula(rng):
    truth = rng.random((200, 4)) < [0.7, 0.3, 0.1, 0.02]
    for beta in (0.5, 0.99, 0.9999):
        raw = np.array([(1 - beta) / (1 - beta**n) for n in map(int, truth.sum(axis=0))])
        assert class_balanced_weights(truth, beta) == pytest.approx(raw * 4 / raw.sum())
        assert (np.diff(class_balanced_weights(truth, beta)) >= 0).all()  # the rarer, the heavier
    assert class_balanced_weights(truth, 0) == pytest.approx(1)
    assert class_balanced_weights(truth, 1e-6) == pytest.approx(1)
    inverse = 1 / truth.sum(axis=0)
    assert class_balanced_weights(truth, 1 - 1e-9) == pytest.approx(inverse / inverse.mean(), 1e-4)


def test_weights_that_do_not_exist():
    truth = np.array([[1, 0], [1, 0]])
    with pytest.raises(CourseError, match="emotion number 1 is in no clip"):
        class_balanced_weights(truth, 0.9)
    with pytest.raises(CourseError, match="emotion number 1"):
        cooccurrence_penalty(truth)
    for beta in (1, -0.1, np.nan):
        with pytest.raises(CourseError, match="beta"):
            class_balanced_weights(truth[:, :1], beta)
    with pytest.raises(CourseError, match="nothing above 0"):
        penalty_weights(np.zeros((2, 2)))


def test_penalty_is_how_seldom_emotions_meet(rng):
    truth = rng.random((60, 4)) < 0.4
    for j, z in np.ndindex(4, 4):
        seldom = 1 - np.mean(truth[truth[:, j], z])
        assert cooccurrence_penalty(truth)[j, z] == pytest.approx(seldom)
    labels = [truth[truth[:, j]].sum(axis=1).mean() for j in range(4)]
    expected = 4 - np.array(labels)
    assert penalty_weights(cooccurrence_penalty(truth)) == pytest.approx(expected / expected.mean())


# --- the third slip: every loss of the source is one weighted BCE -------------------------------


def penalty_loss(P, truth, probs):
    """Eq. 3 of source 5 term by term, as it is printed."""
    total, (n, K) = 0.0, truth.shape
    for i in range(n):
        for j in range(K):
            for z in range(K):
                total += P[j, z] * truth[i, j] * np.log(probs[i, j])
                total += P[j, z] * (1 - truth[i, j]) * np.log(1 - probs[i, j])
    return -total


def weighted_bce(weights, truth, probs):
    """sum_j w_j BCE_j by torch: `weight` multiplies both terms of eq. 1 alike."""
    p, y, w = (torch.tensor(np.asarray(a), dtype=torch.float64) for a in (probs, truth, weights))
    return binary_cross_entropy(p, y, weight=w.expand_as(p), reduction="sum").item()


@pytest.mark.parametrize("alpha", [0, 0.2, 0.5, 0.8, 1])
def test_penalty_and_all_mixtures_are_weights(rng, alpha):
    truth = (rng.random((25, 4)) < [0.6, 0.3, 0.2, 0.2]).astype(float)
    probs = rng.uniform(0.02, 0.98, truth.shape)
    cb = class_balanced_weights(truth, 0.99)
    for P in (rng.random((4, 4)), cooccurrence_penalty(truth)):
        pl = P.sum(axis=1)
        assert penalty_weights(P) == pytest.approx(pl / pl.mean())
        for base in (np.ones(4), cb):  # eq. 4 and eq. 5
            printed = (1 - alpha) * weighted_bce(base, truth, probs)
            printed += alpha * penalty_loss(P * base[:, None], truth, probs)
            one = weighted_bce((1 - alpha) * base + alpha * pl * base, truth, probs)
            assert printed == pytest.approx(one)


def test_on_linear_heads_all_weights_share_one_minimiser(rng):
    X = rng.normal(size=(300, 5))
    truth = rng.random((300, 3)) < expit(X @ rng.normal(size=(5, 3)) + [-1, 0, 1])

    def minimiser(weights):
        def loss(theta):
            z = X @ theta[:15].reshape(5, 3) + theta[15:]
            slope = (expit(z) - truth) * weights
            value = (weights * (np.logaddexp(0, z) - truth * z)).sum()
            return value, np.concatenate([(X.T @ slope).ravel(), slope.sum(axis=0)])

        found = minimize(loss, np.zeros(18), jac=True, method="L-BFGS-B", tol=1e-14).x
        return found[:15].reshape(5, 3), found[15:]

    for weights in (
        np.ones(3), class_balanced_weights(truth, 0.999),
        penalty_weights(cooccurrence_penalty(truth)), np.array([0.1, 1, 10]),
    ):  # fmt: skip
        slopes, intercepts = minimiser(weights)
        for j in range(3):
            alone = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, truth[:, j])
            assert slopes[:, j] == pytest.approx(alone.coef_[0], abs=1e-4)
            assert intercepts[j] == pytest.approx(alone.intercept_[0], abs=1e-4)


def test_on_a_shared_trunk_they_do_not(rng):
    """Where BCE is at rest, another weighting of the same terms still pulls at the trunk."""
    torch.manual_seed(0)
    X = torch.tensor(rng.normal(size=(60, 3)))
    truth = torch.tensor(rng.random((60, 3)) < 0.4).double()
    net = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Linear(1, 3)).double()
    step = torch.optim.LBFGS(
        net.parameters(), max_iter=300, tolerance_grad=1e-6, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss(weights):
        step.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(net(X), truth, weight=weights)
        value.backward()
        return value

    def pull():
        return max(p.grad.abs().max().item() for p in net[0].parameters())

    even, uneven = torch.ones(3).double(), torch.tensor([0.2, 0.3, 2.5]).double()
    step.step(lambda: loss(even))
    loss(even)
    rest = pull()
    loss(uneven)
    assert rest < 1e-5 and pull() > 100 * rest


# --- thresholds -------------------------------------------------------------------------------


def test_thresholds_are_the_best_of_all(rng):
    truth = rng.random((40, 3)) < [0.5, 0.2, 0.1]
    probs = np.round(np.clip(0.3 * truth + rng.random((40, 3)) * 0.7, 0, 1), 2)  # ties
    found = best_thresholds(probs, truth)
    for j in range(3):
        levels = np.append(probs[:, j], 2)
        best = max(f1_score(truth[:, j], probs[:, j] >= level) for level in levels)
        assert f1_score(truth[:, j], probs[:, j] >= found[j]) == pytest.approx(best)
        below = probs[probs[:, j] < found[j], j]
        above = probs[probs[:, j] >= found[j], j]
        assert found[j] == pytest.approx((below.max() + above.min()) / 2)


def test_an_emotion_without_a_clip_is_never_said(rng):
    truth = np.zeros((10, 2), dtype=bool)
    truth[:, 1] = True
    found = best_thresholds(rng.random((10, 2)), truth)
    assert found[0] == np.inf and np.isfinite(found[1])


def test_the_best_threshold_is_half_the_best_f1(rng):
    """Lipton et al. 2014, for probabilities that are right."""
    probs = rng.beta(1, 4, (200_000, 1))
    truth = rng.random(probs.shape) < probs
    threshold = best_thresholds(probs, truth)
    f1 = f1_score(truth[:, 0], probs[:, 0] >= threshold[0])
    assert threshold[0] == pytest.approx(f1 / 2, abs=0.02)  # F1 is flat there
    assert f1_score(truth[:, 0], probs[:, 0] >= f1 / 2) == pytest.approx(f1, abs=1e-3)


# --- temperatures -----------------------------------------------------------------------------


def nll(probs, truth):
    return -np.mean(np.log(np.maximum(np.where(truth, probs, 1 - probs), 1e-300)))


@pytest.mark.parametrize("printed", [False, True])
def test_temperatures_have_the_least_nll(told, printed):
    logits, truth = told[0] * [0.5, 1, 3], told[1]
    fitted = MultiLabelTemperature(printed).fit(logits, truth)
    odds = 2 * expit(logits) - 1 if printed else logits
    for j in range(3):
        best = minimize_scalar(
            lambda t, j=j: nll(expit(odds[:, j] / np.exp(t)), truth[:, j]), (-3, 3), tol=1e-10
        )
        assert fitted.temperature_[j] == pytest.approx(np.exp(best.x), rel=1e-4)
    if not printed:
        assert fitted.temperature_ == pytest.approx([0.5, 1, 3], rel=0.1)
        assert nll(fitted.predict_proba(logits), truth) < nll(expit(logits), truth)


def test_printed_form_is_eq_6_and_7(told):
    logits, truth = told
    fitted = MultiLabelTemperature(printed=True).fit(logits, truth)
    p = torch.tensor(expit(logits))
    a = log_softmax(torch.stack([p, 1 - p], dim=2), dim=2)  # eq. 6
    c = torch.softmax(a / torch.tensor(fitted.temperature_)[:, None], dim=2)[..., 0]  # eq. 7
    assert fitted.predict_proba(logits) == pytest.approx(c.numpy())
    fitted.temperature_ = np.ones(3)  # said to keep the confidence, and squeezes it
    squeezed = fitted.predict_proba(np.array([[-50.0, 0, 50]]))
    assert squeezed == pytest.approx(expit(np.array([[-1.0, 0, 1]])))


@pytest.mark.parametrize("printed", [False, True])
def test_no_decision_at_one_half_changes(told, printed):
    logits, truth = told
    fitted = MultiLabelTemperature(printed).fit(2 * logits, truth)
    assert ((fitted.predict_proba(2 * logits) >= 0.5) == (logits >= 0)).all()
    swapped = clone(fitted).fit(2 * logits[:, ::-1], truth[:, ::-1])
    assert swapped.temperature_[::-1] == pytest.approx(fitted.temperature_)
    assert fitted.get_params() == {"printed": printed}


def test_temperatures_refuse_what_does_not_fit(told):
    logits, truth = told
    with pytest.raises(CourseError, match="truth: expected 0 or 1"):
        MultiLabelTemperature().fit(logits, truth[:, :2])
    with pytest.raises(CourseError, match="truth: expected 0 or 1"):
        MultiLabelTemperature().fit(logits, truth * 0.5)
    with pytest.raises(CourseError, match="logits"):
        MultiLabelTemperature().fit(logits, truth).predict_proba(logits[:, :2])
    with pytest.raises(ValueError, match="not fitted"):
        MultiLabelTemperature().predict_proba(logits)
    with pytest.warns(UserWarning, match="every clip is right"):
        MultiLabelTemperature().fit(np.where(truth, 3.0, -3.0), truth)


# --- three calibration errors -------------------------------------------------------------------


def test_label_ece_by_hand():
    probs, truth = np.array([[0.9], [0.9], [0.1], [0.1]]), np.array([[1], [0], [0], [0]])
    assert metrics.label_ece(probs, truth) == pytest.approx(0.25)  # (2 x 0.4 + 2 x 0.1) / 4
    assert metrics.label_ece(probs, truth, "accuracy") == pytest.approx(0.65)  # 0.4 and 0.9
    assert metrics.label_ece(probs, truth, "confidence") == pytest.approx(0.15)  # 3 of 4 right


def test_label_ece_agrees_with_netcal(told):
    from netcal.metrics import ECE

    probs, truth = expit(2 * told[0]), told[1]
    right = (probs >= 0.5) == truth
    sure = np.maximum(probs, 1 - probs)
    for j in range(3):
        for against, binned, outcome in (
            ("positive rate", probs, truth), ("accuracy", probs, right), ("confidence", sure, right)
        ):  # fmt: skip
            other = ECE(15).measure(binned[:, j], outcome[:, j].astype(int))
            assert metrics.label_ece(probs, truth, against)[j] == pytest.approx(other, abs=1e-6)


def test_a_perfect_model_looks_too_modest_against_accuracy(told):
    """Source 5's finding, on a model that is right about every probability."""
    probs, truth = expit(told[0]), told[1]
    assert metrics.label_ece(probs, truth).max() < 0.04
    assert metrics.label_ece(probs, truth, "confidence").max() < 0.04
    built_in = np.maximum(1 - 2 * probs, 0).mean(axis=0)
    assert metrics.label_ece(probs, truth, "accuracy") == pytest.approx(built_in, abs=0.03)
    assert built_in[0] > 0.4
