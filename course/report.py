"""The report: one static folder that opens from disk, without network, on a phone and on paper."""

import shutil
import sys
from pathlib import Path

import jinja2
from bs4 import BeautifulSoup
from markupsafe import Markup
from pygments.formatters import HtmlFormatter

from course import exports, pages, students
from course.folders import pool, runs, unfinished
from course.settings import NOTEBOOKS, lessons
from helpers import measures, results
from helpers.errors import CourseError

ASSETS = Path(__file__).parent / "assets"
NAME = "Speech emotion recognition that knows when it does not know"
LOOP = {  # what each lesson adds to the loop
    "hear": ("01", "02", "09", "12"),
    "calibrate": ("03", "04", "11"),
    "reject": ("05", "06", "13"),
    "cluster": ("07",),
    "name": ("08",),
    "learn": ("10",),
}
_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pages.TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


def page(title: str, content: str, headings=(), links=(), up: str = "") -> str:
    """A whole page around HTML that is safe already; `links` are `[(address, text)]`."""
    shown = {"title": title, "content": Markup(content), "headings": headings}
    return _environment.get_template("page.html.j2").render(**shown, links=links, up=up)


def _lesson_pages(run: Path, folder: Path, sweep: str, handout: bool) -> list[dict]:
    """Write a page per executed lesson of one run; return what the index shows of each."""
    about = results.read_results(run / "results.json")["run"]
    read = {
        path.stem: pages.read(path)
        for path in sorted((run / "notebooks").glob("*.ipynb"))
        if path.stem in about["seconds"]
    }
    titles = {stem: pages.title(nb) for stem, nb in read.items()}
    stems, up = list(read), "../" if sweep else ""
    cards = [{"stem": stem, "failed": why} for stem, why in about["failed"].items()]
    for i, (stem, nb) in enumerate(read.items()):
        links = [(f"{step}.html", f"← {titles[step]}") for step in stems[max(i - 1, 0) : i]]
        links.append((f"{up}index.html", "Report"))
        links += [(f"{step}.html", f"{titles[step]} →") for step in stems[i + 1 : i + 2]]
        lesson = pages.body(students.handout(nb) if handout else nb, stem, folder, NOTEBOOKS)
        for problem in lesson.problems:
            print(f"ser-course: {run / 'notebooks' / stem}.ipynb: {problem}", file=sys.stderr)
        whole = page(titles[stem], lesson.content, lesson.headings, links, up)
        (folder / f"{stem}.html").write_text(whole, encoding="utf-8")
        base = f"{sweep}/" if sweep else ""
        took = f"{about['seconds'][stem]:.0f} s"
        if stem in about.get("cpu_seconds", {}):
            took += f", {about['cpu_seconds'][stem]:.0f} CPU-seconds"
        card = {"stem": stem, "title": titles[stem], "took": took, "href": f"{base}{stem}.html"}
        cards.append(card | {"picture": base + lesson.figures[-1] if lesson.figures else ""})
    return sorted(cards, key=lambda card: card["stem"])


def _facts(each: dict[str, dict], sweep: bool) -> list[list[str]]:
    """What was run, when, how and where: a header, then a line for each run.

    Of a sweep a line for each `<corpus>-<encoder>`: what its runs differ in stands side by side.
    """
    grouped: dict[str, list[dict]] = {}
    for name, read in each.items():
        group = name.rpartition("-")[0] if sweep else name
        told = read["run"] | {"seeds": ", ".join(map(str, read["run"]["seeds"]))}
        grouped.setdefault(group, []).append(told | {"date": told.get("date", "")[:10]})
    fields = ("corpus", "encoder", "profile", "seeds", "date", "commit", "machine", "threads")
    there = [f for f in fields if any(run.get(f) for group in grouped.values() for run in group)]
    rows = [
        [", ".join(dict.fromkeys(str(run.get(field, "")) for run in group)) for field in there]
        for group in grouped.values()
    ]
    return [there, *rows]


def _found(measured: dict[str, dict], lesson: str, key: str) -> list[dict | None]:
    return [r["notebooks"].get(lesson, {}).get(key) for r in measured.values()]


def _claims() -> list[dict]:
    """Figures that a source gives a number for: `lesson, key`, and what is said of them."""
    return [
        entry | {"lesson": lesson, "key": key}
        for lesson, keys in measures.lessons().items()
        for key, entry in keys.items()
        if "source" in entry
    ]


def _index(measured: dict, each: dict, cards: dict, missing: list[str]) -> str:
    """The first page's content."""
    claims = [(c, _found(measured, c["lesson"], c["key"])) for c in _claims()]
    keys = {
        (n, key): None for r in measured.values() for n, e in r["notebooks"].items() for key in e
    }
    recorded = []
    for lesson, key in keys:
        found = _found(measured, lesson, key)
        clips = next((e["n"] for e in found if e and e["n"] is not None), "")
        recorded.append((lesson, key, found, clips))
    about, sweep = [read["run"] for read in each.values()], "" not in each
    versions = ", ".join(f"{k} {v}" for k, v in about[0]["versions"].items())
    commands = dict.fromkeys(a["command"] for a in about if "command" in a)
    there = {card["stem"][:2]: card.get("href") for each in cards.values() for card in each}
    steps = [(step, [(n, there.get(n)) for n in numbers]) for step, numbers in LOOP.items()]
    drawn = _environment.get_template("loop.svg.j2").render(steps=steps)
    return _environment.get_template("index.html.j2").render(
        name=NAME,
        loop_map=Markup(drawn),
        shown=results.shown,
        facts=_facts(each, sweep),
        heard={(a["encoder"], corpus) for a in about for corpus in a["corpus"].split("+")},
        missing=missing,
        claims=[(claim, found) for claim, found in claims if any(found)],
        titles=measures.sources().values(),
        measured=measured,
        sweep=sweep,
        recorded=recorded,
        lessons=cards,
        commands=commands,
        versions=f"{versions}. {len(lessons())} lessons in the course.",
    )


def build(out: Path, handout: bool = False) -> Path:
    """Write the report over the run or sweep in `out` to `out/report`; return its index.

    With `handout` to `out/handout`, without solutions and notes for the instructor. Raises
    CourseError when there is nothing to report, or a results file cannot be read.
    """
    found = runs(out)
    if not found:
        raise CourseError(f"{out}: no results.json here; run the course first: ser-course run")
    sweep = "" not in found
    each = {name: results.read_results(path / "results.json") for name, path in found.items()}
    measured = pool(out) if sweep else each
    target = out / ("handout" if handout else "report")
    folder = target.with_suffix(".part")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ASSETS, folder)
    cards = {}
    for name, path in found.items():
        (folder / name).mkdir(exist_ok=True)
        cards[name] = _lesson_pages(path, folder / name, name, handout)
    soup = BeautifulSoup(_index(measured, each, cards, unfinished(out)), "html.parser")
    headings = pages.anchors(soup)
    exports.finish_tables(soup, "index", folder)
    exports.write_results(folder, measured)
    (folder / "tables" / "sources.bib").write_text(exports.bibtex(), encoding="utf-8")
    (folder / "index.html").write_text(page(NAME, str(soup), headings), encoding="utf-8")
    with open(folder / "style.css", "a", encoding="utf-8") as style:
        style.write(code_style())
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    return target / "index.html"


def code_style() -> str:
    """CSS for highlighted code: readable in black and white, and on a dark screen."""
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light = HtmlFormatter(style="bw").get_style_defs(".highlight")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
