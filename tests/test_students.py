"""Student edition: solutions go, checks stay; nbgrader takes the sources."""

import base64
import re

import nbformat
import pytest
from conftest import CHECK, EXERCISE, execute, nbgrader_scores, write_lesson
from nbformat.v4 import new_code_cell, new_markdown_cell

from course import cli, students
from course.settings import Setting
from helpers.errors import CourseError


def test_a_stub_says_what_to_do():
    stubbed = students.stub(EXERCISE)
    assert stubbed.endswith('    raise NotImplementedError("Multiply x by two.")')
    assert "2 * x" not in stubbed
    two = students.stub(
        '### BEGIN SOLUTION\n# Say "a"\n# and b.\nx = 1  # not this\n### END SOLUTION\ny = 2\n'
        "### BEGIN SOLUTION\nz = 3\n### END SOLUTION"
    )
    namespace = {}
    with pytest.raises(NotImplementedError, match='Say "a" and b.'):
        exec(compile(two, "stub", "exec"), namespace)
    assert two.count("raise") == 2 and "y = 2" in two and "z = 3" not in two


@pytest.mark.parametrize("source", ["### BEGIN SOLUTION\nx = 1", "x = 1\n### END SOLUTION"])
def test_unpaired_marks_are_an_error(source):
    with pytest.raises(CourseError, match="SOLUTION"):
        students.stub(source)


def test_an_exercise_needs_a_check(tmp_path):
    nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb"), as_version=4)
    nb.cells.pop()
    with pytest.raises(CourseError, match="check"):
        students.exercises(nb)


@pytest.mark.parametrize("title", ["For the instructor", "<b>For the instructor</b>"])
def test_notes_for_the_instructor_go(tmp_path, title):
    other = "<details><summary><b>Hint</b></summary>\nfor students\n</details>\n"
    note = f"# T\n{other}<details><summary>{title}</summary>\nsecret\n</details>\n\nkept"
    nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb", note), as_version=4)
    text = students.edition(nb).cells[2].source
    assert "secret" not in text and "kept" in text and "for students" in text


def test_no_lesson_keeps_its_notes_for_the_instructor():
    for path in students.lessons().values():
        cells = students.edition(nbformat.read(path, as_version=4)).cells
        assert not any("for the instructor" in cell.source.lower() for cell in cells), path.name


def test_what_git_ignores_in_data_is_never_handed_out(tmp_path, monkeypatch):
    """Corpora under licence, and the voice and lessons that a teacher gave the listener."""
    rules = (students.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    own = [rule.split("/")[2] for rule in rules if rule.startswith("/data/")]
    assert "listener" in own
    for name in own:
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "private").touch()
    (tmp_path / "data" / "head").mkdir()
    (tmp_path / "data" / "head" / "shipped").touch()
    (tmp_path / "docs" / "students").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(students, "ROOT", tmp_path)
    students.write(tmp_path / "edition", tmp_path / "notebooks", tmp_path / "run")
    files = [path.name for path in (tmp_path / "edition").rglob("*") if path.is_file()]
    assert files == ["shipped"]


def test_what_a_lesson_names_is_handed_out():
    """A file of the course's that prose or code cites, such as `tools/choose_prior.py`."""
    rooms, named = "course|data|docs|figures|helpers|tests|tools", set()
    for path in students.lessons().values():
        for cell in nbformat.read(path, as_version=4).cells:
            named |= set(re.findall(rf"\b(?:{rooms})/[\w/.-]+\w", cell.source))
    assert "tools/choose_prior.py" in named
    for name in named:
        assert (students.ROOT / name).exists() and name.partition("/")[0] in students.SHIPPED, name


def test_student_folder_is_complete_and_never_overwrites(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(students, "SHIPPED", ("pyproject.toml", "course"))
    write_lesson(tmp_path / "lessons" / "03_x.ipynb", "print(1)")
    target = tmp_path / "class"
    (path,) = students.write(target, tmp_path / "lessons", tmp_path)
    nb = nbformat.read(path, as_version=4)
    assert not any(students.BEGIN in cell.source for cell in nb.cells)
    assert (target / "course" / "cli.py").exists() and not list(target.rglob("__pycache__"))
    assert cli.main(["students", str(target)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_an_edition_without_networks_says_that_it_must_train(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(students, "SHIPPED", ())
    write_lesson(tmp_path / "lessons" / "03_x.ipynb", "print(1)")
    (tmp_path / "ran" / "artefacts").mkdir(parents=True)
    write = students.write
    for run, lines in (("ran", 0), ("none", 1)):
        ran = tmp_path / run
        monkeypatch.setattr(
            students, "write", lambda to, at=ran: write(to, tmp_path / "lessons", at)
        )
        assert cli.main(["students", str(tmp_path / f"class-{run}")]) == 0
        said = capsys.readouterr().err
        assert said.count("\n") == lines and ("students must train" in said) == lines


def test_with_solutions_checks_pass_without_them_they_fail(tmp_path):
    nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb", "x = 1"), as_version=4)
    for lesson, fails in ((nb, []), (students.edition(nb), [CHECK])):
        execute(lesson, allow_errors=True)
        errors = [
            cell.source
            for cell in lesson.cells
            if any(output.output_type == "error" for output in cell.get("outputs", []))
        ]
        assert errors == fails


def test_the_edition_has_no_empty_cell_and_goes_on_past_what_is_unsolved(tmp_path):
    note = "# <details><summary>For the instructor</summary>\nsecret\n</details>\n"
    nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb", note), as_version=4)
    given = students.edition(nb)
    assert len(given.cells) == len(nb.cells) and given.cells[2].source == "# "
    nb.cells[2].source = note.removeprefix("# ")
    given = students.edition(nb)
    assert len(given.cells) == len(nb.cells) - 1
    tagged = [c.source for c in given.cells if students.MAY_FAIL in c.metadata.get("tags", [])]
    assert len(tagged) == 2 and "raise NotImplementedError" in tagged[0] and tagged[1] == CHECK
    assert not any(students.MAY_FAIL in c.metadata.get("tags", []) for c in nb.cells)


@pytest.fixture
def hand_out(world, monkeypatch):
    """A student edition of two lessons in `class/`, with what a run made before."""
    monkeypatch.setattr(students, "SHIPPED", ("pyproject.toml",))
    for name in ("03_x", "04_y"):
        write_lesson(world / "lessons" / f"{name}.ipynb", "x = 1")
    (world / "ran" / "artefacts" / "abc").mkdir(parents=True)
    (world / "ran" / "artefacts" / "abc" / "how.json").write_text("{}")
    students.write(world / "class", world / "lessons", world / "ran")
    return world / "class"


def run_of(folder):
    from course import runner

    setting = Setting(f"folder:{folder.parent / 'clips'}", str(folder.parent / "tiny"))
    failed = runner.run([], [setting], folder / "out", folder / "notebooks")
    return failed, students.progress(folder / "out")


def test_artefacts_are_handed_out_with_a_readme_of_their_own(hand_out):
    assert (hand_out / "runs" / "course" / "artefacts" / "abc" / "how.json").exists()
    for name in ("README.md", "Makefile"):
        own = (students.ROOT / "docs" / "students" / name).read_text(encoding="utf-8")
        assert (hand_out / name).read_text(encoding="utf-8") == own


def test_the_readme_of_the_edition_names_what_its_makefile_does(hand_out):
    readme, makefile = ((hand_out / name).read_text() for name in ("README.md", "Makefile"))
    asked = set(re.findall(r"^    make (\w+)", readme, re.M))
    assert asked == {"lab", "course", "test"}
    for target in asked:
        assert re.search(rf"^{target}:", makefile, re.M)


def test_a_run_goes_on_past_unsolved_exercises_and_counts_them(hand_out):
    failed, said = run_of(hand_out)
    assert not failed
    assert said[-1] == "0 of 2 solved"
    assert said[0].startswith("03-exercise-1: NotImplementedError: Multiply x by two.")
    path = hand_out / "notebooks" / "04_y.ipynb"
    nb = nbformat.read(path, as_version=4)
    for wrong, right in (("3 * x", False), ("2 * x", True)):
        cell = nb.cells[-2]
        cell.source = f"def double(x):\n    return {wrong}"
        nbformat.write(nb, path)
        failed, said = run_of(hand_out)
        assert not failed and said[-1] == f"{int(right)} of 2 solved"
        assert any("should be 4" in line for line in said) != right


def test_steps_are_points_of_one_exercise(hand_out):
    """Only cells right behind a check that begin with "# Step"; solved is what passes them all."""
    path = hand_out / "notebooks" / "04_y.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells[-2].source = "def double(x):\n    return 4"
    step = new_code_cell("# Step 2: any x\nassert double(3) == 6, 'step two'")
    nb.cells += [step, new_code_cell("x\n# Step 3"), new_code_cell("# Step 3: of none")]
    lesson = nbformat.from_dict(nb)
    lesson.cells[-5].source = EXERCISE
    students.mark(lesson, "04_y")
    graded = [c.metadata["nbgrader"] for c in lesson.cells if "nbgrader" in c.metadata]
    assert [m["grade_id"][12:] for m in graded] == ["1", "1-check", "1-check2"]
    assert [m.get("points", 0) for m in graded] == [0, 1, 1]
    for own, cell in zip(nb.cells, students.edition(lesson).cells, strict=True):
        own.metadata = cell.metadata
    for step_, said in ((step.source, "step two"), ("# Step 2\ndouble(1)", "1 of 2 solved")):
        nb.cells[-3].source = step_
        nbformat.write(nb, path)
        failed, lines = run_of(hand_out)
        assert not failed and lines[-2 if said == "step two" else -1].endswith(said)


def test_any_other_failure_still_counts(hand_out):
    path = hand_out / "notebooks" / "04_y.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.cells[2].source += "\nassert x == 2, 'no exercise'"
    nbformat.write(nb, path)
    failed, said = run_of(hand_out)
    assert len(failed) == 1 and "no exercise" in failed[0]


def test_the_course_itself_must_solve_its_exercises(world):
    from course import runner

    path = write_lesson(world / "lessons" / "03_x.ipynb", "x = 1")
    nb = nbformat.read(path, as_version=4)
    students.mark(nb, "03_x")
    nb.cells[-2].source = nb.cells[-2].source.replace("2 * x", "3 * x")
    nbformat.write(nb, path)
    setting = Setting(f"folder:{world / 'clips'}", str(world / "tiny"))
    (failed,) = runner.run([], [setting], world / "out", world / "lessons")
    assert "should be 4" in failed and students.progress(world / "out") == []


@pytest.mark.slow
def test_nbgrader_takes_the_sources(tmp_path):
    """Full marks with solutions, zero without, hints kept, notes gone: nbgrader's own programs."""
    note = "# <details><summary>For the instructor</summary>\nsecret\n</details>\n"
    lesson = write_lesson(tmp_path / "03_x.ipynb", "x = 1", note)
    nb = nbformat.read(lesson, as_version=4)
    nb.cells[-2:-2] = [new_code_cell("raise ValueError('joined')", metadata={"tags": ["joined"]})]
    nb.cells += [new_markdown_cell("![The loop](../figures/loop.svg)")]
    nb.cells += [new_code_cell(EXERCISE), new_code_cell(CHECK)]
    students.mark(nb, "03_x")
    nbformat.write(nb, lesson)
    scores = nbgrader_scores(tmp_path / "class", lesson)
    released = (tmp_path / "class" / "release" / "a" / lesson.name).read_text()
    assert "Multiply x by two." in released and "SOLUTION" not in released
    assert "secret" not in released and "joined" not in released
    drawn = base64.b64decode(re.search(r"\]\(data:image/svg\+xml;base64,([^)]+)\)", released)[1])
    assert drawn == (students.ROOT / "figures" / "loop.svg").read_bytes()
    assert f"{tmp_path}/class/runs/course" in released, "one folder of artefacts for all"
    assert scores == {"solved": 2, "empty": 0, "one": 1, "most": 2}
