"""A rate is judged on tuning speakers of known emotions, turn by turn."""

from types import SimpleNamespace

import numpy as np
import pytest

from tools.choose_rate import tuning_scores

pytestmark = pytest.mark.nightly


def test_scores_are_of_the_tuning_rows_of_each_turn():
    labels = np.array([0, 1, 1, 0, 1])
    rows = {(0, "tune"): np.array([0, 1, 2]), (1, "tune"): np.array([3, 4])}
    logits = np.zeros((2, 5, 2))
    logits[0, :, 0] = 1  # says 0 of all: one of two recalls
    logits[1, [3, 4], [0, 1]] = 2
    art = SimpleNamespace(turns=2, labels=labels, logits=logits, part=lambda t, p: rows[t, p])
    found = tuning_scores(art)
    assert found["uar"] == [0.5, 1.0]
    # log(1 + e) - 1 once and log(1 + e) twice; log(1 + e^-2)
    assert found["nll"] == pytest.approx([np.log1p(np.e) - 1 / 3, np.log1p(np.exp(-2))], abs=1e-3)
