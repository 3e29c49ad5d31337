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

from helpers.provenance import older
from helpers.results import read_results
from tools import encoder_tables, reference_tables
from tools.benchmark_folds import PUBLISHED, SHARED_SPEAKERS
from tools.reference_tables import ELSEWHERE, MAIN, OLDER, REFERENCE, rows

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "data" / "encoders" / "embedded" / "README.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "figures.md", REFERENCE / "README.md", CARD)
LOCK = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.M))
TITLES = {
    "emodb": "EMO-DB",
    "ravdess": "RAVDESS",
    "savee": "SAVEE",
    "emovo": "EMOVO",
    "tess": "TESS",
}
# Figures that a lesson tags `figure-KIND`, in the order of the lessons.
FIGURES = (
    ("leakage", "01: MFCC on random and on unseen speakers"),
    ("probe-by-layer", "02: what each layer knows"),
    ("loss", "02: loss by step"),
    ("walk", "02: from the probe to the network"),
    ("shares", "02: what the embeddings tell apart"),
    ("enrolled", "02: recall by clips of a voice"),
    ("noise-floor", "03: the noise floor of the ECE"),
    ("reliability", "04: reliability before and after"),
    ("risk-coverage", "04: risk against coverage"),
    ("known-unknown", "05: entropy of known and of unknown clips"),
    ("entropy-voice", "05: the entropy, with a voice and without"),
    ("f1-by-rate", "06: F1 of unknown by the share of known clips lost"),
    ("unknown-voice", "06: the recommended form, with a voice and without"),
    ("map", "07: a map of the unknown clips"),
    ("clusters-voice", "07: clusters, with a voice and without"),
    ("planes", "08: where PAD puts the unknown clips"),
    ("names-voice", "08: names, with a voice and without"),
    ("branches", "09: branches, ensembles, controls"),
    ("new-emotion", "10: recall of a new emotion by clips taught"),
    ("two-curves", "11: one set of probabilities, counted in two ways"),
    ("speaker-left", "12: what is left of the speaker"),
    ("detectors", "13: every detector, with a voice and without"),
)


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
            # The first rows have ends of a plain bootstrap, which promise too much: not shown.
            shape = "{value:.1f}" + (" [{low:.1f}, {high:.1f}]" if "intervals" not in row else "")
            cells.append("–" if ua is None else shape.format(**{k: 100 * v for k, v in ua.items()}))
        later = [r["key"] for r in scored[number:] if r["encoder"] == row["encoder"]]
        which = row["encoder"] + (" (earlier weights)" if set(later) - {row["key"]} else "")
        body.append([which, f"{row['parameters'] / 1e6:.1f} M", *cells])
    for name, size, which in (
        ("wav2vec2-base, published", "95 M", 0),
        ("best of ten encoders, published", "", 1),
    ):
        body.append([name, size, *(f"{PUBLISHED[c][which]:.2f}" for c in PUBLISHED)])
    return rows(header, body)


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


def rate() -> str:
    """UAR in % and NLL on tuning speakers, turn by turn, of each rate that was tried."""
    path = REFERENCE / "rate.json"
    if not path.is_file():
        return "Not measured with the present weights."
    kept = json.loads(path.read_text(encoding="utf-8"))
    numbers = [f"turn {turn + 1}" for turn in range(kept["turns"])]
    heads = [f"{what}, {number}" for what in ("UAR, %", "NLL") for number in numbers]
    body = [
        [name, *(f"{100 * v:.1f}" for v in found["uar"]), *(f"{v:.3f}" for v in found["nll"])]
        for name, found in kept["scores"].items()
    ]
    return rows([f"{TITLES[kept['corpus']]}, seed {kept['seed']}", *heads], body)


def seeds() -> str:
    """Which seeds of each lesson have run on each reference."""
    columns = (*reference_tables.ALL, *ELSEWHERE)
    paths = {title: REFERENCE / f"{name}.json" for name, title in columns}
    files = {title: read_results(path) for title, path in paths.items() if path.is_file()}
    body = []
    for lesson in sorted({lesson for file in files.values() for lesson in file["notebooks"]}):
        cells = []
        for file in files.values():
            entries = file["notebooks"].get(lesson, {}).values()
            ran = sorted({seed for entry in entries for seed in entry["seeds"]})
            old = OLDER if ran and older(file["run"], lesson) else ""
            cells.append((", ".join(map(str, ran)) or "–") + old)
        body.append([lesson[:2], *cells])
    return rows(["lesson", *files], body)


def origins() -> str:
    """Lessons that ran on a machine with a GPU or with more cores, or with packages not locked."""
    lines = []
    for name, title in (*reference_tables.ALL, *ELSEWHERE):
        path, places = REFERENCE / f"{name}.json", {}
        run = read_results(path)["run"] if path.is_file() else {}
        for lesson, seeds in run.get("origins", {}).items():
            for seed, told in seeds.items():
                others = {n: v for n, v in told["versions"].items() if LOCK.get(n, v) != v}
                if others or not re.search(r", 2 cores, \d+ GiB$", told["machine"]):
                    where = [told["machine"], *(f"{n} {v}" for n, v in others.items())]
                    places.setdefault((lesson[:2], ", ".join(where)), []).append(seed)
        for (lesson, where), ran in places.items():
            lines.append(f"- {lesson}, {title}, seeds {', '.join(ran)}: {where}")
    return "\n".join(lines)


def gallery() -> str:
    """Links to the figures that `collect_reference.py` took from the executed lessons."""
    columns = (*reference_tables.ALL, *ELSEWHERE)
    body = []
    for kind, what in FIGURES:
        paths = [ROOT / "figures" / f"{name}-{kind}.png" for name, _ in columns]
        body.append(
            [what, *(f"[{kind}](../../figures/{p.name})" if p.is_file() else "–" for p in paths)]
        )
    return rows(["first seed", *(title for _, title in columns)], body)


TABLES = reference_tables.TABLES | {
    "folds": folds,
    "intervals": intervals,
    "layers": layers,
    "rate": rate,
    "gallery": gallery,
    "seeds": seeds,
    "origins": origins,
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
