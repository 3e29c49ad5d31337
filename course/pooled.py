"""The mean of a run's figures over the seeds of a sweep."""

import json

import numpy as np

from helpers import measures
from helpers.errors import CourseError
from helpers.results import SCHEMA

ANY = (-np.inf, np.inf)


def merge(runs: list[dict]) -> dict:
    """One result over the seeds of several runs that share corpus, encoder and profile.

    Value: mean over seeds; `each` keeps every seed's, `ends` its interval. Ends: of that mean,
    over new speakers and new seeds. Provenance stays where all seeds that ran the lesson agree. A
    seed without the value is left out of `seeds`; its reason is kept.
    """
    first, runs = runs[0]["run"], sorted(runs, key=lambda r: r["run"].get("seeds", []))
    for key in ("corpus", "encoder", "profile"):
        if len({json.dumps(r["run"].get(key)) for r in runs}) > 1:
            raise CourseError(f"results differ in {key}; merge only runs that differ in their seed")
    run = first | {"seeds": sorted({s for r in runs for s in r["run"].get("seeds", [])})}
    made = [(nb, r["run"].get("made", {}).get(nb)) for r in runs for nb in r["notebooks"]]
    run["made"] = {nb: m for nb, m in made if m and all(m == o for n, o in made if n == nb)}
    names = {(nb, key): None for r in runs for nb, keys in r["notebooks"].items() for key in keys}
    notebooks: dict[str, dict] = {}
    for nb, key in names:
        entries = [r["notebooks"][nb][key] for r in runs if key in r["notebooks"].get(nb, {})]
        notebooks.setdefault(nb, {})[key] = _merge_entries(entries, bounds(nb, key))
    return {"schema": SCHEMA, "run": run, "notebooks": notebooks}


def _merge_entries(entries: list[dict], bounds) -> dict:
    from scipy.stats import t

    there = [e for e in entries if e["value"] is not None]
    reasons = [e["reason"] for e in entries if e.get("reason")]
    if not there:
        return entries[0]
    values = np.array([e["value"] for e in there])
    value, k = float(values.mean()), len(values)
    merged = {"value": value, "low": None, "high": None}
    if all(e["low"] is not None for e in there):
        # Every seed hears the same speakers: their half-widths are averaged. Seeds differ
        # independently: t of k - 1. Both squared and added (MOVER, Zou & Donner 2008).
        seeds = t.ppf(0.975, k - 1) * values.std(ddof=1) / np.sqrt(k) if k > 1 else 0.0
        each = zip(values, there, strict=True)
        sides = np.array([[v - e["low"], e["high"] - v] for v, e in each])
        below, above = np.hypot(sides.mean(axis=0), seeds)
        merged["low"], merged["high"] = np.clip([value - below, value + above], *bounds).tolist()
    counts = [e["n"] for e in there if e["n"] is not None]
    merged["n"] = round(float(np.mean(counts))) if counts else None
    merged |= {"reason": reasons[0]} if reasons else {}
    merged["seeds"] = [s for e in there for s in e["seeds"]]
    return merged | {"each": values.tolist(), "ends": [[e["low"], e["high"]] for e in there]}


def bounds(lesson: str, key: str) -> tuple[float, float]:
    """Between what a figure must lie: 0 and 1 for a share or a probability, else its `limits`."""
    try:
        figure = measures.measure(lesson, key)
    except CourseError:  # an older lesson's
        figure = {"unit": ""}
    return (0.0, 1.0) if figure["unit"] in ("share", "probability") else figure.get("limits", ANY)
