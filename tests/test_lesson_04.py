"""The checks of lesson 04 against plausible wrong answers."""

import numpy as np
import pandas as pd
from wrong_answers import catalogue

from helpers import metrics
from helpers.exercises import unaided


def share(body):
    return f"def overconfident_share(bins):\n    {body}"


def lowest(body, good="correct[confidence >= c].mean() >= target"):
    return (
        "def my_threshold(confidence, correct, target):\n"
        f"    good = [c for c in np.unique(confidence) if {good}]\n    {body}"
    )


def worst(body, gap="confidence[groups == g].mean() - correct[groups == g].mean()"):
    return (
        "def most_overpromised(groups, confidence, correct):\n    names = np.unique(groups)\n"
        f"    gaps = [{gap} for g in names]\n    {body}"
    )


FIRST, NAME = "return min(good, default=float('inf'))", "return names[int(np.argmax(gaps))]"
WRONG = [
    (1, share("pass"), "ends without `return`"),
    (1, share("return bins.counts[bins.gap > 0] / bins.counts.sum()"), "return one number"),
    (1, share("return bins.counts[bins.gap > 0].sum()"), "divide by the number of clips"),
    (1, share("return bins.counts[bins.gap < 0].sum() / bins.counts.sum()"), "that is too modest"),
    (1, share("return np.mean(bins.gap[bins.counts > 0] > 0)"), "count clips, not bins"),
    (1, share("return np.mean(bins.gap > 0)"), "count clips, not bins"),
    (1, share("return np.nansum(bins.counts * bins.gap) / bins.counts.sum()"), "0.75; you say"),
    (1, share("return bins.counts[bins.gap >= 0].sum() / bins.counts.sum()"), "not above it"),
    (1, share("return {4: 0.75, 3: 0}.get(bins.counts.sum(), 0.5)"), "80 random clips"),
    (2, worst("pass"), "ends without `return`"),
    (2, worst("return [names[int(np.argmax(gaps))]]"), "return one name"),
    (2, worst("return max(gaps)"), "the name of the group"),
    (2, worst("return int(np.argmax(gaps))"), "the name of the group"),
    (2, worst("return names[int(np.argmax(np.abs(gaps)))]"), "and its sign"),
    (2, worst("return names[int(np.argmin(gaps))]"), "and its sign"),
    (2, worst(NAME, "correct[groups == g].mean() - confidence[groups == g].mean()"),
     "accuracy, and its sign"),
    (2, worst(NAME, "confidence[groups == g].mean()"), "Not the surest group"),
    (2, worst(NAME, "-correct[groups == g].mean()"), "of five random groups"),
    (2, worst(NAME, "(confidence[groups == g] - correct[groups == g]).sum()"), "not its sum"),
    (2, worst("return {2: 'x'}.get(len(groups), 'one' if 'one' in names else 'b')"),
     "of five random groups"),
    (3, lowest("pass"), "ends without `return`"),
    (3, lowest("return good"), "return one number"),
    (3, "def my_threshold(confidence, correct, target):\n    order = np.argsort(-confidence)\n"
        "    share = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)\n"
        "    return confidence[order][share >= target].min(initial=np.inf)", "a tie is kept"),
    (3, lowest(FIRST, "correct[confidence >= c].sum() / len(correct) >= target"), "that are kept"),
    (3, lowest("return confidence.min()"), "right often enough"),
    (3, lowest("return max(good, default=float('inf'))"), "take the lowest"),
    (3, "def my_threshold(confidence, correct, target):\n    best = float('inf')\n"
        "    for c in np.unique(confidence)[::-1]:\n"
        "        if correct[confidence >= c].mean() < target: break\n        best = c\n"
        "    return best", "below a threshold that fails"),
    (3, lowest("return min(good, default=confidence.max())"), "will do, return infinity"),
    (3, lowest("return {0.95: 0.9 if correct[0] else np.inf, 0.75: 0.6}.get(target, 0.5)"),
     "40 random clips"),
    (3, lowest("return metrics.threshold_at_accuracy(confidence, correct, target)"),
     "threshold_at_accuracy would solve"),
]  # fmt: skip
RIGHT = [
    (1, share("return np.average(np.nan_to_num(bins.gap) > 0, weights=bins.counts)")),
    (2, "def most_overpromised(groups, confidence, correct):\n"
        "    return pd.Series(confidence - correct).groupby(groups).mean().idxmax()"),
    (3, lowest("return good[0] if good else np.inf")),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 200)
    correct = rng.random(200) < confidence
    return {
        "np": np, "pd": pd, "metrics": metrics, "unaided": unaided, "confidence": confidence,
        "correct": correct, "tuned": [(confidence, correct)],
        "speakers": rng.choice(list("vwxyz"), 200),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("04_reliability_diagrams", space, WRONG, RIGHT)
