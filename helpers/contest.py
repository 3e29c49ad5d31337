"""Every detector on equal terms: one contest, each with its own settings (lessons 05-08 and 13).

Every detector picks its settings and its threshold on the same pseudo-unknowns.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import distances, pseudo
from helpers.detectors import Confidence, TripletThresholds
from helpers.odin import ODIN, ReAct
from helpers.openmax import DISTANCES, BendaleOpenMax, OpenMax, PrintedOpenMax

# Settings that each may choose from. What has none is a list of one. Source 1 does not give ε and
# γ, and the tail and the rank of Bendale & Boulton are theirs for the thousand classes of ImageNet.
GRIDS = {
    **{s: [Confidence(s)] for s in ("entropy", "msp", "margin", "maxlogit", "energy")},
    "odin": [ODIN(e, t) for e in (0.01, 0.03, 0.1) for t in (1.0, 1000.0)],
    "rodin": [ODIN(-e, t) for e in (0.01, 0.03, 0.1) for t in (1.0, 1000.0)],
    "react": [ReAct(p) for p in (80.0, 90.0, 95.0)],
    "react_two_sided": [ReAct(p, two_sided=True) for p in (80.0, 90.0, 95.0)],
    "triplet": [TripletThresholds(e, r) for e in (0.5, 0.7, 0.9) for r in (0.0, 0.5, 1.0)],
    "mahalanobis": [distances.Mahalanobis(space="unit")],
    "mahalanobis_scaled": [distances.Mahalanobis()],
    "rmd": [distances.RelativeMahalanobis()],
    "min_minus_std": [distances.MinMinusStd(space=s) for s in ("unit", "scaled")],
    "vim": [distances.ViM(d) for d in (20, 60, 100)],
    "knn": [distances.NearestNeighbours(k) for k in (1, 5, 20)],
    "openmax_printed": [PrintedOpenMax(e, g) for e in (1e-4, 1e-3, 1e-2) for g in (0.1, 0.5)],
    "openmax_bendale": [BendaleOpenMax(t, r) for t in (10, 20, 40) for r in (1, 3, 5)],
    "openmax": [
        OpenMax(d, s, g) for d in DISTANCES for s in ("unit", "scaled") for g in (0.25, 0.5, 1.0)
    ],
}


FIXED = Path(__file__).resolve().parents[1] / "data" / "reference" / "recommended.json"


def elsewhere(what: str, corpus: str, encoder: str) -> dict[str, float]:
    """What the pseudo-unknowns of the main corpora but `corpus` gave, a mean by name.

    `what`: "auroc" of each detector, or "openmax", the F1 of each of its settings, in an enrolled
    space with nobody enrolled (`tools/fix_recommended.py`). Empty for an encoder never asked.
    """
    kept = json.loads(FIXED.read_text(encoding="utf-8")) if FIXED.is_file() else {}
    main = kept.get(Path(encoder).name, {}).items()
    others = [found[what] for name, found in main if name not in corpus.split("+")]
    return {k: float(np.mean([o[k] for o in others])) for k in others[0]} if others else {}


def grid(name: str, corpus: str, encoder: str) -> list:
    """Settings that a detector may choose from in an enrolled space: for most those of `GRIDS`.

    The recommended form has none left: the pseudo-unknowns of *other* corpora chose.
    """
    if name == "openmax" and (scores := elsewhere(name, corpus, encoder)):
        best = max(scores, key=scores.get)
        return [detector for detector in GRIDS[name] if chosen(name, detector) == best]
    return GRIDS[name]


def chosen(name: str, detector) -> str:
    """`epsilon 0.001, tail 0.1`: what a detector of `GRIDS[name]` had to choose, in words.

    >>> chosen("odin", ODIN(0.03, 1.0)), chosen("entropy", Confidence("entropy"))
    ('epsilon 0.03, odds 1.0', 'none')
    """
    every = [option.get_params() for option in GRIDS[name]]
    varied = [k for k in every[0] if len({option[k] for option in every}) > 1]
    return ", ".join(f"{k} {getattr(detector, k)}" for k in varied) or "none"


def case(art, turn: int) -> pseudo.Case:
    """One turn of an artefact: fit = what was taught, held = tune, score = all of test."""
    fit = np.concatenate([art.part(turn, part) for part in art.how.get("taught", ("train",))])
    held = art.part(turn, "tune")
    score = art.part(turn, "test", known=None)
    head = art.head_weight[turn], art.head_bias[turn]
    arrays = art.embeddings[turn], art.logits[turn], art.labels, art.speakers
    return pseudo.Case(*arrays, fit, held, score, head)


@dataclass(frozen=True)
class Outcome:
    """A detector on the m test clips of all turns, in the order of `art.pooled(known=None)`."""

    scores: np.ndarray  # (m,); compare them within a turn
    flagged: np.ndarray  # (m,) bool
    detectors: tuple  # a turn: the detector with the settings that it chose
    tuned: tuple  # a turn: pseudo.Found on its pseudo-unknowns
    thresholds: np.ndarray  # (turns,)


def run(art, frozen, names=tuple(GRIDS), prevalence=pseudo.PREVALENCE) -> dict[str, Outcome]:
    """Each detector picks settings and threshold on pseudo-unknowns, then scores the test clips.

    `frozen`: embeddings of the clips of `art` before fine-tuning (n, H); of an enrolled one, a
    function of a turn and an emotion's number that gives (n, d) in a space that never met it.
    """
    return judge(art, choose(art, frozen, names, prevalence))


@threadpool_limits.wrap(limits=1, user_api="blas")  # many small matrices: threads only wait
def choose(art, frozen, names=tuple(GRIDS), prevalence=pseudo.PREVALENCE) -> dict[str, list]:
    """For each detector and turn: its settings, and `pseudo.Found` by them.

    In each turn only its own tuning speakers choose, so no test clip and no unknown emotion has a
    say. `frozen`: see `run`.
    """
    found = {name: [] for name in names}
    for turn in range(art.turns):
        here, enrolled = case(art, turn), callable(frozen)
        space = partial(frozen, turn) if enrolled else frozen
        trials = pseudo.trials(space, art.labels, art.speakers, here.fit, here.held, here.held)
        heard = art.how["corpus"], art.how["encoder"]
        grids = {name: grid(name, *heard) if enrolled else GRIDS[name] for name in names}
        options = {(name, i): d for name in names for i, d in enumerate(grids[name])}
        results = pseudo.tune(options, trials.values(), prevalence)
        for name in names:
            best = max((k for k in options if k[0] == name), key=lambda k: results[k].f1)
            found[name].append((options[best], results[best]))
    return found


@threadpool_limits.wrap(limits=1, user_api="blas")
def judge(art, choices) -> dict[str, Outcome]:
    """Score the test clips of `art` by the `choices` made on it, or on other voices' clips."""
    outcomes, cases = {}, [case(art, turn) for turn in range(art.turns)]
    for name, turns in choices.items():
        rows = []
        for here, (detector, tuned) in zip(cases, turns, strict=True):
            limit = pseudo.threshold(detector, here, tuned.rate)
            scores = here.scores(detector, here.score)
            rows.append((scores, scores >= limit, detector, tuned, limit))
        scores, flagged, detectors, tuned, limits = zip(*rows, strict=True)
        joined = np.concatenate(scores), np.concatenate(flagged)
        outcomes[name] = Outcome(*joined, detectors, tuned, np.array(limits))
    return outcomes
