"""One style for every figure: labelled axes, colours that survive colour blindness and grey print.

Each function draws on the axes it is given and returns them. Emotions have the colour that
`helpers.emotions.COLOURS` gives them, here and in every lesson.
"""

import io
import os

import numpy as np

from helpers.emotions import COLOURS
from helpers.metrics import Bins, risk_coverage

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#7F7F7F"  # Okabe & Ito (2008)
SERIES = [  # colour, line, marker: told apart without colour too
    (BLUE, "-", "o"),
    ("#D55E00", "--", "s"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#56B4E9", "-", "v"),
]


def style() -> None:
    """Set the course's look; called once, after the imports of a lesson."""
    import seaborn
    from IPython import get_ipython

    if get_ipython():  # twice the dots, shown at the same size: sharp on a phone and on paper
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")
    seaborn.set_theme(
        context="notebook",
        style="ticks",
        palette=[colour for colour, _, _ in SERIES],
        rc={
            "figure.dpi": 96,
            "savefig.dpi": 144,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E4E4E4",
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "axes.titleweight": "bold",
            "legend.frameon": False,
            "legend.fontsize": "small",
            "font.size": 11,
        },
    )


def colours(emotions) -> list[str]:
    """Return the fixed colour of each emotion, grey for a name without one."""
    return [COLOURS.get(emotion, GREY) for emotion in emotions]


def reliability_diagram(ax, bins: Bins, band=None, title: str = "", note: str = "", ylabel=True):
    """Accuracy per bin as bars, the gap to the mean confidence hatched (Guo et al. 2017, fig. 1).

    Rising hatch: too sure (accuracy below confidence); dots: too modest. `band`: `(low, high)`
    ends of an interval of the accuracy, each `(b,)`. Empty bins stay empty.
    """
    full = bins.counts > 0
    left, width = bins.edges[:-1], np.diff(bins.edges)
    line = {"width": width[full], "align": "edge", "edgecolor": "white"}
    ax.bar(left[full], bins.accuracy[full], color=BLUE, label="accuracy", **line)
    for name, which, face, hatch in (
        ("too sure", bins.gap > 0, "#FBE3C0", "///"),
        ("too modest", bins.gap < 0, "#BFE3F5", "..."),
    ):
        if not which.any():
            continue
        bottom = np.minimum(bins.accuracy, bins.confidence)[which]
        look = {"facecolor": face, "edgecolor": "#5A4A20", "hatch": hatch, "linewidth": 0.8}
        bars = left[which], np.abs(bins.gap)[which], width[which], bottom
        ax.bar(*bars, align="edge", label=name, **look)
    if band is not None:
        low, high = (np.asarray(end, dtype=float) for end in band)
        drawn = np.isfinite(low) & np.isfinite(high)
        middle = (left + width / 2)[drawn]
        ax.vlines(middle, low[drawn], high[drawn], color="black", lw=1.6, label="95 % interval")
    ax.plot([0, 1], [0, 1], ls="--", color="black", lw=1, label="perfect")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", title=title)
    ax.set_ylabel("share of clips classified right" if ylabel else "")
    if note:
        plate = {"fc": "white", "ec": "none", "alpha": 0.85, "pad": 2}  # a bar may stand there
        at = {"transform": ax.transAxes, "va": "top", "fontsize": "small", "bbox": plate}
        ax.text(0.04, 0.95, note, **at)
    return ax


def legend_below(fig, *axes):
    """One legend under the whole figure, each label once: it never covers a curve."""
    handles = {}
    for ax in axes or fig.axes:
        handles |= {name: h for h, name in zip(*ax.get_legend_handles_labels(), strict=True)}
        if ax.get_legend():
            ax.get_legend().remove()
    columns = min(len(handles), max(2, int(fig.get_figwidth() / 2)))
    fig.legend(handles.values(), handles, loc="outside lower center", ncols=columns)


def confidence_histogram(ax, bins: Bins, accuracy: float, confidence: float):
    """Clips per bin; the mean confidence and the accuracy as lines; the count stands above."""
    left, width = bins.edges[:-1], np.diff(bins.edges)
    ax.bar(left, bins.counts, width, align="edge", color="#C8C8C8", edgecolor="white")
    for x, count in zip(left + width / 2, bins.counts, strict=True):
        if count:
            ax.text(x, count, str(count), ha="center", va="bottom", fontsize=7.5)
    ax.axvline(accuracy, color=BLUE, lw=2, label=f"accuracy {accuracy:.2f}")
    ax.axvline(
        confidence, color="#D55E00", lw=2, ls="--", label=f"mean confidence {confidence:.2f}"
    )
    ax.set(xlim=(0, 1), xlabel="confidence", ylabel="clips")
    ax.margins(y=0.15)
    ax.legend(loc="upper left")
    return ax


def risk_coverage_curve(ax, curves: dict):
    """Risk over coverage; `curves`: `{name: (confidence (n,), correct (n,))}`."""
    for (name, (confidence, correct)), (colour, line, _) in zip(
        curves.items(), SERIES, strict=False
    ):
        coverage, risk = risk_coverage(confidence, correct)
        ax.plot(coverage, risk, color=colour, ls=line, lw=2, label=name)
    ax.set(xlim=(0, 1), xlabel="coverage (share of clips kept)", ylabel="risk (share wrong)")
    ax.set_ylim(bottom=0)
    ax.legend(loc="upper left")
    return ax


def confusion(ax, matrix, classes, title: str = ""):
    """Confusion matrix `(K, K)` of counts, rows = true; shares of a row as shade and number."""
    matrix = np.asarray(matrix, dtype=float)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.55 else "black"
        text = f"{value:.2f}\n({matrix[row, column]:.0f})"
        ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    ax.set_xticks(range(len(classes)), classes, rotation=35, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.grid(visible=False)
    return ax


def intervals(ax, names, values, lows, highs, xlabel: str, reference: float | None = None):
    """One dot with its interval a row, first name on top; a dashed line at `reference`."""
    values, lows, highs = (np.asarray(v, dtype=float) for v in (values, lows, highs))
    rows = np.arange(len(values))[::-1]
    ax.hlines(rows, lows, highs, color=GREY, lw=2)
    ax.plot(values, rows, "o", color=BLUE)
    if reference is not None:
        ax.axvline(reference, color="black", ls="--", lw=1)
    ax.set_yticks(rows, names)
    ax.set(xlabel=xlabel, ylim=(-0.6, len(values) - 0.4))
    return ax


def slider(draw, label: str, low: float, high: float, at: float, step: float = 0.01) -> None:
    """A slider from `low` to `high` by `step` over the figure that `draw(value)` returns.

    In a run nobody moves it: there the figure of `at` stands alone. Its own image, and not the
    output widget of `interact`: for that one nbclient writes to the kernel while it waits for an
    answer, and now and then it misses the answer and waits for ever.
    """
    import matplotlib.pyplot as plt
    from IPython.display import display
    from ipywidgets import FloatSlider, Image, VBox

    if "SER_RESULTS" in os.environ:
        draw(at)
        return plt.show()
    picture, options = Image(), {"description": label, "continuous_update": False}
    knob = FloatSlider(value=at, min=low, max=high, step=step, **options)

    def move(_=None):
        figure, png = draw(knob.value), io.BytesIO()
        figure.savefig(png, format="png", dpi=96, bbox_inches="tight")
        plt.close(figure)
        picture.value = png.getvalue()

    knob.observe(move, names="value")
    move()
    display(VBox([knob, picture]))
