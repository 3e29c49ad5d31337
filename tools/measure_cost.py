"""Measure what one run costs: time, memory and disk; write data/reference/cost.json and its page.

Run it on an idle machine when lessons have changed: python -m tools.measure_cost [LESSON…]
[--corpus NAME]. README's minutes are those of all lessons on the embedded corpus.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import psutil

from helpers import results
from helpers.files import write_json

ROOT = Path(__file__).resolve().parents[1]
COST = ROOT / "data" / "reference" / "cost.json"
PAGE = ROOT / "docs" / "thousand_runs.md"
MIB = 2**20


def memory(process: psutil.Process) -> int:
    """Bytes that a process and its children hold now, shared pages counted once for each."""
    held = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            held += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return held


def disk(folder: Path) -> dict[str, dict]:
    """Files and MiB of each part of a run's folder."""
    parts = {}
    for part in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        sizes = [path.stat().st_size for path in part.rglob("*") if path.is_file()]
        parts[part.name] = {"files": len(sizes), "mib": round(sum(sizes) / MIB, 1)}
    return parts


def measure(lessons: list[str], corpus: str, out: Path) -> dict:
    """Run lessons once; return seconds by lesson, on the clock and worked, peak memory and disk."""
    command = [sys.executable, "-m", "course", "run", *lessons]
    process = psutil.Popen([*command, "--corpus", corpus, "--out", str(out)], cwd=ROOT)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, memory(process))
            process.wait(0.5)
        except (psutil.TimeoutExpired, psutil.NoSuchProcess):
            continue
    if process.returncode:
        raise SystemExit("the run failed: nothing was measured")
    run = results.read_results(out / "results.json")["run"]
    kept = ("corpus", "encoder", "profile", "threads", "machine", "commit")
    told = {name: run[name] for name in kept}
    told |= {name: run[name] for name in ("seconds", "cpu_seconds")}
    return told | {"peak_mib": round(peak / MIB), "disk": disk(out)}


def table(cost: dict) -> str:
    """The page's table of one run, and of a thousand."""
    clock, cpu = (sum(cost[name].values()) for name in ("seconds", "cpu_seconds"))
    size = sum(part["mib"] for part in cost["disk"].values())
    files = sum(part["files"] for part in cost["disk"].values())
    names = ", ".join(name[:2] for name in cost["cpu_seconds"])
    lines = [
        "| | one run | a thousand |",
        "| --- | --- | --- |",
        f"| time | {clock / 60:.1f} minutes | {clock / 3.6:.0f} hours |",
        f"| CPU time | {cpu / 60:.1f} minutes | {cpu / 3.6:.0f} hours |",
        f"| memory of a worker, at its peak | {cost['peak_mib']} MiB | the same |",
        f"| disk | {size:.0f} MiB | {size / 1.024:.0f} GiB |",
        f"| files | {files} | {files * 1000} |",
    ]
    lines += [
        f"| of which `{name}/` | {part['mib']:.0f} MiB, files: {part['files']} | |"
        for name, part in cost["disk"].items()
    ]
    about = f"Lessons {names}; corpus {cost['corpus']}, encoder {cost['encoder']}, profile "
    about += f"{cost['profile']}, threads: {cost['threads']}; {cost['machine']}."
    return "\n".join(lines) + f"\n\n{about}"


def filled(page: str, cost: dict) -> str:
    """The page with its table from `cost`."""
    return re.sub(r"(?<=<!-- cost -->\n).*?(?=\n<!-- end -->)", table(cost), page, flags=re.S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lessons", nargs="*")
    parser.add_argument("--corpus", default="embedded")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        write_json(COST, measure(args.lessons, args.corpus, Path(place) / "run"))
    cost = json.loads(COST.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), cost), encoding="utf-8")
    print(table(cost))


if __name__ == "__main__":
    main()
