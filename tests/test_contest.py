"""The contest of detectors: what each may look at, and that the best of its settings is taken."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import gumbel_l
from sklearn.base import clone
from test_pseudo import EMBEDDINGS, tiny_artefact

from helpers import contest, probe, pseudo
from helpers.distances import Mahalanobis
from helpers.openmax import DISTANCES, BendaleOpenMax, OpenMax, PrintedOpenMax

pytestmark = pytest.mark.filterwarnings("ignore:class", "ignore:every clip", "ignore:calibration")


def one_turn():
    """The tiny artefact with its first turn alone: its test clips serve nothing else."""
    art = tiny_artefact()
    arrays = ("split", "logits", "embeddings", "head_weight", "head_bias")
    return replace(art, **{name: getattr(art, name)[:1] for name in arrays})


def noisy_case(seed=0, n=300):
    """A case of 30 speakers, whose logits are wrong now and then."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    logits = 2 * np.eye(3)[labels] + 1.5 * rng.normal(size=(n, 3))
    rows = np.arange(n)
    parts = {"fit": rows[: n // 3], "held": rows[n // 3 : -n // 3], "score": rows[-n // 3 :]}
    return pseudo.Case(logits, logits, labels, (rows % 30).astype(str), **parts)


def test_temperature_is_that_of_the_held_clips():
    case = noisy_case()
    z, y = case.logits[case.held], case.labels[case.held]

    def loss(T):  # lesson 03: two clips for each of 30 voices, and log T standard normal
        log_p = log_softmax(z / T, axis=1)[np.arange(len(y)), y]
        return -60 * log_p.mean() + np.log(T) ** 2 / 2

    found = case.temperature()
    wanted = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8})
    assert found == pytest.approx(wanted.x, rel=1e-4)
    for part, moves in ((case.held, True), (case.fit, False), (case.score, False)):
        logits = case.logits.copy()
        logits[part] *= 2  # twice the logits of the held clips: nearly twice T; of others: nothing
        moved = replace(case, logits=logits).temperature()
        assert moved > 1.5 * found if moves else moved == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("distance", DISTANCES)
def test_recommended_tails_come_from_the_held_clips(distance):
    case, detector = contest.case(one_turn(), 0), OpenMax(distance, tail=0.5)
    model, y = case.fitted(detector), case.labels
    for c in range(4):
        rows = case.held[y[case.held] == c]
        own = np.sort(model.gaussians_.class_scores(case.embeddings[rows])[:, c])
        shape, scale, location = model.weibull_[c]
        wanted = gumbel_l.fit(own[len(own) // 2 :])
        assert np.allclose((location + scale, scale / shape), wanted, rtol=0.01, atol=0.01)
    # Other held clips are other tails of the same classes; the training rows would be shorter ones.
    for held, sign in ((case.held[::2], None), (case.fit, -1)):
        other = replace(case, held=held).fitted(detector)
        assert (other.gaussians_.means_ == model.gaussians_.means_).all()
        moved = (other.weibull_ - model.weibull_)[:, 1:].sum(axis=1)  # of location + scale
        assert moved.all() and sign in (None, np.sign(moved.mean()))


@pytest.mark.parametrize("detector", [PrintedOpenMax(1e-3, 0.5), BendaleOpenMax(10, 1)])
def test_tails_of_the_printed_forms_come_from_the_training_clips(detector):
    case = contest.case(one_turn(), 0)
    weibull = case.fitted(detector).weibull_
    same = replace(case, held=case.held[::2]).fitted(detector).weibull_
    other = replace(case, fit=case.fit[::2]).fitted(detector).weibull_
    assert (same == weibull).all() and (other != weibull).any(axis=1).all()


@pytest.mark.parametrize("name", contest.GRIDS)
def test_test_clips_and_unknown_ones_have_no_say(name, monkeypatch):
    monkeypatch.setitem(contest.GRIDS, name, contest.GRIDS[name][::3])
    art = one_turn()
    rng, hidden = np.random.default_rng(1), (art.split[0] == "test") | (art.labels < 0)
    moved, labels, frozen = {}, art.labels.copy(), EMBEDDINGS.copy()
    for array in ("embeddings", "logits"):
        moved[array] = getattr(art, array).copy()
        moved[array][:, hidden] = 50 * rng.normal(size=moved[array][:, hidden].shape)
    frozen[hidden] = 50 * rng.normal(size=frozen[hidden].shape)
    test = art.split[0] == "test"
    labels[test] = rng.permutation(labels[test])
    before = contest.run(art, EMBEDDINGS, names=(name,))[name]
    after = contest.run(replace(art, **moved, labels=labels), frozen, names=(name,))[name]
    assert (before.scores != after.scores).any()
    assert before.thresholds.tobytes() == after.thresholds.tobytes()
    assert before.detectors == after.detectors
    assert before.tuned == after.tuned


def test_f1_chooses_and_not_the_ranking(monkeypatch):
    # The first setting ranks best, the second has the best F1 at some rate.
    found = [pseudo.Found(0.1, 0.5, 0.9), pseudo.Found(0.3, 0.6, 0.7), pseudo.Found(0.2, 0.4, 0.8)]
    grid = [Mahalanobis(space=space) for space in ("unit", "raw", "scaled")]
    monkeypatch.setitem(contest.GRIDS, "three", grid)
    monkeypatch.setattr(pseudo, "tune", lambda options, *_: dict(zip(options, found, strict=True)))
    outcome = contest.run(one_turn(), EMBEDDINGS, names=("three",))["three"]
    assert outcome.detectors == (grid[1],) and outcome.tuned == (found[1],)


class Noisy(Mahalanobis):
    """Distance to the nearest class under noise: the louder, the worse."""

    def __init__(self, noise=0):
        super().__init__()
        self.noise = noise

    def score_samples(self, embeddings, logits=None):
        digits = np.modf(np.abs(embeddings[:, 0]) * 1e4)[0]  # as good as random, and of the clip
        return super().score_samples(embeddings) + self.noise * digits


@pytest.mark.parametrize("grid", [(0, 5, 50), (5, 0, 50), (50, 5, 0)])
def test_the_best_setting_wins_wherever_it_stands(grid, monkeypatch):
    monkeypatch.setitem(contest.GRIDS, "noisy", [Noisy(noise) for noise in grid])
    art = one_turn()
    outcome = contest.run(art, EMBEDDINGS, names=("noisy",))["noisy"]
    assert outcome.detectors[0].noise == 0
    here = contest.case(art, 0)
    cases = pseudo.trials(EMBEDDINGS, art.labels, art.speakers, here.fit, here.held, here.held)
    found = pseudo.tune({noise: Noisy(noise) for noise in grid}, cases.values())
    assert found[0].f1 > found[5].f1 > found[50].f1
    assert outcome.tuned == (found[0],)
    # Its threshold is that of its own rate on this turn's model.
    assert outcome.thresholds.tolist() == [pseudo.threshold(Noisy(0), here, found[0].rate)]


def test_a_choice_serves_the_clips_of_other_voices():
    """The settings stay; scores and thresholds are those of the artefact that is judged."""
    art = one_turn()
    names = ("openmax_printed", "vim", "triplet")
    choices = contest.choose(art, EMBEDDINGS, names)
    run = contest.run(art, EMBEDDINGS, names)
    moved = replace(art, embeddings=art.embeddings + 0.1 * EMBEDDINGS[::-1], logits=2 * art.logits)
    for name, outcome in contest.judge(moved, choices).items():
        (detector, found), here = choices[name][0], contest.case(moved, 0)
        assert run[name].detectors == outcome.detectors == (detector,)
        assert outcome.tuned == (found,) and (outcome.scores != run[name].scores).any()
        assert (outcome.scores == here.scores(detector, here.score)).all()
        assert outcome.thresholds[0] == pseudo.threshold(detector, here, found.rate)


@pytest.mark.slow
@pytest.mark.parametrize("name", contest.GRIDS)
def test_a_hundred_thousand_rows_take_half_a_gigabyte(name):
    rng = np.random.default_rng(13)
    labels = np.arange(2000) % 5
    rows = rng.standard_normal((2000, 768), dtype=np.float32) + np.eye(5, 768)[labels] * 3
    weight, bias = probe.fit(rows, labels)
    seen = rows, rows @ weight.T + bias, labels
    model = clone(contest.GRIDS[name][0]).fit(*seen, head=(weight, bias)).fit_held(*seen)
    many = rng.standard_normal((100_000, 768), dtype=np.float32)
    logits = rng.standard_normal((100_000, 5), dtype=np.float32)
    tracemalloc.start()
    model.score_samples(many, logits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 512 * 2**20
