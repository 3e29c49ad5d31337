"""The student edition, made from the lessons: solutions become stubs, checks stay.

In an exercise cell the lines between `### BEGIN SOLUTION` and `### END SOLUTION` are cut. The
comment lines right below BEGIN tell the student what to do; they become the stub's message::

    ### BEGIN SOLUTION
    # Divide the logits by T, then take the softmax.
    return softmax(logits / T)
    ### END SOLUTION

becomes `raise NotImplementedError("Divide the logits by T, then take the softmax.")`. The next
code cell below an exercise is its check, and so are those behind it that begin with `# Step`:
each is a point, so half an answer gets half of them. All get Jupyter's own tag
`raises-exception`: *Run All* and `ser-course run` go on past them.
"""

import json
import re
import shutil
from itertools import takewhile
from pathlib import Path

import nbformat

from course.settings import NOTEBOOKS, ROOT, lessons
from helpers.errors import CourseError

BEGIN, END, STEP = "### BEGIN SOLUTION", "### END SOLUTION", "# Step "
BLOCK = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n(.*?)^[ \t]*{END}[ \t]*$", re.M | re.S)
INSTRUCTOR = re.compile(
    r"<details>\s*<summary>(?:(?!</summary>).)*instructor.*?</details>\s*", re.S | re.I
)
SHIPPED = (
    "LICENSE", "LICENSE-docs", "CITATION.cff", "pyproject.toml", "requirements.lock",
    "environment.yml", "course", "helpers", "tools", "figures", "data",
)  # fmt: skip
LEFT_OUT = ("corpora", "cache", "listener", "__pycache__", "*.part", "*.egg-info")
RUN = ROOT / "runs" / "course"  # what it made is handed out, so that nobody waits for it again
MAY_FAIL = "raises-exception"


def stub(source: str) -> str:
    """An exercise cell without its solutions; CourseError when BEGIN and END do not pair."""

    def cut(match):
        said = re.match(r"(?:[ \t]*#[^\n]*\n)*", match[2])[0]
        what = " ".join(line.strip().lstrip("# ") for line in said.splitlines())
        message = json.dumps(what or "Write your solution here.", ensure_ascii=False)
        return f"{match[1]}raise NotImplementedError({message})"

    stubbed = BLOCK.sub(cut, source)
    if BEGIN in stubbed or END in stubbed:
        raise CourseError(f"'{BEGIN}' without '{END}', or the reverse, in: {source[:60]!r}")
    return stubbed


def exercises(nb) -> list[list[int]]:
    """Cell numbers `[[exercise, check, …], …]`; CourseError for an exercise without a check."""
    code, found = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code"], []
    for i in (i for i in code if BEGIN in nb.cells[i].source):
        first, *rest = [j for j in code if j > i] or [i]
        if BEGIN in nb.cells[first].source:
            raise CourseError(f"cell {i + 1}: an exercise needs a check in the next code cell")
        steps = takewhile(lambda j: nb.cells[j].source.startswith(STEP), rest)
        found.append([i, first, *steps])
    return found


def _nbgrader(name: str, solution: bool) -> dict:
    marks = {"schema_version": 3, "grade_id": name, "task": False, "solution": solution}
    marks |= {"grade": not solution, "locked": not solution}
    return marks if solution else marks | {"points": 1}


def mark(nb, stem: str) -> None:
    """Give exercises and checks the metadata by which nbgrader knows them; strip outputs."""
    for cell in nb.cells:
        cell.metadata.pop("nbgrader", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    for i, (exercise, *checks) in enumerate(exercises(nb), 1):
        name = f"{stem[:2]}-exercise-{i}"
        nb.cells[exercise].metadata["nbgrader"] = _nbgrader(name, True)
        for check, step in zip(checks, ("", *range(2, 9)), strict=False):
            nb.cells[check].metadata["nbgrader"] = _nbgrader(f"{name}-check{step}", False)


def edition(nb):
    """The same lesson for students: stubs, no outputs, no notes for the instructor."""
    nb = nbformat.from_dict(nb)
    for i in sum(exercises(nb), []):
        tags = nb.cells[i].metadata.get("tags", [])
        nb.cells[i].metadata["tags"] = sorted({*tags, MAY_FAIL})
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = INSTRUCTOR.sub("", cell.source)
        elif cell.cell_type == "code":
            cell.source, cell.outputs, cell.execution_count = stub(cell.source), [], None
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    return nb


def handout(nb):
    """An executed lesson to hand out: the student edition, with all outputs but the solutions'."""
    given, executed = edition(nb), {cell.id: cell for cell in nb.cells}
    for cell in given.cells:
        if cell.cell_type == "code" and cell.source == executed[cell.id].source:
            cell.outputs = executed[cell.id].outputs
            cell.execution_count = executed[cell.id].execution_count
    return given


def progress(run: Path) -> list[str]:
    """A line for each unsolved exercise of a run of the student edition, then how many are solved.

    Nothing of a run of the lessons themselves: there every exercise has to be solved.
    """
    said = {}  # of the first step that is unsolved
    for path in sorted((run / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if MAY_FAIL in cell.metadata.get("tags", []) and cell.metadata["nbgrader"]["grade"]:
                name = cell.metadata["nbgrader"]["grade_id"].partition("-check")[0]
                errors = [o.text.strip() for o in cell.outputs if o.get("name") == "stderr"]
                said[name] = said.get(name) or cell.metadata.get("unsolved") and errors[-1]
    lines = [f"{name}: {error}" for name, error in said.items() if error]
    return [*lines, f"{len(said) - len(lines)} of {len(said)} solved"] if said else []


def write(target: Path, folder: Path = NOTEBOOKS, run: Path = RUN) -> list[Path]:
    """Write a folder to hand out: stubbed lessons, and all that they need to run.

    Artefacts and caches of `run`, where it has any, go with them: nobody trains again. Raises
    CourseError when `target` is not empty: it may hold a student's work.
    """
    target = target.resolve()  # "." has no name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CourseError(f"{target} is not empty; name a new folder for the student edition")
    if target.is_relative_to(ROOT / "data"):
        raise CourseError(f"{target} lies in data/, which is copied; name another folder")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "notebooks").mkdir(parents=True)
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, part / name, ignore=ignore)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, part / name)
    shutil.copytree(ROOT / "docs" / "students", part, dirs_exist_ok=True)  # README, Makefile
    for name in ("artefacts", "cache"):
        if (run / name).is_dir():
            shutil.copytree(run / name, part / "runs" / "course" / name)
    for name, path in lessons(folder).items():
        nb = nbformat.read(path, as_version=4)
        mark(nb, name)
        nbformat.write(edition(nb), part / "notebooks" / path.name)
    if target.exists():
        target.rmdir()
    part.rename(target)
    return sorted((target / "notebooks").glob("*.ipynb"))
