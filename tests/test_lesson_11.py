"""The checks of lesson 11 against plausible wrong answers: each is told its own mistake."""

import numpy as np
from scipy.optimize import minimize_scalar
from wrong_answers import catalogue

from helpers import metrics

# (exercise, answer, part of the message)
WRONG = [
    (1, "def least_votes(raters, K): pass", "without `return`"),
    (1, "def least_votes(raters, K): return raters / K", "whole numbers"),
    (1, "def least_votes(raters, K): return -(-raters // K)", "not \\*above\\* 1/6"),
    (1, "def least_votes(raters, K): return max(1, round(raters / K))", "not \\*above\\* 1/6"),
    (1, "def least_votes(raters, K): return raters // 2 + 1", "6 raters, 6 emotions"),
    (1, "def least_votes(raters, K): return 2", "3 raters, 8 emotions: one vote is 1/3"),
    (1, "def least_votes(raters, K): return 1 + (raters > 5)", "for every K"),
    (2, "def unweigh(q, w): pass", "without `return`"),
    (2, "def unweigh(q, w): return float(np.mean(q))", "for every q"),
    (2, "def unweigh(q, w): return 0.25", "for every q"),
    (2, "def unweigh(q, w): return q / (1 + w)", "w = 1 nothing was weighed"),
    (2, "def unweigh(q, w): return q / w", "0 and 1 stay where they are"),
    (2, "def unweigh(q, w): return w * q / (w * q + 1 - q)", "put the weight in once more"),
    (2, "def unweigh(q, w): return q", "by hand"),
    (2, "def unweigh(q, w): return q / (q + 3 * (1 - q)) if w != 1 else q", "loss is least at q"),
    (2, "def unweigh(q, w): return q ** (2 if w != 1 else 1)", "loss is least at q"),
    (3, "def built_in_gap(p): pass", "without `return`"),
    (3, "def built_in_gap(p): return np.maximum(p, 1 - p) - p", "one number"),
    (3, "def built_in_gap(p): return np.mean(np.abs(1 - 2 * p))", "no gap there"),
    (3, "def built_in_gap(p): return np.mean(np.maximum(p, 1 - p))", "no gap there"),
    (3, "def built_in_gap(p): return np.mean(1 - 2 * p)", "no gap there"),
    (3, "def built_in_gap(p): return np.sum(np.maximum(p, 1 - p) - p)", "mean 0.6"),
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
