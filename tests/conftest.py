"""What tests share: which of them run, tiny lessons, a tiny corpus, one run of the whole course."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from both_ways import BothWays
from filelock import FileLock
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.engines import papermill_engines

from course import cli, students
from course.kernel import CourseEngine
from helpers import results

PARAMETERS = """\
corpus: str = "embedded"  # which speech
encoder: str = "embedded"  # which encoder
seed: int = 0  # of every random choice
profile: str = "quick"  # quick, full or paper
out: str = "../runs/course"  # where artefacts go"""
EXERCISE = '''\
def double(x):
    """Return twice x."""
    ### BEGIN SOLUTION
    # Multiply x by two.
    return 2 * x
    ### END SOLUTION'''
CHECK = 'assert double(2) == 4, "double(2) should be 4"'
TESTS = Path(__file__).resolve().parent
LONG = ("nightly", "benchmark")
PARTS = (  # of the course, that two processes can run at the same time
    ("02", "03", "04", "05", "06", "07", "08", "10", "13"),  # all read what 02 trains
    ("01", "09", "11", "12"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave long tests out unless they are asked for: `-m nightly`, or by their file or folder.

    In `addopts` that would be a `-m`, which the user's own replaces: `-m "not slow"` would
    bring them in.
    """
    start = config.invocation_params.dir
    named = {(start / word.partition("::")[0]).resolve() for word in config.args}
    named -= {TESTS, TESTS.parent}
    left = [
        item for item in items
        if any(item.get_closest_marker(m) and m not in config.option.markexpr for m in LONG)
        and not named & {item.path, *item.path.parents}
    ]  # fmt: skip
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
    # Side by side each process begins with a part of the course. What reads all of it comes last,
    # the longest of these first, which takes four minutes: what is behind it waits for it.
    for item in items:
        wants = getattr(item, "fixturenames", ())
        item.turn = 3 if "course" in wants else 0 if "part_of_course" in wants else 1
        item.turn -= getattr(item, "name", "") == "test_nbgrader_grades[06_openmax]"
        item.add_marker(pytest.mark.xdist_group(item.path.name if item.turn == 1 else item.nodeid))
    items.sort(key=lambda item: item.turn)


def write_lesson(path, *cells, parameters=PARAMETERS, tags=("parameters",)):
    """A lesson: parameters, `cells` (markdown where they start with #), an exercise."""
    nb = new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    title = f"# {path.stem[:2]} · A lesson\n\nFormula $T^* = \\arg\\min_T \\sum_i x_i$."
    nb.cells = [new_markdown_cell(title), new_code_cell(parameters, metadata={"tags": list(tags)})]
    for cell in cells:
        nb.cells.append(new_markdown_cell(cell) if cell.startswith("# ") else new_code_cell(cell))
    nb.cells += [new_code_cell(EXERCISE), new_code_cell(CHECK)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


def execute(nb, **options):
    """Run a notebook in place. A reply that a busy machine loses costs a try, not half an hour."""
    for tries in (1, 0):
        try:
            return NotebookClient(nb, kernel_name="python3", timeout=120, **options).execute()
        except CellTimeoutError:
            if not tries:
                raise


def nbgrader_scores(folder, lesson, run=None, half=None):
    """Release `lesson` with the shipped configuration, hand it in, mark: points of each.

    `solved` is the lesson unchanged, `empty` what is released, `one` that with the first
    exercise solved, `half` what is released with that source in its place. `run` is a folder
    whose artefacts and caches all of them read.
    """
    source = folder / "source" / "a" / lesson.name
    source.parent.mkdir(parents=True)
    shutil.copy(lesson, source)
    shutil.copy(TESTS.parent / "nbgrader_config.py", folder)
    if run:
        (folder / "runs").mkdir()
        (folder / "runs" / "course").symlink_to(run)

    # nbgrader calls alembic by name, which lies beside an interpreter that nobody activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    code = os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")]))

    def nbgrader(*words):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *words], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PATH": path, "PYTHONPATH": code},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]

    nbgrader("generate_assignment", "a")
    full = nbformat.read(source, as_version=4)
    blank = nbformat.read(folder / "release" / "a" / lesson.name, as_version=4)
    first = full.cells[students.exercises(full)[0][0]]
    handed_in = {"solved": full, "empty": blank}
    for student, answer in (("one", first.source), ("half", half)):
        if answer:
            handed_in[student] = nbformat.from_dict(blank)
            next(c for c in handed_in[student].cells if c.id == first.id).source = answer
    for student, given in handed_in.items():
        (folder / "submitted" / student / "a").mkdir(parents=True)
        nbformat.write(given, folder / "submitted" / student / "a" / lesson.name)
    nbgrader("autograde", "a")
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", "ser") as book:
        scores = {s: book.find_submission("a", s).score for s in handed_in}
        return scores | {"most": book.find_assignment("a").max_score}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Working folder with `lessons/`, a corpus of four clips and something like an encoder."""
    rng = np.random.default_rng(0)
    for emotion in ("happy", "sad"):
        for i in range(2):
            path = tmp_path / "clips" / emotion / f"s{i}_{emotion}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, rng.normal(0, 0.1, 16000), 16000)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SER_LISTENER", str(tmp_path / "listener"))
    return tmp_path


@pytest.fixture(scope="session")
def part_of_course(tmp_path_factory):
    """`part_of_course(i)` runs PARTS[i] on what ships, each exercise both ways; its folder.

    The process that asks first makes it, another one waits.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def run(number: int) -> Path:
        out = base / f"part-{number}"
        with FileLock(f"{out}.lock"):
            if not (out / "status").exists():
                BothWays.proofs.clear()
                papermill_engines.register("course", BothWays)
                try:
                    status = _bare(["run", *PARTS[number], "--out", str(out), "--no-report"])
                finally:
                    papermill_engines.register("course", CourseEngine)
                (out / "status").write_text(json.dumps([status, BothWays.proofs]))
        status, BothWays.proofs = json.loads((out / "status").read_text())
        assert status == 0, results.read_results(out / "results.json")["run"]["failed"]
        return out

    return run


def _bare(words: list[str]) -> int:
    """Run the command as on a bare clone, which has no corpora, and on one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SER_CORPORA", raising=False)
        patch.setenv("OMP_NUM_THREADS", "1")  # another process is at work beside it
        return cli.main(words)


@pytest.fixture(scope="session")
def course(part_of_course):
    """The folder of a run of all lessons, put together from its parts; one for all processes."""
    parts, proofs = [], {}
    for number in range(len(PARTS)):
        parts.append(part_of_course(number))
        proofs |= BothWays.proofs
    BothWays.proofs, out = proofs, parts[0].with_name("course")
    with FileLock(f"{out}.lock"):
        if not (out / "report").exists():
            for part in parts:
                shutil.copytree(part, out, dirs_exist_ok=True)
            assert _bare(["run", *sum(PARTS, ()), "--out", str(out)]) == 0  # nothing is left to run
    return out
