"""Every detector on equal terms: one contest, each with its own settings (lessons 05-08 and 13).

Every detector picks its settings and its threshold on the same pseudo-unknowns.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import distances, pseudo
from helpers.detectors import Confidence, ReAct, TripletThresholds
from helpers.openmax import BendaleOpenMax, OpenMax, PrintedOpenMax

# Settings that each may choose from. What has none is a list of one. Source 1 does not give ε and
# γ, and the tail and the rank of Bendale & Boulton are theirs for the thousand classes of ImageNet.
GRIDS = {
    **{s: [Confidence(s)] for s in ("entropy", "msp", "margin", "maxlogit", "energy")},
    "react": [ReAct(p) for p in (80.0, 90.0, 95.0)],
    "react_two_sided": [ReAct(p, two_sided=True) for p in (80.0, 90.0, 95.0)],
    "triplet": [TripletThresholds(e, r) for e in (0.5, 0.7, 0.9) for r in (0.0, 0.5, 1.0)],
    "mahalanobis": [distances.Mahalanobis()],
    "mahalanobis_scaled": [distances.Mahalanobis(space="scaled")],
    "rmd": [distances.RelativeMahalanobis()],
    "min_minus_std": [distances.MinMinusStd()],
    "vim": [distances.ViM(d) for d in (20, 60, 100)],
    "knn": [distances.NearestNeighbours(k) for k in (1, 5, 20)],
    "openmax_printed": [PrintedOpenMax(e, g) for e in (1e-4, 1e-3, 1e-2) for g in (0.1, 0.5)],
    "openmax_bendale": [BendaleOpenMax(t, r) for t in (10, 20, 40) for r in (1, 3, 5)],
    "openmax": [
        OpenMax(d, g) for d in ("unit", "logits", "min_minus_std") for g in (0.25, 0.5, 1.0)
    ],
}


# The recommended form is fixed on one of the two main corpora and reported on the other.
FIXED = Path(__file__).resolve().parents[1] / "data" / "reference" / "recommended.json"
OTHER = {"ravdess": "emodb", "emodb": "ravdess"}


def grid(name: str, corpus: str, encoder: str) -> list:
    """Settings that a detector may choose from on a corpus: for most those of ``GRIDS``.

    The recommended form has none left on a main corpus: the pseudo-unknowns of the *other* one,
    heard by the same encoder, chose (`tools/fix_recommended.py`).
    """
    if name == "openmax" and corpus in OTHER and FIXED.is_file():
        fixed = json.loads(FIXED.read_text(encoding="utf-8")).get(Path(encoder).name, {})
        if chosen := fixed.get(OTHER[corpus]):
            return [OpenMax(chosen["distance"], chosen["tail"])]
    return GRIDS[name]


def chosen(name: str, detector) -> str:
    """``epsilon 0.001, tail 0.1``: what a detector of ``GRIDS[name]`` had to choose, in words."""
    every = [option.get_params() for option in GRIDS[name]]
    varied = [k for k in every[0] if len({option[k] for option in every}) > 1]
    return ", ".join(f"{k} {getattr(detector, k)}" for k in varied) or "none"


def case(art, turn: int) -> pseudo.Case:
    """One turn of an artefact: fit = train, held = tune (known emotions), score = all of test."""
    fit, held = art.part(turn, "train"), art.part(turn, "tune")
    score = art.part(turn, "test", known=None)
    head = art.head_weight[turn], art.head_bias[turn]
    arrays = art.embeddings[turn], art.logits[turn], art.labels, art.speakers
    return pseudo.Case(*arrays, fit, held, score, head)


@dataclass(frozen=True)
class Outcome:
    """A detector on the m test clips of all turns, in the order of ``art.pooled(known=None)``."""

    scores: np.ndarray  # (m,); compare them within a turn
    flagged: np.ndarray  # (m,) bool
    detectors: tuple  # a turn: the detector with the settings that it chose
    tuned: tuple  # a turn: pseudo.Found on its pseudo-unknowns
    thresholds: np.ndarray  # (turns,)


@threadpool_limits.wrap(limits=1, user_api="blas")  # many small matrices: threads only wait
def run(art, frozen, names=tuple(GRIDS), prevalence=pseudo.PREVALENCE) -> dict[str, Outcome]:
    """Each detector picks settings and threshold on pseudo-unknowns, then scores the test clips.

    ``frozen (n, H)``: embeddings of the clips of ``art`` before fine-tuning, (turns, n, H) where
    each turn has a space of its own. In each turn only its own tuning speakers choose, so no test
    clip and no unknown emotion has a say.
    """
    found = {name: [] for name in names}
    for turn in range(art.turns):
        here = case(art, turn)
        space = frozen if np.ndim(frozen) == 2 else frozen[turn]
        trials = pseudo.trials(space, art.labels, art.speakers, here.fit, here.held, here.held)
        heard = art.how["corpus"], art.how["encoder"]
        options = {(n, i): d for n in names for i, d in enumerate(grid(n, *heard))}
        results = pseudo.tune(options, trials.values(), prevalence)
        for name in names:
            best = max((k for k in options if k[0] == name), key=lambda k: results[k].f1)
            limit = pseudo.threshold(options[best], here, results[best].rate)
            scores = here.scores(options[best], here.score)
            found[name].append((scores, scores >= limit, options[best], results[best], limit))
    return {name: Outcome(*_joined(turns)) for name, turns in found.items()}


def _joined(turns):
    scores, flagged, detectors, tuned, limits = zip(*turns, strict=True)
    return np.concatenate(scores), np.concatenate(flagged), detectors, tuned, np.array(limits)
