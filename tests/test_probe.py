"""Linear probes: agreement with scikit-learn's pipeline, two classes, and who chooses."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

from helpers import probe
from helpers.errors import CourseError


def speech(seed=0, speakers=6, each=20, classes=3, size=8):
    """Rows of clear classes, labels and speakers."""
    rng = np.random.default_rng(seed)
    y = np.tile(np.arange(classes), speakers * each // classes)
    who = np.repeat(np.arange(speakers), len(y) // speakers)
    return 2 * np.eye(classes, size)[y] + rng.normal(size=(len(y), size)), y, who


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("C", [0.1, 1e-3])
def test_one_linear_map_is_scikit_learns_pipeline(classes, C):
    X, y, _ = speech(each=24, classes=classes)
    X = X * np.geomspace(0.01, 100, X.shape[1]) + 7
    names = np.array(["sad", "happy", "angry", "bored"])[y]
    weight, bias = probe.fit(X, names, C)
    assert weight.shape == (classes, X.shape[1]) and bias.shape == (classes,)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-6)).fit(X, names)
    logits = X @ weight.T + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = model.predict_proba(X)
    assert np.allclose(powers / powers.sum(axis=1, keepdims=True), wanted, atol=0.01)
    assert (probe.predict(X, weight, bias, np.unique(names)) == model.predict(X)).all()


def test_c_one_tenth_is_the_default():
    X, y, _ = speech()
    assert (probe.fit(X, y)[0] == probe.fit(X, y, 0.1)[0]).all()


def test_the_layer_that_holds_the_emotion_is_chosen():
    X, y, who = speech()
    noise = np.random.default_rng(1).normal(size=(2, *X.shape))
    found = probe.choose(np.stack([noise[0], X, noise[1]], axis=1), y, who)
    assert found.layer == 1 and found.scores.shape == (3, 3)
    assert found.C == probe.STRENGTHS[found.scores[1].argmax()]
    assert found.scores[1].max() > 0.8 and found.scores[1].min() > found.scores[[0, 2]].max()


def test_speakers_left_out_choose():
    # Layer 0 tells who speaks, and who speaks tells the emotion, as every speaker has a bias of
    # their own: rows of a known speaker are all right, those of a new one are all wrong.
    rng = np.random.default_rng(2)
    who = np.repeat(np.arange(9), 30)
    y = np.where(rng.random(len(who)) < 0.9, who % 3, rng.integers(3, size=len(who)))
    told = 5 * np.eye(9)[who] + 0.1 * rng.normal(size=(len(who), 9))
    spoken = 1.5 * np.eye(3, 9)[y] + rng.normal(size=(len(who), 9))
    found = probe.choose(np.stack([told, spoken], axis=1), y, who)
    assert found.layer == 1 and found.scores[0].max() < 0.4
    shuffled = rng.permutation(who)  # as if nobody spoke twice: the other layer wins
    assert probe.choose(np.stack([told, spoken], axis=1), y, shuffled).layer == 0


def test_many_small_fits_run_on_one_thread(monkeypatch):
    """tests/benchmarks/test_probe_speed.py measures what that is worth."""
    seen, fit = set(), probe.fit

    def watched(*args):
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return fit(*args)

    monkeypatch.setattr(probe, "fit", watched)
    X, y, who = speech()
    with threadpool_limits(2, user_api="blas"):
        probe.choose(X[:, None], y, who)
    assert seen == {1}


def test_a_class_that_a_fold_lacks_is_counted_as_missed():
    X, y, who = speech(classes=3)
    y = np.where(who == 0, y, y % 2)  # class 2 with speaker 0 alone
    assert probe.choose(X[:, None], y, who).scores.max() < 1


def test_too_little_to_learn_from_is_one_clear_line():
    X, y, who = speech()
    with pytest.raises(CourseError, match="two training speakers"):
        probe.choose(X[:, None], y, np.zeros(len(y)))
    with pytest.raises(CourseError, match="two classes"):
        probe.fit(X, np.zeros(len(y)))
