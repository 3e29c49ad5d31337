"""Keep a run or sweep as reference: results into `data/reference`, tagged figures into `figures`.

    ser-course run --corpus ravdess emodb --seed 0 1 2 --profile full --out runs/reference
    python -m tools.collect_reference runs/reference
    python -m tools.collect_reference    # what is older than the code (make reference)

Lessons that the sweep did not run stay in the file if they still stand: same profile, nothing
changed since. Of those that it ran, seeds that it did not run stay too: seeds may come one by one.
A cell tagged `figure-NAME` gives `figures/<corpus>-NAME.png`, from the run of the first seed. Only
plots of results are tagged: no picture of a clip leaves a restricted corpus.
"""

import argparse
import base64
import json
from pathlib import Path

import nbformat

from course.folders import pool, runs
from course.pooled import merge
from course.settings import ROOT
from helpers import measures, results
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.provenance import older


def label(run: dict) -> str:
    """`<corpus>[-<encoder>][-<profile>]`; the embedded encoder and `full` go unsaid."""
    others = Path(run["encoder"]).name, run["profile"]
    unsaid = ("embedded", "full")
    return "-".join([run["corpus"], *(o for o, u in zip(others, unsaid, strict=True) if o != u)])


def complete(paths: list[Path]) -> None:
    """Stop where a lesson has figures of some seeds only: the table would call them all seeds."""
    lessons = [set(results.read_results(path / "results.json")["notebooks"]) for path in paths]
    if some := sorted(set.union(*lessons) - set.intersection(*lessons)):
        raise SystemExit(f"{paths[0]}: not every seed has {', '.join(some)}; run the sweep again")


def figures(folder: Path, name: str, target: Path, merged: dict) -> list[Path]:
    """Write the tagged figures of the executed lessons in `folder` that ran the first seed."""
    found, written = results.read_results(folder / "results.json"), []
    there, [seed] = found["notebooks"], found["run"]["seeds"]
    first = [lesson for lesson in sorted(there) if min(_seeds(merged, lesson)) == seed]
    for path in (folder / "notebooks" / f"{lesson}.ipynb" for lesson in first):
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
    """Keep what a replaced reference said in the rows of the first table: "changed" shows it.

    What was kept stays: lessons may come again and again until all are of one code. Who begins
    another round of references deletes the file first.
    """
    path = ROOT / "data" / "reference" / "before.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    gone = {}
    for lesson, key in measures.page("headline"):
        entry = there["notebooks"].get(lesson, {}).get(key)
        if entry and lesson in merged["notebooks"] and older(there["run"], lesson):
            parts = ("value", "low", "high", "seeds")
            gone[f"{lesson}/{key}"] = {part: entry[part] for part in parts}
    if gone:
        write_json(path, kept | {name: gone | kept.get(name, {})})


def apart(merged: dict, lessons) -> list[dict]:
    """Results of each seed that `merge` joined, of these lessons: what `merge` may join again.

    Stops where a figure of several seeds lacks their intervals.
    """
    parts = [
        {"run": merged["run"] | {"seeds": [seed], "made": {}}, "notebooks": {}}
        for seed in merged["run"]["seeds"]
    ]
    for part, nb in ((p, nb) for p in parts for nb in lessons):
        [seed] = part["run"]["seeds"]
        its = {k: e for k, e in merged["notebooks"][nb].items() if seed in e["seeds"]}
        if its:
            part["notebooks"][nb] = {key: _of_seed(nb, entry, seed) for key, entry in its.items()}
            part["run"]["made"] |= {n: m for n, m in merged["run"]["made"].items() if n == nb}
    return [part for part in parts if part["notebooks"]]


def _of_seed(lesson: str, entry: dict, seed: int) -> dict:
    """What `_merge_entries` was given for `seed`; `n` is the mean over seeds."""
    own, i = entry | {"seeds": [seed]}, entry["seeds"].index(seed)
    if entry["value"] is not None and len(entry["seeds"]) > 1:
        if "ends" not in entry:
            raise SystemExit(f"{lesson}: kept without the intervals of its seeds; run all of them")
        own["value"], (own["low"], own["high"]) = entry["each"][i], entry["ends"][i]
    return {key: value for key, value in own.items() if key not in ("each", "ends")}


def grown(there: dict, merged: dict) -> dict:
    """A new sweep with the seeds that it did not run, of lessons that this very code made.

    Stops where the profile is another: a quick run replaces no full one.
    """
    kept, ours = there["run"]["profile"], merged["run"]["profile"]
    if kept != ours:
        raise SystemExit(f"what is kept has profile {kept}, this run {ours}: delete it first")
    old, new = there["run"].get("made", {}), merged["run"]["made"]
    both = [name for name in merged["notebooks"] if name in there["notebooks"]]
    more = {name: _seeds(there, name) - _seeds(merged, name) for name in both}
    more = {name: seeds for name, seeds in more.items() if seeds}
    for name in [name for name in more if not new.get(name) or old.get(name) != new[name]]:
        print(f"{name}: seeds {sorted(more.pop(name))} go; other code made them")
    if not more:
        return merged
    kept = [
        part | {"notebooks": {n: e for n, e in part["notebooks"].items() if seed in more[n]}}
        for part in apart(there, more)
        for seed in part["run"]["seeds"]
    ]
    return merge([*apart(merged, merged["notebooks"]), *kept])


def _seeds(content: dict, lesson: str) -> set[int]:
    return {seed for entry in content["notebooks"][lesson].values() for seed in entry["seeds"]}


def joined(there: dict, merged: dict) -> dict:
    """A reference with the lessons of a new sweep, and those of before that still stand.

    Each figure keeps its own seeds; the run is described by the one with more of them, or by that
    of before.
    """
    new = merged["notebooks"]
    stand = {
        name: entries
        for name, entries in there["notebooks"].items()
        if name not in new and not older(there["run"], name)
    }
    if not stand:
        return merged
    both = sorted({**stand, **new}.items())
    run = dict(max(there["run"], merged["run"], key=lambda run: len(run["seeds"])))
    for part in ("made", "seconds", "cpu_seconds"):
        of_both = there["run"].get(part, {}) | merged["run"].get(part, {})
        run[part] = {lesson: of_both[lesson] for lesson, _ in both if lesson in of_both}
    return merged | {"run": run, "notebooks": dict(both)}


def origins(there: dict, merged: dict, folders: list[Path]) -> dict[str, dict[str, dict]]:
    """Where each lesson's seeds ran: `{lesson: {seed: {fact: value}}}`.

    Seeds may come from several machines, and a merged file describes only one of its runs. Empty
    for what was kept before this was.
    """
    found = {}
    for run, lessons in map(_run, folders):
        facts = {name: run[name] for name in ("commit", "date", "machine", "threads", "versions")}
        for lesson in lessons:
            found.setdefault(lesson, {})[str(run["seeds"][0])] = facts
    for lesson, seeds in there["run"].get("origins", {}).items():
        found[lesson] = seeds | found.get(lesson, {})
    told = {
        lesson: {
            seed: f for seed, f in sorted(seeds.items()) if int(seed) in _seeds(merged, lesson)
        }
        for lesson, seeds in sorted(found.items())
        if lesson in merged["notebooks"]
    }
    return {lesson: seeds for lesson, seeds in told.items() if seeds}


def _run(folder: Path) -> tuple[dict, dict]:
    content = results.read_results(folder / "results.json")
    return content["run"], content["notebooks"]


def pooled(folder: Path) -> list[tuple[dict, list[Path]]]:
    """Results over seeds and the folders of the seeds, for each corpus and encoder there."""
    try:
        there = runs(folder)
        if "" in there:
            return [(merge([results.read_results(folder / "results.json")]), [folder])]
        found = pool(folder)
    except CourseError as error:
        raise SystemExit(str(error)) from error
    if not found:
        raise SystemExit(f"{folder}: no results here; ser-course run --out {folder} first")
    return [
        (merged, [path for run, path in there.items() if run.rpartition("-")[0] == group])
        for group, merged in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, nargs="?", help="folder of a run or of a sweep")
    sweep = parser.parse_args().sweep
    if sweep is None:
        print("\n".join(stale()) or "every reference is of this code")
        return
    for merged, folders in pooled(sweep):
        complete(folders)
        nameless(merged["run"])
        name = label(merged["run"])
        target, there = ROOT / "data" / "reference" / f"{name}.json", {"run": {}}
        if target.is_file():
            there = results.read_results(target)
            merged = grown(there, merged)
            remember(name, there, merged)
            merged = joined(there, merged)
        merged["run"]["origins"] = origins(there, merged, folders)
        write_json(target, merged)
        shown = merged["run"]["profile"] == "full"
        pictures = figures(folders[0], name, ROOT / "figures", merged) if shown else ()
        print(name, merged["run"]["seeds"], *pictures)


if __name__ == "__main__":
    main()
