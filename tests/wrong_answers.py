"""The checks of a lesson against plausible wrong answers: each is told its own mistake."""

import nbformat
import numpy as np
import pytest

from course import students
from course.settings import lessons


def cells(name):
    """The exercises of a lesson: ``[(solution, check), …]``, sources."""
    lesson = nbformat.read(lessons()[name], as_version=4)
    return [[lesson.cells[i].source for i in pair] for pair in students.exercises(lesson)]


def catalogue(name, space, wrong, right):
    """Make the three tests of a catalogue: of wrong answers, right ones, and the solution.

    ``space()`` holds what the lesson has in its kernel by then, in small; ``wrong`` holds
    ``(exercise, answer, part of the message)``, ``right`` ``(exercise, answer)``.
    """
    pairs = cells(name)

    def check(exercise, answer):
        mine = space()
        exec(answer, mine)
        with np.errstate(all="ignore"):
            exec(pairs[exercise - 1][1], mine)

    @pytest.mark.parametrize(("exercise", "answer", "message"), wrong)
    def test_wrong(exercise, answer, message):
        with pytest.raises(AssertionError, match=message):
            check(exercise, answer)

    @pytest.mark.parametrize(("exercise", "answer"), right)
    def test_right(exercise, answer, capsys):
        check(exercise, answer)
        assert "right" in capsys.readouterr().out

    @pytest.mark.parametrize("exercise", range(1, len(pairs) + 1))
    def test_solution(exercise):
        solution = pairs[exercise - 1][0]
        check(exercise, solution)
        with pytest.raises(NotImplementedError, match=r"\w{4}.*\."):
            check(exercise, students.stub(solution))
        own = [message for number, _, message in wrong if number == exercise]
        assert len(set(own)) >= 5, "five plausible wrong answers, each with a message of its own"

    return test_wrong, test_right, test_solution
