"""Triplet thresholds: by hand, the rule in words, permuted and repeated rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.detectors import TripletThresholds
from helpers.errors import CourseError


def fit(model, probs, y):
    """The logits of T = 1 are the logarithms of the confidences."""
    return model.fit_held(None, np.log(probs), y)


def score(model, probs):
    return model.score_samples(None, np.log(probs))


def triplet():
    """η = (0.8, 0.6), leads 0.6 and 0.2; ε = ρ = 0.5: μ = (0.4, 0.3), δ = (0.3, 0.1)."""
    probs = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.1, 0.9]])
    return fit(TripletThresholds(0.5, 0.5), probs, np.array([0, 0, 1, 0]))


def test_thresholds_by_hand():
    model = triplet()  # the last row is wrong, so it counts nowhere
    assert np.allclose(model.eta_, [0.8, 0.6])
    assert np.allclose(model.mu_, [0.4, 0.3])
    assert np.allclose(model.delta_, [0.3, 0.1])


def test_decisions_by_hand():
    model = triplet()
    probs = np.array(
        [
            [0.85, 0.15],  # above η_0
            [0.70, 0.30],  # between, lead 0.4 >= δ_0
            [0.55, 0.45],  # between, lead 0.1 < δ_0
            [0.44, 0.56],  # between for class 1, lead 0.12 >= δ_1
        ]
    )
    assert model.predict(None, np.log(probs)).tolist() == [0, 0, -1, 1]
    assert np.allclose(score(model, probs), [-0.4, -0.1, 0.2, -0.02])
    # All below μ: unknown, whatever the lead.
    model.mu_ = np.array([0.6, 0.6])
    assert model.predict(None, np.log([[0.55, 0.45]])).tolist() == [-1]
    # The case the source leaves open: p_0 < μ_0, yet p_1 >= μ_1; the lead decides.
    model.mu_ = np.array([0.6, 0.4])
    assert model.predict(None, np.log([[0.55, 0.45]])).tolist() == [-1]
    model.delta_ = np.array([0.01, 0.01])
    assert model.predict(None, np.log([[0.55, 0.45]])).tolist() == [0]


def test_confidences_are_softmax_at_the_temperature():
    probs, y = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])
    hot = TripletThresholds(temperature=3.0).fit_held(None, 3 * np.log(probs), y)
    assert np.allclose(hot.eta_, [0.9, 0.8])
    plain = fit(TripletThresholds(), probs, y)
    assert np.allclose(hot.score_samples(None, 3 * np.log(probs)), score(plain, probs))
    assert not np.allclose(hot.score_samples(None, np.log(probs)), score(plain, probs))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_permuted_and_repeated_rows(seed, order):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(4), 40)
    labels = probs.argmax(axis=1)
    labels[:4] = range(4)
    probs[:4] = 0.7 * np.eye(4) + 0.075  # each class has a correct row
    model = fit(TripletThresholds(), probs, labels)
    scores = score(model, probs)
    moved = fit(TripletThresholds(), probs[:, order], np.argsort(order)[labels])
    assert np.allclose(score(moved, probs[:, order]), scores)
    twice = fit(TripletThresholds(), np.r_[probs, probs], np.r_[labels, labels])
    assert np.allclose(score(twice, probs), scores)
    assert np.allclose(score(model, probs.astype(np.float32)), scores, atol=1e-4)
    # The score and the rule in words say the same.
    top, lead = probs.max(axis=1), np.diff(np.sort(probs, axis=1)[:, -2:])[:, 0]
    best = probs.argmax(axis=1)
    kept = (top >= model.eta_[best]) | (
        (probs >= model.mu_).any(axis=1) & (lead >= model.delta_[best])
    )
    assert ((model.predict(None, np.log(probs)) >= 0) == kept).all()


def test_classes_without_a_correct_row():
    probs = np.array([[0.8, 0.2], [0.6, 0.4]])
    with pytest.warns(UserWarning, match="class 1 has no correct row"):
        model = fit(TripletThresholds(), probs, np.array([0, 1]))
    assert np.allclose(model.eta_, [0.8, 0.8])
    with pytest.raises(CourseError, match="no row is classified correctly"):
        fit(TripletThresholds(), probs, np.array([1, 1]))
    with pytest.raises(CourseError, match="two classes"):
        fit(TripletThresholds(), np.ones((3, 1)), np.zeros(3, dtype=int))
    with pytest.raises(CourseError, match="epsilon"):
        fit(TripletThresholds(epsilon=1.5), probs, np.array([0, 0]))
