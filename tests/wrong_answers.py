"""The checks of a lesson against plausible wrong answers: each is told its own mistake."""

import ast
import contextlib
import re

import nbformat
import numpy as np
import pytest

from course import students
from course.settings import lessons

NOTHING = "ends without `return`"  # told to an answer that returns nothing: no plausible mistake


def cells(name):
    """The exercises of a lesson: `[[solution, check, …], …]`, sources; a check is a step."""
    lesson = nbformat.read(lessons()[name], as_version=4)
    return [[lesson.cells[i].source for i in own] for own in students.exercises(lesson)]


def lists(answer):
    """An answer that returns lists where `answer` returns arrays: as right as it was."""
    name = next(n.name for n in ast.parse(answer).body if isinstance(n, ast.FunctionDef))
    return (
        f"{answer}\n\ndef plain(found):\n"
        "    if isinstance(found, tuple): return [plain(part) for part in found]\n"
        "    return found.tolist() if isinstance(found, np.ndarray) else found\n\n"
        f"def {name}(*args, own={name}, **named):\n    return plain(own(*args, **named))"
    )


def catalogue(name, space, wrong, right):
    """Make the three tests of a catalogue: of wrong answers, right ones, and the solution.

    An exercise in steps needs a wrong answer that passes the first, and one that passes none.

    A message is three words or more of one assertion: no alternatives, or it proves nothing.

    `space()` holds what the lesson has in its kernel by then, in small; `wrong` holds
    `(exercise, answer, part of the message)`, `right` `(exercise, answer)`.
    """
    tasks = cells(name)

    def check(exercise, answer, *steps):
        mine = space()
        exec(answer, mine)
        with np.errstate(all="ignore"):
            for step in steps or tasks[exercise - 1][1:]:
                exec(step, mine)

    def points(exercise, answer):
        """The steps that an answer passes, each marked on its own, as nbgrader does."""
        passed = 0
        for step in tasks[exercise - 1][1:]:
            with contextlib.suppress(Exception):
                check(exercise, answer, step)
                passed += 1
        return passed

    @pytest.mark.parametrize(("exercise", "answer", "message"), wrong)
    def test_wrong(exercise, answer, message):
        assert len(message.split()) >= 3 and not re.search(r"(?<!\\)\|", message), message
        with pytest.raises(AssertionError, match=message):
            check(exercise, answer)

    @pytest.mark.parametrize(("exercise", "answer"), right)
    def test_right(exercise, answer, capsys):
        check(exercise, answer)
        assert "right" in capsys.readouterr().out

    @pytest.mark.parametrize("exercise", range(1, len(tasks) + 1))
    def test_solution(exercise):
        solution, *steps = tasks[exercise - 1]
        check(exercise, solution)
        with pytest.raises(NotImplementedError, match=r"\w{4}.*\."):
            check(exercise, students.stub(solution))
        marks = [points(exercise, answer) for answer in (solution, students.stub(solution))]
        assert marks == [len(steps), 0]
        check(exercise, lists(solution))
        told = {message: answer for number, answer, message in wrong if number == exercise}
        own = {m: answer for m, answer in told.items() if m != NOTHING}
        assert len(own) >= 5, "five plausible wrong answers, each with a message of its own"
        if len(steps) > 1:
            reached = {points(exercise, answer) for answer in own.values()}
            assert {0, 1} <= reached <= set(range(len(steps))), "half right gets half the points"

    return test_wrong, test_right, test_solution
