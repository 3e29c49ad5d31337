"""README, the page of all figures and the encoder's card say what the results say."""

import json
import re

import pytest

from helpers import contest, results
from tools import measure_cost, reference_tables, write_tables


@pytest.mark.parametrize("page", write_tables.PAGES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_generated_tables_are_fresh(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- end -->" in text
    assert write_tables.filled(text) == text, "run: python -m tools.write_tables"


def test_a_changed_figure_is_noticed():
    text = write_tables.CARD.read_text(encoding="utf-8")
    digit = next(c for c in text[text.index("<!-- training -->") :] if c.isdigit() and c != "0")
    start = text.index("<!-- training -->")
    end = text.index("<!-- end -->", start)  # of that table: the prose behind it has digits too
    wrong = text[:start] + text[start:end].replace(digit, "0") + text[end:]
    assert wrong != text and write_tables.filled(wrong) == text


def test_the_page_on_a_thousand_runs_shows_what_was_measured():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    page = measure_cost.PAGE.read_text(encoding="utf-8")
    assert measure_cost.table(cost) in page, "run: python -m tools.measure_cost"


def test_minutes_in_the_readme_are_those_measured():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    page = (measure_cost.ROOT / "README.md").read_text(encoding="utf-8")
    assert f"a run {cost['peak_mib'] / 1024:.1f} GiB of memory" in page
    told = re.findall(r"^\| (\d\d) \| [^|]+ \| (\d*)(½?) \|", page, flags=re.M)
    minutes = {number: int(whole or 0) + (half == "½") / 2 for number, whole, half in told}
    taken = {name[:2]: seconds / 60 for name, seconds in cost["seconds"].items()}
    assert minutes == {number: pytest.approx(m, abs=0.5) for number, m in taken.items()}


def test_all_lessons_fit_a_laptop():
    cost = json.loads(measure_cost.COST.read_text(encoding="utf-8"))
    assert len(cost["cpu_seconds"]) == 13
    assert sum(cost["cpu_seconds"].values()) <= 24 * 60 and cost["peak_mib"] < 3000
    most = {"10": 100, "11": 60, "12": 100, "13": 90}  # CPU-seconds
    assert all(used <= most.get(name[:2], 300) for name, used in cost["cpu_seconds"].items())


@pytest.mark.parametrize(
    ("low", "high", "aim", "word"),
    [
        (0.5, 0.8, {"above": 0.4}, "reached"),
        (0.5, 0.8, {"above": 0.6}, "open"),
        (0.5, 0.8, {"above": 0.5}, "open"),
        (0.5, 0.8, {"above": 0.9}, "missed"),
        (0.5, 0.8, {"below": 0.9}, "reached"),
        (0.5, 0.8, {"below": 0.8}, "open"),
        (0.5, 0.8, {"below": 0.4}, "missed"),
        (None, None, {"above": 0.4}, "open"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, aim, word):
    assert results.verdict({"value": 0.7, "low": low, "high": high}, **aim) == word


def test_an_end_that_looks_like_its_bound_gets_a_digit_more(monkeypatch):
    monkeypatch.setattr(reference_tables, "older", lambda run, lesson: [])
    aim = {"lesson": "06_openmax", "key": "fpr95_recommended", "below": 0.683}
    for low, told in (
        (0.68338, "missed: 77.50 [68.34, 84.60]"),
        (0.68304, "missed: 77.500 [68.304, 84.600]"),
        (0.683, "open: 77.5 [68.3, 84.6]"),
    ):
        entry = {"value": 0.775, "low": low, "high": 0.846, "seeds": [0]}
        file = {"run": {"seeds": [0]}, "notebooks": {"06_openmax": {aim["key"]: entry}}}
        assert reference_tables._judged(aim, "emodb", file) == told


def test_a_network_that_stayed_frozen_is_not_called_fine_tuned(monkeypatch):
    monkeypatch.setattr(reference_tables, "older", lambda run, lesson: [])
    gain = {"value": -0.05, "low": -0.08, "high": -0.02, "seeds": [0]}
    aim = {"lesson": "13_detectors", "key": "auroc_gain_fine_tuned_entropy", "below": 0.0}
    for timed, told in ((None, "not fine-tuned"), (60.0, "reached: -5.0 [-8.0, -2.0]")):
        tuned = {"seconds_per_epoch": {"value": timed}, "uar": gain}
        lessons = {"02_fine_tune": tuned, "13_detectors": {aim["key"]: gain}}
        file = {"run": {"seeds": [0]}, "notebooks": lessons}
        assert reference_tables._judged(aim, "emodb", file) == told
        monkeypatch.setattr(reference_tables, "_there", lambda columns, file=file: {"emodb": file})
        row = next(r for r in reference_tables.measured("spine", reference_tables.MAIN).split("\n")
                   if r.startswith("| UAR, fine-tuned,"))  # fmt: skip
        assert ("[-8.0, -2.0] (not fine-tuned) |" in row) == (timed is None)


def test_what_changed_names_the_seeds_of_both_sides(tmp_path, monkeypatch):
    """A figure of fewer seeds than its column says so; one that is older, too."""
    then = {"value": 0.5, "low": 0.4, "high": 0.6, "seeds": [0, 1]}
    now = {"02_fine_tune": {"uar": then | {"value": 0.7}}}
    now["05_entropy_ood"] = {"auroc_entropy": then | {"seeds": [0]}}
    keys = ("02_fine_tune/uar", "05_entropy_ood/auroc_entropy")
    (tmp_path / "before.json").write_text(json.dumps({"emodb": dict.fromkeys(keys, then)}))
    file = {"run": {"seeds": [0, 1]}, "notebooks": now}
    monkeypatch.setattr(reference_tables, "REFERENCE", tmp_path)
    monkeypatch.setattr(reference_tables, "_there", lambda columns: {"emodb": file})
    monkeypatch.setattr(reference_tables, "older", lambda run, lesson: lesson == "05_entropy_ood")
    head, _, uar, entropy = reference_tables.changed().split("\n")
    assert head == "| before → now | EMO-DB, seeds 0, 1 → seeds 0, 1 |"
    assert uar.endswith("| 50.0 [40.0, 60.0] → 70.0 [40.0, 60.0] |")
    assert entropy.endswith("→ 50.0 [40.0, 60.0], seed 0 (older) |")


def test_rates_are_shown_as_they_were_kept_or_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(write_tables, "REFERENCE", tmp_path)
    assert write_tables.rate() == "Not measured with the present weights."
    scores = {"probe": {"uar": [0.5, 0.6], "nll": [0.7, 0.8]}}
    kept = {"corpus": "ravdess", "turns": 2, "seed": 0, "scores": scores}
    (tmp_path / "rate.json").write_text(json.dumps(kept), encoding="utf-8")
    head, _, line = write_tables.rate().split("\n")
    assert head.startswith("| RAVDESS, seed 0 | UAR, %, turn 1 | UAR, %, turn 2 | NLL, turn 1 |")
    assert line == "| probe | 50.0 | 60.0 | 0.700 | 0.800 |"


def test_an_aim_may_have_a_bound_of_its_own_for_each_corpus(monkeypatch):
    monkeypatch.setattr(reference_tables, "older", lambda run, lesson: [])
    entry = {"value": 0.9, "low": 0.87, "high": 0.93, "seeds": [0]}
    file = {"run": {"seeds": [0]}, "notebooks": {"06_openmax": {"auroc_recommended_frozen": entry}}}
    aim = {"lesson": "06_openmax", "key": "auroc_recommended_frozen"}
    own = aim | {"above": {"emodb": 0.86, "ravdess": 0.95}}
    told = [reference_tables._judged(own, name, file) for name in ("emodb", "ravdess", "embedded")]
    assert told == [
        "reached (above 86.0): 90.0 [87.0, 93.0]",
        "missed (above 95.0): 90.0 [87.0, 93.0]",
        "–",
    ]
    assert (
        reference_tables._judged(aim | {"above": 0.9}, "emodb", file) == "open: 90.0 [87.0, 93.0]"
    )
    assert reference_tables._judged(aim | {"above": 0.9}, "embedded", file) == "–"  # synthetic
    file["run"]["seeds"] = [0, 1]
    assert reference_tables._judged(own, "emodb", file) == told[0] + ", seed 0"


def test_several_emotions_are_asked_of_corpora_with_several_votes():
    own = [aim for aim in reference_tables.asked() if aim["lesson"].startswith("11")]
    files = reference_tables._there(reference_tables.ALL + reference_tables.ELSEWHERE)
    for name, file in files.items():
        found = file["notebooks"].get(own[0]["lesson"], {"krippendorff_alpha": {"value": None}})
        told = [reference_tables._judged(aim, name, file) for aim in own]
        assert (set(told) == {"–"}) == (found["krippendorff_alpha"]["value"] is None), name
    assert len(own) == 2 and {"emodb", "embedded", "crema_d"} <= set(files)


def test_a_column_without_a_figure_is_not_called_older():
    heads, body = ["empty", "old"], [["row", "–", "A, 1.0 (older); B, 2.0 (older)"]]
    assert reference_tables._whole_columns(heads, body) == [["row", "–", "A, 1.0; B, 2.0"]]
    assert heads == ["empty", "old (older)"]


def test_what_others_chose_leaves_the_corpus_out_with_every_encoder(tmp_path, monkeypatch):
    """Asked by the name of a file ("emodb-deep") the corpus once chose for itself."""
    kept = {"emodb": {"own": 0.9, "their_own": 0.1}, "nemo": {"own": 0.2, "their_own": 0.4}}
    kept = {"deep": {name: {"openmax": scores} for name, scores in kept.items()}}
    (tmp_path / "kept.json").write_text(json.dumps(kept), encoding="utf-8")
    monkeypatch.setattr(contest, "FIXED", tmp_path / "kept.json")
    for encoder in ("deep", "data/encoders/deep"):
        told = [reference_tables._chosen({"run": {"corpus": corpus, "encoder": encoder}})
                for corpus in ("emodb", "nemo")]  # fmt: skip
        assert told == ["their own", "own"]
