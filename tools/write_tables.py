"""Fill the generated tables of the pages from `data/reference/*.json`.

    python -m tools.write_tables [--check]

A table stands between `<!-- NAME -->` and `<!-- end -->`. `--check` writes nothing and fails when a
table no longer says what the results say: a test runs it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from helpers import measures, results
from helpers.provenance import older
from tools import encoder_tables
from tools.benchmark_folds import PUBLISHED, SHARED_SPEAKERS

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
CARD = ROOT / "data" / "encoders" / "embedded" / "README.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "figures.md", REFERENCE / "README.md", CARD)
TITLES = {
    "emodb": "EMO-DB",
    "ravdess": "RAVDESS",
    "savee": "SAVEE",
    "emovo": "EMOVO",
    "tess": "TESS",
}
MAIN = (("ravdess", "RAVDESS"), ("emodb", "EMO-DB"))
WHISPER = "whisper-base-4"  # the lower layers of a Whisper encoder, `tools/cut_encoder.py`
LARGE = [(f"{name}-{WHISPER}", f"{title}, Whisper") for name, title in MAIN]
OLDER = " (older)"  # lesson, code or encoder changed since: make reference says which
FOUR = "ravdess+crema_d+tess+savee"
# Figures that a lesson tags `figure-KIND`, in the order of the lessons.
FIGURES = (
    ("leakage", "01: MFCC on random and on unseen speakers"),
    ("probe-by-layer", "02: what each layer knows"),
    ("walk", "02: from the probe to the network"),
    ("noise-floor", "03: the noise floor of the ECE"),
    ("reliability", "04: reliability before and after"),
    ("risk-coverage", "04: risk against coverage"),
    ("known-unknown", "05: entropy of known and of unknown clips"),
    ("f1-by-rate", "06: F1 of unknown by the share of known clips lost"),
    ("map", "07: a map of the unknown clips"),
    ("planes", "08: where PAD puts the unknown clips"),
    ("branches", "09: branches, ensembles, controls"),
    ("new-emotion", "10: recall of a new emotion by clips taught"),
    ("two-curves", "11: one set of probabilities, counted in two ways"),
    ("speaker-left", "12: what is left of the speaker"),
    ("detectors", "13: every detector, with a voice and without"),
)


def rows(header: list[str], body: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def folds() -> str:
    """UA in % on the public folds, beside the published rows."""
    scored = json.loads((REFERENCE / "folds.json").read_text(encoding="utf-8"))
    header = [
        "encoder",
        "parameters",
        *(TITLES[c] + ("*" if c in SHARED_SPEAKERS else "") for c in PUBLISHED),
    ]
    body = []
    for number, row in enumerate(scored):
        cells = []
        for corpus in PUBLISHED:
            ua = row["corpora"].get(corpus, {}).get("ua")
            cells.append(
                "–"
                if ua is None
                else "{value:.1f} [{low:.1f}, {high:.1f}]".format(
                    **{k: 100 * ua[k] for k in ("value", "low", "high")}
                )
            )
        later = [r["key"] for r in scored[number:] if r["encoder"] == row["encoder"]]
        which = row["encoder"] + (" (earlier weights)" if set(later) - {row["key"]} else "")
        body.append([which, f"{row['parameters'] / 1e6:.1f} M", *cells])
    for name, size, which in (
        ("wav2vec2-base, published", "95 M", 0),
        ("best of ten encoders, published", "", 1),
    ):
        body.append([name, size, *(f"{PUBLISHED[c][which]:.2f}" for c in PUBLISHED)])
    return rows(header, body)


PERCENT = ("share", "percent")  # units shown times 100


def _cell(entry: dict | None, unit: str) -> str:
    if entry is None:
        return "–"
    if entry["value"] is None:
        return "not measured"
    scale, digits = (100, 1) if unit in PERCENT else (1, 3)
    text = f"{entry['value'] * scale:.{digits}f}"
    if entry.get("low") is None:
        return text
    return f"{text} [{entry['low'] * scale:.{digits}f}, {entry['high'] * scale:.{digits}f}]"


def _claimed(figure: dict) -> str:
    if "source" not in figure:
        return ""
    return f"{_cell({'value': figure['claimed']}, figure['unit'])} (source {figure['source']})"


def measured(page: str, columns) -> str:
    """Figures of the reference runs that are there, beside what a source claims elsewhere."""
    shown = measures.page(page)
    files = {
        title: results.read_results(REFERENCE / f"{name}.json")
        for name, title in columns
        if (REFERENCE / f"{name}.json").is_file()
    }
    lessons = {lesson for lesson, _ in shown}
    files = {title: file for title, file in files.items() if lessons & set(file["notebooks"])}
    heads = []
    for title, file in files.items():
        seeds = file["run"]["seeds"]
        heads.append(f"{title}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    stale = [{lesson for lesson in lessons if older(f["run"], lesson)} for f in files.values()]
    body = []
    for lesson, key in shown:
        entries = [file["notebooks"].get(lesson, {}).get(key) for file in files.values()]
        if any(entries):
            figure = measures.measure(lesson, key)
            what = figure["what"] + (", %" if figure["unit"] in PERCENT else "")
            cells = [
                _cell(entry, figure["unit"]) + (OLDER if entry and lesson in old else "")
                for entry, old in zip(entries, stale, strict=True)
            ]
            body.append([what, *cells, _claimed(figure)])
    body = _whole_columns(heads, body)
    return rows(["", *heads, "claimed, on other data"], body)


def _whole_columns(heads: list[str], body: list[list[str]]) -> list[list[str]]:
    """Say "older" once, in the head of a column (changed in place) that is older throughout."""
    for i in range(len(heads)):
        cells = [line[i + 1] for line in body if line[i + 1] != "–"]
        if all(cell.endswith(OLDER) for cell in cells):
            heads[i] += OLDER
            for line in body:
                line[i + 1] = line[i + 1].removesuffix(OLDER)
    return body


def aims() -> str:
    """Each aim, and what the reference runs say of it: one rule for all."""
    columns = [*MAIN, *LARGE, (FOUR, "four corpora")]
    files = [results.read_results(REFERENCE / f"{name}.json") for name, _ in columns]
    heads, body = [title for _, title in columns], []
    for aim in measures.aims():
        side = "above" if "above" in aim else "below"
        figure = measures.measure(aim["lesson"], aim["key"])
        cells = []
        for column, file in zip(columns, files, strict=True):
            entry = file["notebooks"].get(aim["lesson"], {}).get(aim["key"])
            cell = _cell(entry, figure["unit"])
            if aim["key"] == "uar_gain_over_probe" and column in LARGE:  # two linear heads
                cell = "not fine-tuned"
            elif entry is not None and entry["value"] is not None:
                cell = f"{results.verdict(entry, **{side: aim[side]})}: {cell}"
            cells.append(cell + (OLDER if entry and older(file["run"], aim["lesson"]) else ""))
        bound = _cell({"value": aim[side]}, figure["unit"])
        percent = ", %" if figure["unit"] in PERCENT else ""
        body.append([f"{figure['what']}{percent}, {side} {bound}", *cells])
    body = _whole_columns(heads, [line for line in body if set(line[1:]) != {"–"}])
    return rows(["aim", *heads], body)


def first() -> str:
    """The few rows of the first page."""
    return measured("first", MAIN)


def headline() -> str:
    """The rows that the page of figures begins with."""
    return measured("headline", [*MAIN, *LARGE])


def spine() -> str:
    """Lessons 01-04 on real speech with both encoders, and on the synthetic corpus."""
    return measured("spine", [*MAIN, *LARGE, ("embedded", "embedded corpus")])


def unknown() -> str:
    """Lessons 05-08: the two main corpora with both encoders, and the synthetic one."""
    return measured("unknown", [*MAIN, *LARGE, ("embedded", "embedded corpus")])


def ensemble() -> str:
    """Lesson 09 on the four joined corpora, and on each main one."""
    return measured("ensemble", [(FOUR, "four corpora"), *MAIN])


def intervals() -> str:
    """What the intervals held in simulation: coverage in %, mean width over what is needed."""
    kept = json.loads((REFERENCE / "intervals.json").read_text(encoding="utf-8"))["corpora"]
    columns = [(name, title, n) for name, title in reversed(MAIN) for n in kept[name]]
    body = [
        [what, *("{coverage:.1%}, {width_over_needed:.2f}".format(**kept[c][n][what])
                 for c, _, n in columns)]
        for what in kept["emodb"]["4"]
    ]  # fmt: skip
    return rows(["", *(f"{title}, {n} speakers" for _, title, n in columns)], body)


def layers() -> str:
    """What fewer layers gain over all that heads read, on corpora that measure nothing else."""
    kept = json.loads((REFERENCE / "layers.json").read_text(encoding="utf-8"))
    columns = [(corpus, who) for corpus in ("nemo", "crema_d") for who in ("enrolled", "nobody")]
    titles = {"nemo": "nEMO", "crema_d": "CREMA-D", "enrolled": "with a voice", "nobody": "without"}
    body = []
    for encoder, found in kept.items():
        every = ", ".join(map(str, found["layers"]))
        cells = [[found[c][who]["uar"], *found[c][who]["gain"].values()] for c, who in columns]
        names = [f"{encoder}: UAR of layers {every}", *found["nemo"]["enrolled"]["gain"]]
        body += [
            [name, *("{:.1f} [{:.1f}, {:.1f}]".format(*(x + 0 for x in cell)) for cell in line)]
            for name, *line in zip(names, *cells, strict=True)
        ]
    return rows(["points", *(f"{titles[c]}, {titles[who]}" for c, who in columns)], body)


def gallery() -> str:
    """Links to the figures that `collect_reference.py` took from the executed lessons."""
    columns = [*MAIN, *LARGE, ("embedded", "embedded corpus")]
    body = []
    for kind, what in FIGURES:
        paths = [ROOT / "figures" / f"{name}-{kind}.png" for name, _ in columns]
        body.append(
            [what, *(f"[{kind}](../../figures/{p.name})" if p.is_file() else "–" for p in paths)]
        )
    return rows(["seed 0", *(title for _, title in columns)], body)


TABLES = {
    "folds": folds,
    "first": first,
    "headline": headline,
    "aims": aims,
    "spine": spine,
    "unknown": unknown,
    "ensemble": ensemble,
    "intervals": intervals,
    "layers": layers,
    "gallery": gallery,
    "training": lambda: rows(*encoder_tables.training()),
    "hours": lambda: rows(*encoder_tables.hours()),
    "pilots": lambda: rows(*encoder_tables.pilots()),
    "speed": lambda: rows(*encoder_tables.speed()),
    "head": lambda: rows(*encoder_tables.head(TITLES | {"nemo": "nEMO"})),
}


def filled(text: str) -> str:
    """`text` with each generated table made anew."""

    def table(match: re.Match) -> str:
        return f"<!-- {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    names = "|".join(TABLES)
    return re.sub(rf"<!-- ({names}) -->\n.*?<!-- end -->", table, text, flags=re.S)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if check and new != text:
            sys.exit(f"{page.name}: tables are stale; run python -m tools.write_tables")
        if new != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
