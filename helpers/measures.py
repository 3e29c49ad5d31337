"""What each figure is: description, unit, what a source claims, what the course aims at.

One file, `data/measures.json`: the lessons' tables, the report, the pages of the reference runs
and their exports read it. A lesson's table shows its figures that have `claimed` (a number, or
what the source says instead), in the order of the file. A key with a `*` is a family.
"""

import json
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from helpers.errors import CourseError, nearest

PATH = Path(__file__).resolve().parents[1] / "data" / "measures.json"


@lru_cache
def _file() -> dict:
    return json.loads(PATH.read_text(encoding="utf-8"))


def sources() -> dict[str, str]:
    """Titles of the sources by number."""
    return dict(_file()["sources"])


def lessons() -> dict[str, dict]:
    """Every figure by lesson and key."""
    return _file()["lessons"]


def of_lesson(lesson: str) -> dict[str, dict]:
    """Every figure of a lesson by key: `{what, unit[, claimed, source, why]}`."""
    if lesson not in lessons():
        raise CourseError(f"{PATH.name} knows no lesson '{lesson}'{nearest(lesson, lessons())}")
    return lessons()[lesson]


def measure(lesson: str, key: str) -> dict:
    """One figure; of a family with its name filled in. CourseError where the file lacks it."""
    keys = of_lesson(lesson)
    if key in keys:
        return keys[key]
    for family, entry in keys.items():
        if "*" in family and fnmatchcase(key, family):
            name = key[family.index("*") :]  # every family ends in its star
            return entry | {"what": entry["what"].replace("*", name)}
    raise CourseError(f"{PATH.name}: {lesson} has no figure '{key}'{nearest(key, keys)}; add it")


def aims() -> list[dict]:
    """What the course set itself beforehand: `lesson, key` and `above` or `below` a bound."""
    return list(_file()["aims"])


def page(name: str) -> list[tuple[str, str]]:
    """`(lesson, key)` of each row of a table of the reference runs."""
    return [tuple(row.split("/")) for row in _file()["pages"][name]]
