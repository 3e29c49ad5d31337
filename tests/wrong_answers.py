"""The checks of a lesson against plausible wrong answers: each is told its own mistake."""

import contextlib

import nbformat
import numpy as np
import pytest

from course import students
from course.settings import lessons


def cells(name):
    """The exercises of a lesson: ``[[solution, check, …], …]``, sources; a check is a step."""
    lesson = nbformat.read(lessons()[name], as_version=4)
    return [[lesson.cells[i].source for i in own] for own in students.exercises(lesson)]


def catalogue(name, space, wrong, right):
    """Make the three tests of a catalogue: of wrong answers, right ones, and the solution.

    An exercise in steps needs a wrong answer that passes the first, and one that passes none.

    ``space()`` holds what the lesson has in its kernel by then, in small; ``wrong`` holds
    ``(exercise, answer, part of the message)``, ``right`` ``(exercise, answer)``.
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
        own = {message: answer for number, answer, message in wrong if number == exercise}
        assert len(own) >= 5, "five plausible wrong answers, each with a message of its own"
        if len(steps) > 1:
            reached = {points(exercise, answer) for answer in own.values()}
            assert {0, 1} <= reached <= set(range(len(steps))), "half right gets half the points"

    return test_wrong, test_right, test_solution
