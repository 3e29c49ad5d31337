"""Every exercise both ways in one run: what the proof sees, and that it leaves no trace."""

import json

import nbformat
import numpy as np
import pytest
from both_ways import BothWays, Proof
from conftest import CHECK, EXERCISE, write_lesson
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError

from course import kernel, students
from course.settings import ROOT


def proof(space, exercise, check):
    """What is said of an exercise that was just solved and checked in `space`."""
    seen = Proof(space)
    exec(exercise, space)
    exec(check, space)
    return json.loads(seen.prove(students.stub(exercise), check))


def test_a_stub_fails_its_check_and_takes_nothing_along():
    space = {"x": 1}
    assert list(proof(space, EXERCISE, CHECK)["failed"]) == ["check 1"]
    with pytest.raises(NotImplementedError, match="Multiply"):
        space["double"](2)
    loose = "### BEGIN SOLUTION\n# Say y.\ny = 2\n### END SOLUTION"
    found = proof(space, loose, "y_again = y\nassert y == 2")
    assert found["failed"]["stub"] == "NotImplementedError: Say y."
    assert "y" not in space and "y_again" not in space


@pytest.mark.parametrize("check", ["pass", "double", "assert callable(double)"])
def test_a_check_that_cannot_fail_is_seen(check):
    assert proof({}, EXERCISE, check)["failed"] == {}


def test_every_step_of_a_check_has_to_fail():
    space = {}
    seen = Proof(space)
    exec(EXERCISE, space)
    found = json.loads(seen.prove(students.stub(EXERCISE), CHECK, "# Step 2\ndouble", CHECK))
    assert list(found["failed"]) == ["check 1", "check 3"]


@pytest.mark.parametrize(
    ("name", "change"),
    [("a", "a[0] = 9"), ("rng", "rng.normal()"), ("kept", "kept[0].append(1)"), ("a", "a.sort()")],
)
def test_data_changed_in_place_is_seen(name, change):
    space = {"a": np.array([3.0, 1.0]), "rng": np.random.default_rng(0), "kept": [[]]}
    assert proof(space, EXERCISE, f"{CHECK}\n{change}")["changed"] == [name]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(*cells behind)` executes a lesson whose exercise is followed by `cells`."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def execute(*behind):
        nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb", "x = 1"), as_version=4)
        nb.cells += [nbformat.v4.new_code_cell(source) for source in behind]
        students.mark(nb, "03_x")
        nbformat.write(nb, tmp_path / "03_x.ipynb")
        parameters = {"corpus": "embedded", "seed": 3}
        papermill_engines.register("course", BothWays)
        try:
            kernel.execute(tmp_path / "03_x.ipynb", tmp_path / "out.ipynb", parameters, print)
        finally:
            papermill_engines.register("course", kernel.CourseEngine)
        return nb, nbformat.read(tmp_path / "out.ipynb", as_version=4)

    return execute


def test_a_run_proves_and_leaves_the_lesson_as_it_was(run):
    nb, done = run("print(x, seed)")
    assert BothWays.proofs["03-exercise-1"]["changed"] == []
    assert list(BothWays.proofs["03-exercise-1"]["failed"]) == ["check 1"]
    given = [cell.source for cell in done.cells if "injected" not in str(cell.metadata)]
    assert given == [cell.source for cell in nb.cells]
    assert done.cells[-1].outputs[0].text == "1 3\n"


def test_a_cell_that_misses_the_solution_fails_the_run(run):
    with pytest.raises(PapermillExecutionError, match="Multiply x by two"):
        run("double(4)")
