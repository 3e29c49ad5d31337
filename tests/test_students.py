"""Student edition: solutions go, checks stay; nbgrader takes the sources."""

import nbformat
import pytest
from conftest import CHECK, EXERCISE, nbgrader_scores, write_lesson
from nbclient import NotebookClient

from course import cli, students
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


def test_student_folder_is_complete_and_never_overwrites(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(students, "SHIPPED", ("pyproject.toml", "course"))
    write_lesson(tmp_path / "lessons" / "03_x.ipynb", "print(1)")
    target = tmp_path / "class"
    (path,) = students.write(target, tmp_path / "lessons")
    nb = nbformat.read(path, as_version=4)
    assert not any(students.BEGIN in cell.source for cell in nb.cells)
    assert (target / "course" / "cli.py").exists() and not list(target.rglob("__pycache__"))
    assert cli.main(["students", str(target)]) == 1
    assert "not empty" in capsys.readouterr().err


def test_with_solutions_checks_pass_without_them_they_fail(tmp_path):
    nb = nbformat.read(write_lesson(tmp_path / "03_x.ipynb", "x = 1"), as_version=4)
    for lesson, fails in ((nb, []), (students.edition(nb), [CHECK])):
        NotebookClient(lesson, kernel_name="python3", allow_errors=True).execute()
        errors = [
            cell.source
            for cell in lesson.cells
            if any(output.output_type == "error" for output in cell.get("outputs", []))
        ]
        assert errors == fails


@pytest.mark.slow
def test_nbgrader_takes_the_sources(tmp_path):
    """Full marks with solutions, zero without, by nbgrader's own programs."""
    lesson = write_lesson(tmp_path / "03_x.ipynb", "x = 1")
    nb = nbformat.read(lesson, as_version=4)
    students.mark(nb, "03_x")
    nbformat.write(nb, lesson)
    assert nbgrader_scores(tmp_path / "class", lesson) == {"solved": 1, "empty": 0, "most": 1}
