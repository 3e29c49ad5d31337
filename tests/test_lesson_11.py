"""Lesson 11: its checks against wrong answers, the source's network, what is real speech."""

import re
import warnings
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from wrong_answers import catalogue

from course.settings import lessons
from helpers import corpora, encoders, metrics, profiles

LESSON = nbformat.read(lessons()["11_multilabel_calibration"], as_version=4)

# (exercise, answer, part of the message)
WRONG = [
    (1, "def least_votes(raters, K): pass", "ends without `return`"),
    (1, "def least_votes(raters, K): return raters / K", "votes are whole numbers"),
    (1, "def least_votes(raters, K): return -(-raters // K)", "not \\*above\\* 1/6"),
    (1, "def least_votes(raters, K): return max(1, round(raters / K))", "not \\*above\\* 1/6"),
    (1, "def least_votes(raters, K): return raters // 2 + 1", "6 raters, 6 emotions"),
    (1, "def least_votes(raters, K): return 2", "3 raters, 8 emotions: one vote is 1/3"),
    (1, "def least_votes(raters, K): return 1 + (raters > 5)", "for every K"),
    (2, "def unweigh(q, w): pass", "ends without `return`"),
    (2, "def unweigh(q, w): return float(np.mean(q))", "for every q"),
    (2, "def unweigh(q, w): return 0.25", "for every q"),
    (2, "def unweigh(q, w): return q / (1 + w)", "w = 1 nothing was weighed"),
    (2, "def unweigh(q, w): return q / w", "0 and 1 stay where they are"),
    (2, "def unweigh(q, w): return w * q / (w * q + 1 - q)", "put the weight in once more"),
    (2, "def unweigh(q, w): return q", "by hand 0.5 ="),
    (2, "def unweigh(q, w): return q / (q + 3 * (1 - q)) if w != 1 else q", "loss is least at q"),
    (2, "def unweigh(q, w): return q ** (2 if w != 1 else 1)", "loss is least at q"),
    (3, "def built_in_gap(p): pass", "ends without `return`"),
    (3, "def built_in_gap(p): return np.maximum(p, 1 - p) - p", "return one number"),
    (3, "def built_in_gap(p): return np.mean(np.abs(1 - 2 * p))", "no gap there"),
    (3, "def built_in_gap(p): return np.mean(np.maximum(p, 1 - p))", "no gap there"),
    (3, "def built_in_gap(p): return np.mean(1 - 2 * p)", "no gap there"),
    (3, "def built_in_gap(p): return np.sum(np.maximum(p, 1 - p) - p)", "0.4, mean 0.6"),
    (3, "def built_in_gap(p): return max(0, np.mean(1 - 2 * p))", "neither adds nor takes away"),
    (3, "def built_in_gap(p): return np.mean((1 - 2 * p)[p < 0.5]) if (p < 0.5).any() else 0",
     "neither adds nor takes away"),
    (3, "def built_in_gap(p): return np.mean(np.maximum(1 - 2 * np.round(p, 1), 0) ** 1.0)"
        " * (len(p) < 9)", "drawn from their own"),
]  # fmt: skip
RIGHT = [
    (1, "def least_votes(raters, K): return int(np.floor(raters / K + 1e-9)) + 1"),
    (1, "def least_votes(raters, K): return next(v for v in range(99) if v * K > raters)"),
    (2, "def unweigh(q, w): return (q / w) / (q / w + (1 - q))"),
    (2, "def unweigh(q, w): return np.asarray(q) / (np.asarray(q) * (1 - w) + w)"),
    (3, "def built_in_gap(p): return np.clip(1 - 2 * np.asarray(p), 0, None).mean()"),
    (3, "def built_in_gap(p): return float(sum(max(1 - 2 * x, 0) for x in p) / len(p))"),
]


def space():
    return {"np": np, "metrics": metrics, "minimize_scalar": minimize_scalar}


test_wrong, test_right, test_solution = catalogue("11_multilabel_calibration", space, WRONG, RIGHT)


# --- what runs nowhere else, and what it says of real speech -----------------------------------


def cell(mark):
    """The code cell that holds a text."""
    (found,) = (c.source for c in LESSON.cells if c.cell_type == "code" and mark in c.source)
    return found


@pytest.fixture
def imported():
    """A kernel that has run the lesson's imports."""
    with warnings.catch_warnings():
        here = {}
        exec(cell("import krippendorff"), here)
    return here


def test_one_vote_a_clip_is_not_shown_beside_several(imported):
    for mark in ("real_answers(\n", 'real_figures("two-curves"'):
        exec(f"shown = {cell(mark)}", imported)
        assert "CREMA-D" in imported["shown"].data
        assert not re.search("RAVDESS|EMO-DB|one vote a clip", imported["shown"].data)


@pytest.mark.slow
def test_the_network_of_the_source_trains_all_but_its_convolutions(imported):
    """The `paper` profile in small: eight clips, one epoch."""
    here, enc, frame = imported, encoders.load("embedded"), corpora.frame("embedded")[:12]
    turn = SimpleNamespace(index=0, train=np.arange(8), stop=np.array([8, 9]),
                           tune=np.array([10]), test=np.array([11]))  # fmt: skip
    here |= {
        "profile": "paper", "enc": enc, "settings": profiles.settings_for("paper", enc), "K": 3,
        "paths": frame["path"].to_numpy(), "truth": np.eye(3, dtype=bool)[np.arange(12) % 3],
        "turns": [turn], "seed": 0,
    }  # fmt: skip
    for mark in ("def trunk", "class OnSpeech", "recipe = {", "def answers", "def train("):
        exec(cell(mark), here)
    wanted = {"rate": 1e-4, "batch": 32, "epochs": 10, "patience": 10}  # source 5, section 4.2
    assert wanted.items() <= here["recipe"].items() and here["network"] is here["OnSpeech"]
    here["recipe"]["epochs"], nets = 1, []
    here["network"] = lambda turn: nets.append(here["OnSpeech"](turn)) or nets[-1]
    exec(cell("def weighted"), here)  # trains: one epoch of BCE
    (net,) = nets
    assert [type(layer).__name__ for layer in net.trunk] == [
        *("Linear", "BatchNorm1d", "ReLU") * 2, "Linear"]  # fmt: skip
    before = dict(enc.model.named_parameters())
    moved = {name: not before[name].equal(w) for name, w in net.speech.named_parameters()}
    frozen = {name for name in moved if name.startswith("feature_extractor")}
    assert frozen and not any(moved[name] for name in frozen)
    assert all(moved[name] for name in moved if name.startswith("encoder.layers."))
    alone, beside = here["answers"](net, np.array([0])), here["answers"](net, np.array([0, 1]))
    assert alone.shape == (1, 3) and torch.allclose(alone[0], beside[0], atol=1e-4)  # no padding
