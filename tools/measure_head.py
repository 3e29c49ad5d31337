"""Measure what the head of `ser-course predict` promises, on corpora that it never met.

    SER_CORPORA=FOLDER python -m tools.measure_head

Each corpus is left out of everything: head, temperature, quantiles. Beside it a head that synthetic
voices taught, on the same clips, and a probe within the corpus, on speakers left out. With a voice:
ten clips of known emotions, as one-sided as they allow; the clips scored are the same without.
Differences (`voice_gain`, `…_nll_less`, `…_uar_less`, `…_beyond_half`) are paired over speakers.
Clips of emotions that no head knows count for "unknown" alone. `CLASSES` of which a corpus has none
stay among the answers. `unlike`: share of clips whose voice or channel is called unlike. All goes
to `data/reference/head.json`.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from course.predict import FLAGGED
from helpers import encoders, metrics, probe
from helpers.files import write_json
from helpers.intervals import interval, paired
from helpers.voice import draw
from tools.make_head import CLASSES, TAUGHT, channel, clips, fit, numbered

MEASURED = ("ravdess", "nemo", "emodb", "emovo", "savee")
SHARE = (0, 1)
MEASURES = {  # of probabilities (n, C) and emotions (n,)
    "nll": (metrics.nll, (0, np.inf)),
    "uar": (lambda p, y: metrics.uar(y, p.argmax(axis=1)), SHARE),
    "ece": (metrics.ece, SHARE),
    "sureness": (lambda p, y: np.mean(p.max(axis=1) - (p.argmax(axis=1) == y)), (-np.inf, np.inf)),
}


def heard(listener, X, speakers, scored, enrolled):
    """`Heard` of the rows scored, of anybody and, speaker by speaker, with the voice enrolled."""
    anybody, own = listener.hear(X[scored]), [None] * len(scored)
    for name in np.unique(speakers):
        mine = enrolled[speakers[enrolled] == name]
        rows = np.flatnonzero(speakers[scored] == name)
        if not len(rows):
            continue
        listener.enrol(X[mine], name)
        said = listener.hear(X[scored[rows]], name)
        for i, row in enumerate(rows):
            own[row] = [part[i] for part in said]
        listener.forget()
    return anybody, type(anybody)(*map(np.array, zip(*own, strict=True)))


def scores(said, y, speakers) -> dict:
    """Every measure with its interval over speakers; `y` -1: an emotion never taught."""
    known, found = y >= 0, {}
    for name, (metric, limits) in MEASURES.items():
        arrays = said.probabilities[known], y[known]
        found[name] = interval(metric, *arrays, speakers=speakers[known], limits=limits)
    found["flagged_known"] = share(said.unknown[known] > 1 - FLAGGED, speakers[known])
    if not known.all():
        unknown = said.unknown, ~known
        found["auroc_unknown"] = interval(metrics.auroc, *unknown, speakers=speakers, limits=SHARE)
        found["flagged_unknown"] = share(said.unknown[~known] > 1 - FLAGGED, speakers[~known])
    return found


def share(yes, speakers):
    """Share of clips (n,) of which something is true, with its interval over speakers."""
    return interval(np.mean, yes, speakers=speakers, limits=SHARE)


def beyond_half(there, said, y) -> float:
    """UAR, less what lies half of the way from chance to a probe that learned `there` (n,)."""
    return metrics.uar(y, said) - (1 / len(np.unique(y)) + metrics.uar(y, there)) / 2


def gained(plain, voiced, y, speakers) -> dict:
    """What the voice adds to `plain` on the same clips: differences with their intervals."""
    known, (recall, _) = y >= 0, MEASURES["uar"]
    both = voiced.probabilities[known], plain.probabilities[known]
    found = {"uar": paired(recall, *both, y[known], speakers=speakers[known], most=1)}
    if not known.all():
        both = voiced.unknown, plain.unknown
        found["auroc_unknown"] = paired(metrics.auroc, *both, ~known, speakers=speakers, most=1)
    return found


def within(X, y, speakers) -> np.ndarray:
    """What a probe says (n,) that learned from other speakers of the same corpus; -1: not asked."""
    said, rows = np.full_like(y, -1), np.flatnonzero(y >= 0)
    X, y, speakers = X[rows], y[rows], speakers[rows]
    for train, test in GroupKFold(min(5, len(np.unique(speakers)))).split(X, y, speakers):
        linear = probe.fit(X[train], y[train], 1e-3)
        said[rows[test]] = probe.predict(X[test], *linear, np.unique(y[train]))
    return said


def measure(name: str, parts: dict, synthetic) -> dict:
    """The row of one corpus."""
    X, emotion, speakers, _ = parts[name]
    y = numbered(emotion)
    others = [parts[other] for other in TAUGHT if other != name]
    taught = [np.concatenate(each) for each in zip(*others, strict=True)]
    listener, _ = fit(taught[0], numbered(taught[1]), taught[2], CLASSES, taught[3])
    drawn = draw("skewed", y, speakers, CLASSES.index("neutral"))
    scored, enrolled = drawn.scored, drawn.clips[-1]
    row = {"speakers": len(np.unique(speakers)), "clips": len(scored)}
    row["chance"] = 1 / len(np.unique(y[y >= 0]))
    there = within(X, y, speakers)
    near = channel(taught[0], numbered(taught[1]), *taught[2:], listener.views[0])
    far = near.unlike(X[scored], listener.views[0]) > 1 - FLAGGED
    row["unlike"] = share(far, speakers[scored])
    own, other = (heard(one, X, speakers, scored, enrolled) for one in (listener, synthetic))
    y, who, there = y[scored], speakers[scored], there[scored]
    row["uar_within"] = metrics.uar(y[y >= 0], there[y >= 0])
    row["voice_gain"] = gained(*own, y, who)
    for kind, ours, theirs in zip(("anybody", "enrolled"), own, other, strict=True):
        row[kind] = scores(ours, y, who)
        row[f"{kind}_synthetic"] = scores(theirs, y, who)
        known = y >= 0
        row[f"{kind}_nll_less"] = paired(
            metrics.nll, theirs.probabilities[known], ours.probabilities[known], y[known],
            speakers=who[known],
        )  # fmt: skip
        said = ours.probabilities[known].argmax(axis=1)
        row[f"{kind}_uar_less"] = paired(
            lambda said, truth: metrics.uar(truth, said), there[known], said, y[known],
            speakers=who[known], most=1,
        )  # fmt: skip
        row[f"{kind}_beyond_half"] = interval(
            beyond_half, there[known], said, y[known], speakers=who[known]
        )
    return row


def rounded(found):
    """The same with four digits."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [rounded(value) for value in found]
    return found if found is None or isinstance(found, int | str) else round(float(found), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("data/reference/head.json"))
    out, encoder = parser.parse_args().out, encoders.load("embedded")
    names = dict.fromkeys((*TAUGHT, *MEASURED, "embedded"))
    with threadpool_limits(1):
        parts = {name: clips(name, encoder) for name in names}
        X, emotion, speakers, _ = parts["embedded"]
        synthetic, _ = fit(X, numbered(emotion), speakers, CLASSES)
        found = {}
        for name in MEASURED:
            found[name] = measure(name, parts, synthetic)
            print(name, rounded(found[name]), flush=True)
    write_json(out, rounded({"encoder_key": encoder.key, "corpora": found}) | {"seed": 0})


if __name__ == "__main__":
    main()
