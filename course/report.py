"""The report: one static folder that opens from disk, without network, on a phone and on paper."""

import html
import shutil
from pathlib import Path

from course import pages
from course.runner import pool, runs
from course.settings import NOTEBOOKS, lessons
from helpers import measures, results
from helpers.errors import CourseError

STYLE = Path(__file__).with_name("report.css")
NAME = "Speech emotion recognition that knows when it does not know"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="stylesheet" href="{up}style.css"></head>
<body>{top}<main>
{content}
</main>{bottom}</body></html>
"""
SYNTHETIC = """<p class="note">The embedded corpus is <strong>synthetic</strong> speech. Its figures
show the mechanics of the methods; claims are made on real speech.</p>"""


def _esc(text) -> str:
    return html.escape(str(text))


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A table of cells that are HTML already."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>\n" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def sources() -> dict:
    """What the sources claim, each beside the key that measures it here."""
    return {"sources": measures.sources(), "claims": measures.claims()}


def _cells(entry: dict | None) -> list[str]:
    """Measured value and interval of an entry, as two cells."""
    if entry is None:
        return ["–", ""]
    if entry["value"] is None:
        return ["–", f'<span class="note">{_esc(entry["reason"])}</span>']
    value, _, interval = results.shown(entry).partition(" ")
    return [f"<strong>{value}</strong>", interval]


def comparison(measured: dict[str, dict]) -> str:
    """The table source | measured | interval | what differs, of results by group."""
    claims = sources()
    several = len(measured) > 1
    header = ["", "source"]
    for group in measured:
        header += [_esc(group) if several else "measured", "interval (95 %)"]
    rows = []
    for claim in claims["claims"]:
        found = [
            r["notebooks"].get(claim["lesson"], {}).get(claim["key"]) for r in measured.values()
        ]
        if any(found):
            cells = [cell for entry in found for cell in _cells(entry)]
            link = f'{_esc(claim["what"])} <span class="note">{claim["lesson"][:2]}</span>'
            source = f'{claim["value"]:g} <span class="note">[{claim["source"]}]</span>'
            rows.append([link, source, *cells, _esc(claim["differs"])])
    titles = "".join(f"<li>{_esc(title)}</li>" for title in claims["sources"].values())
    if not rows:
        return "<p>No figure that a source also claims was measured in this run.</p>"
    table = f'<div class="claims">{_table([*header, "what differs"], rows)}</div>'
    return table + f'<ol class="sources">{titles}</ol>'


def _everything(measured: dict[str, dict]) -> str:
    """Every recorded value, folded."""
    keys = {
        (nb, key): None for r in measured.values() for nb, e in r["notebooks"].items() for key in e
    }
    rows = []
    for nb, key in keys:
        found = [r["notebooks"].get(nb, {}).get(key) for r in measured.values()]
        clips = next((e["n"] for e in found if e and e["n"] is not None), "")
        cells = [cell for entry in found for cell in _cells(entry)]
        rows.append([_esc(nb), f"<code>{_esc(key)}</code>", *cells, str(clips)])
    header = ["lesson", "key"]
    for group in measured:
        header += [_esc(group) if len(measured) > 1 else "measured", "interval (95 %)"]
    table = _table([*header, "clips"], rows)
    return f"<details><summary>All that was recorded</summary>{table}</details>"


def _lesson_pages(run: Path, folder: Path, sweep: str) -> str:
    """Write a page per executed lesson of one run; return their list as HTML."""
    about = results.read_results(run / "results.json")["run"]
    done = {
        p.stem: p for p in sorted((run / "notebooks").glob("*.ipynb")) if p.stem in about["seconds"]
    }
    read = {stem: pages.read(path) for stem, path in done.items()}
    titles = {stem: pages.title(nb) for stem, nb in read.items()}
    items, stems, up = [], list(read), "../" if sweep else ""
    for i, (stem, nb) in enumerate(read.items()):
        links = [f'<a href="{stems[i - 1]}.html">← {_esc(titles[stems[i - 1]])}</a>'] if i else []
        links.append(f'<a href="{up}index.html">Report</a>')
        for step in stems[i + 1 : i + 2]:
            links.append(f'<a href="{step}.html">{_esc(titles[step])} →</a>')
        bar = f"<nav>{''.join(links)}</nav>"
        content, names = pages.body(nb, stem, folder, NOTEBOOKS)
        page = PAGE.format(
            title=_esc(titles[stem]),
            up=up,
            top=bar,
            content=content,
            bottom=bar,
        )
        (folder / f"{stem}.html").write_text(page, encoding="utf-8")
        base = f"{sweep}/" if sweep else ""
        picture = f'<img src="{base}figures/{names[-1]}" alt="" loading="lazy">' if names else ""
        took = f"{about['seconds'][stem]:.0f} s"
        link = f'<a href="{base}{stem}.html">{picture}<strong>{_esc(titles[stem])}</strong></a>'
        items.append((stem, f'<li>{link} <span class="note">{took}</span></li>'))
    for stem, why in about["failed"].items():
        line = f'<li class="failed"><strong>{_esc(stem)}</strong> failed: {_esc(why)}</li>'
        items.append((stem, line))
    return f'<ul class="lessons">{"".join(line for _, line in sorted(items))}</ul>'


def build(out: Path) -> Path:
    """Write the report over the run or sweep in ``out`` to ``out/report``; return its index.

    Raises CourseError when there is nothing to report, or a results file cannot be read.
    """
    found = runs(out)
    if not found:
        raise CourseError(f"{out}: no results.json here; run the course first: ser-course run")
    sweep = "" not in found
    each = {name: results.read_results(path / "results.json") for name, path in found.items()}
    measured = pool(out) if sweep else each
    folder = out / "report.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    listing = []
    for name, path in found.items():
        (folder / name).mkdir(exist_ok=True)
        listing.append(f"<h3>{_esc(name)}</h3>" if sweep else "")
        listing.append(_lesson_pages(path, folder / name, name))
    about = [r["run"] for r in measured.values()]
    facts = [
        ["corpus", "encoder", "profile", "seeds"],
        *(
            [_esc(a[k]) for k in ("corpus", "encoder", "profile")]
            + [", ".join(map(str, a["seeds"]))]
            for a in about
        ),
    ]
    versions = ", ".join(f"{_esc(k)} {_esc(v)}" for k, v in about[0]["versions"].items())
    synthetic = SYNTHETIC if any("embedded" in a["corpus"].split("+") for a in about) else ""
    over = " Values are means over seeds; intervals hold every seed." if sweep else ""
    content = f"""<h1>{NAME}</h1>
{_table(facts[0], facts[1:])}{synthetic}
<h2>Beside the sources</h2>
<p>Intervals redraw speakers.{over} The small number names the lesson.</p>
{comparison(measured)}{_everything(measured)}
<h2>Lessons</h2>{"".join(listing)}
<p class="note">{versions}; threads {_esc(about[0]["threads"])}.
{len(lessons())} lessons in the course.</p>"""
    page = PAGE.format(title=NAME, up="", top="", content=content, bottom="")
    (folder / "index.html").write_text(page, encoding="utf-8")
    style = STYLE.read_text(encoding="utf-8") + pages.code_style()
    (folder / "style.css").write_text(style, encoding="utf-8")
    target = out / "report"
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)
    return target / "index.html"
