"""The one opening of lessons 03-08: what it gives is what the artefact holds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_pseudo import EMBEDDINGS, tiny_artefact

from helpers import contest, corpora, encoders, finetune, opening, voice
from helpers.calibration import TemperatureScaling
from helpers.errors import CourseError
from helpers.profiles import PROFILES


@pytest.fixture
def art(monkeypatch, tmp_path):
    art = tiny_artefact()
    art.folder = tmp_path / "artefacts" / "tiny"
    shuffled = np.random.default_rng(0).permutation(len(art.utterances))
    frame = pd.DataFrame({"utterance": art.utterances, "emotion": art.emotions, "path": ""}).iloc[
        shuffled
    ]
    monkeypatch.setattr(corpora, "frame", lambda corpus: frame)
    monkeypatch.setattr(finetune, "artefact", lambda *_, **__: art)
    return art


def test_each_test_clip_once_with_what_belongs_to_it(art):
    found = opening.opened("tiny")
    assert len(found.rows) == len(set(found.rows)) == (art.fold >= 0).sum()
    assert (found.turn == art.fold[found.rows]).all()
    for name in ("labels", "emotions", "speakers", "genders"):
        assert (getattr(found, name) == getattr(art, name)[found.rows]).all()
    assert (found.logits == art.logits[found.turn, found.rows]).all()
    assert (found.unknown == (found.emotions == "fearful")).all() and found.unknown.any()
    assert (found.frame["utterance"] == art.utterances).all()
    assert (found.frame["emotion"][found.rows] == found.emotions).all()
    known = opening.opened("tiny", unknown=False)
    assert not known.unknown.any() and len(known.rows) == (~found.unknown).sum()


def test_probabilities_are_calibrated_by_the_tuning_speakers_of_their_turn(art):
    found = opening.opened("tiny")
    for turn, rows in enumerate(found.tune):
        assert (art.split[turn, rows] == "tune").all() and (art.labels[rows] >= 0).all()
        fitted = TemperatureScaling().fit(
            art.logits[turn, rows], art.labels[rows], art.speakers[rows]
        )
        assert found.temperatures[turn] == fitted.temperature_
        here = found.turn == turn
        want = softmax(found.logits[here] / fitted.temperature_, axis=1)
        assert np.allclose(found.probs[here], want)


def test_a_corpus_without_an_unknown_emotion_is_refused_where_one_is_needed(art):
    art.labels = np.abs(art.labels)
    with pytest.raises(CourseError, match="tiny: every emotion here is taught"):
        opening.opened("tiny")
    assert len(opening.opened("tiny", unknown=False).rows) == (art.fold >= 0).sum()


def test_frozen_states_come_from_the_same_encoder_and_cache(art, monkeypatch):
    every, asked = np.random.default_rng(0).normal(size=(len(EMBEDDINGS), 4, 6)), []
    art.how |= {"dtype": "float32", "profile": "quick"}
    made = SimpleNamespace(several=lambda states: states[:, 1:].reshape(len(states), -1))
    monkeypatch.setattr(encoders, "load", lambda *how: asked.append(how) or made)
    monkeypatch.setattr(finetune, "states", lambda *how, **_: asked.append(how[1:]) or every)
    found = opening.opened("tiny")
    assert (found.frozen == every[:, -1, :3]).all()
    assert (found.several == np.concatenate([*every[:, 1:].swapaxes(0, 1)], axis=1)).all()
    assert asked == [("tiny", "float32"), (made, PROFILES["quick"], art.folder.parents[1])]


# --- voices -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    """Nine speakers, two turns; each speaker lies elsewhere and is as wide as they please."""
    rng, art = np.random.default_rng(1), tiny_artefact()
    _, who = np.unique(art.speakers, return_inverse=True)
    moved = 6 * rng.normal(size=(9, 8))[who] + rng.uniform(0.5, 2, (9, 1))[who] * EMBEDDINGS
    art.how |= {"seed": 0}
    frame = pd.DataFrame({"utterance": art.utterances})
    plain = opening.Opened(frame, art, *art.pooled("logits", "test", known=None))
    plain.__dict__["several"] = moved.astype(np.float32)
    return plain


def right(found):
    """Share of known clips that are named right."""
    return np.mean((found.logits.argmax(axis=1) == found.labels)[~found.unknown])


def test_a_voice_helps_who_was_never_met(found):
    nobody, few, roof = (
        opening.enrolled(found, k, kind)
        for k, kind in ((0, "skewed"), (10, "skewed"), (10, "transductive"))
    )
    assert right(few) > right(nobody) + 0.1 and right(roof) > right(nobody) + 0.1
    for known in (nobody, few, roof):  # what the heads say of themselves
        art = known.art
        for t in range(2):
            want = art.embeddings[t] @ art.head_weight[t].T + art.head_bias[t]
            assert np.allclose(art.logits[t], want)
        assert (known.logits == art.logits[known.turn, known.rows]).all()
        assert known.probs.shape == known.logits.shape


@pytest.mark.parametrize("kind", ["neutral", "skewed", "balanced", "transductive"])
def test_what_is_scored_is_the_same_for_every_k_and_never_enrolled(found, kind):
    art = found.art
    every = [opening.enrolled(found, k, kind, draw=3) for k in (0, 1, 2, 5, 10)]
    first, drawn = every[0], draw_of(found, "skewed" if kind == "transductive" else kind, 3)
    for known in every:
        assert (known.rows == first.rows).all() and (known.turn == first.turn).all()
        assert kind == "transductive" or set(known.clips) <= set(np.concatenate(drawn.clips))
        assert not np.isin(known.rows, np.concatenate(drawn.clips)).any()
        parts = [known.art.part(t, p, None) for t in range(2) for p in ("tune", "test")]
        assert not np.isin(np.concatenate(parts), np.concatenate(drawn.clips)).any()
        assert (known.art.fold[known.rows] == known.turn).all()
        for t in range(2):  # nothing else is lost, and training clips stay
            assert (known.art.part(t, "train", None) == art.part(t, "train", None)).all()
    assert set(found.rows) - set(first.rows) == set(np.concatenate(drawn.clips)) & set(found.rows)
    assert (opening.enrolled(found, 5, kind, draw=4).rows != first.rows).any()


def draw_of(found, kind, number):
    return voice.draw(kind, found.art.labels, found.art.speakers, 2, number)


def test_labels_of_test_speakers_have_no_say_once_their_clips_are_drawn(found):
    art, drawn = found.art, draw_of(found, "skewed", 0)
    moved = replace(art, labels=art.labels.copy())
    test = art.part(0, "test", None)
    moved.labels[test] = np.random.default_rng(0).permutation(art.labels[test])
    other = replace(found, art=moved)
    other.__dict__["several"] = found.several
    one, two = (
        opening.with_voices(f.art, f.several, f.heads[True], drawn.clips[10], drawn.scored)
        for f in (found, other)
    )
    assert (moved.labels != art.labels).any()
    assert (one.embeddings[0] == two.embeddings[0]).all()
    assert (one.logits[0] == two.logits[0]).all()


def test_no_unknown_emotion_is_in_any_fitting_part(found):
    moved = replace(found)
    moved.__dict__["several"] = found.several + 1000.0 * (found.art.labels < 0)[:, None]
    for k in (0, 10):
        one, two = opening.enrolled(found, k), opening.enrolled(moved, k)
        taught = found.art.labels >= 0
        for a, b in (
            (one.art.embeddings[:, taught], two.art.embeddings[:, taught]),
            (one.art.head_weight, two.art.head_weight),
            (one.temperatures, two.temperatures),
        ):
            assert np.allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [0, 10])
def test_the_space_of_a_pseudo_unknown_never_met_it(found, k):
    known, moved = opening.enrolled(found, k), replace(found)
    others = found.art.labels != 1
    moved.__dict__["several"] = np.where(others[:, None], found.several, 50 + found.several)
    again = opening.enrolled(moved, k)
    assert (known.frozen(0, 1)[others] == again.frozen(0, 1)[others]).all()
    assert not np.allclose(known.frozen(0, 2)[others], again.frozen(0, 2)[others])


def test_detectors_learn_from_all_that_the_head_learned_from(found):
    known = opening.enrolled(found).art
    split = known.split.copy()  # some of what is trained on stops the training instead
    for turn in range(2):
        split[turn, known.part(turn, "train")[::3]] = "stop"
    for turn in range(2):
        of_head = contest.case(replace(known, split=split), turn).fit
        assert set(of_head) == set(known.part(turn, "train")) | set(known.part(turn, "stop"))
        alone = replace(found.art, split=split)
        assert set(contest.case(alone, turn).fit) == set(alone.part(turn, "train")) < set(of_head)


def test_nobody_enrolled_is_a_probe_without_any_voice(found):
    nobody, art = opening.enrolled(found, 0), found.art
    train, X = art.part(1, "train"), found.several
    turn = FunctionTransformer(np.dot, kw_args={"b": ortho_group.rvs(8, random_state=0)})
    C = found.heads[False][1][0].C_
    probe = LogisticRegression(C=C, max_iter=300)
    head = make_pipeline(StandardScaler(), PCA(8), turn, StandardScaler(), probe)
    mine = nobody.rows[nobody.turn == 1]
    want = head.fit(X[train], art.labels[train]).predict(X[mine])
    assert (nobody.logits[nobody.turn == 1].argmax(axis=1) == want).all()


def test_a_clip_serves_its_own_speaker_only(found):
    drawn, other = draw_of(found, "skewed", 0), replace(found)
    mine = np.intersect1d(drawn.clips[10], found.rows[found.speakers == "s7"])
    moved = found.several.copy()
    moved[mine] += 50
    other.__dict__["several"] = moved
    one, two = opening.enrolled(found), opening.enrolled(other)
    changed = (one.logits != two.logits).any(axis=1)
    assert changed[one.speakers == "s7"].all() and not changed[one.speakers == "s8"].any()


def test_a_clip_that_is_scored_says_nothing_of_the_others(found):
    one, other = opening.enrolled(found), replace(found)
    moved = found.several.copy()
    moved[one.rows[0]] += 50
    other.__dict__["several"] = moved
    changed = (one.logits != opening.enrolled(other).logits).any(axis=1)
    assert changed[0] and not changed[1:].any()


def test_more_clips_than_a_draw_has_are_refused(found):
    with pytest.raises(CourseError, match="k from 0 to 10, not 11"):
        opening.enrolled(found, 11)
