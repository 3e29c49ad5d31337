"""Records, intervals, result files."""

import json

import numpy as np
import pytest

from helpers import results
from helpers.errors import CourseError
from helpers.files import write_json


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "run" / "03.records.json"
    monkeypatch.setenv("SER_RESULTS", str(path))
    return path


def test_records_are_written_and_shown(file, capsys):
    results.record("ece", np.float32(0.5), low=np.float64(0.25), high=0.75, n=np.int64(10))
    results.record("ece", 0.5, low=0.25, high=0.75, n=10)
    results.record("T", None, reason="one speaker")
    kept = results.read_records(file)
    assert kept["ece"] == {"value": 0.5, "low": 0.25, "high": 0.75, "n": 10}
    assert kept["T"]["value"] is None and kept["T"]["reason"] == "one speaker"
    assert "ece = 0.5000 [0.2500, 0.7500]  (n = 10)" in capsys.readouterr().out
    assert list(file.parent.iterdir()) == [file]  # no temporary file is left


def test_a_record_is_put_in_words(file, capsys):
    results.record("ece_after", 0.5)
    results.record("auroc_entropy", 0.5)  # lessons 05, 09 and 13 mean different things by it
    first, second = capsys.readouterr().out.splitlines()
    assert first == "ece_after = 0.5000  ECE after scaling" and second == "auroc_entropy = 0.5000"


def test_without_a_file_records_are_only_shown(monkeypatch, capsys):
    monkeypatch.delenv("SER_RESULTS", raising=False)
    results.record("clips", 1200, n=1200)
    assert "clips = 1200" in capsys.readouterr().out


@pytest.mark.parametrize(
    "bad",
    [
        {"value": float("nan")},
        {"value": float("inf")},
        {"value": 1, "low": 2, "high": 3},
        {"value": 1, "low": float("nan"), "high": 3},
        {"value": 1, "low": 0},
        {"value": None},
    ],
)
def test_misleading_records_are_refused(file, bad):
    with pytest.raises(ValueError, match="record"):
        results.record("x", **bad)
    assert not file.exists()


def run(seed, value, low=None, high=None, **entry):
    fields = {"value": value, "low": low, "high": high, "n": 10, "seeds": [seed], **entry}
    about = {"corpus": "embedded", "encoder": "embedded", "profile": "quick", "seeds": [seed]}
    return {"schema": 1, "run": about, "notebooks": {"03_calibration": {"ece_after": fields}}}


def test_results_files_are_checked(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, run(0, 0.1, 0.0, 0.2))
    assert results.read_results(path) == run(0, 0.1, 0.0, 0.2)
    good = json.dumps(run(0, 0.1))
    for text in ("", "[]", "{}", good.replace('"schema": 1', '"schema": 2'),
                 good.replace('"seeds": [0]}}', '"seed": 0}}'), good.replace("0.1", "NaN"),
                 good.replace('"low": null', '"low": 5'), good[:40]):  # fmt: skip
        path.write_text(text)
        with pytest.raises(CourseError, match="results.json"):
            results.read_results(path)
    with pytest.raises(CourseError, match="nowhere"):
        results.read_results(tmp_path / "nowhere.json")


def test_the_table_of_a_lesson_comes_from_the_file(monkeypatch):
    monkeypatch.delenv("SER_RESULTS", raising=False)
    results.record("ece_after", 0.0312, 0.01, 0.06)
    html = results.table("03_calibration").to_html()
    emodb = results.read_results(results.REFERENCE / "emodb.json")["notebooks"]["03_calibration"]
    assert "0.0312 [0.0100, 0.0600]" in html and "0.00336 (source 1)" in html
    assert results.shown(emodb["ece_after"]) in html and "RAVDESS" in html
    alone = results.table("03_calibration", only=("emodb",)).to_html()
    assert results.shown(emodb["ece_after"]) in alone and "RAVDESS" not in alone
    with pytest.raises(CourseError, match="did you mean '03_calibration'"):
        results.table("03_calibrations")


@pytest.fixture
def real(tmp_path, monkeypatch):
    """Reference runs of two corpora: one figure above a half, one that cannot tell."""
    monkeypatch.setattr(results, "REFERENCE", tmp_path)
    monkeypatch.setattr(results, "FIGURES", tmp_path)
    monkeypatch.setattr(results, "older", lambda run, lesson: lesson == "04_y")
    for name, low in (("ravdess", 0.6), ("emodb", 0.4)):
        entry = {"value": 0.7, "low": low, "high": 0.8, "n": 9, "seeds": 1}
        kept = {"schema": 1, "run": {}, "notebooks": {"03_x": {"a": entry}, "04_y": {"a": entry}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    return tmp_path


def test_questions_are_answered_from_real_speech(real):
    said = results.real_answers("03_x", "Above? {a > 0.5}", "Below? {a < 0.5}", "So: {a}. {b}").data
    first, second, third = said.splitlines()
    assert first == (
        "1. Above? (RAVDESS: yes, 0.7000 [0.6000, 0.8000]; EMO-DB: open, 0.7000 [0.4000, 0.8000])"
    )
    assert "RAVDESS: no," in second and "EMO-DB: open," in second
    assert "RAVDESS: 0.7000" in third and third.endswith("(not measured on real speech yet)")
    assert "RAVDESS (older): yes" in results.real_answers("04_y", "{a > 0.5}").data
    assert "(EMO-DB: 0.7" in results.real_answers("03_x", "{a}", only=("emodb",)).data


def test_pictures_of_real_speech_are_shown_where_there_are_any(real):
    assert "yet" in results.real_figures("map").data
    (real / "emodb-map.png").write_bytes(b"picture")
    (real / "ravdess-bars.png").write_bytes(bytes(16) + (800).to_bytes(4) + bytes(4))
    assert "1 560.0px; max-width: 800px" in results.real_figures("bars").data
    shown = results.real_figures("map").data
    assert "EMO-DB" in shown and "RAVDESS" not in shown and "cGljdHVyZQ==" in shown
    assert "yet" in results.real_figures("map", only=("ravdess",)).data
