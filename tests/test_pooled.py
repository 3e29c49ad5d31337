"""The mean over seeds: values, ends, reasons, provenance."""

import numpy as np
import pytest
from test_results import run

from course.pooled import _merge_entries, bounds, merge
from helpers.errors import CourseError


def test_merge_over_seeds():
    merged = merge([run(0, 0.30, 0.2, 0.5), run(1, 0.32, 0.2, 0.5), run(2, 0.34, 0.3, 0.5)])
    entry = merged["notebooks"]["03_calibration"]["ece_after"]
    assert entry["value"] == pytest.approx(0.32) and entry["seeds"] == [0, 1, 2]
    assert entry["each"] == [0.30, 0.32, 0.34] and merged["run"]["seeds"] == [0, 1, 2]
    # By hand: half-widths 0.10, 0.12, 0.04 below and 0.20, 0.18, 0.16 above; t(2) of the seeds.
    seeds = 4.302653 * 0.02 / np.sqrt(3)
    ends = 0.32 - np.hypot(0.26 / 3, seeds), 0.32 + np.hypot(0.18, seeds)
    assert (entry["low"], entry["high"]) == pytest.approx(ends)


def test_merged_ends_stay_where_the_figure_can_be():
    merged = merge([run(0, 0.95, 0.8, 1.0), run(1, 0.7, 0.6, 0.9)])
    entry = merged["notebooks"]["03_calibration"]["ece_after"]
    assert (entry["low"], entry["high"]) == (0, 1)


def test_provenance_outlives_a_merge_where_seeds_agree():
    runs = [run(0, 0.1), run(1, 0.3)]
    for each in runs:
        each["run"]["made"] = {"03_calibration": {"lesson": "a"}, "x": {"lesson": str(each)}}
    assert merge(runs)["run"]["made"] == {"03_calibration": {"lesson": "a"}}
    del runs[1]["run"]["made"]  # a run that does not say what made it
    assert merge(runs)["run"]["made"] == {}


def test_merge_keeps_reasons_and_refuses_other_runs():
    missing = merge([run(0, 0.1), run(1, None, reason="no excess")])
    entry = missing["notebooks"]["03_calibration"]["ece_after"]
    assert entry["value"] == 0.1 and entry["seeds"] == [0] and entry["reason"] == "no excess"
    other = run(1, 0.3)
    other["run"]["corpus"] = "ravdess"
    with pytest.raises(CourseError, match="corpus"):
        merge([run(0, 0.1), other])


def test_ends_stay_where_a_figure_can_be():
    gain = ("03_calibration", "ece_reduction"), ("10_incremental", "uar_old_loss_k10_head")
    assert [bounds(*name)[1] for name in gain] == [1, 1]
    assert bounds("10_incremental", "recall_new_k10_top") == (0, 1)
    seeds = [
        {"value": v, "low": v - 0.1, "high": v, "n": 9, "seeds": [i]}
        for i, v in enumerate((0.2, 1))
    ]
    assert _merge_entries(seeds, bounds(*gain[0]))["high"] == 1
    assert _merge_entries(seeds, bounds(*gain[0]))["low"] < 0
