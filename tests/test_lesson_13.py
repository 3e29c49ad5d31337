"""The checks of lesson 13 against plausible wrong answers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from wrong_answers import catalogue

from helpers.distances import NearestNeighbours, RelativeMahalanobis
from helpers.exercises import unaided


def score(body):
    return f"def relative(d2, d0):\n    {body}"


def near(body):
    return (
        "def kth_nearest(new, seen, k):\n"
        f"    d = np.sqrt(((new[:, None] - seen[None]) ** 2).sum(axis=2))\n    {body}"
    )


def rank(body):
    head = "def rank_of(name, aurocs):\n    own, all_ = aurocs[name], list(aurocs.values())"
    return f"{head}\n    {body}"


WRONG = [
    (1, score("pass"), "ends without `return`"),
    (1, score("return d2 - d0[:, None]"), "one score a row"),
    (1, score("return d2.min(axis=1)"), "take the background off"),
    (1, score("return d0 - d2.min(axis=1)"), "higher = more unknown"),
    (1, score("return d2.max(axis=1) - d0"), "has the \\*smallest\\* distance"),
    (1, score("return d2.mean(axis=1) - d0"), "not the mean"),
    (1, score("return np.sqrt(d2.min(axis=1)) - np.sqrt(d0)"), "4 - 3 and 1 - 5"),
    (1, score("return d2.min(axis=1) / d0"), "4 - 3 and 1 - 5"),
    (1, score("return d2[:, :2].min(axis=1) - d0"), "the last is nearest"),
    (1, score("return np.round(d2.min(axis=1) - d0, 1)"), "differs from the helper"),
    (1, score("return RelativeMahalanobis(d2).score_samples(d0)"),
     "RelativeMahalanobis would solve"),
    (2, near("pass"), "ends without `return`"),
    (2, near("return np.sort(d, axis=0)[k - 1]"), "a \\*new\\* row"),
    (2, near("return d.min(axis=1)"), "the first neighbour"),
    (2, near("return np.sort(d, axis=1)[:, k]"), "is at place 0"),
    (2, near("return np.sort(d, axis=1)[:, k - 1] ** 2"), "take its root"),
    (2, near("return np.sort(d, axis=1)[:, :k].mean(axis=1)"), "not the mean of k"),
    (2, near("return np.sort(1 - new @ seen.T, axis=1)[:, k - 1]"), "root of 0.8"),
    (2, near("return np.argsort(d, axis=1)[:, k - 1]"), "root of 0.8"),
    (2, near("return d[:, k - 1]"), "root of 2"),
    (2, near("d[d < 1e-9] = np.inf; return np.sort(d, axis=1)[:, k - 1]"), "the third neighbour"),
    (2, near("return np.sort(d, axis=1)[:, min(k, 2) - 1]"), "30 random rows, k = 4"),
    (2, near("return NearestNeighbours(k).fit(seen, None, None).score_samples(new)"),
     "NearestNeighbours would solve"),
    (3, rank("pass"), "ends without `return`"),
    (3, rank("return [1 + sum(v > own for v in all_)]"), "one whole number"),
    (3, rank("return 1 + sum(v < own for v in all_)"), "not the lowest"),
    (3, rank("return sum(v > own for v in all_)"), "best: add one"),
    (3, rank("return sorted(all_, reverse=True).index(own)"), "best: add one"),
    (3, rank("return list(aurocs).index(name) + 1"), "share the better"),
    (3, rank("return sum(v >= own for v in all_)"), "share the better rank"),
    (3, rank("return 1 + len({v for v in all_ if v > own})"), "third, however equal"),
    (3, rank("return min(3, 1 + sum(v > own for v in all_))"), "nine AUROCs at random"),
]  # fmt: skip
RIGHT = [
    (1, score("return np.array([min(row) - own for row, own in zip(d2, d0)])")),
    (2, near("return np.partition(d, k - 1, axis=1)[:, k - 1]")),
    (3, rank("return sorted(all_, reverse=True).index(own) + 1")),
    (3, rank("return float(pd.Series(aurocs).rank(ascending=False, method='min')[name])")),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + labels[:, None]
    case = SimpleNamespace(embeddings=X, logits=X[:, :3], labels=labels, fit=np.arange(40))
    return {
        "np": np, "pd": pd, "unaided": unaided, "case": case, "some": X[40:], "names": ["a", "b"],
        "NearestNeighbours": NearestNeighbours, "RelativeMahalanobis": RelativeMahalanobis,
        "ranks": {"a": 2.0, "b": 1.0},
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("13_detectors", space, WRONG, RIGHT)
