"""Risk control: counts of speakers, by hand and by simulation."""

import numpy as np
import pytest
from crepes import ConformalClassifier
from scipy.special import softmax
from scipy.stats import binomtest

from helpers.errors import CourseError
from helpers.risk import conformal_sets, controlled_threshold, promise


@pytest.mark.parametrize(("failures", "n"), [(0, 5), (1, 8), (3, 19), (0, 1)])
def test_promise_is_clopper_and_pearsons(failures, n):
    # A two-sided interval at 80 % leaves 10 % above.
    exact = binomtest(failures, n).proportion_ci(0.8, method="exact").high
    assert promise(failures, n, delta=0.1) == pytest.approx(exact)


def test_what_n_speakers_can_promise_at_all():
    assert promise(0, 5) == pytest.approx(1 - 0.1 ** (1 / 5))
    assert promise(3, 3) == 1.0 and promise(0, 45, 0.1) < 0.05 < promise(0, 44, 0.1)
    with pytest.raises(CourseError, match="no count"):
        promise(4, 3)


def test_by_hand():
    # Ten speakers, each with three answers; one of them errs at 0.8, a second one at 0.6.
    confidence = np.tile([0.9, 0.8, 0.6], 10)
    speakers = np.repeat(np.arange(10), 3)
    correct = np.ones(30, dtype=bool)
    correct[1], correct[5] = False, False
    args = confidence, correct, speakers
    assert controlled_threshold(*args, failing=0.25) == 0.9  # none of ten: 0.21
    assert controlled_threshold(*args, failing=0.4) == 0.8  # one of ten: 0.34
    assert controlled_threshold(*args, failing=0.5) == 0.6  # two of ten: 0.45
    assert controlled_threshold(*args, failing=0.2) == np.inf
    assert controlled_threshold(*args, failing=0.25, wrong=0.5) == 0.6  # one of three is allowed


def test_few_speakers_allow_nothing_however_many_clips():
    confidence = np.linspace(0.5, 1, 1000)
    assert controlled_threshold(confidence, np.ones(1000), np.arange(1000) % 5) == np.inf
    assert controlled_threshold(confidence, np.ones(1000), np.arange(1000) % 8) == 0.5


def test_the_promise_is_kept_on_new_speakers():
    rng, broken = np.random.default_rng(0), 0

    def voices(n):
        """Clips of n speakers, some of whom are harder than their confidence says."""
        speakers = np.repeat(np.arange(n), 30)
        hard = rng.normal(size=n)[speakers]
        confidence = rng.uniform(0.4, 1, size=30 * n)
        chance = 1 / (1 + np.exp(-(8 * confidence - 3 - 1.5 * hard)))
        return confidence, rng.random(30 * n) < chance, speakers

    for _ in range(200):
        threshold = controlled_threshold(*voices(19))
        confidence, correct, speakers = voices(400)
        kept = np.bincount(speakers[confidence >= threshold], minlength=400)
        errors = np.bincount(speakers[(confidence >= threshold) & ~correct], minlength=400)
        broken += np.mean(errors > 0.1 * kept) > 0.3
    assert broken <= 0.1 * 200 + 2 * np.sqrt(200 * 0.1 * 0.9)


def test_unlike_lengths_are_refused():
    with pytest.raises(CourseError, match="a clip"):
        controlled_threshold([0.5, 0.6], [True], ["a"])


def sample(seed, n, classes=4):
    rng = np.random.default_rng(seed)
    probs = softmax(rng.normal(scale=2, size=(n, classes)), axis=1)
    return probs, (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("miss", [0.05, 0.2])
def test_conformal_sets_are_those_of_crepes(by_class, miss):
    (probs, labels), (new, _) = sample(0, 200), sample(1, 300)
    ours = conformal_sets(probs, labels, new, miss, by_class)
    for k in range(4):
        rival, like = ConformalClassifier(), labels == k if by_class else labels >= 0
        rival.fit(1 - probs[like, labels[like]])
        theirs = rival.predict_set(1 - new[:, [k]], confidence=1 - miss, smoothing=False)
        assert np.array_equal(ours[:, k], theirs[:, 0].astype(bool))


def test_conformal_sets_hold_the_truth_as_often_as_promised():
    held = []
    for seed in range(100):
        (probs, labels), (new, truth) = sample(seed, 60), sample(1000 + seed, 200)
        held.append(conformal_sets(probs, labels, new)[np.arange(200), truth].mean())
    assert 0.9 - 0.01 < np.mean(held) < 0.93


def test_a_class_without_clips_is_never_ruled_out():
    probs, labels = sample(0, 100)
    kept = conformal_sets(probs[labels < 3], labels[labels < 3], probs, by_class=True)
    assert kept[:, 3].all() and not kept[:, :3].all()
