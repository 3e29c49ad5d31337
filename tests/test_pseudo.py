"""Pseudo-unknowns: who is left out of what, and thresholds that carry over."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
from scipy.special import softmax

from helpers import artefact, contest, metrics, probe, pseudo
from helpers.detectors import Detector, TripletThresholds
from helpers.distances import Mahalanobis
from helpers.errors import CourseError
from helpers.openmax import DISTANCES, OpenMax, PrintedOpenMax

rng = np.random.default_rng(0)
SPEAKERS = np.repeat([f"s{i}" for i in range(9)], 30)
LABELS = np.tile(np.repeat([0, 1, 2, 3, -1], 6), 9)
CENTRES = 4 * np.eye(5, 8)
EMBEDDINGS = CENTRES[LABELS] + rng.normal(size=(len(LABELS), 8))
FIT, TUNE, TEST = (np.flatnonzero(np.isin(SPEAKERS, [f"s{i}" for i in who]))
                   for who in (range(5), (5, 6), (7, 8)))  # fmt: skip


def cases(**given):
    known = {"fit": FIT[LABELS[FIT] >= 0], "held": TUNE[LABELS[TUNE] >= 0], "score": TUNE}
    return pseudo.trials(EMBEDDINGS, LABELS, SPEAKERS, **(known | given))


def test_an_emotion_left_out_is_in_no_fitting_part():
    found = cases()
    assert list(found) == [0, 1, 2, 3]
    for out, case in found.items():
        for rows in (case.fit, case.held):
            assert out not in LABELS[rows] and (LABELS[rows] >= 0).all()
        # The truly unknown are not scored; the one left out is, as -1, with the others renumbered.
        assert (LABELS[case.score] >= 0).all()
        assert ((case.labels[case.score] < 0) == (LABELS[case.score] == out)).all()
        assert set(case.labels[case.fit]) == {0, 1, 2}
        assert case.logits.shape == (len(LABELS), 3)
        assert (case.logits[case.held].argmax(axis=1) == case.labels[case.held]).mean() > 0.9


def test_the_head_of_a_trial_is_sure_of_clear_emotions():
    # Right is not enough: weights of nearly zero find the largest logit too, with p = 1/3 for all.
    for case in cases().values():
        p, y = softmax(case.logits[case.held], axis=1), case.labels[case.held]
        own = p[np.arange(len(y)), y]
        assert (p.argmax(axis=1) == y).mean() > 0.9
        assert own.mean() > 0.7 and -np.log(own).mean() < np.log(3) / 3  # chance: 1/3 and log 3


def test_the_head_of_a_trial_is_the_probe_of_its_training_rows():
    case = cases()[0]
    weight, bias = probe.fit(EMBEDDINGS[case.fit], case.labels[case.fit])
    assert (case.head[0] == weight).all() and (case.head[1] == bias).all()
    assert np.allclose(case.logits, EMBEDDINGS @ weight.T + bias)


def test_true_unknowns_have_no_say():
    found, moved = cases(), EMBEDDINGS.copy()
    moved[LABELS < 0] += 100
    again = pseudo.trials(moved, LABELS, SPEAKERS, FIT[LABELS[FIT] >= 0], found[0].held, TUNE)
    detector = Mahalanobis()
    assert pseudo.tune({0: detector}, found.values()) == pseudo.tune({0: detector}, again.values())


def test_three_emotions_are_too_few():
    few = np.where(LABELS == 3, -1, LABELS)
    with pytest.raises(CourseError, match="needs four"):
        pseudo.trials(EMBEDDINGS, few, SPEAKERS, FIT, TUNE, TUNE)


class Spy(Detector):
    """Scores are the first embedding; keeps what `fit_held` and `score_samples` were given."""

    seen: list = []

    def fit_held(self, embeddings, logits, y):
        self.held_ = embeddings[:, 1]
        return self

    def score_samples(self, embeddings, logits):
        self.seen.append((self.held_, embeddings[:, 1]))
        return embeddings[:, 0]


def scored(values):
    """A case in which `Spy` gives each clip its value; the second column says who speaks."""
    case = cases()[0]
    who = np.unique(SPEAKERS, return_inverse=True)[1]
    return dataclasses.replace(case, embeddings=np.column_stack([values, who]).astype(float))


def test_no_speaker_is_served_by_its_own_clips():
    case, Spy.seen = scored(np.arange(len(LABELS))), []
    assert (pseudo.crossed(Spy(), case, case.score) == case.score).all()  # each in its place
    parts = [(set(held), set(mine)) for held, mine in Spy.seen]
    assert parts == [({6}, {5}), ({5}, {6})]
    alone = case.score[SPEAKERS[case.score] == "s5"]
    lone = dataclasses.replace(case, held=case.held[SPEAKERS[case.held] == "s5"])
    assert len(pseudo.crossed(Spy(), lone, alone)) == len(alone)  # nobody else: in sample


def test_rate_and_f1_by_hand():
    case = cases()[0]
    case = scored(np.where(case.labels < 0, 5.0, np.linspace(0, 1, len(LABELS))))
    unknown = case.labels[case.score] < 0
    found = pseudo.tune({0: Spy()}, [case], prevalence=0.5)[0]
    false = 1 / (~unknown).sum()  # 1 % of so few clips is the top one
    assert found.auroc == 1 and found.rate == pytest.approx(0.01)
    assert found.f1 == pytest.approx(2 * 0.5 / (0.5 + 0.5 * false + 0.5))


def test_a_threshold_flags_the_share_of_known_clips_that_was_asked_for():
    values = rng.permutation(len(LABELS))
    case = scored(values)
    limit = pseudo.threshold(Spy(), case, 0.25)
    assert np.mean(values[case.held] >= limit) == pytest.approx(0.25, abs=1 / len(case.held))


def test_a_threshold_rests_on_scores_that_no_own_clip_served():
    case, Spy.seen = scored(np.arange(len(LABELS))), []
    pseudo.threshold(Spy(), case, 0.5)
    assert [(set(held), set(mine)) for held, mine in Spy.seen] == [({6}, {5}), ({5}, {6})]


@pytest.mark.filterwarnings("ignore:class", "ignore:every clip")
@pytest.mark.parametrize("kind", [PrintedOpenMax, OpenMax, TripletThresholds, Mahalanobis])
def test_scoring_changes_no_detector_that_is_kept(kind):
    case, detector, before = cases()[0], kind(), repr(kind())
    first = case.fitted(detector)
    state = {k: np.copy(v) for k, v in vars(first).items() if isinstance(v, np.ndarray)}
    scores = first.score_samples(*case.inputs(case.score))
    # Other held clips, other settings: neither the first one nor what was given has changed.
    other = case.fitted(detector, case.held[::3])
    case.scores(kind(), case.score)
    assert repr(detector) == before and other is not first
    assert all((getattr(first, k) == v).all() for k, v in state.items())
    assert (first.score_samples(*case.inputs(case.score)) == scores).all()
    assert (case.scores(detector, case.score) == scores).all()
    if kind is not Mahalanobis:
        assert (other.score_samples(*case.inputs(case.score)) != scores).any()


@pytest.mark.filterwarnings("ignore:class", "ignore:every clip", "ignore:.*calib")
@pytest.mark.parametrize("name", contest.GRIDS)
def test_a_case_with_other_arrays_fits_anew(name):
    case, detector = cases()[0], contest.GRIDS[name][0]
    case.scores(detector, case.score)  # something is kept
    changes = {"embeddings": case.embeddings[:, ::-1] ** 3, "logits": case.logits[:, ::-1] ** 3}
    for change in ({"fit": case.fit[::2]}, {"held": case.held[::3]}, changes):
        fresh = pseudo.Case(
            **{name: value for name, value in vars(case).items() if name != "_kept"} | change
        )
        moved = dataclasses.replace(case, **change)
        wanted = fresh.scores(detector, case.score)
        assert (moved.scores(detector, case.score) == wanted).all()


def tiny_artefact():
    known = LABELS >= 0
    split = np.full((2, len(LABELS)), "train", dtype="<U5")
    fold = np.full(len(LABELS), -1)
    pairs = (("s5", "s6"), ("s7", "s8"))
    for turn, (tune, test) in enumerate((pairs, pairs[::-1])):
        split[turn, np.isin(SPEAKERS, tune)], split[turn, np.isin(SPEAKERS, test)] = "tune", "test"
        fold[np.isin(SPEAKERS, test)] = turn
    rows = [known & (part == "train") for part in split]
    heads = [probe.fit(EMBEDDINGS[mine], LABELS[mine]) for mine in rows]
    weight, bias = (np.stack(part) for part in zip(*heads, strict=True))
    names = np.array(["angry", "happy", "neutral", "sad", "fearful"])
    return artefact.Artefact(
        classes=names[:4], utterances=np.arange(len(LABELS)).astype(str), emotions=names[LABELS],
        labels=LABELS, speakers=SPEAKERS, genders=SPEAKERS, fold=fold, split=split,
        logits=np.stack([EMBEDDINGS @ w.T + b for w, b in heads]),
        embeddings=np.stack([EMBEDDINGS] * 2), head_weight=weight, head_bias=bias,
        segment_logits=np.empty((0, 4)), segment_owner=np.empty(0, int),
        segment_turn=np.empty(0, int),
        how={"corpus": "tiny", "encoder": "tiny"},
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:class", "ignore:every clip")
def test_the_contest_gives_every_rival_its_own_settings_and_threshold(monkeypatch):
    monkeypatch.setattr(contest, "GRIDS", {name: grid[-2:] for name, grid in contest.GRIDS.items()})
    art = tiny_artefact()
    outcomes = contest.run(art, EMBEDDINGS)
    _, rows, turn = art.pooled("logits", "test", known=None)
    unknown = art.labels[rows] < 0
    for name, outcome in outcomes.items():
        assert outcome.scores.shape == outcome.flagged.shape == rows.shape
        assert all(detector in contest.GRIDS[name] for detector in outcome.detectors)
        limits = outcome.thresholds[turn]
        assert (outcome.flagged == (outcome.scores >= limits)).all()
    ranked = metrics.within_turns(metrics.auroc, turn, outcomes["mahalanobis"].scores, unknown)
    assert ranked > 0.95
    asked, spaces = [], (EMBEDDINGS, EMBEDDINGS[:, ::-1])  # a turn; the order says nothing

    def space(turn, out):
        asked.append((turn, out))
        return spaces[turn]

    alone = contest.run(art, space, names=("openmax",))["openmax"]
    assert asked == [(turn, out) for turn in range(2) for out in range(4)]
    assert np.allclose(alone.scores, outcomes["openmax"].scores)  # others do not disturb it


def test_other_corpora_choose_and_never_the_corpus_itself(tmp_path, monkeypatch):
    words = [contest.chosen("openmax", detector) for detector in contest.GRIDS["openmax"]]
    f1 = {"emodb": dict.fromkeys(words, 0.0) | {words[2]: 0.6, words[4]: 0.5},
          "ravdess": dict.fromkeys(words, 0.1) | {words[4]: 0.3}}  # fmt: skip
    auroc = {"emodb": {"vim": 0.7, "knn": 0.9}, "ravdess": {"vim": 0.8, "knn": 0.5}}
    kept = {corpus: {"openmax": f1[corpus], "auroc": auroc[corpus]} for corpus in f1}
    (tmp_path / "fixed.json").write_text(json.dumps({"small": kept}))
    monkeypatch.setattr(contest, "FIXED", tmp_path / "fixed.json")
    fixed = partial(contest.grid, "openmax")
    for corpus, number in (("ravdess", 2), ("emodb", 4), ("embedded", 4), ("tess+emodb", 4)):
        assert fixed(corpus, "/some/folder/small") == [contest.GRIDS["openmax"][number]]
    assert fixed("emodb+ravdess", "small") == contest.GRIDS["openmax"]
    assert fixed("emodb", "another/encoder") == contest.GRIDS["openmax"]
    assert contest.grid("vim", "emodb", "small") == contest.GRIDS["vim"]
    ask = partial(contest.elsewhere, "auroc", encoder="small")
    assert ask("emodb") == auroc["ravdess"] and ask("ravdess") == auroc["emodb"]
    assert ask("embedded") == pytest.approx({"vim": 0.75, "knn": 0.7})
    assert ask("emodb+ravdess") == {}


@pytest.mark.filterwarnings("ignore:class", "ignore:every clip")
@pytest.mark.parametrize("name", ["openmax_printed", "openmax_bendale", "openmax"])
def test_probabilities_hold_what_the_scores_rank(name):
    case = contest.case(tiny_artefact(), 0)
    detector = contest.GRIDS[name][0]
    probs = case.fitted(detector).predict_proba(*case.inputs(case.score))
    assert probs.shape == (len(case.score), 5) and np.allclose(probs.sum(axis=1), 1)
    order = np.argsort(case.scores(detector, case.score))
    assert (np.diff(probs[order, -1]) >= -1e-9).all()


def test_what_was_chosen_is_said_in_words():
    assert contest.chosen("openmax_printed", PrintedOpenMax(0.01, 0.5)) == "epsilon 0.01, tail 0.5"
    assert contest.chosen("mahalanobis", Mahalanobis()) == "none"


def test_ranking_metrics_are_taken_within_turns():
    scores, unknown = np.array([1, 2, 11, 12.0]), np.array([False, True, False, True])
    assert metrics.within_turns(metrics.auroc, [0, 0, 1, 1], scores, unknown) == 1
    assert metrics.auroc(scores, unknown) == 0.75
    assert metrics.within_turns(metrics.auroc, [0, 0, 1], scores[:3], unknown[:3]) == 1
    assert np.isnan(metrics.within_turns(metrics.auroc, [1], scores[:1], unknown[:1]))


@pytest.mark.filterwarnings("ignore:class", "ignore:every clip")
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_shift_of_all_logits_leaves_the_recommended_detector_alone(distance):
    case, detector = contest.case(tiny_artefact(), 0), OpenMax(distance, tail=0.5)
    moved = dataclasses.replace(case, logits=case.logits + 5)
    found, again = (c.fitted(detector).predict_proba(*c.inputs(case.score)) for c in (case, moved))
    assert np.allclose(found, again)
