"""The checks of lesson 03 against plausible wrong answers."""

import nbformat
import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax
from wrong_answers import catalogue

from course.settings import lessons
from helpers import metrics
from helpers.calibration import TemperatureScaling
from helpers.exercises import unaided
from helpers.intervals import interval


def score(body):
    return f"def my_brier(probs, truth):\n    t = np.eye(probs.shape[1])[truth]\n    {body}"


def grid(body, loss="metrics.nll(softmax({}, axis=1), truth)", scaled="z / T"):
    return (
        "def grid_temperature(z, truth, grid):\n"
        f"    losses = [{loss.format(scaled)} for T in grid]\n    {body}"
    )


def errors(gap="abs(b.gap)", weigh="b.counts * ", of="len(truth)", bins="", end="np.array(e)"):
    return (
        "def classwise_ece(probs, truth):\n    e = []\n    for k in range(probs.shape[1]):\n"
        f"        b = metrics.reliability(probs[:, k], truth == k{bins})\n"
        f"        e.append(np.nansum({weigh}{gap}) / {of})\n    return {end}"
    )


BEST = "return grid[int(np.argmin(losses))]"
WRONG = [
    (1, score("pass"), "ends without `return`"),
    (1, score("return ((probs - t) ** 2).sum(axis=1)"), "return one number"),
    (1, score("return ((probs - t) ** 2).sum()"), "sum over the clips"),
    (1, score("return ((probs - t) ** 2).mean()"), "sum over the emotions"),
    (1, score("return ((1 - probs[np.arange(len(truth)), truth]) ** 2).mean()"),
     "not true count too"),
    (1, score("return abs(probs - t).sum(axis=1).mean()"), "each difference squared"),
    (1, score("return np.sqrt(((probs - t) ** 2).sum(axis=1)).mean()"), "takes no root"),
    (1, score("return np.sqrt(((probs - t) ** 2).sum(axis=1).mean())"), "takes no root"),
    (1, score("return 0.14"), "sure and wrong"),
    (1, score("return metrics.brier(probs, truth)"), "brier would solve"),
    (1, score("return ((probs - t) ** 2).sum(axis=1).mean() * (1 + (len(probs) > 9))"),
     "on 50 random clips"),
    (2, grid("pass"), "ends without `return`"),
    (2, grid("return int(np.argmin(losses))"), "one of the temperatures"),
    (2, grid("return min(losses)"), "one of the temperatures"),
    (2, grid(BEST, scaled="z * T"), "do not multiply"),
    (2, grid("return grid[int(np.argmax(losses))]"), "end of the grid"),
    (2, grid(BEST, loss="-metrics.nll(softmax({}, axis=1), truth)"), "end of the grid"),
    (2, grid("return grid[len(grid) // 2]"), "T near 3, not"),
    (2, grid(BEST, loss="metrics.ece(softmax({}, axis=1), truth)"), "least ECE: compare the NLL"),
    (2, grid(BEST, loss="metrics.ece(softmax({0}, axis=1), truth) if len(z) < 99 else "
             "metrics.nll(softmax({0}, axis=1), truth)"), "least ECE: compare the NLL"),
    (2, grid(BEST, loss="abs(T - 3)"), "T near 0.5"),
    (2, grid(BEST, loss="metrics.brier(softmax({}, axis=1), truth)"), "the NLL is least"),
    (2, grid("f = TemperatureScaling().fit(z, truth).temperature_\n"
             "    return grid[np.argmin(abs(grid - f))]"), "TemperatureScaling would solve"),
    (3, errors(end="None"), "ends without `return`"),
    (3, errors(end="np.mean(e)"), "one number per emotion"),
    (3, errors().replace("np.nansum", "np.sum"), "empty bin has no gap"),
    (3, errors(bins=", 10"), "comes of ten bins"),
    (3, errors(bins=", 1"), "\\|mean p - share\\|"),
    (3, "def classwise_ece(probs, truth):\n    share = np.eye(probs.shape[1])[truth].mean(axis=0)\n"
        "    return abs(probs.mean(axis=0) - share)", "\\|mean p - share\\|"),
    (3, errors(of="1"), "sum over clips"),
    (3, errors().replace("truth == k", "truth != k"), "not truth != k"),
    (3, errors(gap="b.gap"), "without its sign"),
    (3, errors(gap="abs(b.gap) ** 2"), "without its sign"),
    (3, errors(weigh="", of="(b.counts > 0).sum()"), "as many clips as its bin holds"),
    (3, "def classwise_ece(probs, truth):\n    p = range(probs.shape[1])\n"
        "    return [np.nanmax(abs(metrics.reliability(probs[:, k], truth == k).gap)) for k in p]",
     "is the largest gap"),
    (3, errors().replace("truth == k", "probs.argmax(axis=1) == truth"), "whether the call was"),
    (3, "def classwise_ece(probs, truth):\n    return [metrics.ece(probs, truth)] * probs.shape[1]",
     "emotion that is called"),
    (3, errors(end="np.full(probs.shape[1], 1.96 / 3)"), "the first not true"),
    (3, errors(end="np.full(len(e), e[0])"), "of 300 random clips"),
    (3, "def classwise_ece(probs, truth):\n"
        "    return metrics.label_ece(probs, np.eye(probs.shape[1])[truth])",
     "label_ece would solve"),
]  # fmt: skip
RIGHT = [
    (1, score("return 1 + ((probs**2).sum(1) - 2 * probs[range(len(truth)), truth]).mean()")),
    (2, grid("return min(zip(losses, grid))[1]")),
    (2, grid("return grid[int(np.argmin(losses))]",
             loss="-log_softmax({}, axis=1)[range(len(z)), truth].sum()")),
    (3, errors(end="e")),
    (3, errors(gap="abs(np.nan_to_num(b.gap))")),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    honest = rng.normal(scale=2, size=(2000, 4))
    drawn = (softmax(honest, axis=1).cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1)
    return {
        "np": np, "pd": pd, "metrics": metrics, "softmax": softmax, "log_softmax": log_softmax,
        "TemperatureScaling": TemperatureScaling, "unaided": unaided, "honest": honest,
        "drawn": drawn.clip(max=3), "labels": drawn.clip(max=3),
        "before": softmax(honest, axis=1), "after": softmax(honest, axis=1),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("03_calibration", space, WRONG, RIGHT)


def test_a_reduction_that_is_1_whoever_is_left_out_has_no_interval():
    cells = nbformat.read(lessons()["03_calibration"], as_version=4).cells
    (cell,) = (c.source for c in cells if "def reduction(" in c.source)
    given, told = space(), {}
    given |= {"before": softmax(3 * given["honest"], axis=1), "speakers": np.arange(2000) % 6}
    given |= {"floor_of": lambda probs: 0.1, "interval": interval, "m": 2000}
    exec(cell, given | {"record": lambda key, *found, **_: told.update({key: found})})
    assert told == {"ece_excess_reduction": (1, None, None)}
