"""While a student's function runs, the helper that would solve it refuses."""

import numpy as np
import pytest

from helpers import metrics
from helpers.exercises import unaided
from helpers.metrics import brier

P, Y = [[0.5, 0.5], [1.0, 0.0]], [0, 1]


def by_module(probs, truth):
    return metrics.brier(probs, truth)


def by_name(probs, truth):
    return brier(probs, truth)


def inside(probs, truth):
    from helpers.metrics import brier as other

    return other(probs, truth)


@pytest.mark.parametrize("answer", [by_module, by_name, inside])
def test_the_helper_refuses_under_every_name_and_only_meanwhile(answer):
    assert answer(P, Y) == 1.25
    with pytest.raises(AssertionError, match="brier would solve this for you"):
        unaided(answer, metrics.brier)(P, Y)
    assert answer(P, Y) == 1.25


def test_other_helpers_stay_at_hand_and_options_pass_through():
    def answer(probs, truth, plus=0):
        return metrics.nll(probs, truth) + plus

    assert unaided(answer, metrics.brier)(P[:1], [0], plus=1) == pytest.approx(1.6931, abs=1e-4)


def test_a_class_refuses_too_and_arrays_are_no_helpers():
    space = {"Bins": metrics.Bins, "x": np.ones(3)}
    exec("def answer(): return Bins()", space)
    with pytest.raises(AssertionError, match="Bins would solve this"):
        unaided(space["answer"], metrics.Bins)()
