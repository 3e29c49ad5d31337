"""Folders of runs: one run, or the runs of a sweep; what is there, what is missing, the mean."""

import errno
import json
from contextlib import contextmanager
from pathlib import Path

from course.pooled import merge
from course.settings import Setting
from helpers import results
from helpers.errors import CourseError
from helpers.files import write_json


def runs(out: Path) -> dict[str, Path]:
    """Run folders below `out`: `{"": out}` for one run, names of a sweep's runs otherwise."""
    if (out / "results.json").exists():
        return {"": out}
    return {path.parent.name: path.parent for path in sorted(out.glob("*-*-*/results.json"))}


@contextmanager
def locked(out: Path):
    """Hold a folder for one run at a time; CourseError when another has it, or the disk is full."""
    import filelock

    try:
        out.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(out / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise CourseError(f"another run is at work in {out}; wait, or give another --out") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        remedy = "free some, then give the same command again (it resumes)"
        raise CourseError(f"no space left for {out}: {remedy}") from error


def plan(out: Path, settings: list[Setting], lessons: list[str]) -> None:
    """Note what a sweep is to run: by this a report over half of it knows what is missing."""
    write_json(out / "sweep.json", {"runs": [s.name for s in settings], "lessons": lessons})


def unfinished(out: Path) -> list[str]:
    """A line for each run of a sweep that has no results yet, and for each lesson not yet run."""
    noted = out / "sweep.json"
    if not noted.exists():
        return []
    there, lines = runs(out), []
    asked = json.loads(noted.read_text(encoding="utf-8"))
    for name in asked["runs"]:
        if name not in there:
            lines.append(f"{name}: not run yet")
            continue
        about = results.read_results(there[name] / "results.json")["run"]
        left = set(asked["lessons"]) - set(about["seconds"]) - set(about["failed"])
        lines += [f"{name}: not run yet: {', '.join(sorted(left))}"] if left else []
    return lines


def guard(out: Path, settings: list[Setting]) -> None:
    """CourseError when the folder already holds something that this run would mix with."""
    held = runs(out)
    remedy = "give another --out"
    if held and ("" in held) != (len(settings) == 1):
        raise CourseError(f"{out} holds {'one run' if '' in held else 'a sweep'}; {remedy}")
    for name, path in held.items():
        about = results.read_results(path / "results.json")["run"]
        there = Setting(about["corpus"], about["encoder"], about["seeds"][0], about["profile"])
        same = there == settings[0] if not name else there.profile == settings[0].profile
        if not same:
            raise CourseError(f"{out} holds {there.name} ({there.profile}); {remedy}")


def pool(out: Path) -> dict[str, dict]:
    """Results over the seeds of a sweep, by `<corpus>-<encoder>`; written to `pooled`."""
    grouped: dict[str, list[dict]] = {}
    for name, path in runs(out).items():
        read = results.read_results(path / "results.json")
        grouped.setdefault(name.rpartition("-")[0], []).append(read)
    pooled = {name: merge(group) for name, group in grouped.items()}
    for name, merged in pooled.items():
        write_json(out / "pooled" / f"{name}.json", merged)
    return pooled
