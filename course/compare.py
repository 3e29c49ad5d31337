"""Two runs side by side: the difference of every figure, with an interval.

Where both runs tested the same clips, figures of the network are compared *paired*, from the
artefacts: what a speaker does to both cancels. All other figures are compared by their two
intervals, as if the runs were independent; on the same clips that is wider than need be.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course.exports import write_table
from course.folders import pool, runs
from helpers import artefact, metrics, results
from helpers.errors import CourseError
from helpers.intervals import paired

HEADER = ("lesson", "key", "A", "B", "A - B", "low", "high", "how")
FACTS = ("corpus", "encoder", "profile", "seeds", "versions", "commit", "threads", "machine")


def _called(metric):
    return lambda probs, labels: metric(labels, probs.argmax(axis=1))


PAIRED = {  # figures that logits alone give: lesson, key, metric(probs, labels)
    ("02_fine_tune", "accuracy"): _called(lambda labels, said: np.mean(labels == said)),
    ("02_fine_tune", "uar"): _called(metrics.uar),
    ("03_calibration", "nll_before"): metrics.nll,
    ("03_calibration", "brier_before"): metrics.brier,
    ("03_calibration", "ece_before"): metrics.ece,
}


class Side(NamedTuple):
    """One of the two: its results, and its folder where it is a run and no file."""

    content: dict
    folder: Path | None


def side(path: Path) -> Side:
    """A run, a sweep of one corpus and encoder (its mean over seeds), or a results file.

    Errors: CourseError when there is nothing to compare, or more than one thing.
    """
    if path.is_file():
        return Side(results.read_results(path), None)
    found = runs(path)
    if not found:
        raise CourseError(f"{path}: no results.json here; give the folder of a run, or such a file")
    if "" in found:
        return Side(results.read_results(path / "results.json"), path)
    pooled = pool(path)
    if len(pooled) > 1:
        raise CourseError(f"{path}: a sweep; give one of its runs, as {path / next(iter(found))}")
    return Side(next(iter(pooled.values())), None)


def independent(a: dict, b: dict) -> tuple:
    """`(difference, low, high)` of two entries from their intervals; ends None without any.

    Zou & Donner 2008, eq. 7: each end of the difference is as far away as the two near ends are
    together, added as independent errors are.
    """
    difference = a["value"] - b["value"]
    if a["low"] is None or b["low"] is None:
        return difference, None, None
    low = difference - np.hypot(a["value"] - a["low"], b["high"] - b["value"])
    high = difference + np.hypot(a["high"] - a["value"], b["value"] - b["low"])
    return difference, float(low), float(high)


# --- the same clips ---------------------------------------------------------------------------


def _tested(folder: Path | None):
    """Test probabilities, labels, names, speakers and turns of a run's network, or None."""
    found = sorted(folder.glob("artefacts/*-rotation-*/arrays.npz")) if folder else []
    if len(found) != 1:  # an older one beside it: which made the figures?
        return None
    art = artefact.read(found[0].parent)
    logits, rows, turns = art.pooled()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    order = np.argsort(art.utterances[rows], kind="stable")
    each = (odds / odds.sum(axis=1, keepdims=True), art.labels[rows], art.utterances[rows])
    return [a[order] for a in (*each, art.speakers[rows], turns)], list(art.classes)


def _paired(a: Side, b: Side) -> dict[tuple, tuple]:
    """`{(lesson, key): (difference, low, high)}` where both tested the same clips."""
    one, other = _tested(a.folder), _tested(b.folder)
    if not one or not other or one[1] != other[1]:
        return {}
    (probs, labels, names, speakers, _), (others, _, other_names, _, _) = one[0], other[0]
    if not np.array_equal(names, other_names):
        return {}
    found = {}
    for (lesson, key), metric in PAIRED.items():
        recorded = [s.content["notebooks"].get(lesson, {}).get(key) for s in (a, b)]
        again = [metric(p, labels) for p in (probs, others)]
        # What another artefact gave is not compared by this one
        if all(recorded) and np.allclose([r["value"] for r in recorded], again, atol=1e-6):
            found[lesson, key] = paired(metric, probs, others, labels, speakers=speakers)
    return found


def _same(a: Side, b: Side, lesson: str) -> bool:
    """Whether both are one and the same execution: equal code, parameters and inputs."""
    if not (a.folder and b.folder):
        return False
    paths = [s.folder / "records" / f"{lesson}.json" for s in (a, b)]
    if not all(path.is_file() for path in paths):
        return False
    marks = [json.loads(path.read_text(encoding="utf-8")).get("fingerprint") for path in paths]
    return marks[0] is not None and marks[0] == marks[1]


# --- the table --------------------------------------------------------------------------------


def compare(a: Side, b: Side) -> tuple[list[list], list[str]]:
    """`(rows, notes)`: a row of HEADER for each figure of both, and what is not compared.

    Errors: CourseError when the runs share no figure.
    """
    notes = []
    for fact in FACTS:
        told = [s.content["run"].get(fact) for s in (a, b)]
        if told[0] != told[1]:
            notes.append(f"{fact}: {told[0]} in A, {told[1]} in B")
    if a.content["run"]["corpus"] != b.content["run"]["corpus"]:
        notes.append("the clips are others: every difference is taken as independent")
    together, rows = _paired(a, b), []
    for lesson in {**a.content["notebooks"], **b.content["notebooks"]}:
        first, second = (s.content["notebooks"].get(lesson) for s in (a, b))
        if first is None or second is None:
            notes.append(f"{lesson}: only in {'B' if first is None else 'A'}")
            continue
        same = _same(a, b, lesson)
        for key in {**first, **second}:
            one, other = first.get(key), second.get(key)
            sides = zip("AB", (one, other), strict=True)
            there = [name for name, entry in sides if entry and entry["value"] is not None]
            if len(there) < 2:
                where = f"only in {there[0]}" if there else "in neither"
                notes.append(f"{lesson} {key}: measured {where}")
                continue
            if same and one == other:
                found, how = (0.0, 0.0, 0.0), "same"
            elif (lesson, key) in together:
                found, how = together[lesson, key], "paired"
            else:
                found, how = independent(one, other), "independent"
            rows.append([lesson, key, one["value"], other["value"], *found, how])
    if not rows:
        raise CourseError("the two share no figure; run the same lessons in both")
    return rows, notes


def show(first: Path, second: Path, out: Path | None) -> int:
    """Print the comparison, and write it below `out` as CSV and LaTeX; return the exit status."""
    rows, notes = compare(side(first), side(second))
    print(f"A: {first}\nB: {second}")
    for note in notes:
        print(f"  {note}")
    wide, last = max(len(row[1]) for row in rows), None
    for lesson, key, a, b, difference, low, high, how in rows:
        if lesson != last:
            print(f"\n{lesson:{wide}} {'A':>10} {'B':>10} {'A - B':>10}  95 % interval")
        ends = "" if low is None else f"[{low:.4f}, {high:.4f}]"
        apart = "*" if low is not None and (low > 0 or high < 0) else " "
        print(f"{key:{wide}} {a:10.4f} {b:10.4f} {difference:10.4f}{apart} {ends} {how}")
        last = lesson
    print("\n* the interval does not hold zero. Of equal figures one in twenty is marked.")
    if out:
        write_table(out / "compare", list(HEADER), rows)
        print(f"Also in {out / 'compare.csv'} and .tex")
    return 0
