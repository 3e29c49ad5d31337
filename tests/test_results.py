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


def test_bootstrap_covers_a_known_mean():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(150):
        speakers = np.repeat(np.arange(24), 10)
        x = rng.normal(size=24)[speakers] + rng.normal(size=240)
        low, high = results.bootstrap(lambda r, x=x: x[r].mean(), speakers, draws=200, seed=trial)
        assert low <= x.mean() <= high
        hits += low <= 0 <= high
    assert 0.86 <= hits / 150 <= 0.99


def test_bootstrap_is_over_speakers_and_the_same_for_the_same_seed():
    speakers = np.repeat(["a", "b", "c", "d"], 50)
    x = np.repeat([0.0, 0.0, 1.0, 1.0], 50)
    low, high = results.bootstrap(lambda r: x[r].mean(), speakers)
    assert high - low > 0.5  # clips alone would give 0.14
    assert (low, high) == results.bootstrap(lambda r: x[r].mean(), speakers)


def test_bootstrap_within_turns_keeps_every_turn():
    speakers = np.repeat(np.arange(8), 5)
    turns = speakers // 4
    seen = set()

    def statistic(rows):
        seen.add((np.sum(turns[rows] == 0), np.sum(turns[rows] == 1)))
        return rows.mean()

    results.bootstrap(statistic, speakers, turns, draws=50)
    assert seen == {(20, 20)}
    lone = results.bootstrap(lambda r: r.mean(), speakers, speakers, draws=50)
    assert lone[1] > lone[0]  # one speaker a turn: redrawn across turns


def test_bootstrap_of_arrays_and_undefined_draws():
    speakers = np.arange(6)
    low, high = results.bootstrap(lambda r: np.array([r.mean(), np.nan]), speakers, draws=50)
    assert np.isfinite(low[0]) and np.isnan(low[1]) and np.isnan(high[1])
    assert results.bootstrap(lambda r: np.nan, speakers, draws=20) == (None, None)
    assert results.bootstrap(lambda r: 1.0, np.zeros(9), draws=20) == (None, None)
    assert results.bootstrap(lambda r: r.mean(), speakers, limits=(2, 3)) == (2.0, 3.0)


def test_paired_bootstrap_cancels_what_both_share():
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(20), 10)
    a = rng.normal(scale=5, size=20)[speakers]
    b = a - 0.5 + rng.normal(scale=0.1, size=200)
    difference, low, high = results.paired_bootstrap(
        lambda r: a[r].mean(), lambda r: b[r].mean(), speakers
    )
    assert difference == pytest.approx(0.5, abs=0.05)
    assert 0.4 < low <= difference <= high < 0.6


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


def test_table_shows_records_beside_the_source(monkeypatch):
    monkeypatch.delenv("SER_RESULTS", raising=False)
    results.record("ece_after", 0.02, 0.01, 0.03)
    html = results.table([("ECE", "0.00336", "ece_after", "other corpus")]).to_html()
    assert "0.0200 [0.0100, 0.0300]" in html and "0.00336" in html and "other corpus" in html


def test_the_table_of_a_lesson_comes_from_the_file(monkeypatch):
    monkeypatch.delenv("SER_RESULTS", raising=False)
    results.record("ece_after", 0.0312, 0.01, 0.06)
    html = results.table("03_calibration").to_html()
    emodb = results.read_results(results.REFERENCE / "emodb.json")["notebooks"]["03_calibration"]
    assert "0.0312 [0.0100, 0.0600]" in html and "0.00336 (source 1)" in html
    assert results.shown(emodb["ece_after"]) in html and "RAVDESS" in html
    with pytest.raises(CourseError, match="did you mean '03_calibration'"):
        results.table("03_calibrations")
