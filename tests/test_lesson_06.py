"""The checks of lesson 06 against plausible wrong answers."""

from types import SimpleNamespace

import numpy as np
from scipy import stats
from scipy.special import softmax
from wrong_answers import catalogue

from helpers import metrics
from helpers.exercises import unaided


def over(body, place="np.argsort(np.argsort(-p, axis=1), axis=1)", rest="1.0"):
    return (
        f"def hand_over(p, alpha, rank):\n    place = {place}\n"
        f"    a = np.where(place < rank, alpha, {rest})\n    {body}"
    )


def weights(body, weight="(rank - i) / rank", order="np.argsort(-v)"):
    return (
        f"def rank_weights(v, rank):\n    w = np.zeros(len(v))\n"
        f"    for i, c in enumerate({order}[:rank]):\n        w[c] = {weight}\n    {body}"
    )


def fpr(body, enough="np.mean(scores[unknown] >= t) >= 0.95 - 1e-12", down="[::-1]"):
    return (
        f"def my_fpr95(scores, unknown):\n    for t in np.unique(scores){down}:\n"
        f"        if {enough}:\n            {body}"
    )


HAND, LOST = "np.column_stack([a * p, ((1 - a) * p).sum(axis=1)])", "scores[~unknown] >= t"
WRONG = [
    (1, fpr("pass"), "ends without `return`"),
    (1, fpr(f"return {LOST}"), "return one number"),
    (1, fpr(f"return np.sum({LOST})"), "is how many"),
    (1, fpr(f"return np.mean({LOST})", "np.mean(scores[unknown] >= t) == 1"), "95 % will do"),
    (1, fpr("return np.mean(scores[unknown] >= t)"), "count known ones"),
    (1, fpr("return np.mean(scores[unknown] >= t)",
            "np.mean(scores[~unknown] >= t) >= 0.95"), "count known ones"),
    (1, fpr(f"return np.mean({LOST})", "np.mean(scores[unknown] >= t) >= 0.05 - 1e-12"),
     "too high a threshold"),
    (1, fpr("return np.mean(scores[~unknown] > t)"), "score >= threshold"),
    (1, fpr(f"return np.mean({LOST})", down=""), "95 % will do"),
    (1, "def my_fpr95(scores, unknown):\n"
        "    return np.mean(scores[~unknown] >= np.quantile(scores[unknown], 0.05))",
     "a score that occurs"),
    (1, "def my_fpr95(scores, unknown):\n"
        "    return np.mean(scores[unknown] <= np.quantile(scores[~unknown], 0.95))",
     "95 % of the known"),
    (1, "def my_fpr95(scores, unknown):\n"
        "    t = np.quantile(scores[unknown], 0.05, method='nearest')\n"
        "    return np.mean(scores[~unknown] >= t)", "at a score that occurs"),
    (1, fpr("return np.mean(scores[unknown] <= t)", "np.mean(scores[~unknown] <= t) >= 0.95", ""),
     "95 % of the known"),
    (1, "def my_fpr95(scores, unknown):\n"
        "    return np.mean(scores[~unknown] >= np.quantile(scores[~unknown], 0.05))",
     "the known clips set"),
    (1, fpr("return np.mean(~unknown[scores >= t])"), "8 of 10 known"),
    (1, "def my_fpr95(scores, unknown):\n    return 0.8", "perfectly apart: no known"),
    (1, "def my_fpr95(scores, unknown):\n    return metrics.fpr95(scores, unknown)",
     "fpr95 would solve"),
    (2, weights("pass"), "ends without `return`"),
    (2, weights("return w[:rank]"), "one weight a logit"),
    (2, "def rank_weights(v, rank):\n    return np.maximum(0, rank - np.arange(len(v))) / rank",
     "put each at its class"),
    (2, weights("return w", "(rank - i - 1) / rank"), "counts from 1"),
    (2, weights("return w", "(i + 1) / rank"), "has the highest weight"),
    (2, weights("return w", "1"), "fall by rank"),
    (2, weights("return w", order="np.argsort(v)"), "class 1 is highest"),
    (2, weights("return w / w.sum()"), "class 1 is highest"),
    (2, weights("return w", order="np.argsort(np.argsort(-v))"), "class 1 is highest"),
    (2, weights("return w", "(2 - i) / 2"), "3/3 for the highest"),
    (2, weights("return np.round(w * 6) / 6"), "random logits \\["),
    (3, over("pass"), "ends without `return`"),
    (3, over("return a * p"), "K \\+ 1 columns"),
    (3, over("return np.column_stack([a * p, 1 - a.min(axis=1)])"), "sum to one"),
    (3, over("return np.column_stack([a * p, (1 - a).sum(axis=1)])"), "sum to one"),
    (3, over(f"return np.roll({HAND}, 1, axis=1)"), "unknown comes last"),
    (3, over(f"return {HAND}", place="np.zeros(p.shape)"), "only the likeliest"),
    (3, over(f"return {HAND}", place="np.argsort(np.argsort(p, axis=1), axis=1)"),
     "only the likeliest"),
    (3, over(f"a = 1 - a; return {HAND}"), "keeps 0.5 of its 0.3"),
    (3, over(f"return {HAND}", rest="0.0"), "keeps all of its 0.3"),
    (3, over(f"return {HAND}", place="np.argsort(-p, axis=1)"), "a single argsort gives"),
    (3, over(f"return {HAND}", place="(p < p.max(axis=1, keepdims=True)) * 1"),
     "40 random rows, rank 2"),
]  # fmt: skip
RIGHT = [
    (1, "def my_fpr95(scores, unknown):\n    u = np.sort(scores[unknown])\n"
        "    return np.mean(scores[~unknown] >= u[len(u) // 20])"),
    (2, weights("return list(w)")),
    (2, "def rank_weights(v, rank):\n"
        "    return np.clip(1 - (stats.rankdata(-v) - 1) / rank, 0, None)"),
    (3, over(f"return {HAND}", place="stats.rankdata(-p, axis=1) - 1")),
    (3, over("return np.column_stack([a * p, 1 - (a * p).sum(axis=1)]).tolist()")),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    z, alpha = rng.normal(size=(30, 4)), rng.random((30, 4))
    p = softmax(z, axis=1)
    return {
        "np": np, "stats": stats, "softmax": softmax, "metrics": metrics, "unaided": unaided,
        "z": z, "alpha": alpha, "T": [1.0], "K": 4, "turn": np.zeros(30, int),
        "unknown": rng.random(30) < 0.5, "by_hand": np.column_stack([alpha * p, 0 * p[:, 0]]),
        "outcome": {"mahalanobis": SimpleNamespace(scores=rng.random(30))},
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("06_openmax", space, WRONG, RIGHT)
