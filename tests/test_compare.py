"""Comparing runs: zeros for a run with itself, and what a hand computation gives for two seeds."""

import numpy as np
import pytest
from scipy.stats import t

from course import cli, compare
from helpers import artefact
from helpers.files import write_json

SPEAKERS, EACH = 4, 25  # clips a speaker


def a_run(folder, seed, right, corpus="embedded", clips="c", **change):
    """A run whose network is right on the clips `right (n,)`; recorded as the lessons do."""
    n = SPEAKERS * EACH
    labels = np.arange(n) % 2
    sure = np.random.default_rng(seed).uniform(1, 3, n)
    said = np.where(right, labels, 1 - labels)
    logits = np.zeros((1, n, 2))
    logits[0, np.arange(n), said] = sure
    speakers = np.repeat([f"s{i}" for i in range(SPEAKERS)], EACH)
    names = np.array([f"{clips}{i}" for i in range(n)])
    art = artefact.Artefact(
        classes=np.array(["happy", "sad"]),
        utterances=names,
        emotions=np.array(["happy", "sad"])[labels],
        labels=labels,
        speakers=speakers,
        genders=np.full(n, "female"),
        fold=np.zeros(n, dtype=int),
        split=np.full((1, n), "test"),
        logits=logits,
        embeddings=np.zeros((1, n, 1)),
        head_weight=np.zeros((1, 2, 1)),
        head_bias=np.zeros((1, 2)),
        segment_logits=np.zeros((0, 2)),
        segment_owner=np.zeros(0, dtype=int),
        segment_turn=np.zeros(0, dtype=int),
    )
    place = folder / "artefacts" / f"{corpus}-embedded-rotation-quick-{seed}"
    place.mkdir(parents=True)
    artefact.write(art, place)
    accuracy = float(right.mean())
    entries = {
        "accuracy": {"value": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.05},
        "probe_uar": {"value": 0.5, "low": 0.4, "high": 0.7},
        "layer": {"value": 3.0, "low": None, "high": None},
    } | change
    entries = {key: {"n": n, "seeds": [seed]} | entry for key, entry in entries.items()}
    run = {"corpus": corpus, "encoder": "embedded", "profile": "quick", "seeds": [seed]}
    run |= {"versions": {}, "threads": "1", "seconds": {}, "failed": {}}
    content = {"schema": 1, "run": run, "notebooks": {"02_fine_tune": entries}}
    write_json(folder / "results.json", content)
    write_json(folder / "records" / "02_fine_tune.json", {"fingerprint": f"{seed}{corpus}"})
    return folder


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(0)
    right = rng.random((2, SPEAKERS * EACH)) < [[0.8], [0.6]]
    return [a_run(tmp_path / str(i), i, right[i]) for i in range(2)], right


def rows(a, b):
    found, notes = compare.compare(compare.side(a), compare.side(b))
    return {row[1]: dict(zip(compare.HEADER, row, strict=True)) for row in found}, notes


def test_a_run_with_itself_gives_zeros(two):
    (a, _), _ = two
    found, notes = rows(a, a)
    assert len(found) == 3 and not notes
    for row in found.values():
        assert (row["A - B"], row["low"], row["high"], row["how"]) == (0, 0, 0, "same")


def test_two_seeds_on_the_same_clips_are_paired_by_speaker(two):
    (a, b), right = two
    found, notes = rows(a, b)
    each = np.diff(right[::-1].astype(float), axis=0).reshape(SPEAKERS, EACH).mean(1)
    # wider than Student's, as helpers.intervals has it for differences
    wider = t.ppf(0.975, SPEAKERS - 1.5) * (1 + 1 / (2 * SPEAKERS))
    reach = wider * each.std(ddof=1) / np.sqrt(SPEAKERS)
    row = found["accuracy"]
    assert row["how"] == "paired"
    assert row["A - B"] == pytest.approx(each.mean())
    assert (row["low"], row["high"]) == pytest.approx((each.mean() - reach, each.mean() + reach))
    assert notes == ["seeds: [0] in A, [1] in B"]


def test_other_figures_are_taken_as_independent(two):
    found, _ = rows(*two[0])
    row = found["probe_uar"]  # 0.5 [0.4, 0.7] twice: sqrt(0.1^2 + 0.2^2) either way
    assert row["how"] == "independent"
    assert (row["low"], row["high"]) == pytest.approx((-np.hypot(0.1, 0.2), np.hypot(0.1, 0.2)))
    assert found["layer"]["low"] is None and found["layer"]["A - B"] == 0


def test_intervals_of_independent_differences_cover():
    rng = np.random.default_rng(0)
    held, draws, n = 0, 2000, 6
    for _ in range(draws):
        sides = []
        for truth in (0.7, 0.6):
            x = rng.normal(truth, 0.1, n)
            reach = t.ppf(0.975, n - 1) * x.std(ddof=1) / np.sqrt(n)
            sides.append({"value": x.mean(), "low": x.mean() - reach, "high": x.mean() + reach})
        _, low, high = compare.independent(*sides)
        held += low <= 0.1 <= high
    assert 0.94 <= held / draws <= 0.985


def test_what_another_artefact_gave_is_not_paired(two, tmp_path):
    (a, _), right = two
    odd = {"value": 0.5, "low": 0.4, "high": 0.6}
    b = a_run(tmp_path / "odd", 2, right[1], accuracy=odd)
    assert rows(a, b)[0]["accuracy"]["how"] == "independent"


def test_other_clips_are_said(two, tmp_path):
    (a, _), right = two
    b = a_run(tmp_path / "other", 1, right[1], corpus="emodb", clips="d")
    found, notes = rows(a, b)
    assert found["accuracy"]["how"] == "independent"
    assert any("the clips are others" in note for note in notes)


def test_what_only_one_has_is_said(two, tmp_path):
    (a, _), right = two
    gone = {"value": None, "low": None, "high": None, "reason": "too small"}
    b = a_run(tmp_path / "b", 1, right[1], layer=gone, more={"value": 1, "low": None, "high": None})
    found, notes = rows(a, b)
    assert set(found) == {"accuracy", "probe_uar"}
    assert "02_fine_tune layer: measured only in A" in notes
    assert "02_fine_tune more: measured only in B" in notes


def test_bad_input_is_one_line(two, tmp_path, capsys):
    (a, _), _ = two
    old = tmp_path / "old.json"
    write_json(old, {"schema": 0})
    run = {"corpus": "embedded"}
    none = tmp_path / "none.json"
    write_json(none, {"schema": 1, "run": run, "notebooks": {"03_calibration": {}}})
    for b, said in ((old, "schema"), (tmp_path / "absent", "no results.json"), (none, "no figure")):
        assert cli.main(["compare", str(a), str(b)]) == 1
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1


def test_a_sweep_stands_for_its_mean_and_files_are_written(two, tmp_path, capsys):
    (a, _), right = two
    for seed in (0, 1):
        a_run(tmp_path / "sweep" / f"embedded-embedded-{seed}", seed, right[seed])
    words = ["compare", str(tmp_path / "sweep"), str(a), "--out", str(tmp_path / "tables")]
    assert cli.main(words) == 0
    assert "accuracy" in capsys.readouterr().out
    lines = (tmp_path / "tables" / "compare.csv").read_text().splitlines()
    assert lines[0] == ",".join(compare.HEADER) and len(lines) == 4
    assert "toprule" in (tmp_path / "tables" / "compare.tex").read_text()
    a_run(tmp_path / "sweep" / "emodb-embedded-0", 0, right[0], corpus="emodb")
    assert cli.main(words) == 1
    assert "give one of its runs" in capsys.readouterr().err
