"""Fill the generated tables of the README files from `data/reference/*.json`.

    python -m tools.write_tables [--check]

A table stands between `<!-- NAME -->` and `<!-- end -->`. `--check` writes nothing and fails when a
table no longer says what the results say: a test runs it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from course import report
from helpers import results
from tools.benchmark_folds import PUBLISHED, SHARED_SPEAKERS

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "data" / "reference"
CARD = ROOT / "data" / "encoders" / "embedded" / "README.md"
PAGES = (ROOT / "README.md", REFERENCE / "README.md", CARD)
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
FOUR = "ravdess+crema_d+tess+savee"
# Rows: lesson, key, what it is, in percent? Columns: a file in `data/reference`, and its title.
SPINE = (
    ("02_fine_tune", "dummy_uar", "UAR, ignoring the input", True),
    ("01_data", "mfcc_uar", "UAR, MFCC statistics (all emotions)", True),
    ("01_data", "mfcc_uar_random_split", "the same, random split", True),
    ("02_fine_tune", "probe_uar", "UAR, linear probe", True),
    ("02_fine_tune", "uar", "UAR, fine-tuned (Whisper: a head on its last layer)", True),
    ("02_fine_tune", "uar_gain_over_probe", "the same minus the probe", True),
    ("02_fine_tune", "accuracy_random_split", "accuracy, random split", True),
    ("03_calibration", "temperature", "temperature T", False),
    ("03_calibration", "nll_before", "NLL before", False),
    ("03_calibration", "nll_after", "NLL after", False),
    ("03_calibration", "brier_before", "Brier score before", False),
    ("03_calibration", "brier_after", "Brier score after", False),
    ("03_calibration", "ece_before", "ECE before", False),
    ("03_calibration", "ece_floor_before", "its noise floor", False),
    ("03_calibration", "ece_after", "ECE after", False),
    ("03_calibration", "ece_floor", "its noise floor", False),
    ("03_calibration", "ece_reduction", "ECE removed, plain", True),
    ("03_calibration", "ece_excess_reduction", "its excess over the floor removed", True),
    ("04_reliability_diagrams", "aurc", "AURC", False),
    ("04_reliability_diagrams", "coverage_at_95", "kept at 95 % accuracy", True),
)
UNKNOWN = (
    ("02_fine_tune", "uar", "UAR of the known", True),
    ("05_entropy_ood", "auroc_entropy", "AUROC, entropy", True),
    ("06_openmax", "auroc_source", "AUROC, OpenMax as printed", True),
    ("06_openmax", "auroc_bendale", "AUROC, Bendale & Boulton", True),
    ("06_openmax", "auroc_mahalanobis", "AUROC, Mahalanobis", True),
    ("06_openmax", "auroc_recommended", "AUROC, recommended form", True),
    ("06_openmax", "fpr95_recommended", "FPR95, recommended form", True),
    ("06_openmax", "fpr95_recommended_known_positive", "the same, known positive", True),
    ("06_openmax", "auroc_calm", "of calm alone, recommended form", True),
    ("06_openmax", "auroc_fearful", "of fearful alone", True),
    ("06_openmax", "auroc_disgust", "of disgust alone", True),
    ("06_openmax", "auroc_bored", "of bored alone", True),
    ("06_openmax", "auroc_leave_one_emotion_out", "every emotion in turn, frozen encoder", True),
    (
        "06_openmax",
        "own_class_lost_source",
        "known clips that lose their own class (turn 0), as printed",
        True,
    ),
    ("06_openmax", "own_class_lost_recommended", "the same, recommended form", True),
    ("06_openmax", "eta2_emotion", "what a distance sees, beyond chance: emotion", True),
    ("06_openmax", "eta2_speaker", "speaker", True),
    ("06_openmax", "eta2_sentence", "sentence", True),
    ("06_openmax", "f1_reject_all", "F1 of unknown, rejecting everything", True),
    ("06_openmax", "f1_unknown_source", "F1, as printed", True),
    ("06_openmax", "f1_unknown_bendale", "F1, Bendale & Boulton", True),
    ("06_openmax", "f1_unknown_recommended", "F1, recommended form", True),
    ("06_openmax", "f1_gain_over_reject_all", "gain over rejecting everything", True),
    ("06_openmax", "f1_gain_over_source", "gain over the printed form", True),
    ("06_openmax", "f1_gain_over_bendale", "gain over Bendale & Boulton", True),
    ("06_openmax", "f1_gain_over_mahalanobis", "gain over a plain distance", True),
    ("05_entropy_ood", "f1_unknown", "F1, entropy of segments", True),
    ("08_pad_labelling", "f1_unknown_triplet", "F1, triplet thresholds", True),
    (
        "08_pad_labelling",
        "f1_triplet_minus_openmax",
        "triplet thresholds minus Bendale & Boulton",
        True,
    ),
    (
        "07_clustering",
        "ari",
        "ARI of online clusters, truly unknown clips (an oracle picked them)",
        False,
    ),
    ("07_clustering", "ari_minibatch_kmeans", "MiniBatchKMeans", False),
    ("07_clustering", "ari_birch", "Birch", False),
    ("07_clustering", "ari_hdbscan", "HDBSCAN", False),
    ("07_clustering", "ari_flagged", "online, on what the detector flagged", False),
    ("08_pad_labelling", "label_top1", "named right at once, told which are unknown", True),
    ("08_pad_labelling", "label_chance", "chance", True),
    ("08_pad_labelling", "reachable_share", "unknown emotions that can be named among all", True),
    ("08_pad_labelling", "reachable_share_table_1", "the same, without assumed rivals", True),
)
ENSEMBLE = (
    ("09_ensemble", "accuracy_mfcc", "accuracy, MFCC branch", True),
    ("09_ensemble", "accuracy_w2v", "accuracy, encoder branch", True),
    ("09_ensemble", "accuracy_ensemble", "accuracy, both concatenated", True),
    ("09_ensemble", "accuracy_mfcc_random_split", "MFCC branch, random split", True),
    ("09_ensemble", "accuracy_w2v_random_split", "encoder branch, random split", True),
    ("09_ensemble", "accuracy_ensemble_random_split", "both, random split", True),
    ("09_ensemble", "uar_mfcc", "UAR, MFCC branch", True),
    ("09_ensemble", "uar_timnet_full", "UAR, MFCC through the full TIM-Net", True),
    ("09_ensemble", "uar_w2v", "UAR, encoder branch", True),
    ("09_ensemble", "uar_ensemble", "UAR, both concatenated", True),
    ("09_ensemble", "uar_late_fusion", "UAR, late fusion", True),
    ("09_ensemble", "uar_ensemble_minus_best_branch", "both minus the better branch", True),
    ("09_ensemble", "uar_ensemble_without_tess", "UAR, both, without TESS", True),
    ("09_ensemble", "uar_ensemble_without_crema_d", "UAR, both, without CREMA-D", True),
    ("09_ensemble", "uar_corpus_only", "UAR, knowing nothing but the corpus", True),
    (
        "09_ensemble",
        "uar_leave_corpus_out_without_crema_d",
        "UAR, both, on a corpus never heard (RAVDESS, TESS, SAVEE)",
        True,
    ),
    ("09_ensemble", "chance_leave_out_ravdess", "its chance", True),
)


# The few rows that the first page shows, under names that stand by themselves.
HEADLINE = (
    ("02_fine_tune", "probe_uar", "UAR, linear probe", True),
    ("02_fine_tune", "uar", "UAR, fine-tuned (Whisper: frozen, a head)", True),
    ("03_calibration", "ece_before", "ECE before temperature scaling", False),
    ("03_calibration", "ece_after", "ECE after", False),
    ("03_calibration", "ece_floor", "noise floor of the ECE after", False),
    ("05_entropy_ood", "auroc_entropy", "AUROC of unknown: entropy", True),
    ("06_openmax", "auroc_source", "AUROC: OpenMax as source 1 prints it", True),
    ("06_openmax", "auroc_mahalanobis", "AUROC: Mahalanobis distance", True),
    ("06_openmax", "auroc_recommended", "AUROC: the recommended OpenMax", True),
    ("06_openmax", "f1_unknown_source", "F1 of unknown: as printed (flag everything: 50)", True),
    ("06_openmax", "f1_unknown_recommended", "F1: recommended", True),
    ("08_pad_labelling", "f1_unknown_triplet", "F1: triplet thresholds", True),
    ("07_clustering", "ari", "ARI of online clusters, the truly unknown", False),
    ("08_pad_labelling", "label_top1", "named right, told which three are unknown", True),
)
# Figures that a lesson tags `figure-KIND`, in the order of the lessons.
FIGURES = (
    ("leakage", "01: MFCC on random and on unseen speakers"),
    ("probe-by-layer", "02: what each layer knows"),
    ("walk", "02: from the probe to the network"),
    ("noise-floor", "03: the noise floor of the ECE"),
    ("reliability", "04: reliability before and after"),
    ("risk-coverage", "04: risk against coverage"),
    ("f1-by-rate", "06: F1 of unknown by the share of known clips lost"),
)
# What the course set itself beforehand: key, bound, +1 above it or -1 below it, whole interval?
AIMS = (
    ("02_fine_tune", "uar_gain_over_probe", "fine-tuning above the probe", 0.0, 1, False),
    (
        "03_calibration",
        "ece_excess_reduction",
        "ECE above its floor removed, above 84.7",
        0.847,
        1,
        False,
    ),
    ("06_openmax", "auroc_recommended", "AUROC above 73.2", 0.732, 1, False),
    ("06_openmax", "fpr95_recommended", "FPR95 below 68.3, unknown positive", 0.683, -1, False),
    (
        "06_openmax",
        "fpr95_recommended_known_positive",
        "the same, known positive",
        0.683,
        -1,
        False,
    ),
    (
        "06_openmax",
        "f1_gain_over_reject_all",
        "F1 over flagging everything, whole interval",
        0.0,
        1,
        True,
    ),
    ("06_openmax", "f1_gain_over_source", "F1 over the printed form, above 11.8", 0.118, 1, False),
    (
        "06_openmax",
        "f1_gain_over_bendale",
        "F1 over Bendale & Boulton, whole interval",
        0.0,
        1,
        True,
    ),
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


def _cell(entry: dict | None, percent: bool) -> str:
    if entry is None:
        return "–"
    if entry["value"] is None:
        return "not measured"
    scale, digits = (100, 1) if percent else (1, 3)
    text = f"{entry['value'] * scale:.{digits}f}"
    if entry.get("low") is None:
        return text
    return f"{text} [{entry['low'] * scale:.{digits}f}, {entry['high'] * scale:.{digits}f}]"


def measured(shown, columns) -> str:
    """Figures of the reference runs that are there, beside what a source claims elsewhere."""
    files = {
        title: results.read_results(REFERENCE / f"{name}.json")
        for name, title in columns
        if (REFERENCE / f"{name}.json").is_file()
    }
    lessons = {lesson for lesson, *_ in shown}
    files = {title: file for title, file in files.items() if lessons & set(file["notebooks"])}
    heads = []
    for title, file in files.items():
        seeds = file["run"]["seeds"]
        heads.append(f"{title}, seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}")
    claims = {(c["lesson"], c["key"]): c for c in report.sources()["claims"]}
    body = []
    for lesson, key, what, percent in shown:
        entries = [file["notebooks"].get(lesson, {}).get(key) for file in files.values()]
        if not any(entries):
            continue
        claim = claims.get((lesson, key))
        source = (
            ""
            if claim is None
            else f"{claim['value'] * 100:.1f}"
            if percent
            else f"{claim['value']:.3f}"
        )
        if claim is not None:
            source += f" (source {claim['source']})"
        body.append(
            [what + (", %" if percent else ""), *(_cell(e, percent) for e in entries), source]
        )
    return rows(["", *heads, "claimed, on other data"], body)


def aims() -> str:
    """Each aim, and whether the reference runs reach it (in percent)."""
    columns = [*MAIN, *LARGE]
    files = [results.read_results(REFERENCE / f"{name}.json")["notebooks"] for name, _ in columns]
    body = []
    for lesson, key, what, bound, sign, whole in AIMS:
        cells = []
        for column, file in zip(columns, files, strict=True):
            entry = file.get(lesson, {}).get(key)
            if key == "uar_gain_over_probe" and column in LARGE:  # two linear heads
                cells.append("not fine-tuned")
                continue
            if entry is None or entry["value"] is None:
                cells.append(_cell(entry, True))
                continue
            edge = entry["low" if sign > 0 else "high"] if whole else entry["value"]
            word = "reached" if sign * edge > sign * bound else "missed"
            cells.append(f"{word}: {_cell(entry, True)}")
        body.append([what, *cells])
    return rows(["aim, %", *(title for _, title in columns)], body)


def headline() -> str:
    """The first page's few rows."""
    return measured(HEADLINE, [*MAIN, *LARGE])


def spine() -> str:
    """Lessons 01-04 on real speech with both encoders, and on the synthetic corpus."""
    return measured(SPINE, [*MAIN, *LARGE, ("embedded", "embedded corpus")])


def unknown() -> str:
    """Lessons 05-08: the two main corpora with both encoders, and the synthetic one."""
    return measured(UNKNOWN, [*MAIN, *LARGE, ("embedded", "embedded corpus")])


def ensemble() -> str:
    """Lesson 09 on the four joined corpora, and on each main one."""
    return measured(ENSEMBLE, [(FOUR, "four corpora"), *MAIN])


def training() -> str:
    """How long the embedded encoder was trained, and how near it came on held-out speakers."""
    rounds = json.loads((CARD.parent / "training.json").read_text(encoding="utf-8"))
    return rows(
        ["round", "steps", "minutes on two cores", "L1", "cosine", "UAR nEMO, %", "UAR CREMA-D, %"],
        [
            [
                str(number),
                f"{facts['steps']:,}",
                f"{facts['minutes']:.0f}",
                f"{facts['held_out_l1']:.3f}",
                f"{facts['held_out_cosine']:.3f}",
                *(
                    f"{100 * facts[f'held_out_uar_{c}']:.1f}"
                    if f"held_out_uar_{c}" in facts
                    else "–"
                    for c in ("nemo", "crema_d")
                ),
            ]
            for number, facts in enumerate(rounds, 1)
        ],
    )


def speed() -> str:
    """What `tests/benchmarks/test_embedding_speed.py` measured (SER_BENCH_OUT)."""
    kept = json.loads((REFERENCE / "speed.json").read_text(encoding="utf-8"))
    return rows(
        [
            f"{kept['threads']} threads, {kept['cpu']}",
            "times real time",
            "times the plain loop",
            "of the machine's matrix-product rate",
        ],
        [
            [
                name,
                f"{r['real_time']:.0f}",
                f"{r['times_the_loop']:.2f}",
                f"{r['share_of_matrix_rate'] * 100:.0f} %",
            ]
            for name, r in kept["rates"].items()
        ],
    )


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
    "headline": headline,
    "aims": aims,
    "spine": spine,
    "unknown": unknown,
    "ensemble": ensemble,
    "training": training,
    "gallery": gallery,
    "speed": speed,
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
