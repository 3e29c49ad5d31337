"""Pseudo-unknowns: settings and thresholds of a detector, without a clip of an unknown emotion.

Each known emotion is left out in turn from the head and from the class models, and plays the
unknown on the tuning speakers (lessons 05, 06, 08). Give embeddings of a *frozen* encoder, one that
was not fine-tuned: the emotion is then left out of all that learns from labels. Detectors are those
of `detectors` and `openmax`, with their settings and not fitted.
"""

import copy
import warnings
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import probe
from helpers.calibration import TemperatureScaling
from helpers.errors import CourseError

PREVALENCE = 1 / 3  # the share of unknown clips that every F1 of "unknown" assumes
RATES = np.arange(0.01, 1.0, 0.01)  # shares of known clips that a threshold may flag


@dataclass(frozen=True)
class Case:
    """n clips as one model sees them, and the rows that a detector may use.

    Row numbers: `fit` (met by the model) and `held` (speakers it never met: temperatures and
    tails) are of known emotions; `score` is judged and holds both. `head`: weight (K, H) and
    bias (K,) that make the logits of the embeddings.
    """

    embeddings: np.ndarray  # (n, H)
    logits: np.ndarray  # (n, K)
    labels: np.ndarray  # (n,) 0..K-1, or -1: unknown
    speakers: np.ndarray  # (n,)
    fit: np.ndarray
    held: np.ndarray
    score: np.ndarray
    head: tuple[np.ndarray, np.ndarray] | None = None
    # What was fitted here, by its settings. A case made by `replace` begins with none.
    _kept: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def inputs(self, rows) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (m, H) and logits (m, K) of `rows`, as detectors take them."""
        return self.embeddings[rows], self.logits[rows]

    def temperature(self, held=None) -> float:
        """T of the held clips (lesson 03); `held`: other rows in their place."""
        held = self.held if held is None else held
        clips = self.logits[held], self.labels[held], self.speakers[held]
        return self._once(held.tobytes(), partial(TemperatureScaling().fit, *clips)).temperature_

    def fitted(self, detector, held=None):
        """A copy of `detector`: fitted on `fit`, then on `held` (other rows: see above).

        Where it has a `temperature`, that of the held rows is set. `detector` stays as it is.
        """
        from sklearn.base import clone

        held = self.held if held is None else held
        seen = *self.inputs(self.fit), self.labels[self.fit], self.head
        served = copy.copy(self._once(repr(detector), partial(clone(detector).fit, *seen)))
        if hasattr(served, "temperature"):
            served.temperature = self.temperature(held)
        return served.fit_held(*self.inputs(held), self.labels[held])

    def scores(self, detector, rows, held=None) -> np.ndarray:
        """Scores (m,) that `detector`, fitted here, gives `rows`."""
        return self.fitted(detector, held).score_samples(*self.inputs(rows))

    def _once(self, key, make):
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


@dataclass(frozen=True)
class Found:
    """What the pseudo-unknowns say of one detector, averaged over the emotions left out."""

    rate: float  # the share of known clips to flag
    f1: float  # of "unknown" at that rate
    auroc: float


@threadpool_limits.wrap(limits=1, user_api="blas")  # a small head an emotion: threads only wait
def trials(embeddings, labels, speakers, fit, held, score) -> dict[int, Case]:
    """One case per known emotion left out, by its number; it is -1 in `case.labels`.

    `embeddings (n, H)`, or a function of that number: those of a space that never met it.
    `labels (n,)` (-1: unknown, in no case), row numbers `fit`, `held`, `score`. Emotions
    that `score` lacks are passed over. CourseError below four emotions: three must be left to
    tell apart.

    >>> y, rows = np.tile(np.arange(4), 3), np.arange(12)
    >>> cases = trials(np.eye(4)[y], y, rows // 4, rows, rows, rows)
    >>> cases[1].labels[:4].tolist()  # 1 plays the unknown, the numbers of the others close up
    [0, -1, 1, 2]
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
        points = embeddings(out) if callable(embeddings) else embeddings
        weight, bias = probe.fit(points[rows], y[rows])
        logits = points @ weight.T + bias
        cases[int(out)] = Case(points, logits, y, speakers, rows, tails, score, (weight, bias))
    return cases


def crossed(detector, case: Case, rows, folds: int = 3) -> np.ndarray:
    """Scores of `rows` (m,), none of whose speakers is among the held rows that served it.

    The speakers of `rows` fall into `folds`; each fold is scored with the others' held rows. A
    lone speaker has no others: then the held rows serve it as they are.
    """
    scores = np.empty(len(rows))
    names = np.unique(case.speakers[rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tails of a fold are thin
        for part in np.array_split(names, min(folds, len(names))):
            mine = np.isin(case.speakers[rows], part)
            others = case.held[~np.isin(case.speakers[case.held], part)]
            scores[mine] = case.scores(detector, rows[mine], others if len(others) else None)
    return scores


@threadpool_limits.wrap(limits=1, user_api="blas")
def tune(detectors: dict, cases, prevalence: float = PREVALENCE) -> dict[object, Found]:
    """For each of `{name: detector}` the flag rate with the best mean F1 over `cases`.

    Compare `f1` to choose among settings. The *rate* is what carries over to another model, whose
    scores have another scale: see `threshold`.
    """
    from sklearn.metrics import roc_auc_score

    curves = {name: [] for name in detectors}
    for case in cases:
        unknown = case.labels[case.score] < 0
        for name, detector in detectors.items():
            scores = crossed(detector, case, case.score)
            curve = _f1_at_rates(scores, unknown, prevalence)
            curves[name].append([*curve, roc_auc_score(unknown, scores)])
        case._kept.clear()  # the covariances of many settings are large
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
    """Flag when score >= this: it flags a share `rate` of the held known clips of `case`.

    >>> from helpers.distances import Mahalanobis
    >>> X, i = np.array([[-1.0], [1.0], [1.0], [2.0], [3.0], [4.0]]), np.arange(6)
    >>> threshold(Mahalanobis(space="raw"), Case(X, X, 0 * i, i, i[:2], i[2:], i), 0.25)  # of 1..4
    4.0
    """
    return float(np.quantile(crossed(detector, case, case.held), 1 - rate, method="higher"))
