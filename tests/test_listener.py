"""A listener on plain arrays: what it hears, learns, takes back and forgets."""

import functools
import json
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from helpers import metrics
from helpers.distances import MinMinusStd
from helpers.emotions import PAD
from helpers.errors import CourseError
from helpers.listener import LATEST, REHEARSED, Listener, Note, learn, rehearsal
from tools import make_head, measure_head

CLASSES = ("neutral", "happy", "sad", "angry")
WIDTH = 16


def toys(seed):
    """`draw(emotion, count, speaker)`: clips (count, 16) of toy emotions and toy voices."""
    rng = np.random.default_rng(seed)
    centres = dict(zip((*CLASSES, "fearful", "sarcastic"), 3 * np.eye(WIDTH), strict=False))
    voices = 1.5 * np.random.default_rng(1).normal(size=(40, WIDTH))

    def draw(emotion, count, speaker):
        return centres[emotion] + voices[speaker] + 0.7 * rng.normal(size=(count, WIDTH))

    return draw


@pytest.fixture
def people():
    """Draws of its own for each test: which tests ran before it changes nothing."""
    return toys(2)


@pytest.fixture(scope="module")
def made():
    """What `make_head` makes of 24 speakers, and what it says of it."""
    people = toys(0)
    parts = [(c, s) for s in range(24) for c in (*CLASSES, "fearful") for _ in range(5)]
    X = np.concatenate([people(c, 1, s) for c, s in parts])
    y = np.array([CLASSES.index(c) if c in CLASSES else -1 for c, _ in parts])
    return make_head.fit(X, y, np.array([f"s{s:02}" for _, s in parts]), CLASSES)


@pytest.fixture
def listener(made):
    first = made[0]
    return Listener(first.classes, first.views, first.voice, PAD, first.delta)


def right(listener, X, emotion, voice=""):
    """Share of clips that are called `emotion`."""
    said = listener.hear(X, voice).probabilities.argmax(axis=1)
    return np.mean(np.array(listener.names_)[said] == emotion)


def everything(listener, X, voice=""):
    return np.concatenate([np.ravel(part) for part in listener.hear(X, voice)])


def test_a_new_listener_hears_what_its_head_hears(made, listener, people):
    X = np.concatenate([people(c, 4, 20) for c in CLASSES])
    view = listener.views[0]
    heard = listener.hear(X)
    logits = ((X.astype("f4") - view.mean) / view.scale) @ view.weight.T + view.bias
    raised = np.exp(logits / view.temperature)
    assert np.allclose(heard.probabilities, raised / raised.sum(1, keepdims=True), atol=1e-5)
    assert np.allclose(heard.pad, heard.probabilities @ [PAD[c] for c in CLASSES])
    assert ((heard.unknown >= 0) & (heard.unknown <= 1)).all() and (heard.cluster == -1).all()
    assert made[1]["anybody"]["uar_unmet"] > 0.7


def test_strangeness_is_the_recommended_detector(listener, people):
    """As `MinMinusStd` would say with these centres and this covariance."""
    view, rng = listener.views[0], np.random.default_rng(0)
    u = rng.normal(size=(20, len(view.components)))
    same = MinMinusStd(space="raw").fit(rng.normal(size=(40, u.shape[1])), None, np.arange(40) % 4)
    same.means_, same.whiteners_ = view.centres, [view.whitener]
    assert np.allclose(view.strangeness(u, view.centres[:0]), same.score_samples(u))
    assert view.strangeness(view.centres[:1] * 9, view.centres[:1] * 9) < view.strangeness(
        view.centres[:1] * 9, view.centres[:0]
    )


def test_one_in_ten_clips_of_taught_emotions_is_called_unknown(listener, people):
    """By speakers never met; and clips of an emotion never taught more often."""
    taught = np.concatenate([people(c, 25, s) for c in CLASSES for s in range(24, 36)])
    new = np.concatenate([people("fearful", 25, s) for s in range(24, 36)])
    flagged = [np.mean(listener.hear(X).unknown > 0.9) for X in (taught, new)]
    assert 0.04 < flagged[0] < 0.2 and flagged[1] > flagged[0]


def test_a_voice_helps_and_only_its_own_clips(listener, people):
    speakers = range(24, 36)
    for s in speakers:
        for c in CLASSES:
            listener.enrol(people(c, 3, s), f"v{s}")
    clips = {(c, s): people(c, 8, s) for c in CLASSES for s in speakers}
    nobody = np.mean([right(listener, X, c) for (c, s), X in clips.items()])
    own = np.mean([right(listener, X, c, f"v{s}") for (c, s), X in clips.items()])
    other = np.mean([right(listener, X, c, f"v{59 - s}") for (c, s), X in clips.items()])
    assert own > nobody + 0.05 and own > other + 0.05
    with pytest.raises(CourseError, match="v2x.*did you mean"):
        listener.hear(clips["sad", 24], "v2x")


@pytest.mark.parametrize("voice", ["", "me"])
def test_a_new_emotion_is_learned_and_the_old_stay(listener, people, voice):
    found = []
    for s in range(24, 32):
        if voice:
            listener.enrol(np.concatenate([people(c, 3, s) for c in CLASSES]), voice)
        new, old = people("fearful", 20, s), {c: people(c, 20, s) for c in CLASSES}
        before = np.mean([right(listener, X, c, voice) for c, X in old.items()])
        strange = listener.hear(new, voice).unknown.mean()
        # Without a voice, ten clips of one speaker would teach the speaker.
        teachers = [s] * 10 if voice else range(10)
        taught = np.concatenate([people("fearful", 1, t) for t in teachers])
        listener.learn(taught, "fearful", voice)
        assert listener.names_ == [*CLASSES, "fearful"]
        after = np.mean([right(listener, X, c, voice) for c, X in old.items()])
        calmed = strange - listener.hear(new, voice).unknown.mean()
        found.append((right(listener, new, "fearful", voice), before - after, calmed))
        listener.forget()
    recall, lost, calmed = np.mean(found, axis=0)
    assert recall > 0.5 and calmed > 0.1
    assert recall > 4 * lost  # so the recall over all five rises


def test_a_name_without_a_pad_vector_gets_the_point_of_its_clips(listener, people):
    X, hot = people("sarcastic", 5, 3), listener.views[0].temperature
    cool = listener.hear(X).probabilities ** hot  # before the temperature, but for a factor
    at = cool / cool.sum(axis=1, keepdims=True) @ [PAD[c] for c in CLASSES]
    listener.learn(X, "sarcastic")
    assert "sarcastic" not in PAD
    assert np.allclose(listener._fitted[0][2][-1], at.mean(axis=0), atol=1e-6)


def test_an_old_emotion_may_be_taught_again(listener, people):
    listener.learn(people("sad", 5, 25), "sad")
    assert listener.names_ == list(CLASSES) and len(listener._fitted[0][0]) == 4


def test_what_is_undone_leaves_nothing(listener, people):
    X = people("fearful", 6, 21)
    listener.enrol(people("neutral", 3, 21), "me").learn(people("fearful", 4, 20), "fearful")
    before = everything(listener, X), everything(listener, X, "me"), list(listener.names_)
    listener.learn(people("fearful", 4, 22), "happy")
    assert not np.array_equal(everything(listener, X)[: len(X) * 5], before[0][: len(X) * 5])
    listener.undo()
    assert np.array_equal(everything(listener, X), before[0])
    assert np.array_equal(everything(listener, X, "me"), before[1])
    listener.undo()
    assert listener.names_ == list(CLASSES) and listener.voices_ == ["me"]
    listener.undo()
    assert listener.voices_ == [] and listener.notes == []
    with pytest.raises(CourseError, match="nothing to undo"):
        listener.undo()


def test_the_order_of_lessons_does_not_matter(listener, people):
    X, a, b = (people(c, 5, 20) for c in ("fearful", "fearful", "sad"))
    one = everything(listener.learn(a, "fearful").learn(b, "sad"), X)
    listener.undo().undo()
    two = everything(listener.learn(b, "sad").learn(a, "fearful"), X)
    assert np.allclose(one, two)


def test_rejected_clips_group_and_are_named_together(listener, people):
    a, b = people("fearful", 4, 20), -people("happy", 3, 20)
    for x in np.concatenate([a, b]):
        listener.reject(x[None])
    assert listener.sizes_.sum() == 7 and listener.sizes_.max() >= 3
    mine = listener.hear(a[:1]).cluster[0]
    size = listener.sizes_[mine]
    before = everything(listener, b), listener.sizes_.tolist()
    listener.learn(a[:1], "fearful")  # a clip that was rejected takes its cluster along
    taught = [n for n in listener.notes if n.emotion == "fearful"]
    assert len(taught) == size and listener.sizes_.sum() == 7 - size
    listener.undo()  # and is unnamed again
    assert np.array_equal(everything(listener, b), before[0])
    assert listener.sizes_.tolist() == before[1]


def test_unnamed_clips_are_kept_up_to_a_number(listener):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(LATEST + 3, WIDTH))
    listener.learn(X[:2], "fearful").reject(X[:LATEST]).reject(X[LATEST:])
    kept = [n.x for n in listener.notes if n.kind == "rejected"]
    assert np.allclose(kept, X[3:], atol=1e-6) and len(listener.notes) == LATEST + 2


def test_forgetting_drops_the_clips_themselves(listener, people):
    X = people("fearful", 3, 20)
    listener.enrol(X[:1], "anna").enrol(X[1:2], "ben").learn(X[2:], "fearful", "anna")
    listener.learn(-X[2:], "calm").reject(X * 2, "anna")
    with pytest.raises(CourseError, match="'ana' was never.*'anna'"):
        listener.forget("ana")
    listener.forget("anna")  # her clips, what she taught, and what was rejected
    assert [(n.voice, n.emotion) for n in listener.notes] == [("ben", ""), ("", "calm")]
    assert listener.forget("calm").names_ == list(CLASSES)
    assert listener.forget().notes == []


def test_the_notes_are_all_that_there_is(made, listener, people):
    X = people("fearful", 5, 20)
    listener.enrol(people("sad", 2, 20), "me").learn(X[:2], "fearful", "me").reject(X[2:3], "me")
    words = json.loads(json.dumps([n[1:] for n in listener.notes]))
    first = made[0]
    other = Listener(first.classes, first.views, first.voice, PAD, first.delta)
    other.follow([Note(n.x, *w) for n, w in zip(listener.notes, words, strict=True)])
    assert np.array_equal(everything(listener, X, "me"), everything(other, X, "me"))
    assert first.notes == [] and first.voices_ == []  # nothing is shared


@pytest.mark.parametrize("bad", [np.full((1, WIDTH), np.nan), np.ones((1, 3)), np.ones(WIDTH)])
def test_wrong_arrays_are_refused_and_change_nothing(listener, bad):
    for act in (listener.hear, listener.reject, lambda X: listener.enrol(X, "me")):
        with pytest.raises(CourseError, match="embeddings"):
            act(bad)
    with pytest.raises(CourseError):
        listener.learn(bad, "calm")
    assert listener.notes == []


def test_rehearsal_draws_from_the_gaussians_of_the_old():
    rng = np.random.default_rng(0)
    centres, spread = 9 * rng.normal(size=(5, 3)), np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    points, y = rehearsal(centres, np.linalg.inv(spread))
    assert np.bincount(y).tolist() == [REHEARSED] * 5
    means = np.stack([points[y == c].mean(axis=0) for c in range(5)])
    covariance = spread @ spread.T
    assert np.allclose(means, centres, atol=0.35 * np.sqrt(covariance.max()))
    assert np.abs(np.cov((points - centres[y]).T) - covariance).max() < 0.2 * covariance.max()
    assert np.array_equal(rehearsal(centres, np.linalg.inv(spread))[0], points)


def test_learning_follows_the_gradient():
    """Many small steps come to where scikit-learn ends, each class with the same weight."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], (8, 40, 20))
    Z = np.column_stack([rng.normal(size=(68, 3)) + np.eye(3)[y], np.ones(68)])
    found = learn(np.zeros((3, 4)), Z, y, np.full(3, 3.0), 3_000)
    model = LogisticRegression(C=np.inf, class_weight="balanced", fit_intercept=False, tol=1e-10)
    wanted = model.fit(Z, y).coef_
    assert np.allclose(found, wanted - wanted.mean(axis=0), atol=0.02)
    frozen = learn(np.ones((3, 4)), Z, y, np.array([0, 0, 1.0]), 5)
    assert (frozen[:2] == 1).all() and (frozen[2] != 1).any()


def test_another_microphone_is_unlike_all_that_were_taught(made, people):
    """Two corpora that differ by a shift; a third shift is strange, a new speaker is not."""
    parts = [(c, s) for s in range(24) for c in CLASSES for _ in range(5)]
    X = np.concatenate([people(c, 1, s) for c, s in parts])
    y = np.array([CLASSES.index(c) for c, _ in parts])
    speakers, corpus = np.array([s for _, s in parts]), np.array([s % 2 for _, s in parts])
    shift = np.eye(WIDTH)[6:8] * 12
    X = X + shift[corpus]
    view = make_head.view(X, y, corpus, 1e-2)
    near = make_head.channel(X, y, speakers, corpus, view)
    new = np.concatenate([people(c, 3, s) for s in range(24, 32) for c in CLASSES])
    assert 0.3 < near.unlike(new + shift[0], view).mean() < 0.7
    assert 0.3 < near.unlike(new + shift[1], view).mean() < 0.7
    assert near.unlike(new - shift[1], view).mean() > 0.9


@pytest.mark.nightly  # of a tool that maintainers run once
def test_corpora_and_their_emotions_weigh_the_same():
    corpus = np.repeat(["a", "b"], [300, 60])
    y = np.r_[np.repeat([0, 1], [250, 50]), np.repeat([0, 1, 2], [25, 30, 5])]
    weights = make_head.balanced(y, corpus)
    mass = {(n, c): weights[(corpus == n) & (y == c)].sum() for n in "ab" for c in range(3)}
    assert weights.mean() == pytest.approx(1)
    assert mass["a", 0] == pytest.approx(mass["a", 1]) == pytest.approx(90)
    # the third class has few clips, but nobody has more
    assert mass["b", 0] == pytest.approx(mass["b", 1]) == pytest.approx(mass["b", 2]) == 60
    few = make_head.balanced(np.r_[y, [1] * 10, [0] * 300], np.r_[corpus, ["c"] * 310])
    assert few[-310:-300].sum() == 0 and few[-300:].sum() == pytest.approx(670 / 3)


@pytest.mark.nightly  # of a tool that maintainers run once
def test_the_measure_of_a_head_enrols_each_speaker_by_their_own_clips(listener, people):
    parts = [(c, s) for s in (30, 31) for c in CLASSES for _ in range(4)]
    X = np.concatenate([people(c, 1, s) for c, s in parts])
    speakers = np.array([f"s{s}" for _, s in parts])
    enrolled, scored = np.arange(0, len(X), 4), np.setdiff1d(np.arange(len(X)), np.arange(0, 99, 4))
    scored = np.random.default_rng(0).permutation(scored)  # speakers come in any order
    anybody, own = measure_head.heard(listener, X, speakers, scored, enrolled)
    assert np.allclose(anybody.probabilities, listener.hear(X[scored]).probabilities)
    for name in ("s30", "s31"):
        rows = speakers[scored] == name
        listener.enrol(X[enrolled][speakers[enrolled] == name], name)
        assert np.allclose(own.unknown[rows], listener.hear(X[scored][rows], name).unknown)
        listener.forget()
    assert not np.allclose(own.probabilities, anybody.probabilities) and not listener.notes


@pytest.mark.nightly  # of a tool that maintainers run once
def test_what_a_voice_adds_is_the_difference_of_the_two_figures_with_an_interval():
    rng, y = np.random.default_rng(0), np.tile([0, 1, 2, -1], 30)
    speakers, right = np.arange(120) % 6, np.eye(3)[np.maximum(y, 0)]
    plain = SimpleNamespace(probabilities=rng.random((120, 3)), unknown=rng.random(120))
    voiced = SimpleNamespace(probabilities=right, unknown=(y < 0) + 0.1 * rng.random(120))
    found, known = measure_head.gained(plain, voiced, y, speakers), y >= 0
    before = metrics.uar(y[known], plain.probabilities[known].argmax(axis=1))
    assert found["uar"][0] == pytest.approx(1 - before) and found["uar"][1] > 0.3
    before = metrics.auroc(plain.unknown, y < 0)
    assert found["auroc_unknown"][0] == pytest.approx(1 - before)
    assert list(measure_head.gained(plain, plain, np.maximum(y, 0), speakers)) == ["uar"]


@pytest.mark.nightly  # of a tool that maintainers run once
def test_what_is_called_unknown_and_how_sure_the_head_is_by_hand():
    y, speakers = np.array([0, 0, 1, 1, -1, -1]), np.arange(6) % 2
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [1.0, 0.0]])
    said = SimpleNamespace(probabilities=p, unknown=np.array([0.95, 0.2, 0.3, 0.9, 0.91, 1.0]))
    found = measure_head.scores(said, y, speakers)
    assert found["flagged_known"][0] == 0.25 and found["flagged_unknown"][0] == 1
    assert found["sureness"][0] == pytest.approx((0.9 + 0.6 + 0.8 + 0.7) / 4 - 0.75)
    # A probe with UAR 1 and chance 0.5: half of the way is 0.75.
    y, said = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    assert measure_head.beyond_half(y, said, y) == pytest.approx(0)


def test_the_page_of_figures_says_of_the_head_what_was_measured():
    """Prose of docs/figures.md and README.md hangs on it: mend both where this turns red."""
    path = make_head.HEAD.parents[0] / "reference" / "head.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["corpora"]

    def those(side, *way):
        """Corpora whose whole interval lies above (1) or below (-1) a bound."""
        found = {name: functools.reduce(dict.get, way[:-1], row) for name, row in kept.items()}
        low = 1 if side > 0 else 2
        return {n for n, ends in found.items() if ends and side * (ends[low] - way[-1]) > 0}

    everywhere, far = set(kept), {"ravdess", "nemo"}
    assert those(1, "enrolled_beyond_half", 0) == everywhere - {"savee"}
    assert those(1, "anybody_beyond_half", 0) == {"emodb"}
    assert those(-1, "anybody_beyond_half", 0) == {"ravdess"}
    for view in ("anybody", "enrolled"):
        assert those(-1, view, "nll", np.log(5)) == everywhere
    assert those(1, "anybody_nll_less", 0) == everywhere - {"emodb"}
    assert those(1, "enrolled_nll_less", 0) == everywhere - {"nemo"}
    assert those(-1, "anybody", "sureness", 0) == everywhere
    assert those(-1, "enrolled", "sureness", 0) == far | {"emodb"}
    assert those(1, "anybody", "ece", 0.1) == everywhere and those(1, "enrolled", "ece", 0.1) == far
    assert those(1, "anybody", "auroc_unknown", 0.5) == {"emodb"}
    assert those(-1, "anybody", "auroc_unknown", 0.5) == far
    assert those(1, "enrolled", "auroc_unknown", 0.5) == far
    assert those(-1, "anybody", "flagged_known", 0.1) == everywhere - {"ravdess"}
    assert those(1, "enrolled", "flagged_known", 0.1) == far
    assert not those(-1, "enrolled", "flagged_known", 0.1)
    assert those(-1, "anybody", "flagged_unknown", 0.1) == everywhere  # hardly a clip, says README
    assert all(row["anybody"]["uar"][1] > row["chance"] for row in kept.values())
    assert those(1, "unlike", 0.5) == far and those(-1, "unlike", 0.5) == everywhere - far
    assert those(1, "anybody_uar_less", 0) == far | {"emodb"}
    assert those(1, "enrolled_uar_less", 0) == {"ravdess", "emodb"}


@pytest.mark.nightly  # of a tool that maintainers run once
def test_a_probe_of_the_same_corpus_says_nothing_of_what_it_was_not_taught():
    rng, y = np.random.default_rng(0), np.tile([0, 1, -1], 40)
    X = rng.normal(size=(120, 4)) + 6 * np.eye(4)[y]
    said = measure_head.within(X, y, np.arange(120) % 8)
    assert (said[y < 0] == -1).all() and np.mean(said[y >= 0] == y[y >= 0]) > 0.9
