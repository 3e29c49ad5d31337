"""The checks of lesson 07 against plausible wrong answers."""

import numpy as np
import pandas as pd
from wrong_answers import catalogue

from helpers.clustering import OnlineClustering, unit


def purity(body, enough="len(inside) >= min_support", adds="np.bincount(inside).max()"):
    return (
        "def supported_purity(truth, clusters, min_support):\n    right, left, each = 0, 0, []\n"
        "    for j in np.unique(clusters):\n        inside = truth[clusters == j]\n"
        f"        if {enough}:\n            right += {adds}\n            left += len(inside)\n"
        f"            each.append(np.bincount(inside).max() / len(inside))\n    {body}"
    )


def merge(
    mean="(n[i] * mu[i] + n[j] * mu[j]) / (n[i] + n[j])", add="n[i] += n[j]",
    cosine="unit(mu) @ unit(mu).T", stop="c[i, j] < delta", end="", out="mu, n", copy="np.array",
    pair="sorted(np.unravel_index(c.argmax(), c.shape))",
):  # fmt: skip
    return (
        f"def merge_twins(prototypes, counts, delta):\n    mu, n = {copy}(prototypes), "
        f"np.array(counts)\n    while len(n) > 1:\n        c = {cosine}\n"
        f"        np.fill_diagonal(c, -np.inf)\n        i, j = {pair}\n        if {stop}: break\n"
        f"        mu[i] = {mean}\n        {add}\n"
        f"        mu, n = np.delete(mu, j, axis=0), np.delete(n, j)\n        {end}\n"
        f"    return {out}"
    )


def promoted(note="counts[j] == min_support", value="arrival", start="{}", end="when"):
    return (
        f"def promotions(labels, min_support):\n    counts, when = {{}}, {start}\n"
        "    for arrival, j in enumerate(np.asarray(labels).tolist()):\n"
        f"        counts[j] = counts.get(j, 0) + 1\n        if {note}:\n"
        f"            when[j] = {value}\n    return {end}"
    )


WRONG = [
    (1, purity("pass"), "ends without `return`"),
    (1, purity("return each"), "return one number"),
    (1, purity("return right / left if left else 0"), "all five clips"),
    (1, purity("return right / len(truth)", "True"), "three are asked for"),
    (1, purity("return right"), "no share of five clips"),
    (1, purity("return np.mean(each) if each else 0"), "all five clips"),
    (1, purity("return right / len(truth)", adds="len(inside)"), "2 / 5 = 0.4"),
    (1, purity("return right / len(truth)", "len(inside) > min_support"), "of one emotion: 2 / 5"),
    (1, purity("return right / len(truth)", "len(inside) > 2"), "clips are support enough"),
    (1, purity("return right / len(truth)", adds="(inside == inside.min()).sum()").replace(
        "inside.min()", "np.bincount(inside[:3]).argmax()"), "in 8 random clusters"),
    (2, promoted(end="None"), "ends without `return`"),
    (2, promoted(end="list(when.items())"), "return a dict"),
    (2, promoted(start="dict.fromkeys(np.unique(labels).tolist())"), "leave it out"),
    (2, promoted("counts[j] == 1 and min_support <= (np.array(labels) == j).sum()"),
     "its second promotes"),
    (2, promoted("counts[j] >= min_support"), "by its second clip"),
    (2, promoted("counts[j] == min_support + 1"), "by its second clip"),
    (2, promoted(value="arrival + 1"), "count from 0"),
    (2, promoted(value="counts[j]"), "gets its second clip at arrival 2, cluster 1 at 5"),
    (2, promoted("counts[j] == 2"), "clips of cluster 7"),
    (2, promoted("counts[j] == min_support and len(when) < 2"), "40 random arrivals"),
    (3, merge(out="None"), "ends without `return`"),
    (3, merge(out="mu, n, delta"), "return two arrays"),
    (3, merge(out="mu"), "return two arrays"),
    (3, merge(out="n"), "return two arrays"),
    (3, merge(copy="np.asarray"), "work on a copy"),
    (3, merge(add="pass"), "add the counts"),
    (3, merge(mean="(mu[i] + mu[j]) / 2"), "the mean is weighted"),
    (3, merge(mean="n[i] * mu[i] + n[j] * mu[j]"), "3·\\(1, 0\\) \\+ 1·"),
    (3, merge(cosine="mu @ mu.T"), "a dot product does not"),
    (3, merge(stop="c[i, j] <= delta"), "exactly δ merges"),
    (3, merge(pair="next(zip(*np.nonzero(c >= delta)), (0, 1))"), "the closest two marry"),
    (3, merge(end="break"), "until no pair is left"),
    (3, merge(stop="c[i, j] > delta"), "one pair merges"),
]  # fmt: skip
RIGHT = [
    (1, "def supported_purity(truth, clusters, min_support):\n"
        "    t = pd.crosstab(truth, clusters)\n"
        "    return t.max()[t.sum() >= min_support].sum() / len(truth)"),
    (2, "def promotions(labels, min_support):\n    s = pd.Series(labels)\n"
        "    t = s[s.groupby(s).cumcount() == min_support - 1]\n"
        "    return dict(zip(t.to_numpy(), t.index))"),
    (3, merge(out="[list(mu), n.tolist()]")),
    (3, merge(out="mu[::-1], n[::-1]")),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)
    return {
        "np": np, "pd": pd, "unit": unit, "OnlineClustering": OnlineClustering, "MIN_SUPPORT": 2,
        "chosen": [0.5], "items": [rng.normal(size=(40, 4))], "turn": np.zeros(40, int),
        "truth": truth, "ours": truth[:, None], "agreement": lambda a, b: [0, 0, 1.0],
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("07_clustering", space, WRONG, RIGHT)
