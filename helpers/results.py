"""What a lesson measured: records, result files, the comparison table.

One lesson's records go to the file that the variable `SER_RESULTS` names (the runner sets it); in
JupyterLab they are only shown. A run's `results.json` and `data/reference/*.json` share one
schema: `{"schema": 1, "run": {...}, "notebooks": {name: {key: {value, low, high, n, seeds}}}}`.
"""

import base64
import json
import os
import re
from pathlib import Path

import numpy as np

from helpers import measures
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.provenance import older

SCHEMA = 1
REFERENCE = Path(__file__).resolve().parents[1] / "data" / "reference"
FIGURES = REFERENCE.parents[1] / "figures"
REAL = {  # speech of people
    "ravdess": "RAVDESS", "emodb": "EMO-DB", "crema_d": "CREMA-D",
    "emodb+emovo+ravdess": "three corpora", "ravdess+crema_d+tess+savee": "four corpora",
}  # fmt: skip
FIELDS = ("value", "low", "high", "n")
_recorded: dict[str, dict] = {}  # of this kernel, for table()


def record(name: str, value, low=None, high=None, n=None, reason: str | None = None) -> None:
    """Note a measured value, its 95 % interval and the number of clips; print it, in words too.

    `value=None` needs a `reason`. ValueError for NaN, half an interval, or an interval that
    does not hold the value: such a line would mislead wherever it is shown.
    """
    numbers = {"value": value, "low": low, "high": high}
    entry = {key: None if v is None else float(v) for key, v in numbers.items()}
    entry["n"] = None if n is None else int(n)
    if value is None:
        if not reason:
            raise ValueError(f"record({name!r}): a missing value needs a reason")
        entry |= {"low": None, "high": None}
    if reason:
        entry["reason"] = reason
    if problem := _problem(entry):
        raise ValueError(f"record({name!r}): {problem}")
    _recorded[name] = entry
    if path := os.environ.get("SER_RESULTS"):
        kept = read_records(path) if Path(path).exists() else {}
        write_json(path, kept | {name: entry})
    size = "" if entry["n"] is None else f"  (n = {entry['n']})"
    meant = {found[name]["what"] for found in measures.lessons().values() if name in found}
    print(f"{name} = {shown(entry)}{size}" + (f"  {meant.pop()}" if len(meant) == 1 else ""))


def _problem(entry: dict) -> str | None:
    value, low, high = (entry.get(key) for key in ("value", "low", "high"))
    numbers = [v for v in (value, low, high) if v is not None]
    if not all(isinstance(v, (int, float)) and np.isfinite(v) for v in numbers):
        return f"not a finite number among {numbers}"
    if value is None:
        return None if entry.get("reason") else "no value and no reason"
    if (low is None) != (high is None):
        return "an interval needs both ends"
    if low is not None and not low - 1e-9 <= value <= high + 1e-9:
        return f"interval {low:.4g} to {high:.4g} does not hold the value {value:.4g}"
    return None


def _number(value: float) -> str:
    if value and abs(value) < 5e-5:
        return f"{value:.1e}"
    whole = float(value).is_integer() and abs(value) >= 1
    return f"{value:.0f}" if whole else f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def shown(entry: dict) -> str:
    """`0.0213 [0.0150, 0.0310]` for an entry, or `not measured: reason`.

    >>> shown({"value": 0.0213, "low": 0.015, "high": 0.031})
    '0.0213 [0.0150, 0.0310]'
    """
    if entry["value"] is None:
        return f"not measured: {entry['reason']}"
    ends = "" if entry["low"] is None else f" [{_number(entry['low'])}, {_number(entry['high'])}]"
    return _number(entry["value"]) + ends


def verdict(entry: dict, above: float | None = None, below: float | None = None) -> str:
    """Return "reached", "missed" or "open" for the aim to lie above, or below, a bound.

    Reached: the whole interval is on the right side. Missed: it is on the wrong side. Open: it
    holds the bound, or there is none.

    >>> entry = {"value": 0.6, "low": 0.52, "high": 0.68}
    >>> verdict(entry, above=0.5), verdict(entry, above=0.6), verdict(entry, below=0.5)
    ('reached', 'open', 'missed')
    """
    if entry["value"] is None or entry["low"] is None:
        return "open"
    low, high, bound = entry["low"], entry["high"], above
    if above is None:
        low, high, bound = -entry["high"], -entry["low"], -below
    return "reached" if low > bound else "missed" if high < bound else "open"


def table(lesson: str, only=tuple(REAL)):
    """The table "source | measured here | on real speech | why they differ" of a lesson.

    A pandas Styler. Rows, claims and reasons stand in `data/measures.json`; measured is what this
    kernel recorded, beside it the reference runs that hold the lesson (`data/reference`), of the
    corpora `only`; "older" says that lesson, code or encoder have changed since.
    """
    import pandas as pd

    columns = {"here [95 % interval]": _recorded, **_real(lesson, only)}
    lines = []
    for key, entry in measures.of_lesson(lesson).items():
        if "claimed" in entry:
            source = f" (source {entry['source']})" if "source" in entry else ""
            line = {"": entry["what"], "source": f"{entry['claimed']}{source}"}
            line |= {t: shown(found[key]) if key in found else "–" for t, found in columns.items()}
            lines.append(line | {"why they differ": entry["why"]})
    left = [{"selector": "th, td", "props": "text-align: left; vertical-align: top"}]
    shown_here = pd.DataFrame(lines).style.hide(axis="index").set_table_styles(left)
    return shown_here.set_caption(f"Lesson {lesson[:2]}: source and measured")


def _real(lesson: str, only) -> dict[str, dict]:
    """What the reference runs on real speech hold of a lesson, by title; "older" is said."""
    found = {}
    for name in only:
        if (REFERENCE / f"{name}.json").is_file():
            kept = read_results(REFERENCE / f"{name}.json")
            if entries := kept["notebooks"].get(lesson):
                found[REAL[name] + (" (older)" if older(kept["run"], lesson) else "")] = entries
    return found


def real_answers(lesson: str, *sentences: str, only=tuple(REAL)):
    """Answer the opening questions of a lesson, a sentence each, from the runs on real speech.

    `{key}` in a sentence becomes that figure of each corpus; `{key > 0.5}` (or `<`) says
    before it whether the whole interval lies there: yes, no, or open. `only`: names of corpora.
    """
    from IPython.display import Markdown

    words, runs = {"reached": "yes", "missed": "no", "open": "open"}, _real(lesson, only)

    def told(match):
        key, sign, bound = match.groups()
        aim = {"above" if sign == ">" else "below": float(bound)} if sign else {}
        said = [
            f"{title}: " + (f"{words[verdict(found[key], **aim)]}, " if aim else "")
            + shown(found[key]) for title, found in runs.items() if key in found
        ]  # fmt: skip
        return f"({'; '.join(said) or 'not measured on real speech yet'})"

    texts = [re.sub(r"\{(\w+)(?: ([<>]) ([\d.]+))?\}", told, s) for s in sentences]
    return Markdown("\n".join(f"{i}. {text}" for i, text in enumerate(texts, 1)))


def real_figures(kind: str, only=tuple(REAL)):
    """Show the figure `kind` of a lesson as the runs on real speech (corpora `only`) drew it.

    Side by side where each keeps 70 % of its size, one below the other on a smaller screen.
    """
    from IPython.display import HTML

    each = ""
    for name, title in ((name, REAL[name]) for name in only):
        if (path := FIGURES / f"{name}-{kind}.png").is_file():
            png = path.read_bytes()
            wide = int.from_bytes(png[16:20])  # pixels: a PNG says so at its beginning
            each += f'<figure style="flex: 1 1 {0.7 * wide}px; max-width: {wide}px; margin: 4px">'
            each += f'<figcaption>{title}</figcaption><img width="100%" alt="{title}: {kind}" '
            each += f'src="data:image/png;base64,{base64.b64encode(png).decode()}"></figure>'
    each = each or "no figure of a reference run yet"
    return HTML(f'<div style="display: flex; flex-wrap: wrap">{each}</div>')


# --- files ------------------------------------------------------------------------------------


def _read_json(path) -> dict:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CourseError(f"{path}: no results to read ({error}); run the lessons again") from error
    if not isinstance(content, dict):
        raise CourseError(f"{path}: results are a JSON object; run the lessons again")
    return content


def read_records(path) -> dict:
    """Records `{key: {value, low, high, n}}` of one executed lesson."""
    return _check_entries(path, _read_json(path))


def _check_entries(path, entries, fields=FIELDS) -> dict:
    for key, entry in entries.items():
        if not isinstance(entry, dict) or not set(fields) <= set(entry):
            raise CourseError(f"{path}: {key} lacks one of {', '.join(fields)}; run again")
        if problem := _problem(entry):
            raise CourseError(f"{path}: {key}: {problem}; run again")
    return entries


def read_results(path) -> dict:
    """Results of a run or of merged runs, checked against the schema; else CourseError."""
    results = _read_json(path)
    known = isinstance(results.get("run"), dict) and isinstance(results.get("notebooks"), dict)
    if results.get("schema") != SCHEMA or not known:
        raise CourseError(f"{path}: not a results file of schema {SCHEMA}; run the lessons again")
    for entries in results["notebooks"].values():
        _check_entries(path, entries, (*FIELDS, "seeds"))
    return results
