"""Keep a finished sweep as reference: results into `data/reference`, tagged figures into `figures`.

    ser-course run --corpus ravdess emodb --seed 0 1 2 --profile full --out runs/reference
    python -m tools.collect_reference runs/reference
    python -m tools.collect_reference    # what is older than the code (make reference)

Lessons that the sweep did not run stay in the file if they still stand: same profile, nothing
changed since. A cell tagged `figure-NAME` gives `figures/<corpus>-NAME.png`, from the run of the
first seed. Only plots of results are tagged: no picture of a clip leaves a restricted corpus.
"""

import argparse
import base64
import json
from pathlib import Path

import nbformat

from course.folders import pool, runs
from course.settings import ROOT
from helpers import measures, results
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.provenance import older


def label(run: dict) -> str:
    """`<corpus>` for the embedded encoder, `<corpus>-<encoder>` for others, without folders."""
    encoder = Path(run["encoder"]).name
    return run["corpus"] if encoder == "embedded" else f"{run['corpus']}-{encoder}"


def complete(group: str, paths: list[Path]) -> None:
    """Stop where a lesson has figures of some seeds only: the table would call them all seeds."""
    lessons = [set(results.read_results(path / "results.json")["notebooks"]) for path in paths]
    if some := sorted(set.union(*lessons) - set.intersection(*lessons)):
        raise SystemExit(f"{group}: not every seed has {', '.join(some)}; run the sweep again")


def figures(folder: Path, name: str, target: Path) -> list[Path]:
    """Write the tagged figures of the executed lessons in `folder` whose results stand."""
    written, there = [], results.read_results(folder / "results.json")["notebooks"]
    for path in (folder / "notebooks" / f"{lesson}.ipynb" for lesson in sorted(there)):
        for cell in nbformat.read(path, as_version=4).cells:
            tags = [t for t in cell.metadata.get("tags", []) if t.startswith("figure-")]
            images = [
                o["data"]["image/png"]
                for o in cell.get("outputs", [])
                if "image/png" in o.get("data", {})
            ]
            if tags and images:
                target.mkdir(parents=True, exist_ok=True)
                written.append(target / f"{name}-{tags[0].removeprefix('figure-')}.png")
                written[-1].write_bytes(base64.b64decode(images[0]))
    return written


def stale() -> list[str]:
    """A line for each lesson of each reference whose lesson, code or encoder changed since."""
    lines = []
    for path in sorted((ROOT / "data" / "reference").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for lesson in content["notebooks"] if "notebooks" in content else ():
            if changed := older(content["run"], lesson):
                lines.append(f"{path.name}: {lesson}: other {', '.join(changed)}")
    return lines


def nameless(run: dict) -> None:
    """Leave of an encoder's folder its name alone, in place: a path is of one machine."""
    encoder, run["encoder"] = run["encoder"], Path(run["encoder"]).name
    run["command"] = run.get("command", "").replace(encoder, run["encoder"])
    for digests in run.get("made", {}).values():
        digests["encoder"] = digests["encoder"].replace(encoder, run["encoder"])


def remember(name: str, there: dict, merged: dict) -> None:
    """Keep what a replaced reference said in the rows of the first table: "changed" shows it."""
    path = ROOT / "data" / "reference" / "before.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    gone = {}
    for lesson, key in measures.page("headline"):
        entry = there["notebooks"].get(lesson, {}).get(key)
        if entry and lesson in merged["notebooks"] and older(there["run"], lesson):
            gone[f"{lesson}/{key}"] = {part: entry[part] for part in ("value", "low", "high")}
    if gone:
        write_json(path, kept | {name: gone})


def joined(there: dict, merged: dict) -> dict:
    """A reference with the lessons of a new sweep, and those of before that still stand.

    Each figure keeps its own seeds; the run is described by the one with more of them.
    """
    new = merged["notebooks"]
    stand = {
        name: entries
        for name, entries in there["notebooks"].items()
        if name not in new and not older(there["run"], name)
    }
    if not stand or there["run"]["profile"] != merged["run"]["profile"]:
        return merged
    both = sorted({**stand, **new}.items())
    run = dict(max(merged["run"], there["run"], key=lambda run: len(run["seeds"])))
    for part in ("made", "seconds", "cpu_seconds"):
        of_both = there["run"].get(part, {}) | merged["run"].get(part, {})
        run[part] = {lesson: of_both[lesson] for lesson, _ in both if lesson in of_both}
    return merged | {"run": run, "notebooks": dict(both)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, nargs="?", help="folder of a sweep over seeds")
    sweep = parser.parse_args().sweep
    if sweep is None:
        print("\n".join(stale()) or "every reference is of this code")
        return
    try:
        folders, pooled = runs(sweep), pool(sweep)
    except CourseError as error:
        raise SystemExit(str(error)) from error
    if "" in folders or not pooled:
        raise SystemExit(f"{sweep}: no sweep here; run several seeds into it first")
    for group, merged in pooled.items():
        complete(group, [p for run, p in folders.items() if run.rpartition("-")[0] == group])
        nameless(merged["run"])
        name = label(merged["run"])
        target = ROOT / "data" / "reference" / f"{name}.json"
        if target.is_file():
            there = results.read_results(target)
            remember(name, there, merged)
            merged = joined(there, merged)
        write_json(target, merged)
        first = next(path for run, path in folders.items() if run.rpartition("-")[0] == group)
        print(name, merged["run"]["seeds"], *figures(first, name, ROOT / "figures"))


if __name__ == "__main__":
    main()
