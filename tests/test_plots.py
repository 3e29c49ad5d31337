"""Figures draw what they are given, and name their axes."""

import matplotlib
import numpy as np
import pytest

from helpers import metrics, plots

matplotlib.use("agg")


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

    plots.style()
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_reliability_diagram_and_histogram(ax):
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 200)
    bins = metrics.reliability(confidence, rng.random(200) < confidence)
    band = (bins.accuracy - 0.1, bins.accuracy + 0.1)
    plots.reliability_diagram(ax, bins, band, note="ECE")
    assert ax.get_xlabel() == "confidence" and ax.get_ylabel()
    ax.clear()
    plots.confidence_histogram(ax, bins, 0.6, 0.7)
    assert sum(int(t.get_text()) for t in ax.texts) == 200


def test_other_figures_name_their_axes(ax):
    plots.risk_coverage_curve(ax, {"top probability": ([0.9, 0.8, 0.7], [1, 0, 1])})
    assert ax.get_xlabel() and ax.get_ylabel()
    ax.clear()
    plots.confusion(ax, [[3, 1], [0, 0]], ["sad", "happy"])
    assert "0.75\n(3)" in [t.get_text() for t in ax.texts]
    ax.clear()
    plots.intervals(ax, ["a", "b"], [1, 2], [0, 1], [2, 3], "ECE", reference=1)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_emotions_keep_their_colours():
    assert plots.colours(["sad", "nothing"]) == [plots.COLOURS["sad"], plots.GREY]


def test_a_slider_draws_anew_where_somebody_moves_it(monkeypatch):
    import matplotlib.pyplot as plt

    shown, drawn = [], []

    def draw(value):
        drawn.append(value)
        return plt.figure()

    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setenv("SER_RESULTS", "records.json")
    plots.slider(draw, "T", low=0, high=2, at=1)
    assert drawn == [1] and not shown, "in a run: the picture of the value, and no widget"
    monkeypatch.delenv("SER_RESULTS")
    plots.slider(draw, "T", low=0, high=2, at=1)
    knob, picture = shown[0].children
    assert bytes(picture.value).startswith(b"\x89PNG")
    knob.value = 1.5
    assert drawn == [1, 1, 1.5]
    plt.close("all")
