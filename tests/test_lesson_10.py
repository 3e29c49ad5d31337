"""The checks of lesson 10 against plausible wrong answers: each is told its own mistake."""

import warnings

import numpy as np
import pytest
from wrong_answers import catalogue

from helpers import metrics

pytestmark = pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")


def start(body):
    return f"def nearest_start(d, head):\n    {body}"


def memory(body):
    return f"def remember(y, per_class, rng):\n    {body}"


def lost(body):
    return f"def forgotten(y, before, after, old):\n    {body}"


SAFE = "s = (d == 0) * 1.0 if (d == 0).any() else 1 / d"
EACH = "[rng.permutation(np.flatnonzero(y == c))[:per_class] for c in np.unique(y[y >= 0])]"
RECALL = "np.mean({}[y == c] == c)"
LOSS = f"{RECALL.format('before')} - {RECALL.format('after')}"
# (exercise, answer, part of the message)
WRONG = [
    (1, start("pass"), "ends without `return`"),
    (1, start("return (1 / d)[:, None] * head"), "one weight a column"),
    (1, start("return d / d.sum() @ head"), "the nearest gets most"),
    (1, start("return 1 / d @ head"), "add up to one"),
    (1, start("s = np.exp(-d); return s / s.sum() @ head"), "shares 4/7, 2/7 and 1/7"),
    (1, start("s = 1 / d**2; return s / s.sum() @ head"), "not its square"),
    (1, start("s = 1 - d / d.sum(); return s / s.sum() @ head"), "not as 1 - d"),
    (1, start("return head.mean(axis=0)"), "all get the same"),
    (1, start("return head[d.argmin()]"), "but not all"),
    (1, start("s = 1 / d; return s / s.sum() @ head"), "a distance of 0 takes all"),
    (1, start("return head[d.argmin()] if d.min() == 0 else (1 / d) / (1 / d).sum() @ head"),
     "of 0 share equally"),
    (1, start(f"{SAFE}\n    s = s / s.sum()\n    return (s * (np.arange(len(s)) < 4)) @ head"),
     "differs from the sum"),
    (2, memory("pass"), "ends without `return`"),
    (2, memory(f"return {EACH}"), "join the rows"),
    (2, memory("return y >= 0"), "not labels or a mask"),
    (2, memory(f"return np.concatenate({EACH.replace('y[y >= 0]', 'y')})"), "leave them out"),
    (2, memory("return np.concatenate([rng.choice(np.flatnonzero(y == c), per_class) "
               "for c in np.unique(y[y >= 0])])"), "row is kept twice"),
    (2, memory("return np.concatenate([rng.choice(np.flatnonzero(y == c), per_class, replace=False)"
               " for c in np.unique(y[y >= 0])])"), "gives all it has"),
    (2, memory("return rng.permutation(np.flatnonzero(y >= 0))[:5]"), "only one of class 2"),
    (2, memory("return np.concatenate([np.flatnonzero(y == c)[:per_class] "
               "for c in np.unique(y[y >= 0])])"), "another rng, the same rows"),
    (2, memory(f"rng = np.random.default_rng()\n    return np.concatenate({EACH})"),
     "the same rng"),
    (3, lost("pass"), "ends without `return`"),
    (3, lost(f"return [{LOSS} for c in old]"), "return one number"),
    (3, lost(f"return -np.mean([{LOSS} for c in old])"), "a loss is positive"),
    (3, lost("k = np.isin(y, old); return np.mean(before[k] == y[k]) - np.mean(after[k] == y[k])"),
     "not over clips"),
    (3, lost(f"return np.mean([{LOSS} for c in np.unique(y)])"), "only the classes in old"),
    (3, lost(f"return np.mean([1 - {RECALL.format('after')} / {RECALL.format('before')} "
             "for c in old])"), "take the difference"),
    (3, lost(f"return np.sum([{LOSS} for c in old])"), "the mean is 0.375"),
    (3, lost(f"return np.mean([{LOSS} for c in old])"), "no clip here"),
    (3, lost(f"return np.mean([{LOSS} for c in old if c < 2 and (y == c).any()])"),
     "differs from metrics.uar"),
]  # fmt: skip
RIGHT = [
    (1, start("s = np.where(d == d.min(), 1.0, 0) if d.min() == 0 else d.prod() / d\n"
              "    return np.average(head, axis=0, weights=s)")),
    (2, memory("rows = rng.permutation(np.flatnonzero(y >= 0))\n"
               "    return [r for i, r in enumerate(rows) "
               "if (y[rows[:i]] == y[r]).sum() < per_class]")),
    (3, lost("old = [c for c in old if c in y]; k = np.isin(y, old)\n"
             "    return metrics.uar(y[k], before[k]) - metrics.uar(y[k], after[k])")),
]  # fmt: skip


def space():
    return {"np": np, "metrics": metrics, "warnings": warnings}


test_wrong, test_right, test_solution = catalogue("10_incremental", space, WRONG, RIGHT)
