"""The checks of lesson 10 against plausible wrong answers: each is told its own mistake."""

import warnings

import nbformat
import numpy as np
import pytest

from course import students
from course.settings import lessons
from helpers import metrics

LESSON = nbformat.read(lessons()["10_incremental"], as_version=4)
PAIRS = [[LESSON.cells[i].source for i in pair] for pair in students.exercises(LESSON)]


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
    (1, start("pass"), "without `return`"),
    (1, start("return (1 / d)[:, None] * head"), "one weight a column"),
    (1, start("return d / d.sum() @ head"), "the nearest gets most"),
    (1, start("return 1 / d @ head"), "add up to one"),
    (1, start("s = np.exp(-d); return s / s.sum() @ head"), "shares 3/4 and 1/4"),
    (1, start("s = 1 / d; return s / s.sum() @ head"), "a distance of 0 takes all"),
    (1, start("return head[d.argmin()] if d.min() == 0 else (1 / d) / (1 / d).sum() @ head"),
     "share equally"),
    (1, start(f"{SAFE}\n    s = s / s.sum()\n    return (s * (np.arange(len(s)) < 4)) @ head"),
     "differs from the sum"),
    (2, memory("pass"), "without `return`"),
    (2, memory("return y >= 0"), "not labels or a mask"),
    (2, memory(f"return np.concatenate({EACH.replace('y[y >= 0]', 'y')})"), "leave them out"),
    (2, memory("return np.concatenate([rng.choice(np.flatnonzero(y == c), per_class) "
               "for c in np.unique(y[y >= 0])])"), "kept twice"),
    (2, memory("return rng.permutation(np.flatnonzero(y >= 0))[:5]"), "only one of class 2"),
    (2, memory("return np.concatenate([np.flatnonzero(y == c)[:per_class] "
               "for c in np.unique(y[y >= 0])])"), "another rng"),
    (2, memory(f"rng = np.random.default_rng()\n    return np.concatenate({EACH})"),
     "the same rng"),
    (3, lost("pass"), "without `return`"),
    (3, lost(f"return -np.mean([{LOSS} for c in old])"), "a loss is positive"),
    (3, lost("k = np.isin(y, old); return np.mean(before[k] == y[k]) - np.mean(after[k] == y[k])"),
     "not over clips"),
    (3, lost(f"return np.mean([{LOSS} for c in np.unique(y)])"), "only the classes in old"),
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


def check(exercise, answer):
    space = {"np": np, "metrics": metrics, "warnings": warnings}
    exec(answer, space)
    with np.errstate(all="ignore"):
        exec(PAIRS[exercise - 1][1], space)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize(("exercise", "answer", "message"), WRONG)
def test_a_wrong_answer_is_told_its_mistake(exercise, answer, message):
    with pytest.raises(AssertionError, match=message):
        check(exercise, answer)


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_a_right_answer_passes_in_another_form(exercise, answer, capsys):
    check(exercise, answer)
    assert "right:" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", [1, 2, 3])
def test_the_solution_passes_and_the_stub_says_what_to_do(exercise):
    solution = PAIRS[exercise - 1][0]
    check(exercise, solution)
    with pytest.raises(NotImplementedError, match=r"\w{4}.*\."):
        check(exercise, students.stub(solution))
