"""Whether kept figures are those of today: digests of a lesson, of the code it uses, its encoder.

A digest is of what can move a figure. Comments, docstrings, prose, layout, assertions, and what
only shows what was recorded, do not change it.
"""

import ast
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HELPERS = Path(__file__).parent
# How a statement begins that is a text, or shows what was recorded and changes nothing.
SHOWS = ("'", '"', "table(", "results.table(", "real_answers(", "results.real_answers(")
EMPTY = re.compile(r"\b\w+=(\[\]|None|Load\(\))(, )?")  # versions of Python differ in what is empty
EMBEDDED = ROOT / "data" / "encoders" / "embedded" / "model.safetensors"


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _read(source: str) -> tuple[bytes, set[str]]:
    """What a source does, as bytes, and the helpers that it imports."""
    tree, names = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Expr) and ast.unparse(node).startswith(SHOWS):
            node.value = ast.Constant(None)
        elif isinstance(node, ast.Assert):
            node.test, node.msg = ast.Constant(True), None
    dotted = {name.split(".")[1] for name in names if name.startswith("helpers.")}
    return EMPTY.sub("", ast.dump(tree)).replace(", )", ")").encode(), dotted


@lru_cache
def _helper(name: str):
    path = HELPERS / f"{name}.py"
    return _read(path.read_text(encoding="utf-8")) if path.is_file() else (b"", set())


@lru_cache
def made(lesson: Path, encoder: str) -> dict[str, str]:
    """Digests of a lesson's code cells, of all helpers that they reach, and of the encoder."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    content, ahead = _read("\n".join(code))
    reached: set[str] = set()
    while ahead:
        reached |= ahead
        ahead = set().union(*(_helper(name)[1] for name in ahead)) - reached
    used = _digest(*(name.encode() + _helper(name)[0] for name in sorted(reached)))
    weights = _digest(EMBEDDED.read_bytes()) if encoder == "embedded" else encoder
    return {"lesson": _digest(content), "code": used, "encoder": weights}


def older(run: dict, lesson: str) -> list[str]:
    """What has changed since a run made a lesson's figures: of lesson, code, encoder; [] if none.

    `run`: the part of that name in a results file. All of them where the run did not say.
    """
    path = ROOT / "notebooks" / f"{lesson}.ipynb"
    kept = run.get("made", {}).get(lesson, {})
    now = made(path, run["encoder"]) if path.is_file() else {}
    return [part for part in ("lesson", "code", "encoder") if kept.get(part) != now.get(part, "")]
