"""What to run: lessons, corpora, encoders, seeds and profile, checked before anything starts."""

import ast
import itertools
import json
import re
from pathlib import Path
from typing import NamedTuple

from helpers import corpora, encoders
from helpers.errors import CourseError, nearest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PARAMETERS = ("corpus", "encoder", "seed", "profile", "out")


class UsageError(CourseError):
    """The command cannot mean anything: exit status 2."""


class Setting(NamedTuple):
    """One run: what the lessons get as parameters, besides where to write."""

    corpus: str = "embedded"
    encoder: str = "embedded"
    seed: int = 0
    profile: str = "quick"

    @property
    def name(self) -> str:
        return f"{slug(self.corpus)}-{slug(self.encoder)}-{self.seed}"


def slug(text: str) -> str:
    """A corpus or encoder as part of a folder name: `facebook/x-y` becomes `facebook_x_y`."""
    return re.sub(r"[^A-Za-z0-9.+]+", "_", text)[-60:].strip("_.")


def lessons(folder: Path = NOTEBOOKS) -> dict[str, Path]:
    """Lessons `{"03_calibration": path}` in reading order."""
    return {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def choose(names: list[str], folder: Path = NOTEBOOKS) -> dict[str, Path]:
    """Lessons by number (`03` or `3`), name or file; all when none is named."""
    there = lessons(folder)
    if not there:
        raise CourseError(f"{folder}: no lessons here; run from a clone of the course")
    chosen = set()
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        fits = [x for x in there if x == stem or x[:2] == stem.zfill(2) or x[3:] == stem]
        if not fits:
            options = [*there, *(x[3:] for x in there)]
            raise UsageError(f"no lesson '{name}'{nearest(stem, options)}; {', '.join(there)}")
        chosen.update(fits)
    return {name: path for name, path in there.items() if name in chosen or not names}


def read_notebook(path: Path) -> dict:
    """A notebook as it lies on disk; CourseError when it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CourseError(f"{path}: not a notebook ({error})") from error


def check_parameters(path: Path) -> None:
    """CourseError unless the lesson has a `parameters` cell with exactly the course's names.

    papermill only warns of an unknown name, and without the tag the defaults overwrite the values.
    """
    cells = read_notebook(path)["cells"]
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise CourseError(f"{path.name}: needs one cell tagged 'parameters', has {len(tagged)}")
    body = ast.parse("".join(tagged[0]["source"])).body
    names = {s.target.id for s in body if isinstance(s, ast.AnnAssign)}
    for name in names.symmetric_difference(PARAMETERS):
        what = f"unknown parameter '{name}'{nearest(name, PARAMETERS)}"
        what = what if name in names else f"no parameter '{name}'"
        raise CourseError(f"{path.name}: {what}; the parameters cell has {', '.join(PARAMETERS)}")


def check_corpus(spec: str) -> None:
    """UsageError when a part of the spec is no corpus that the course knows."""
    options = [*corpora.CORPORA, "folder:PATH"]
    for part in corpora.parts(spec):
        if part in corpora.CORPORA or part.startswith("folder:"):
            continue
        if re.search(r"[/\\~]", part) or Path(part).exists():
            raise UsageError(f"'{part}' is no corpus; for a folder of your own: folder:{part}")
        raise UsageError(f"unknown corpus '{part}'{nearest(part, options)}; {', '.join(options)}")


def encoder_folder(name: str) -> Path | None:
    """The folder of a local encoder, or None for a hub id; UsageError when it is neither."""
    try:
        return encoders.folder_of(name)
    except CourseError as error:
        broken = name == "embedded"  # no fault of who typed it
        raise (CourseError if broken else UsageError)(str(error)) from error


def sweep(corpora_, encoders, seeds, profile="quick") -> list[Setting]:
    """Every combination, once each, in the order given; two that share a folder are refused."""
    product = itertools.product(corpora_, encoders, seeds)
    found = dict.fromkeys(Setting(*each, profile) for each in product)
    if len({s.name for s in found}) < len(found):
        raise UsageError("two corpora or encoders differ only in punctuation; run them apart")
    return list(found)


def default_out(settings: list[Setting]) -> Path:
    """`runs/course` for the plain course, else a folder named after what is run."""
    if settings == [Setting()]:
        return Path("runs/course")
    parts = (dict.fromkeys(slug(str(s[i])) for s in settings) for i in range(3))
    profile = "" if settings[0].profile == "quick" else f"-{settings[0].profile}"
    return Path("runs") / ("-".join("_".join(part) for part in parts) + profile)
