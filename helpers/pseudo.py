"""Pseudo-unknowns: settings and thresholds of a detector, without a clip of an unknown emotion.

Each known emotion is left out in turn from the head and from the class models, and plays the
unknown on the tuning speakers (lessons 05, 06, 08). Give embeddings of a *frozen* encoder, one that
was not fine-tuned: the emotion is then left out of all that learns from labels. A detector is a
function ``(case, rows) -> scores (m,)``, higher = more unknown, that fits on the case's ``fit`` and
``held`` rows and on no other.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from helpers.errors import CourseError
from helpers.metrics import auroc

PREVALENCE = 1 / 3  # the share of unknown clips that every F1 of "unknown" assumes
RATES = np.arange(0.01, 1.0, 0.01)  # shares of known clips that a threshold may flag


@dataclass(frozen=True)
class Case:
    """n clips as one model sees them, and the rows that a detector may use.

    Row numbers: ``fit`` (met by the model) and ``held`` (speakers it never met: temperatures and
    tails) are of known emotions; ``score`` is judged and holds both.
    """

    embeddings: np.ndarray  # (n, H)
    logits: np.ndarray  # (n, K)
    labels: np.ndarray  # (n,) 0..K-1, or -1: unknown
    speakers: np.ndarray  # (n,)
    fit: np.ndarray
    held: np.ndarray
    score: np.ndarray
    kept: dict = field(default_factory=dict)

    def once(self, key, make: Callable):
        """``make()`` the first time, then what it gave: for what depends on ``fit`` alone."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


@dataclass(frozen=True)
class Found:
    """What the pseudo-unknowns say of one detector, averaged over the emotions left out."""

    rate: float  # the share of known clips to flag
    f1: float  # of "unknown" at that rate
    auroc: float


def head(embeddings, labels, rows, strength: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression fitted on ``rows``: weight (K, H), bias (K,).

    ``logits = embeddings @ weight.T + bias``. ``strength``: C of scikit-learn. CourseError for
    fewer than three classes (two would have one logit between them).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(labels[rows])) < 3:
        raise CourseError("a multinomial head needs three emotions or more to tell apart")
    scaler = StandardScaler().fit(embeddings[rows])
    model = LogisticRegression(C=strength, max_iter=200, tol=1e-3)
    model.fit(scaler.transform(embeddings[rows]), labels[rows])
    weight = model.coef_ / scaler.scale_
    return weight, model.intercept_ - weight @ scaler.mean_


@threadpool_limits.wrap(limits=1, user_api="blas")  # a small head an emotion: threads only wait
def trials(embeddings, labels, speakers, fit, held, score) -> dict[int, Case]:
    """One case per known emotion left out, by its number; it is -1 in ``case.labels``.

    ``embeddings (n, H)``, ``labels (n,)`` (-1: unknown, in no case), row numbers ``fit``, ``held``,
    ``score``. Emotions that ``score`` lacks are passed over. CourseError below four emotions: three
    must be left to tell apart.
    """
    names = np.unique(labels[fit][labels[fit] >= 0])
    if len(names) < 4:
        raise CourseError(
            f"{len(names)} known emotions: leaving one out in turn needs four; join corpora (a+b)"
        )
    score = score[np.isin(labels[score], names)]
    cases = {}
    for out in names:
        if out not in labels[score]:
            continue
        left = names[names != out]
        y = np.where(np.isin(labels, left), np.searchsorted(left, labels), -1)
        rows, tails = fit[y[fit] >= 0], held[y[held] >= 0]
        weight, bias = head(embeddings, y, rows)
        logits = embeddings @ weight.T + bias
        cases[int(out)] = Case(embeddings, logits, y, speakers, rows, tails, score)
    return cases


def crossed(detector, case: Case, rows, folds: int = 3) -> np.ndarray:
    """Scores of ``rows`` (m,), none of whose speakers is among the held rows that served it.

    The speakers of ``rows`` fall into ``folds``; each fold is scored with the others' held rows. A
    lone speaker has no others: then the held rows serve it as they are.
    """
    scores = np.empty(len(rows))
    names = np.unique(case.speakers[rows])
    for part in np.array_split(names, min(folds, len(names))):
        mine = np.isin(case.speakers[rows], part)
        others = case.held[~np.isin(case.speakers[case.held], part)]
        served = replace(case, held=others) if len(others) else case
        scores[mine] = detector(served, rows[mine])
    return scores


@threadpool_limits.wrap(limits=1, user_api="blas")
def tune(detectors: dict, cases, prevalence: float = PREVALENCE) -> dict[object, Found]:
    """For each of ``{name: detector}`` the flag rate with the best mean F1 over ``cases``.

    Compare ``f1`` to choose among settings. The *rate* is what carries over to another model, whose
    scores have another scale: see ``threshold``.
    """
    curves = {name: [] for name in detectors}
    for case in cases:
        unknown = case.labels[case.score] < 0
        for name, detector in detectors.items():
            scores = _quietly(detector, case, case.score)
            curve = _f1_at_rates(scores, unknown, prevalence)
            curves[name].append([*curve, auroc(scores, unknown)])
        case.kept.clear()
    found = {}
    for name, rows in curves.items():
        *f1, ranked = np.mean(rows, axis=0)
        found[name] = Found(float(RATES[np.argmax(f1)]), float(max(f1)), float(ranked))
    return found


def _f1_at_rates(scores, unknown, prevalence) -> np.ndarray:
    limits = np.quantile(scores[~unknown], 1 - RATES, method="higher")
    hit, false = (np.mean(scores[side][:, None] >= limits, axis=0) for side in (unknown, ~unknown))
    return 2 * prevalence * hit / (prevalence * hit + (1 - prevalence) * false + prevalence)


def threshold(detector, case: Case, rate: float) -> float:
    """Flag when score >= this: it flags a share ``rate`` of the held known clips of ``case``."""
    return float(np.quantile(_quietly(detector, case, case.held), 1 - rate, method="higher"))


def _quietly(detector, case, rows) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tails of a fold are thin
        return crossed(detector, case, rows)
