"""Which layers training speakers would choose, judged on speakers that they are not."""

import numpy as np
import pytest

from tools.choose_layers import CHOSEN, FOLDS, compare

pytestmark = pytest.mark.nightly


def test_the_layer_that_hears_the_emotion_is_chosen_and_judged_on_others():
    rng, n = np.random.default_rng(0), 150
    y, speakers = np.arange(n) % 3, np.repeat([f"s{i}" for i in range(6)], n // 6)
    states = rng.normal(size=(n, 3, 8)).astype(np.float32)
    deaf = compare(states, (1, 2), y, speakers, neutral=0, voiced=True)
    assert abs(deaf["uar"][0] - 100 / 3) < 12
    states[np.arange(n), 2, y] += 3
    found = compare(states, (1, 2), y, speakers, neutral=0, voiced=True)
    assert found["uar"][1] > 50 and found["gain"]["1"][2] < 0
    assert found["chosen"] == ["2"] * FOLDS and found["gain"]["2"] == found["gain"][CHOSEN]
