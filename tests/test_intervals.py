"""Intervals over speakers: cases that can be computed by hand; what they hold is simulated."""

import json

import numpy as np
import pytest
from scipy import stats

from helpers import metrics
from helpers.errors import CourseError
from helpers.intervals import interval, paired
from tools import simulate_intervals

SPEAKERS = np.repeat(np.arange(6), 10)


def test_of_a_mean_it_is_the_t_interval_of_the_speakers_means():
    x = np.random.default_rng(0).normal(size=60) + SPEAKERS
    means = x.reshape(6, 10).mean(axis=1)
    wider = (1 + 1 / 12) * stats.sem(means)
    expected = stats.t.interval(0.95, 4.5, loc=means.mean(), scale=wider)
    assert interval(np.mean, x, speakers=SPEAKERS) == pytest.approx((x.mean(), *expected))
    # Turns of equal size change nothing where the figure is a mean; nor do turns of one speaker.
    for turns in (SPEAKERS // 3, SPEAKERS):
        assert interval(np.mean, x, speakers=SPEAKERS, turns=turns)[1:] == pytest.approx(expected)


def test_turns_of_unlike_size():
    x = np.random.default_rng(1).normal(size=60) + SPEAKERS
    turns = np.array([0, 0, 0, 0, 1, 2])[SPEAKERS]
    means = x.reshape(6, 10).mean(axis=1)
    value, low, high = interval(np.mean, x, speakers=SPEAKERS, turns=turns)
    assert value == pytest.approx(np.mean([means[:4].mean(), means[4], means[5]]))
    error = means.std(ddof=1) * np.sqrt(1 / 4 + 1 + 1) / 3
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 4.5) * error * (1 + 1 / 12))


def test_the_figures_bias_is_not_its_error():
    # Each speaker alike: the figure falls with the clips, but no speaker differs from another.
    x = np.tile(np.arange(10.0), 6)
    value, low, high = interval(lambda a: a.mean() + 100 / len(a), x, speakers=SPEAKERS)
    assert low == pytest.approx(value) == high


def test_ranking_within_turns_and_a_turn_that_one_speaker_carries():
    rng = np.random.default_rng(0)
    unknown = rng.random(60) < 0.4
    unknown[SPEAKERS == 5] = False
    scores, turns = unknown + rng.normal(size=60), SPEAKERS // 2
    value, low, high = interval(
        metrics.auroc, scores, unknown, speakers=SPEAKERS, turns=turns, limits=(0, 1)
    )
    assert value == pytest.approx(metrics.within_turns(metrics.auroc, turns, scores, unknown))
    assert 0 < low < value < high < 1
    # Without speaker 4, turn 2 has no unknown clip: it counts as one speaker, as if 5 were not two.
    joined = np.where(SPEAKERS == 5, 4, SPEAKERS)
    again = interval(metrics.auroc, scores, unknown, speakers=joined, turns=turns, limits=(0, 1))
    assert again == pytest.approx((value, low, high))


def test_a_share_at_its_limit_says_what_so_many_clips_or_speakers_can_tell():
    value, low, high = interval(np.mean, np.ones(60), speakers=SPEAKERS, limits=(0, 1))
    assert (value, high) == (1, 1) and low == pytest.approx(0.05 ** (1 / 60))
    value, low, high = interval(np.mean, np.zeros(60), speakers=SPEAKERS, limits=(0, 1))
    assert (value, low) == (0, 0) and high == pytest.approx(1 - 0.05 ** (1 / 60))
    # No number of clips replaces speakers: two are two, and six are worth 42 clips each at most.
    for n, clips, units in ((2, 60, 2), (3, 6000, 3), (4, 60, 60), (6, 6000, 6 * 42)):
        sure, who = np.ones(clips), np.arange(clips) % n
        _, low, high = interval(np.mean, sure, speakers=who, limits=(0, 1))
        assert (low, high) == (pytest.approx(0.05 ** (1 / units)), 1)
    right = np.ones(60)
    right[7] = 0  # 59 of 60
    value, low, high = interval(np.mean, right, speakers=SPEAKERS, limits=(0, 1))
    assert 0.8 < low < value < high < 1
    assert interval(np.mean, np.full(60, 0.25), speakers=SPEAKERS, limits=(0, 1)) == (0.25,) * 3


def test_of_a_share_it_is_wilsons():
    right = np.random.default_rng(3).random(60) < 0.8
    value, low, high = interval(np.mean, right, speakers=SPEAKERS, limits=(0, 1))
    # Both ends solve (p - m)^2 = t^2 se^2 m (1 - m) / (p (1 - p)).
    se = stats.sem(right.reshape(6, 10).mean(axis=1))
    for end in (low, high):
        scaled = (value - end) ** 2 * value * (1 - value) / (end * (1 - end))
        assert scaled == pytest.approx((stats.t.ppf(0.975, 5) * se) ** 2)
    # Within -1 and 1 it is the same, moved and stretched.
    twice = interval(lambda a: 2 * a.mean() - 1, right, speakers=SPEAKERS, limits=(-1, 1))
    assert twice == pytest.approx([2 * end - 1 for end in (value, low, high)])


def test_curves_and_what_is_undefined():
    x = np.random.default_rng(0).normal(size=(60, 2))

    def curve(a):
        return np.array([a[:, 0].mean(), np.nan, a[:, 1].mean()])

    value, low, high = interval(curve, x, speakers=SPEAKERS)
    assert np.isnan([value[1], low[1], high[1]]).all()
    alone = interval(np.mean, x[:, 1], speakers=SPEAKERS)
    assert (value[2], low[2], high[2]) == pytest.approx(alone)
    assert interval(np.mean, x[:, 0], speakers=np.zeros(60))[1:] == (None, None)
    none = interval(metrics.auroc, x[:, 0], np.ones(60, dtype=bool), speakers=SPEAKERS)
    assert np.isnan(none[0]) and none[1:] == (None, None)


def test_paired_cancels_what_both_share():
    rng = np.random.default_rng(0)
    a = rng.normal(scale=5, size=6)[SPEAKERS]
    b = a - 0.5 + rng.normal(scale=0.1, size=60)
    found = paired(np.mean, a, b, speakers=SPEAKERS)
    assert found == pytest.approx(interval(np.mean, a - b, speakers=SPEAKERS))
    assert 0.4 < found[1] <= found[0] <= found[2] < 0.6


def test_no_difference_of_two_shares_is_larger_than_one():
    two, first, second = SPEAKERS[:20], np.ones(20), np.zeros(20)
    second[5:10] = 1  # the first speaker gains a half, the second all
    value, low, high = paired(np.mean, first, second, speakers=two)
    assert value == 0.75 and low < -1 and high > 1
    assert paired(np.mean, first, second, speakers=two, most=1) == (0.75, -1, 1)
    assert paired(np.mean, first, second, speakers=np.zeros(20), most=1) == (0.75, None, None)
    several = paired(np.mean, first, second, speakers=np.arange(20), most=1)
    assert several == paired(np.mean, first, second, speakers=np.arange(20))


def test_a_broken_metric_and_wrong_shapes_are_heard():
    def broken(a):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        interval(broken, np.ones(60), speakers=SPEAKERS)
    with pytest.raises(ValueError, match="broken"):
        metrics.within_turns(broken, SPEAKERS, np.ones(60))
    with pytest.raises(CourseError, match="59"):
        interval(np.mean, np.ones(59), speakers=SPEAKERS)


# Where the table falls short of what was wanted; data/reference/README.md says so beside it.
SHORT = {
    *(("emodb", n, "AURC") for n in (4, 6, 10)),
    *(("emodb", n, "ECE, paired") for n in (4, 10)),
    ("emodb", 4, "a share near 1"),
    *((corpus, 10, "NLL") for corpus in ("emodb", "ravdess")),
    ("ravdess", 10, "NLL, paired"),
}
FAST = [("emodb", 4), ("ravdess", 10)]  # the other sizes wait for the night
SIZES = [(c, n) for c in simulate_intervals.CORPORA for n in simulate_intervals.SPEAKERS]


@pytest.mark.parametrize(
    ("corpus", "n"),
    [pytest.param(*s, marks=[] if s in FAST else [pytest.mark.nightly]) for s in SIZES],
)
def test_what_the_intervals_hold(corpus, n):
    # 300 simulations of the 2,000 in data/reference/intervals.json, at night 1,000. Where these are
    # as wanted, 0.90 is far below by chance. What is known to be short passes it by a hair in the
    # fast sizes, and has a bound of its own in the others.
    effects = json.loads(simulate_intervals.EFFECTS.read_text(encoding="utf-8"))[corpus]
    table = simulate_intervals.simulate(effects, n, draws=300 if (corpus, n) in FAST else 1000)
    for name, entry in table.items():
        short = (corpus, n, name) in SHORT and (corpus, n) not in FAST
        assert entry["coverage"] >= (0.86 if short else 0.90), (name, entry)
        assert entry["width_over_needed"] <= (1.4 if short else 1.3), (name, entry)


def test_the_committed_table_is_of_enough_draws_and_of_these_figures():
    kept = json.loads(simulate_intervals.TABLE.read_text(encoding="utf-8"))
    assert kept["draws"] >= 2000
    for corpus in simulate_intervals.CORPORA:
        assert list(kept["corpora"][corpus]) == [str(n) for n in simulate_intervals.SPEAKERS]
        for n, table in kept["corpora"][corpus].items():
            for name, entry in table.items():
                wanted = 0.93 <= entry["coverage"] <= 0.98 and entry["width_over_needed"] <= 1.25
                assert wanted != ((corpus, int(n), name) in SHORT), (corpus, n, name, entry)


def test_moments_are_those_that_made_the_clips():
    effects = json.loads(simulate_intervals.EFFECTS.read_text(encoding="utf-8"))["ravdess"]
    rng = np.random.default_rng(0)
    logits, labels, speakers, turns = simulate_intervals.draw(effects, 600, rng, rng)
    emotion = np.concatenate([np.repeat(np.arange(8), c) for c in [effects["clips"][0]] * 600])
    found = simulate_intervals.moments(logits, logits, emotion, speakers, turns)
    for part in ("speaker", "interaction", "clip"):
        assert np.allclose(found[part], effects[part], atol=0.5), part
