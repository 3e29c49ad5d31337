"""A voice: shrinkage by hand, who serves whom, and what each draw may take."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from helpers import probe, voice
from helpers.errors import CourseError
from helpers.voice import Voice, VoicedProbe, draw

KINDS = tuple(voice.KINDS)


def speech(seed=0, speakers=6, each=30, size=5, between=2.0, within=1.0):
    """Rows, labels 0..4 and -1, and speakers with a mean of their own."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(speakers), each)
    y = np.tile(np.arange(each) % 6 - 1, speakers)
    means = between * rng.normal(size=(speakers, size))
    return means[who] + within * rng.normal(size=(len(who), size)), y, who


def test_the_shrinkage_by_hand():
    X = np.array([[0.0], [2.0], [4.0], [10.0]])  # speakers: means 1 and 7, squares about them 2, 18
    model = Voice(tau=3.0).fit(X, np.array(["a", "a", "b", "b"]))
    assert np.allclose(model.mean_, 4) and np.allclose(model.deviation_, 10**0.5)
    new = np.array([[6.0], [8.0]])
    found = model.enrol(new, np.array(["c", "c"])).transform(new, np.array(["c", "c"]))
    mean, variance = (2 * 7 + 3 * 4) / 5, (2 + 3 * 10) / 4
    assert np.allclose(found, (new - mean) / variance**0.5)
    one = model.enrol(new[:1], ["c"]).transform(new, np.array(["c", "c"]))
    assert np.allclose(one, (new - (6 + 3 * 4) / 4) / 10**0.5)


def test_who_is_not_enrolled_has_the_voice_of_all():
    X, _, who = speech()
    model = Voice().fit(X[who < 4], who[who < 4])
    for known in (model, model.enrol(X[:0], who[:0]), model.enrol(X[who == 4], who[who == 4])):
        found = known.transform(X[who == 5], who[who == 5])
        assert np.allclose(found, (X[who == 5] - model.mean_) / model.deviation_)


@pytest.mark.parametrize(("between", "within"), [(1.0, 1.0), (0.5, 2.0)])
def test_tau_is_the_ratio_of_the_variances(between, within):
    X, _, who = speech(1, speakers=300, each=12, between=between, within=within)
    assert Voice().fit(X, who).tau_ == pytest.approx((within / between) ** 2, rel=0.2)


def test_the_tau_found_errs_least():
    """The shrunken mean of three clips, against the speaker's own mean, for τ around it."""
    X, _, who = speech(2, speakers=200, each=20, between=0.7)
    first = np.arange(len(who)) % 20 < 3
    truth = np.stack([X[who == s].mean(axis=0) for s in range(200)])

    def error(tau):
        model = Voice(tau).fit(X, who).enrol(X[first], who[first])
        return np.mean((np.stack([model.voices_[s][0] for s in range(200)]) - truth) ** 2)

    found = Voice().fit(X, who).tau_
    assert error(found) < min(error(found / 3), error(3 * found), error(0))


def test_many_clips_take_the_speaker_out():
    X, _, who = speech(3)
    found = Voice(tau=1e-6).fit_transform(X, who)
    for s in range(6):
        assert np.allclose(found[who == s].mean(axis=0), 0, atol=1e-4)
        assert np.allclose(found[who == s].std(axis=0, ddof=1), 1, atol=1e-4)


def test_no_clip_serves_another_speaker_and_enrolling_changes_no_voice():
    X, _, who = speech(4)
    model = Voice().fit(X[who < 4], who[who < 4])
    before = model.transform(X, who)
    late = who >= 4
    known = model.enrol(X[late], who[late])
    moved = X.copy()
    moved[who == 5] += 100
    other = model.enrol(moved[late], who[late])
    assert (other.transform(X, who)[who != 5] == known.transform(X, who)[who != 5]).all()
    assert (other.transform(X, who)[who == 5] != known.transform(X, who)[who == 5]).all()
    assert (model.transform(X, who) == before).all()  # enrolling gives a copy
    assert (known.enrol(X[:0], who[:0]).transform(X, who) == known.transform(X, who)).all()
    assert clone(model).get_params() == {"tau": None}


def test_labels_of_test_speakers_have_no_say_once_the_clips_are_drawn():
    X, y, who = speech(5)
    train, test = np.flatnonzero((who < 4) & (y >= 0)), np.flatnonzero(who >= 4)
    clips = test[draw("skewed", y[test], who[test], 0).clips[10]]

    def embeddings(y):
        model = Voice().fit(X[(who < 4) & (y >= 0)], who[(who < 4) & (y >= 0)])
        return model.enrol(X[clips], who[clips]).transform(X[test], who[test])

    moved = y.copy()
    moved[test] = np.random.default_rng(0).permutation(y[test])
    assert (moved != y).any() and (moved[train] == y[train]).all()
    assert (embeddings(moved) == embeddings(y)).all()


def test_single_precision_is_enough():
    X, _, who = speech(6)
    low, high = (Voice().fit_transform(part, who) for part in (X.astype(np.float32), X))
    assert low.dtype == np.float32 and np.allclose(low, high, atol=1e-4)


def faint(seed=7, speakers=10, each=40, size=60):
    """Labels in the three loudest of `size` directions, each fainter than the one before."""
    rng, who = np.random.default_rng(seed), np.repeat(np.arange(speakers), each)
    y = rng.integers(4, size=len(who))
    rows = rng.normal(size=(len(who), size)) + 1.5 * np.eye(4, size)[y]
    mixed = ortho_group.rvs(size, random_state=seed)
    return rows * np.geomspace(1, 0.01, size) @ mixed, y, who


def test_the_space_is_turned_and_nothing_else():
    X, y, who = faint()
    points = VoicedProbe(60, voiced=False).fit(X, y, who).transform(X, who)
    scaled = StandardScaler().fit_transform(X)
    assert np.allclose(pdist(points), pdist(scaled), rtol=1e-3)
    spread = points.std(axis=0)
    assert spread.max() < 3 * spread.min()  # of the principal components: a hundredfold


def test_a_faint_direction_is_not_heard_like_a_loud_one():
    """On unseen speakers the head is as good as the probe on all columns, for it is that probe."""
    X, y, who = faint()
    fit, new = who < 4, who >= 4
    model = VoicedProbe(60, voiced=False).fit(X[fit], y[fit], who[fit])
    weight, bias = probe.fit(X[fit], y[fit], model.C_)
    mine = model.decision_function(X[new], who[new]).argmax(axis=1)
    other = (X[new] @ weight.T + bias).argmax(axis=1)
    assert (
        np.mean(mine == other) > 0.9 and np.mean(mine == y[new]) > np.mean(other == y[new]) - 0.03
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=3),
       seed=st.integers(0, 99))  # fmt: skip
def test_every_draw_keeps_its_promises(kind, counts, seed):
    # counts: clips of each speaker by emotion, the last one unknown.
    emotions = np.array([0, 1, 2, 3, 4, -1])
    assume(np.any(counts))
    y = np.concatenate([np.repeat(emotions, c) for c in counts])
    who = np.repeat(np.arange(len(counts)), [sum(c) for c in counts])
    drawn = draw(kind, y, who, neutral=0, seed=seed)
    union = np.unique(np.concatenate(drawn.clips))
    assert len(drawn.clips) == 11 and (y[union] >= 0).all()
    assert sorted([*union, *drawn.scored]) == list(range(len(y)))  # enrolled, or scored
    for s, c in enumerate(counts):
        for emotion, many in zip(emotions, c, strict=True):
            scored = np.sum((who[drawn.scored] == s) & (y[drawn.scored] == emotion))
            assert scored == many if emotion < 0 else scored >= min(many, 1)
        sizes = []
        for k, rows in enumerate(drawn.clips):
            own = y[rows[who[rows] == s]]
            sizes.append(len(own))
            assert len(own) <= k and len(np.unique(rows)) == len(rows)
            assert np.sum(own == 0) <= c[0] // 2
            if kind == "neutral":
                assert (own == 0).all() and len(own) <= 3
        assert (np.diff(sizes) >= 0).all()
    again = draw(kind, y, who, neutral=0, seed=seed)
    assert all((a == b).all() for a, b in zip(drawn.clips, again.clips, strict=True))


def test_the_skewed_draw_of_a_speaker_of_ravdess():
    y = np.repeat([0, 1, 2, 3, 4, -1], [4, 8, 8, 8, 8, 24])
    chosen = set()
    for seed in range(40):
        drawn = draw("skewed", y, np.zeros(len(y)), 0, seed)
        own = [y[rows] for rows in drawn.clips]
        assert [len(x) for x in own] == list(range(11))
        assert [int(np.sum(x == 0)) for x in own] == [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]
        most = [np.bincount(x[x > 0], minlength=5).max() for x in own]
        assert most == [0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7]  # one other emotion: 70 % of k
        chosen.add(np.bincount(own[10][own[10] > 0]).argmax())
        assert len(drawn.scored) == len(y) - 10
    assert chosen == {1, 2, 3, 4}  # drawn anew each time
    balanced = draw("balanced", y, np.zeros(len(y)), 0).clips[10]
    assert np.bincount(y[balanced]).tolist() == [2, 2, 2, 2, 2]
    assert len(draw("neutral", y, np.zeros(len(y)), 0).clips[10]) == 2


def test_bad_input_is_one_clear_line():
    X, y, who = speech()
    with pytest.raises(CourseError, match="two training speakers"):
        Voice().fit(X, np.zeros(len(X)))
    with pytest.raises(CourseError, match="draw: one of neutral, balanced, skewed"):
        draw("happy", y, who, 0)
    with pytest.raises(CourseError, match="no clip"):
        draw("skewed", y[:0], who[:0], 0)
    with pytest.raises(CourseError, match="expected shape"):
        Voice().fit(X, who).transform(X[:, :2], who)
