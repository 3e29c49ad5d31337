"""Digests of what made a figure: they see what runs, and nothing else."""

import ast
import json

import pytest

from course.settings import lessons
from helpers import provenance

SOURCE = """from helpers import metrics

def f(x):
    return metrics.uar(x, x)
"""
METRICS = '''"""What it is."""
from helpers.deep import y

def uar(a, b):
    """What it is."""
    return y
'''


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "03_x.ipynb"
    helpers = tmp_path / "helpers"
    helpers.mkdir()
    (helpers / "metrics.py").write_text(METRICS)
    (helpers / "deep.py").write_text("y = 1\n")
    (helpers / "apart.py").write_text("z = 1\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    monkeypatch.setattr(provenance, "HELPERS", helpers)

    def write(source=SOURCE, prose="prose", **modules):
        for name, text in modules.items():
            (helpers / f"{name}.py").write_text(text)
        cells = [
            {"cell_type": "markdown", "source": prose},
            {"cell_type": "code", "source": source},
        ]
        path.write_text(json.dumps({"cells": cells}))
        for kept in (provenance.made, provenance._helper):
            kept.cache_clear()
        return provenance.made(path, "hub/encoder")

    yield write
    for kept in (provenance.made, provenance._helper):
        kept.cache_clear()


def test_only_what_runs_counts(lesson):
    first = lesson()
    assert lesson(prose="other") == first
    assert lesson(SOURCE.replace("def f(x):", "def f(x):  # why")) == first
    assert lesson(SOURCE.replace("x, x)", "x,\n        x)")) == first
    assert lesson(apart="z = 2\n") == first
    checked = lesson(SOURCE + "assert f(1) == 0, 'no'\n")
    assert lesson(SOURCE + "assert abs(f(1)) < 1e-6\n") == checked != first
    shown = lesson(SOURCE + 'results.table("03_x")\n')
    assert lesson(SOURCE + 'results.table("03_x", only="emodb")\n') == shown
    assert lesson(SOURCE + 'found = results.table("03_x")\n') != shown
    assert lesson(SOURCE + 'results.plot("03_x")\n') != shown
    assert lesson(metrics=METRICS.replace("What it is", "What it was")) == first


def test_versions_of_python_write_the_same(lesson, monkeypatch):
    first, dump = lesson(), provenance.ast.dump
    monkeypatch.setattr(
        provenance.ast, "dump", lambda tree: dump(tree).replace(", keywords=[]", "")
    )
    assert lesson() == first  # as 3.13 leaves out what is empty
    monkeypatch.setattr(
        provenance.ast, "dump", lambda tree: dump(tree).replace("body=", "type_params=[], body=")
    )
    assert lesson() == first  # as 3.12 adds a field


def test_a_change_is_seen_however_deep(lesson):
    first = lesson()
    changed = lesson(SOURCE.replace("x, x)", "x, 1)"))
    assert changed["lesson"] != first["lesson"] and changed["code"] == first["code"]
    deeper = lesson(deep="y = 2\n")
    assert deeper["code"] != first["code"] and deeper["lesson"] == first["lesson"]


def test_older_says_what_changed(lesson):
    made = lesson()
    run = {"encoder": "hub/encoder", "made": {"03_x": made}}
    assert provenance.older(run, "03_x") == []
    lesson(deep="y = 3\n")
    assert provenance.older(run, "03_x") == ["code"]
    assert provenance.older({"encoder": "hub/encoder"}, "03_x") == ["lesson", "code", "encoder"]
    gone = run | {"made": {"04_gone": made}}
    assert provenance.older(gone, "04_gone") == ["lesson", "code", "encoder"]


@pytest.mark.parametrize("path", [*lessons().values(), *sorted(provenance.HELPERS.glob("*.py"))])
def test_what_a_digest_leaves_out_moves_nothing(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assert):
            inside = list(ast.walk(node))
            assert not any(isinstance(n, ast.NamedExpr) for n in inside), ast.unparse(node)
            assert not any(getattr(n, "id", "") == "rng" for n in inside), ast.unparse(node)
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith(("'", '"')):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
