"""The public folds: the figure that published rows give, with an interval over speakers."""

import numpy as np
import pytest

from helpers.intervals import interval
from helpers.metrics import uar
from tools.benchmark_folds import fold_mean

pytestmark = pytest.mark.nightly


def test_folds_are_averaged_and_speakers_are_the_units():
    rng = np.random.default_rng(0)
    y, speakers = rng.integers(4, size=400), np.repeat(np.arange(4), 100)
    guessed = rng.random(400) < np.repeat([0.2, 0.4, 0.5, 0.9], 100)
    predicted = np.where(guessed, rng.integers(4, size=400), y)
    each = np.array([uar(y[speakers == s], predicted[speakers == s]) for s in range(4)])

    found = interval(fold_mean, y, predicted, speakers + 1, speakers=speakers, limits=(0, 1))
    # A fold a speaker: an interval of the mean of four recalls.
    want = interval(np.mean, each, speakers=np.arange(4), limits=(0, 1))
    np.testing.assert_allclose(found, want)
    assert found[0] == fold_mean(y, predicted, speakers) == each.mean()

    shared = rng.integers(3, size=400)  # folds that share speakers: still four units
    _, low, high = interval(fold_mean, y, predicted, shared, speakers=speakers, limits=(0, 1))
    np.testing.assert_allclose(high - low, want[2] - want[1], rtol=0.2)
