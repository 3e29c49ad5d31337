"""Tables as files: every table of a page as CSV and LaTeX, all that was recorded, BibTeX."""

import csv
from pathlib import Path

import pandas as pd
import yaml

from course.settings import ROOT
from helpers import measures
from helpers.errors import CourseError
from helpers.files import replacing

CITATION = ROOT / "CITATION.cff"
TEX_HEAD = "% \\usepackage{booktabs}; for other than Latin letters LuaLaTeX or XeLaTeX\n"


def write_table(stem: Path, header: list[str], rows: list[list]) -> None:
    """Write `stem.csv` and `stem.tex`: numbers in full, nothing for None."""
    with replacing(stem.with_suffix(".csv")) as part:
        with open(part, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])
    frame = pd.DataFrame(rows, columns=header, dtype=object)
    tex = frame.to_latex(index=False, escape=True, na_rep="", float_format="%.4g")
    with replacing(stem.with_suffix(".tex")) as part:
        part.write_text(TEX_HEAD + tex, encoding="utf-8")


# --- tables of a page -------------------------------------------------------------------------


def _grid(lines) -> list[list]:
    """The cells of some `<tr>`, those that span several places repeated in each."""
    filled: dict[tuple[int, int], object] = {}
    for row, line in enumerate(lines):
        column = 0
        for cell in line.find_all(["th", "td"], recursive=False):
            while (row, column) in filled:
                column += 1
            for down in range(int(cell.get("rowspan", 1))):
                for right in range(int(cell.get("colspan", 1))):
                    filled[row + down, column + right] = cell
    width = 1 + max((column for _, column in filled), default=-1)
    return [[filled.get((r, c)) for c in range(width)] for r in range(len(lines))]


def _text(cell) -> str:
    return cell.get_text(" ", strip=True) if cell is not None else ""


def finish_tables(soup, stem: str, folder: Path) -> None:
    """Label the cells of every table by their column, write it as files, and link to these.

    On a narrow screen a row becomes a card, whose lines start with the labels.
    """
    for number, table in enumerate(soup.find_all("table"), 1):
        head = table.thead.find_all("tr") if table.thead else []
        lines = [line for line in table.find_all("tr") if line not in head]
        columns = zip(*_grid(head), strict=True) if head else []
        header = [" ".join(dict.fromkeys(filter(None, map(_text, each)))) for each in columns]
        rows = _grid(lines)
        header += [""] * (max(map(len, rows), default=0) - len(header))
        for row in rows:
            for label, cell in zip(header, row, strict=False):
                if cell is not None and label:
                    cell["data-label"] = label
        wide = table.wrap(soup.new_tag("div", attrs={"class": "wide"}))
        name = f"{stem}-{number}"
        write_table(folder / "tables" / name, header, [[_text(c) for c in row] for row in rows])
        wide.insert_after(_links(soup, name))


def _links(soup, name: str):
    note = soup.new_tag("p", attrs={"class": "note files"})
    for kind, text in (("csv", "CSV"), ("tex", "LaTeX")):
        link = soup.new_tag("a", href=f"tables/{name}.{kind}")
        link.string = text
        note.extend([link, " "])
    return note


# --- what was recorded ------------------------------------------------------------------------

FIELDS = ("value", "low", "high", "n", "seeds", "reason")


def _measure(lesson: str, key: str) -> dict:
    try:
        return measures.measure(lesson, key)
    except CourseError:  # a lesson or a key of one's own
        return {"what": "", "unit": ""}


def write_results(folder: Path, measured: dict[str, dict]) -> None:
    """Write `results.csv` and `results.tex`: a line for each key of each group, in full."""
    rows = []
    for group, results in measured.items():
        for lesson, entries in results["notebooks"].items():
            for key, entry in entries.items():
                about = entry | {"seeds": " ".join(map(str, entry["seeds"]))}
                told = _measure(lesson, key)
                named = [group, lesson, key, told["what"], told["unit"]]
                rows.append([*named, *(about.get(field) for field in FIELDS)])
    header = ["run", "lesson", "key", "what", "unit", *FIELDS]
    write_table(folder / "tables" / "results", header, rows)


def bibtex() -> str:
    """The course and its sources as BibTeX."""
    about = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    authors = " and ".join(
        f"{{{a['name']}}}" if "name" in a else f"{a['family-names']}, {a['given-names']}"
        for a in about["authors"]
    )
    fields = {"author": authors, "title": f"{{{about['title']}}}", "version": about["version"]}
    if "date-released" in about:
        fields["year"] = str(about["date-released"])[:4]
    entries = [("software", "sercourse", fields)]
    for number, said in measures.sources().items():
        names, _, heading = said.partition(": ")
        people = names.replace(" et al.", ", others").split(", ")
        fields = {"author": " and ".join(people), "title": f"{{{heading}}}"}
        entries.append(("misc", f"source{number}", fields | {"note": f"source {number}"}))
    return "\n".join(
        f"@{kind}{{{name},\n" + "".join(f"  {k} = {{{v}}},\n" for k, v in each.items()) + "}\n"
        for kind, name, each in entries
    )
