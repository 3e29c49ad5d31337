"""The house: floors, budgets and one style, as docs/architecture.md and CONTRIBUTING.md say."""

import ast
import io
import re
import statistics
import subprocess
import symtable
import sys
import tokenize
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from conftest import pytest_collection_modifyitems
from nbformat.v4 import new_code_cell, new_notebook

from course.settings import lessons
from course.students import BEGIN, edition, exercises
from helpers import measures
from tools import mutants
from tools.stamp_notebooks import stamped

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FLOORS = ("ground", "speech", "models", "methods", "shown")
MAP = re.findall(rf"^\| ({'|'.join(FLOORS)}) \| `(\w+)` \|", PAGE, re.M)  # [(floor, module), …]
BUDGET = {"helpers": 3000, "course": 2000}  # lines of code
LONGEST = 300  # lines of a file
SITTING = 8000  # words of a lesson; a longer one is marked for two
LINES = {"median": 10, "nine in ten": 25, "longest": 40, "folded, %": 15}  # of a lesson's cells

# What is still to be mended; each entry goes with the change that mends it.
OWED_CODE = {"helpers": 1101}  # lines of code above the budget


def modules(room: str) -> dict[str, Path]:
    return {p.stem: p for p in sorted((ROOT / room).glob("*.py")) if not p.stem.startswith("__")}


def imported(source: str) -> set[str]:
    """Names of what a source imports, anywhere in it: `helpers.metrics`, `torch`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "an import names its package"  # else no floor would see it
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def lines_of_code(path: Path) -> int:
    """Lines that hold a token, without comments and docstrings."""
    source = path.read_text(encoding="utf-8")
    prose, code = set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose.update(range(node.lineno, node.end_lineno + 1))
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent | {tokenize.ENDMARKER}:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


# --- floors -----------------------------------------------------------------------------------


def test_the_map_names_every_module():
    assert {module for _, module in MAP} == set(modules("helpers")), "edit docs/architecture.md"
    assert len(MAP) == len(set(MAP))
    course = PAGE.partition("\n## course\n")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", course, re.M)) == set(modules("course"))
    order = [FLOORS.index(floor) for floor, _ in MAP]
    assert order == sorted(order), "floors stand in this order: " + ", ".join(FLOORS)


def test_imports_of_helpers_go_down_only():
    floor, above = {module: f for f, module in MAP}, set()
    wrong = set()
    for _, module in MAP:
        for name in imported(modules("helpers")[module].read_text(encoding="utf-8")):
            other = name.removeprefix("helpers.")
            if name.startswith("helpers.") and other in floor:
                arrays_only = floor[module] == "methods" and floor[other] in ("speech", "models")
                if other not in above or arrays_only:
                    wrong.add(f"{module} imports {other}")
            if floor[module] == "methods" and name.split(".")[0] in ("torch", "transformers"):
                wrong.add(f"{module} imports {name}")
        above.add(module)
    assert not wrong, "see the order in docs/architecture.md"


def test_neither_a_lesson_nor_a_helper_imports_course():
    sources = {path.name: path.read_text(encoding="utf-8") for path in modules("helpers").values()}
    for name, path in lessons().items():
        cells = nbformat.read(path, as_version=4).cells
        sources[name] = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for name, source in sources.items():
        assert "course" not in {module.split(".")[0] for module in imported(source)}, name


# --- size and style ---------------------------------------------------------------------------


@pytest.mark.parametrize("room", BUDGET)
def test_rooms_stay_within_their_budget(room):
    size = {name: lines_of_code(path) for name, path in modules(room).items()}
    limit = BUDGET[room] + OWED_CODE.get(room, 0)
    assert sum(size.values()) <= limit, sorted(size.items(), key=lambda item: -item[1])


def test_lines_of_code_leave_out_what_is_not_code(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        '"""Doc.\n\nMore.\n"""\n\nx = [\n    1,  # why\n]\n# alone\ntext = """a\nb"""\n'
    )
    assert lines_of_code(path) == 5


def test_no_file_holds_two_things():
    files = [path for room in ("course", "helpers", "tools") for path in ROOT.glob(f"{room}/*.py")]
    long = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST
    }
    assert not long, f"over {LONGEST} lines: split it in two"


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_one_style_everywhere(command):
    """Lint, docstrings (pyproject.toml) and format of every file, lessons too."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), "."],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


PROPER = {"None", "Weibull", "OnlineClustering"}


def run_together(source: str) -> list[str]:
    """Messages of CourseErrors in which a new part begins without a stop: "the table Rename it"."""
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", "") not in ("CourseError", "UsageError", "AudioError"):
            continue
        for text in (node for node in ast.walk(call) if isinstance(node, ast.JoinedStr)):
            said = "".join(getattr(part, "value", "") if isinstance(part, ast.Constant)
                           else "{hint}" if "nearest(" in ast.unparse(part) else "{}"
                           for part in text.values)  # fmt: skip
            begins = set(re.findall(r"[\w'}] ([A-Z][a-z]+)\b", said)) - PROPER
            if begins or re.search(r"\{hint\}[^;,)]", said):
                found.append(said)
    return found


def test_messages_do_not_run_together():
    for path in [*modules("helpers").values(), *modules("course").values()]:
        assert not run_together(path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize(
    "message",
    ["'{name}' is not there{nearest(name, x)} Rename it", "unknown '{name}' Known: {all}",
     "no '{name}'{nearest(name, x)} here"],
)  # fmt: skip
def test_a_message_that_runs_together_is_seen(message):
    assert run_together(f'raise CourseError(f"{message}")')
    assert run_together(f'raise AudioError(path, f"{message}")')
    assert not run_together("raise CourseError(f\"no '{name}'{nearest(name, x)}; use {other}\")")


# --- lessons that can be read in class --------------------------------------------------------


def folded(cell) -> bool:
    return cell.metadata.get("jupyter", {}).get("source_hidden", False)


INNER = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def variables(node: ast.AST, context: type, inner: bool = True) -> set[str]:
    """Names that code sets (`ast.Store`) or reads (`ast.Load`); `inner`: in functions too."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, context) else set()
    below = [n for n in ast.iter_child_nodes(node) if inner or not isinstance(n, INNER)]
    return set().union(*(variables(child, context, inner) for child in below))


def read_later(cell, later) -> set[str]:
    """Variables that a cell leaves to those behind it; functions that draw may be left."""
    left, read = variables(ast.parse(cell.source), ast.Store, inner=False), set()
    for other in map(ast.parse, (c.source for c in later)):
        own = variables(other, ast.Store)
        read |= left & variables(other, ast.Load) - own
        left -= own
    return read


def illegible(nb) -> list[str]:
    """What makes a lesson hard to read in class: long cells, and what does not belong in a fold."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    length = [len(cell.source.splitlines()) for cell in cells]
    shown = [n for n, cell in zip(length, cells, strict=True) if not folded(cell)]
    measured = {
        "median": statistics.median(shown),
        "nine in ten": np.percentile(shown, 90, method="inverted_cdf"),
        "longest": max(shown),
        "folded, %": 100 * (sum(length) - sum(shown)) / sum(length),
    }
    found = [f"{k}: {v:.1f}, at most {LINES[k]}" for k, v in measured.items() if v > LINES[k]]
    for i, cell in enumerate(cells):
        if folded(cell):
            for name in sorted(read_later(cell, cells[i + 1 :])):
                found.append(f"folded cell {cell.id} sets '{name}', which a later cell reads")
            if any(word in cell.source for word in ("record(", "assert ", BEGIN)):
                found.append(f"folded cell {cell.id} does more than draw or tabulate")
    return found


@pytest.mark.parametrize("name", lessons())
def test_a_lesson_can_be_read_in_class(name):
    assert not illegible(nbformat.read(lessons()[name], as_version=4))


@pytest.mark.parametrize("name", lessons())
def test_no_lesson_captures_output_in_a_widget(name):
    """See `helpers.plots.slider`: a run of it could wait for ever."""
    source = lessons()[name].read_text(encoding="utf-8")
    assert not re.search(r"\binteract(ive|_manual)?\(|\bOutput\(", source), "use plots.slider"


def lesson(*sources, fold=()):
    """A notebook of code cells; those whose number is in `fold` are folded."""
    hidden = {"jupyter": {"source_hidden": True}}
    cells = [new_code_cell(s, metadata=hidden if i in fold else {}) for i, s in enumerate(sources)]
    return new_notebook(cells=cells)


SHORT = ["x = 1\nx"] * 20


@pytest.mark.parametrize(
    ("cells", "fold", "said"),
    [
        (SHORT, (), None),
        ([*SHORT, "x\n" * 41], (), "longest"),
        ([*SHORT, "x\n" * 26, "x\n" * 26, "x\n" * 26], (), "nine in ten"),
        (["x\n" * 11], (), "median"),
        ([*SHORT, "plot(x)\n" * 7], (20,), None),
        ([*SHORT, "plot(x)\n" * 8], (20,), "folded, %"),
        ([*SHORT, "best = fit(x)", "best"], (20,), "sets 'best'"),
        ([*SHORT, "best = fit(x)", "best = 2", "best"], (20,), None),
        ([*SHORT, "fig = draw(x)", "fig = draw(x)\nfig"], (20,), None),
        ([*SHORT, "def draw(): best = 1", "draw()\nbest = 2", "best"], (20,), None),
        ([*SHORT, "record('ece', x)"], (20,), "more than draw"),
    ],
)
def test_what_is_hard_to_read_is_said(cells, fold, said):
    found = illegible(lesson(*cells, fold=fold))
    assert len(found) == (said is not None) and (said or "") in "".join(found), found


def test_a_fold_survives_the_stamp_and_the_student_edition():
    nb = stamped(lesson(*SHORT, "draw(x)", fold=(20,)), "01_x")
    assert folded(nb.cells[20]) and not folded(nb.cells[0])
    assert folded(edition(nb).cells[20])


# --- exercises where they belong --------------------------------------------------------------


@pytest.mark.parametrize("name", lessons())
def test_exercises_stand_behind_their_section(name):
    """Not all at the end, where nobody arrives: the first within the first third of the cells."""
    nb = nbformat.read(lessons()[name], as_version=4)
    assert exercises(nb)[0][0] <= len(nb.cells) / 3
    assert not any(re.search(r"^#+ .*Exercises$", cell.source, re.M) for cell in nb.cells)


@pytest.mark.parametrize("name", lessons())
def test_a_long_lesson_says_where_a_sitting_ends(name):
    """Once, before a section; with its code, for that is read in class as well."""
    cells = nbformat.read(lessons()[name], as_version=4).cells
    words = [len(cell.source.split()) for cell in cells]
    marks = [i for i, c in enumerate(cells) if "**Here the first sitting ends.**" in c.source]
    assert len(marks) == 1 or not marks and sum(words) <= SITTING
    for at in marks:
        assert re.match("#+ ", cells[at + 1].source), "a sitting ends where a section does"
        assert max(sum(words[:at]), sum(words[at:])) <= SITTING, "and leaves no long one"


@pytest.mark.parametrize("name", lessons())
def test_a_lesson_asks_shows_real_speech_and_leaves_a_task_open(name):
    nb = nbformat.read(lessons()[name], as_version=4)
    texts = [cell.source for cell in nb.cells]
    assert any("*Predict before you run:*" in text for text in texts)
    assert sum(text.startswith("## An open task") for text in texts) == 1
    (told,) = (text for text in texts if re.match(r"(results\.)?real_answers\(", text))
    call = ast.parse(told).body[0].value
    asked = texts[0].partition("**Questions**\n")[2].partition("\n\n")[0].splitlines()
    assert len(call.args) == 1 + len(asked), "one answer a question"
    for key in re.findall(r"\{(\w+)", told):
        measures.measure(call.args[0].value, key)  # CourseError where no such figure is recorded


MINUTES = {"½": "half a minute|under a minute", "1": "(about )?a minute|1 minute"}
MINUTES |= {"1½": "a minute and a half", "2": "two minutes"}
MINUTES |= {"2½": "two and a half minutes", "3": "three minutes"}


@pytest.mark.parametrize("name", lessons())
def test_the_readme_and_the_lesson_say_the_same_minutes(name):
    first = nbformat.read(lessons()[name], as_version=4).cells[0].source
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(rf"^\| {name[:2]} \| [^|]+ \| (\S+) \|", readme, re.M)[1]
    assert re.search(rf"\*\*Time:\*\* ({MINUTES[said]}) on two CPU cores", first)


@pytest.mark.parametrize("name", lessons())
def test_the_hours_for_a_class_are_estimated_as_the_page_says(name):
    cells = nbformat.read(lessons()[name], as_version=4).cells
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {name[:2]} \| (\d+) \| (\d)(½?) \| (.+) \|$", page, re.M)
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    code = [cell for cell in cells if cell.cell_type == "code" and not folded(cell)]
    lines = sum(len(cell.source.splitlines()) for cell in code)
    done = sum(BEGIN in cell.source for cell in code)
    home = (words / 100 + lines / 10 + 30 * done - int(row[1])) / 60
    assert int(row[2]) + bool(row[3]) / 2 == pytest.approx(home, abs=0.5)
    titles = "\n".join(
        re.findall(r"^#+ (?:\d+\. )?(.+)$", "\n".join(c.source for c in cells), re.M)
    )
    assert set(row[4].split("; ")) <= set(titles.splitlines()), "a section to pass over is renamed"


COUNTED = [*lessons().values(), ROOT / "data" / "measures.json"]


@pytest.mark.parametrize("path", COUNTED, ids=lambda path: path.stem)
def test_turns_are_counted_from_one_in_words(path):
    assert not re.search(r"\b[Tt]urn (0\b|\{[a-z]\})", path.read_text(encoding="utf-8"))


def scopes(table: symtable.SymbolTable):
    """The scopes inside a scope, at any depth."""
    for child in table.get_children():
        yield child
        yield from scopes(child)


def reads(source: str, inner: bool) -> set[str]:
    """Names that a cell takes from the kernel; `inner`: those that its functions do."""
    top = symtable.symtable(source, "cell", "exec")
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned()}
    each = list(top.get_symbols())
    if inner:
        each = [s for table in scopes(top) for s in table.get_symbols() if s.is_global()]
    return {s.get_name() for s in each if s.is_referenced()} - own


def overwritten(nb) -> set[str]:
    """Variables of the lesson that a check sets anew and that are read later on."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    called = set().union(*(reads(cell.source, inner=True) for cell in code))
    found = set()
    for check in (nb.cells[i] for _, *checks in exercises(nb) for i in checks):
        at = code.index(check)
        sets = variables(ast.parse(check.source), ast.Store, inner=False)
        before = [variables(ast.parse(c.source), ast.Store, inner=False) for c in code[:at]]
        for name in sets & set().union(*before):
            later = (c.source for c in code[at + 1 :])
            for source in later:
                if name in variables(ast.parse(source), ast.Store, inner=False):
                    break
                if name in reads(source, inner=False) | called:
                    found.add(name)
    return found


@pytest.mark.parametrize("name", lessons())
def test_a_check_leaves_the_variables_of_its_lesson_alone(name):
    """Else the rest of the lesson says something else to who solved the exercise."""
    assert not overwritten(nbformat.read(lessons()[name], as_version=4))


@pytest.mark.parametrize(
    ("later", "found"),
    [("x + 1", {"x"}), ("x = 3\nx", set()), ("def f(x): return x", set()),
     ("def f(): return x", {"x"}), ("[x for x in y]", set())],
)  # fmt: skip
def test_a_check_that_overwrites_is_seen(later, found):
    task = f"def f():\n    {BEGIN}\n    return 1\n    ### END SOLUTION"
    assert overwritten(lesson("x, y = 1, [2]", task, "x = f()", later)) == found


# --- which tests run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "named", "runs"),
    [
        ("", "tests", {"plain", "slow"}),
        ("not slow", "tests", {"plain", "slow"}),  # what an expression excludes, pytest leaves out
        ("nightly or not slow", "tests", {"plain", "slow", "nightly"}),
        ("benchmark", "tests", {"plain", "slow", "benchmark"}),
        ("", "tests/nightly.py::test_x", {"plain", "slow", "nightly"}),
        ("", "tests/benchmarks", {"plain", "slow", "benchmark"}),
    ],
)
def test_long_tests_run_when_asked_for(expression, named, runs):
    """A `-m "not slow"` of the user's must not bring benchmarks in."""
    tests = ROOT / "tests"
    paths = {"benchmark": tests / "benchmarks" / "benchmark.py"}
    items = [
        SimpleNamespace(
            path=paths.get(mark, tests / f"{mark}.py"),
            get_closest_marker=lambda asked, mark=mark: asked == mark,
            add_marker=lambda group: None,
        )
        for mark in ("plain", "slow", "nightly", "benchmark")
    ]
    config = SimpleNamespace(
        args=[named],
        invocation_params=SimpleNamespace(dir=ROOT),
        option=SimpleNamespace(markexpr=expression),
        hook=SimpleNamespace(pytest_deselected=lambda items: None),
    )
    pytest_collection_modifyitems(config, items)
    assert {item.path.stem for item in items} == runs


def test_every_mutant_fits_the_code():
    """A patch that does not apply any more breaks nothing, and so proves nothing."""
    for patch in mutants.MUTANTS.glob("*.diff"):
        fits = subprocess.run(["git", "apply", "--check", str(patch)], cwd=ROOT)
        assert not fits.returncode, f"make {patch.name} anew, on the code as it is"
        path, _, test = mutants.named(patch).partition("::")
        name = test.partition("[")[0]
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), patch.name
