"""A static site of the executed lessons: the report, the documentation, and a search over all.

It needs no server and no network: `index.html` opens from disk too.
"""

import json
import re
import shutil
from pathlib import Path

from bs4 import BeautifulSoup

from course import exports, pages, report
from course.settings import ROOT

DOCUMENTS = {  # page of the site: where it is written
    "index": ROOT / "README.md",
    "figures-of-reference": ROOT / "data" / "reference" / "README.md",
    "contributing": ROOT / "CONTRIBUTING.md",
    "changelog": ROOT / "CHANGELOG.md",
} | {path.stem: path for path in sorted((ROOT / "docs").glob("*.md"))}
BAR = """<form class="bar" action="{up}search.html" role="search">
<a href="{up}index.html">The course</a>
<a href="{up}results.html">Results and lessons</a>{links}
<input type="search" name="q" aria-label="search" placeholder="Search"></form>"""
IN_BAR = ("teaching", "thousand_runs", "architecture")  # of the documents
SEARCH = """<h1>Search</h1><p id="count">Type into the field above.</p><ol id="hits"></ol>
<noscript>Search needs JavaScript; every page has its contents without it.</noscript>
<script src="search-index.js"></script><script src="search.js"></script>"""


def _target(address: str, start: Path, folder: Path) -> str | None:
    """Where a link of a document leads on the site; None where the site has no such page."""
    path, _, anchor = address.partition("#")
    if not path or re.match(r"[a-z]+:", address):
        return address
    aim = (start / path).resolve()
    if aim.suffix == ".png" and aim.is_file():
        shutil.copy(aim, folder / "figures")
        return f"figures/{aim.name}"
    written = {source.resolve(): name for name, source in DOCUMENTS.items()}
    name = written.get(aim, aim.stem if aim.suffix == ".ipynb" else None)
    if name is None or not (name in DOCUMENTS or (folder / f"{name}.html").exists()):
        return None
    return f"{name}.html" + (f"#{anchor}" if anchor else "")


def _document(name: str, source: Path, folder: Path) -> None:
    """Write one page of documentation."""
    prose = pages.markdown(source.read_text(encoding="utf-8"))
    soup = BeautifulSoup(prose, "html.parser")
    for problem in pages.local_pictures(soup, folder, source.parent):
        print(f"ser-course: {source.name}: {problem}")
    for link in soup.find_all("a", href=True):
        aim = _target(link["href"], source.parent, folder)
        if aim is None:
            link.unwrap()  # a file of the repository that is no page
        else:
            link["href"] = aim
    headings = pages.anchors(soup)
    exports.finish_tables(soup, name, folder)
    title = headings[0][2] if headings else name
    (folder / f"{name}.html").write_text(report.page(title, str(soup), headings), encoding="utf-8")


def _sections(path: Path, folder: Path) -> list[list[str]]:
    """What the search knows of a page: `[address, page title, heading, text]` by section."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    address, title = path.relative_to(folder).as_posix(), soup.title.get_text()
    found = [[address, title, title, ""]]
    for element in soup.main.find_all(["h1", "h2", "h3", "p", "li", "td", "pre", "summary"]):
        if element.name in ("h1", "h2", "h3"):
            heading = element.get_text(" ", strip=True).removesuffix("#").strip()
            found.append([f"{address}#{element.get('id', '')}", title, heading, ""])
        elif not element.find(["p", "li", "pre"]):  # their text comes with them
            found[-1][3] += element.get_text(" ", strip=True) + " "
    return [section for section in found if section[3]]


def build(out: Path) -> Path:
    """Write the site over the run in `out` to `out/site`; return its first page.

    Errors: CourseError as the report does.
    """
    folder = report.build(out).parent
    target, part = out / "site", out / "site.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(folder, part)
    (part / "index.html").rename(part / "results.html")
    for name, source in DOCUMENTS.items():
        if source.is_file():
            _document(name, source, part)
    (part / "search.html").write_text(report.page("Search", SEARCH), encoding="utf-8")
    shown = [n for n in IN_BAR if (part / f"{n}.html").exists()]
    sections = []
    for path in sorted(part.rglob("*.html")):
        sections += _sections(path, part)
        up = "../" * (len(path.relative_to(part).parts) - 1)
        words = ((name, name.replace("_", " ").capitalize()) for name in shown)
        links = "".join(f'<a href="{up}{name}.html">{word}</a>' for name, word in words)
        text = path.read_text(encoding="utf-8")
        text = text.replace(f'href="{up}index.html">Report', f'href="{up}results.html">Results')
        text = text.replace("<body>", "<body>" + BAR.format(up=up, links=links), 1)
        path.write_text(text, encoding="utf-8")
    known = json.dumps(sections, ensure_ascii=False).replace("</", "<\\/")
    (part / "search-index.js").write_text(f"const SECTIONS = {known};\n", encoding="utf-8")
    shutil.copy(pages.TEMPLATES / "search.js", part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return target / "index.html"
