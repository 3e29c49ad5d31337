"""Prove exercises both ways in one run: with its solution a check passes, without it it fails.

Right behind its checks the lesson is put back to what it was before the exercise, and exercise and
checks run again as in the student edition. The rest of the lesson then runs without the solution,
so a cell that needs one fails, and the run with it.
"""

import json

import nbformat

from course import students
from course.kernel import CourseEngine

START = "__proof = __import__('tests.both_ways', fromlist=['Proof']).Proof(globals())"
MARK = "proof"


class Proof:
    """Beside an exercise, in the kernel: what it found, and what comes of its stub."""

    def __init__(self, space: dict):
        self.space, self.before = space, dict(space)
        own = {n: v for n, v in space.items() if n not in ("In", "Out") and not n.startswith("_")}
        self.prints = {name: _print(value) for name, value in own.items()}

    def prove(self, stub: str, *checks: str) -> str:
        """Go back to before the exercise, run stub and checks; what they said, as JSON."""
        changed = [n for n, seen in self.prints.items() if seen != _print(self.before[n])]
        self.space.clear()
        self.space.update(self.before)
        failed = {}
        names = ("stub", *(f"check {i}" for i in range(1, 1 + len(checks))))
        for name, source in zip(names, (stub, *checks), strict=True):
            try:
                exec(compile(source, f"<{name}>", "exec"), self.space)
            except Exception as error:  # noqa: BLE001 (which one it is, is what is asked)
                failed[name] = f"{type(error).__name__}: {error}"
        return json.dumps({"changed": changed, "failed": failed})


def _print(value) -> str | None:
    """A fingerprint of data that a cell could change in place; None of anything else."""
    import joblib
    import numpy as np
    import pandas as pd

    data = (np.ndarray, np.random.Generator, pd.DataFrame, pd.Series, list, dict, set)
    if not isinstance(value, data):
        return None
    try:
        return joblib.hash(value)
    except Exception:  # noqa: BLE001 (it holds something that cannot be pickled)
        return None


class BothWays(CourseEngine):
    """The engine of the course, which also tries every exercise without its solution."""

    proofs: dict[str, dict] = {}  # by nbgrader's name of the exercise: "03-exercise-1"

    @classmethod
    def execute_managed_notebook(cls, nb_man, *args, **options):
        """Run the lesson with the trials woven in; take them out again, keep what they said."""
        lesson, trials = nb_man.nb.cells[:], {}
        for exercise, *checks in reversed(students.exercises(nb_man.nb)):
            task, asked = lesson[exercise], [lesson[check].source for check in checks]
            end = _cell(f"print(__proof.prove({students.stub(task.source)!r}, *{asked!r}))")
            nb_man.nb.cells.insert(checks[-1] + 1, end)
            nb_man.nb.cells.insert(exercise, _cell(START))
            trials[task.metadata["nbgrader"]["grade_id"]] = end
        try:
            super().execute_managed_notebook(nb_man, *args, **options)
        finally:
            ours = [cell for cell in nb_man.nb.cells if cell.metadata.get(MARK)]
            nb_man.nb.cells[:] = [c for c in nb_man.nb.cells if not c.metadata.get(MARK)]
        for output in (output for cell in ours for output in cell.outputs):
            assert output.output_type != "error", output
        for name, cell in trials.items():
            said = "".join(o.text for o in cell.outputs if o.output_type == "stream")
            cls.proofs[name] = json.loads(said.splitlines()[-1]) if said else {}


def _cell(source: str):
    return nbformat.v4.new_code_cell(source, metadata={"papermill": {}, MARK: True})
