"""The checks of lesson 10 against plausible wrong answers: each is told its own mistake."""

import ast
import warnings
from itertools import product
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight
from wrong_answers import catalogue

from course.settings import lessons
from helpers import metrics, probe

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
    (1, start("near = d == 0\n    s = 1 / d\n    return near / near.sum() if near.any() "
              "else s / s.sum() @ head"), "takes all: that row of head"),
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
    (2, memory("return np.concatenate([rng.choice(np.flatnonzero(y == c), min(per_class, "
               "(y == c).sum())) for c in np.unique(y[y >= 0])])"), "row is kept twice"),
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


# --- comparisons that are fair -----------------------------------------------------------------

LESSON = nbformat.read(lessons()["10_incremental"], as_version=4)


def kernel(*marks, **names):
    """The functions of the code cells that hold these texts."""
    here = {"np": np, "product": product, "metrics": metrics, "seed": 0} | names
    for mark in marks:
        (source,) = (c.source for c in LESSON.cells if c.cell_type == "code" and mark in c.source)
        tree = ast.parse(source)
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        exec(compile(tree, "lesson", "exec"), here)
    return here


def small_world():
    """Two known emotions and a new one, twenty clips each, half of them scored."""
    rng, y = np.random.default_rng(0), np.repeat([0, 1, -1], 20)
    Z = np.column_stack([rng.normal(size=(60, 4)) + 2 * y[:, None], np.ones(60)])
    pool, score = np.arange(0, 60, 2), np.arange(1, 60, 2)
    return SimpleNamespace(
        Z=Z, y=y, emotions=np.array(["calm", "sad", "new"])[[0, 1, 2]].repeat(20),
        names=["calm", "sad"], new=["new"], head=rng.normal(size=(2, 5)), pool=pool, score=score,
        memory=pool[:5], points=(Z[pool[:5]], y[pool[:5]]), C=0.03,
    )  # fmt: skip


def test_every_start_is_taught_the_same_clips():
    """One that draws its weights must not shift which clips are drawn next."""
    w, taught = small_world(), []
    here = kernel(
        "def take(", "def true_names(", "def teach(", "def spoken(",
        worlds={0: [w]}, strangers=["new"], REPEATS=3, chosen={0: (1.0, 0.1)},
        START={"mean": lambda d, head, rng: head.mean(axis=0),
               "random": lambda d, head, rng: rng.normal(size=head.shape[1])},
        distances=lambda w, rows: np.ones(2), stacked=lambda parts: parts,
        owners=lambda i, rows: (rows, rows), said_by=lambda w, head, names, rows: rows,
        learn=lambda head, Z, y, rates: taught.append(Z) or head,
    )  # fmt: skip
    here["spoken"](0, here["true_names"], how="mean")
    fixed, taught[:] = list(taught), []
    here["spoken"](0, here["true_names"], how="random")
    assert len(fixed) == 3 and not np.array_equal(fixed[0], fixed[1])
    assert all(np.array_equal(a, b) for a, b in zip(fixed, taught, strict=True))


def test_the_joint_control_has_the_strength_of_the_first_head(monkeypatch):
    w, strengths, fit = small_world(), [], probe.fit
    monkeypatch.setattr(probe, "fit", lambda X, y, C, weights=None: strengths.append(C)
                        or fit(X, y, C, weights))  # fmt: skip
    here = kernel("def joint(", probe=probe, compute_sample_weight=compute_sample_weight)
    head, names = here["joint"](w, w.pool, ["calm", "sad", "new"])
    assert strengths == [w.C] and head.shape == (3, 5) and names[-1] == "new"
