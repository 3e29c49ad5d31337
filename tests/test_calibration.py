"""Calibrators: properties, agreement with scikit-learn, degenerate input, cheap import."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from helpers.calibration import (
    IsotonicCalibration,
    TemperatureScaling,
    VectorScaling,
    by_turn,
)
from helpers.errors import CourseError
from helpers.metrics import nll

CALIBRATORS = [TemperatureScaling, VectorScaling, IsotonicCalibration]


def sample(seed, n=300, classes=4, sharpness=1.0):
    """Logits whose labels are drawn from softmax(logits / sharpness): the true T is known."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(scale=2, size=(n, classes))
    y = (softmax(honest, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return honest * sharpness, np.minimum(y, classes - 1)


class Logits(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose features are its own logits, for scikit-learn's calibrator."""

    def fit(self, X, y):
        self.classes_ = np.arange(X.shape[1])
        return self

    def decision_function(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.05, 20))
def test_temperature_never_changes_the_argmax(seed, classes, sharpness):
    z, y = sample(seed, 60, classes, sharpness)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = TemperatureScaling().fit(z, y)
    assert (found.predict(z) == z.argmax(axis=1)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0.3, 4))
def test_temperature_is_no_worse_than_any_other(seed, classes, sharpness):
    z, y = sample(seed, 120, classes, sharpness)
    ours = TemperatureScaling().fit(z, y)
    best = min(nll(softmax(z / t, axis=1), y) for t in np.geomspace(0.05, 20, 400))
    assert nll(ours.predict_proba(z), y) <= best + 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed):
    z, y = sample(seed, 400, 5, sharpness=1.8)
    test_z, test_y = sample(seed + 100, 400, 5, sharpness=1.8)
    theirs = CalibratedClassifierCV(FrozenEstimator(Logits().fit(z, y)), method="temperature")
    theirs.fit(z, y)
    ours = TemperatureScaling().fit(z, y)
    gap = nll(ours.predict_proba(test_z), test_y) - nll(theirs.predict_proba(test_z), test_y)
    assert abs(gap) < 1e-3


def test_recovers_a_known_temperature():
    z, y = sample(0, 20000, 5, sharpness=1.536)
    assert TemperatureScaling().fit(z, y).temperature_ == pytest.approx(1.536, rel=0.05)


@pytest.mark.parametrize("make", CALIBRATORS)
def test_permuting_classes_permutes_the_output(make):
    z, y = sample(3, 300, 5, 2)
    order = np.array([3, 0, 4, 1, 2])
    plain = make().fit(z, y).predict_proba(z)
    swapped = make().fit(z[:, order], np.argsort(order)[y]).predict_proba(z[:, order])
    np.testing.assert_allclose(swapped, plain[:, order], atol=1e-4)


@pytest.mark.parametrize("make", CALIBRATORS)
def test_probabilities_and_api(make):
    z, y = sample(4, 200, 4, 2)
    found = make().fit(z, y)
    probs = found.predict_proba(z)
    assert probs.shape == z.shape and (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    assert is_classifier(found)
    assert clone(found).get_params() == found.get_params()
    with pytest.raises(NotFittedError):
        clone(found).predict_proba(z)
    with pytest.raises(CourseError, match=r"shape \(n, 4\)"):
        found.predict_proba(z[:, :3])
    with pytest.raises(ValueError, match="no parameter"):
        found.set_params(warmth=1)


@pytest.mark.parametrize("make", CALIBRATORS)
def test_float32_gives_what_float64_gives(make):
    z, y = sample(5, 300, 4, 2)
    narrow = z.astype(np.float32)
    wide = make().fit(narrow.astype(np.float64), y).predict_proba(z)
    np.testing.assert_allclose(make().fit(narrow, y).predict_proba(z), wide, atol=1e-6)


@pytest.mark.parametrize("make", CALIBRATORS)
def test_common_shift_of_the_logits_changes_nothing_for_temperature(make):
    z, y = sample(6, 300, 4, 2)
    if make is VectorScaling:
        pytest.skip("one weight a class: not shift-invariant by design")
    shifted = make().fit(z + 7, y).predict_proba(z + 7)
    np.testing.assert_allclose(shifted, make().fit(z, y).predict_proba(z), atol=1e-5)


def test_by_turn_fits_each_turn_on_its_own_rows():
    z, y = sample(7, 200, 4, 2)
    turns = np.stack([z, 3 * z])
    rows = [np.arange(100), np.arange(100, 200)]
    fitted, probs = by_turn(TemperatureScaling(), turns, y, rows)
    assert probs.shape == turns.shape
    alone = TemperatureScaling().fit(turns[1][rows[1]], y[rows[1]])
    assert fitted[1].temperature_ == pytest.approx(alone.temperature_)
    np.testing.assert_allclose(probs[1], alone.predict_proba(turns[1]))


RIGHT = np.eye(3)[np.arange(60) % 3] * 4.0
DEGENERATE = {
    "all right": (RIGHT, np.arange(60) % 3, "every clip is right"),
    "all wrong": (RIGHT, (np.arange(60) + 1) % 3, "bound"),
    "one class": (RIGHT, np.zeros(60, dtype=int), "single class"),
    "three samples": (RIGHT[:3] + 0.1, np.array([0, 1, 1]), "3 clips"),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("make", CALIBRATORS)
def test_degenerate_input_stays_bounded(make, name):
    z, y, message = DEGENERATE[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = make().fit(z, y)
    probs = found.predict_proba(z)
    assert np.isfinite(probs).all()
    if make is TemperatureScaling:
        assert 0.05 <= found.temperature_ <= 20
        assert any(message in str(w.message) for w in caught)


def test_all_right_is_read_as_one_error_in_n_plus_two():
    with pytest.warns(UserWarning, match="every clip is right"):
        found = TemperatureScaling().fit(RIGHT, np.arange(60) % 3)
    assert found.predict_proba(RIGHT).max() == pytest.approx(1 - 1 / 62, abs=1e-4)


@pytest.mark.parametrize(
    ("z", "y", "message"),
    [
        (np.full((30, 3), np.nan), np.zeros(30, dtype=int), "NaN"),
        (np.zeros((30, 3)), np.full(30, 3), "class 3 has no column among 3"),
        (np.zeros((30, 3)), np.full(30, -1), "known emotions only"),
        (np.zeros((30, 3)), np.zeros(29, dtype=int), "30 class numbers"),
        (np.zeros((30, 3)), np.zeros(30), "30 class numbers"),
        (np.zeros((30, 1)), np.zeros(30, dtype=int), "two are the least"),
        (np.zeros(30), np.zeros(30, dtype=int), "shape"),
    ],
)
def test_bad_input_is_named(z, y, message):
    with pytest.raises(CourseError, match=message):
        TemperatureScaling().fit(z, y)


@pytest.mark.parametrize("module", ["calibration", "metrics", "results"])
def test_import_is_cheap(module):
    code = (
        "import sys, time; start = time.process_time(); import numpy; base = time.process_time();"
        f"import helpers.{module}; spent = time.process_time() - base;"
        "heavy = {'torch', 'transformers', 'librosa', 'matplotlib', 'sklearn'} & set(sys.modules);"
        "print(spent, *heavy)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    spent, *heavy = out.stdout.split()
    assert not heavy
    assert float(spent) < 0.8


def test_by_turn_leaves_rows_that_a_turn_was_not_asked_for():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 40, 3)), rng.integers(0, 3, 40)
    asked = [np.arange(20), np.arange(20, 40)]
    full = by_turn(TemperatureScaling(), logits, labels, asked)[1]
    some = logits.copy()
    some[0, 30:] = np.nan
    part = by_turn(TemperatureScaling(), some, labels, asked)[1]
    assert np.isnan(part[0, 30:]).all()
    np.testing.assert_array_equal(part[0, :30], full[0, :30])
    np.testing.assert_array_equal(part[1], full[1])


def test_few_speakers_leave_the_temperature_near_one():
    z, y = sample(0, n=500, sharpness=3.0)
    free = np.log(TemperatureScaling().fit(z, y).temperature_)
    found = []
    for n in (1, 2, 5, 20, 200):
        model = TemperatureScaling().fit(z, y, np.arange(len(y)) % n)
        found.append(np.log(model.temperature_))
        # By hand: the mean loss rises where the prior pulls, -d loss / d log T = log T / (c n).
        step, losses = 1e-4, []
        for theta in (found[-1] - step, found[-1] + step):
            log_p = log_softmax(z * np.exp(-theta), axis=1)
            losses.append(-log_p[np.arange(len(y)), y].mean())
        pull = found[-1] / (model.clips_a_voice * n)
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(pull, abs=1e-4)
    assert 0 < found[0] < found[1] < found[2] < found[3] < found[4] < free
    assert found[-1] == pytest.approx(free, rel=0.05)


def test_what_a_voice_counts_was_chosen_elsewhere():
    chosen = json.loads(Path("data/reference/prior.json").read_text(encoding="utf-8"))
    assert TemperatureScaling().clips_a_voice == chosen["clips_a_voice"]
    gain = np.mean([list(row.values()) for row in chosen["nll_gain"].values()], axis=0)
    assert list(chosen["nll_gain"]["nemo"])[gain.argmax()] == str(chosen["clips_a_voice"])


def test_two_right_speakers_do_not_make_it_sure_of_everything():
    z = np.eye(3)[np.arange(40) % 3] * 4.0
    right = np.arange(40) % 3
    assert 0.5 < TemperatureScaling().fit(z, right, np.arange(40) % 2).temperature_ < 1


def test_by_turn_hands_over_the_speakers():
    z, y = sample(0, n=400, sharpness=3.0)
    z, speakers = np.stack([z, z]), np.arange(len(y)) % 4
    rows = [np.arange(0, 200), np.arange(200, 400)]
    fitted, _ = by_turn(TemperatureScaling(), z, y, rows, speakers)
    alone = TemperatureScaling().fit(z[1][rows[1]], y[rows[1]], speakers[rows[1]])
    assert fitted[1].temperature_ == alone.temperature_


def test_probabilities_in_place_of_logits_are_refused():
    z, y = sample(0)
    with pytest.raises(CourseError, match="before the softmax"):
        TemperatureScaling().fit(softmax(z, axis=1), y)
    with pytest.raises(CourseError, match="before the softmax"):
        TemperatureScaling().fit(softmax(z, axis=1).round(2), y)


def test_a_strong_pull_leaves_the_logits_as_they_are():
    model = VectorScaling(pull=1e6).fit(*sample(0, sharpness=3.0))
    assert np.allclose(model.weight_, 1, atol=1e-3) and np.allclose(model.bias_, 0, atol=1e-3)


class Zero:
    """A curve that is zero everywhere."""

    def predict(self, probs):
        return np.zeros(len(probs))


def test_isotonic_keeps_the_softmax_where_every_class_is_zero():
    z, y = sample(0)
    model = IsotonicCalibration().fit(z, y)
    model.curves_ = [Zero()] * 4
    assert np.allclose(model.predict_proba(z), softmax(z, axis=1))
