"""Scores of predictions, confidences and unknown-detectors. Arrays in, floats out.

`probs (n, K)`, `labels (n,)` column numbers in `0..K-1`, `confidence (n,)` in 0..1, `correct (n,)`
bool, `scores (n,)`: **higher = more unknown**, `unknown (n,)` bool. Lessons 03, 04; unknown: 05 on.
"""

from dataclasses import dataclass

import numpy as np

from helpers.arrays import class_labels, finite, flags, pairs, probabilities
from helpers.errors import CourseError

BINS = 15
FLOOR_DRAWS = 200
SMALLEST = 1e-12  # a probability of zero on the true class costs -log(1e-12) = 27.6, not infinity


def uar(labels, predicted) -> float:
    """Unweighted average recall: the mean over the classes in `labels` of each class' recall.

    >>> uar(["sad", "sad", "angry"], ["sad", "angry", "angry"])  # (1/2 + 1) / 2
    0.75
    """
    labels, predicted = pairs(labels, predicted)
    return float(np.mean([np.mean(predicted[labels == c] == c) for c in np.unique(labels)]))


# --- calibration -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Bins:
    """Reliability bins: `edges (b + 1,)`; counts, accuracy, confidence `(b,)`, NaN if empty."""

    edges: np.ndarray
    counts: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Confidence minus accuracy `(b,)`: above zero where the model is over-confident."""
        return self.confidence - self.accuracy


def _checked(probs, labels) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, K) and class numbers (n,) among their columns, or CourseError."""
    probs = probabilities(probs).astype(float)
    return probs, class_labels(labels, len(probs), classes=probs.shape[1])


def top_label(probs, labels) -> tuple[np.ndarray, np.ndarray]:
    """Confidence `(n,)` of the most probable class, and whether that class is right."""
    probs, labels = _checked(probs, labels)
    return probs.max(axis=1), probs.argmax(axis=1) == labels


def _bin_numbers(confidence, edges) -> np.ndarray:
    # Bins are [low, high); the last is closed, so that 1.0 is counted.
    return np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, len(edges) - 2)


def _mass_edges(confidence, bins) -> np.ndarray:
    # Quantiles, so that equal confidences share a bin whatever the order of the rows.
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)))
    return edges if len(edges) > 1 else np.array([0.0, 1.0])


def reliability(confidence, correct, bins: int = BINS, equal_mass: bool = False) -> Bins:
    """Bins of equal width or mass; also of one class: `reliability(probs[:, k], labels == k)`."""
    confidence, correct = finite(confidence), flags(correct, np.shape(confidence))
    if not np.all((confidence > -1e-6) & (confidence < 1 + 1e-6)):
        raise CourseError("confidence: expected numbers from 0 to 1; apply softmax to logits first")
    edges = _mass_edges(confidence, bins) if equal_mass else np.linspace(0, 1, bins + 1)
    number = _bin_numbers(confidence, edges)
    counts = np.bincount(number, minlength=len(edges) - 1)
    total = np.where(counts > 0, counts, np.nan)
    sums = [np.bincount(number, v, minlength=len(edges) - 1) for v in (correct, confidence)]
    return Bins(edges, counts, sums[0] / total, sums[1] / total)


def _weighted_gap(bins: Bins) -> float:
    return float(np.nansum(bins.counts * np.abs(bins.gap)) / bins.counts.sum())


def ece(probs, labels, bins: int = BINS) -> float:
    """Expected calibration error of the top label: sum over bins of |B|/N |acc(B) - conf(B)|.

    Source 1, section 8.2 (how many bins it does not say; 15 as in source 5). A confidence of 1.0
    is counted in the last bin. Above zero even for a calibrated model: `ece_floor`. Lesson 03.

    >>> round(ece([[0.9, 0.1], [0.9, 0.1]], [0, 1]), 6)  # 0.9 sure, right half the time
    0.4
    """
    return _weighted_gap(reliability(*top_label(probs, labels), bins))


def adaptive_ece(probs, labels, bins: int = BINS) -> float:
    """ECE over bins that hold equally many clips (Nguyen & O'Connor 2015)."""
    return _weighted_gap(reliability(*top_label(probs, labels), bins, equal_mass=True))


def mce(probs, labels, bins: int = BINS, least: int = 1) -> float:
    """Maximum calibration error: the largest gap of a bin of `least` clips or more; NaN if none.

    >>> [mce([[1, 0], [1, 0], [0.6, 0.4]], [0, 0, 1], least=n) for n in (1, 2)]  # one clip is wrong
    [0.6, 0.0]
    """
    found = reliability(*top_label(probs, labels), bins)
    gaps = np.abs(found.gap[found.counts >= least])
    return float(gaps.max()) if gaps.size else float("nan")


def label_ece(probs, truth, against: str = "positive rate", bins: int = BINS) -> np.ndarray:
    """ECE of each emotion `(K,)` where a clip may have several (source 5, eq. 8; lesson 11).

    `probs (n, K)` one an emotion, `truth (n, K)` bool. `against` says what is binned and compared:
    "positive rate": p, and whether the emotion is there; "confidence": max(p, 1 - p), and whether
    the decision at 0.5 is right; "accuracy": p, and whether the decision is right (source 5). The
    last is never zero for a calibrated p below 0.5: a "no" is right with probability 1 - p.
    """
    probs, truth = np.asarray(probs, dtype=float), flags(truth, np.shape(probs), "truth")
    right = (probs >= 0.5) == truth
    binned, outcome = {
        "positive rate": (probs, truth),
        "confidence": (np.maximum(probs, 1 - probs), right),
        "accuracy": (probs, right),
    }[against]
    pairs = zip(binned.T, outcome.T, strict=True)
    return np.array([_weighted_gap(reliability(p, y, bins)) for p, y in pairs])


def nll(probs, labels) -> float:
    """Mean negative log-likelihood in nats; probabilities below 1e-12 count as 1e-12.

    >>> round(nll([[0.5, 0.5]], [1]), 4)  # log 2
    0.6931
    """
    probs, labels = _checked(probs, labels)
    return float(-np.log(np.maximum(probs[np.arange(len(labels)), labels], SMALLEST)).mean())


def brier(probs, labels) -> float:
    """Brier score, multi-class sum form: mean of sum_k (p_k - 1[y = k])^2, in 0..2.

    >>> brier([[1.0, 0.0], [1.0, 0.0]], [0, 1])
    1.0
    """
    probs, labels = _checked(probs, labels)
    wrong = probs.copy()
    wrong[np.arange(len(wrong)), labels] -= 1
    return float((wrong**2).sum(axis=1).mean())


def ece_noise(probs, bins: int = BINS, draws: int = FLOOR_DRAWS, seed: int = 0) -> np.ndarray:
    """ECEs `(draws,)` of *perfect calibration*: each clip right with a chance of its confidence."""
    confidence = probabilities(probs).max(axis=1)
    member = np.eye(bins)[_bin_numbers(confidence, np.linspace(0, 1, bins + 1))]  # (n, b)
    right = np.random.default_rng(seed).random((draws, len(confidence))) < confidence
    return np.abs((right - confidence) @ member).sum(axis=1) / len(confidence)


def ece_floor(probs, bins: int = BINS, draws: int = FLOOR_DRAWS, seed: int = 0) -> float:
    """Mean of `ece_noise`: an ECE is to be read as an excess over this floor."""
    return float(ece_noise(probs, bins, draws, seed).mean())


# --- keeping the confident --------------------------------------------------------------------


def risk_coverage(confidence, correct) -> tuple[np.ndarray, np.ndarray]:
    """Coverage `(n,)` and risk `(n,)` (share wrong) when the most confident clips are kept.

    Clips of equal confidence share their errors evenly, so the order of the rows does not matter.
    """
    confidence, wrong = finite(confidence), 1.0 - flags(correct, np.shape(confidence))
    _, tie = np.unique(-confidence, return_inverse=True)
    wrong = (np.bincount(tie, wrong) / np.bincount(tie))[np.sort(tie)]
    kept = np.arange(1, len(wrong) + 1)
    return kept / len(wrong), np.cumsum(wrong) / kept


def aurc(confidence, correct) -> float:
    """Area under the risk-coverage curve (Geifman & El-Yaniv 2017): mean risk, lower is better.

    >>> aurc([0.9, 0.5], [True, False]), aurc([0.5, 0.9], [True, False])  # of 0, 1/2 and of 1, 1/2
    (0.25, 0.75)
    """
    return float(risk_coverage(confidence, correct)[1].mean())


def threshold_at_accuracy(confidence, correct, target: float = 0.95) -> float:
    """Lowest confidence threshold at which the clips kept (>=) reach `target`; inf if none."""
    confidence, correct = finite(confidence), flags(correct, np.shape(confidence))
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    last_of_tie = np.append(np.diff(confidence[order]) < 0, True)
    good = np.flatnonzero(last_of_tie & (accuracy >= target))
    return float(confidence[order][good[-1]]) if good.size else float("inf")


# --- unknown emotions: the unknown is the positive class --------------------------------------
# With the *known* as positive call aupr(-scores, ~unknown), fpr95(-scores, ~unknown).


class Undefined(ValueError):
    """These clips do not have the figure: a ranking without known, or without unknown clips."""


def _two_sides(scores, unknown) -> tuple[np.ndarray, np.ndarray]:
    unknown, scores = flags(unknown, np.shape(unknown), "unknown"), np.asarray(scores, dtype=float)
    if scores.shape != unknown.shape or not np.isfinite(scores).all():
        raise CourseError(f"scores: expected one finite number for each of {unknown.size} clips")
    if unknown.all() or not unknown.any():
        raise Undefined("ranking metrics need known and unknown clips; one side is empty")
    return scores, unknown


def within_turns(metric, turns, *arrays) -> float:
    """Mean over turns of `metric` on a turn's rows of `arrays`: scores that one model made.

    A turn on which the metric is `Undefined` is left out; NaN if all are.
    """
    turns, arrays, found = np.asarray(turns), [np.asarray(array) for array in arrays], []
    for turn in np.unique(turns):
        try:
            found.append(metric(*(array[turns == turn] for array in arrays)))
        except Undefined:
            continue
    return float(np.mean(found)) if found else float("nan")


def auroc(scores, unknown) -> float:
    """Chance that an unknown clip scores above a known one; ties count half.

    >>> auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
    0.875
    """
    from scipy.stats import rankdata

    scores, unknown = _two_sides(scores, unknown)
    m = unknown.sum()
    return float((rankdata(scores)[unknown].sum() / m - (m + 1) / 2) / (len(scores) - m))


def aupr(scores, unknown) -> float:
    """Area under precision-recall as average precision, no interpolation; chance = prevalence."""
    from sklearn.metrics import average_precision_score

    scores, unknown = _two_sides(scores, unknown)
    return float(average_precision_score(unknown, scores))


def fpr95(scores, unknown) -> float:
    """Share of known clips flagged at the highest threshold that flags 95 % of the unknown.

    >>> fpr95([0.1, 0.7, 0.6, 0.9], [False, False, True, True])  # 0.7 is flagged with 0.6
    0.5
    """
    scores, unknown = _two_sides(scores, unknown)
    positive = np.sort(scores[unknown])[::-1]
    threshold = positive[int(np.ceil(0.95 * len(positive) - 1e-9)) - 1]
    return float(np.mean(scores[~unknown] >= threshold))


def oscr(scores, unknown, correct) -> float:
    """Area under correct-classification rate over false-positive rate (Dhamija et al. 2018).

    A clip is accepted while its score is at or below a threshold. CCR = share of known clips
    accepted *and* right (`correct`, read on known clips only); FPR = unknown clips accepted.

    >>> oscr([0.1, 0.2, 0.9], [False, False, True], [True, False, False])  # AUROC 1; CCR stays 1/2
    0.5
    """
    scores, unknown = _two_sides(scores, unknown)
    right = ~unknown & flags(correct, unknown.shape)
    _, step = np.unique(scores, return_inverse=True)
    rates = [
        np.concatenate([[0.0], np.cumsum(np.bincount(step, mask)) / total])
        for mask, total in ((right, (~unknown).sum()), (unknown, unknown.sum()))
    ]
    return float(np.trapezoid(*rates))


def f1_unknown(flagged, unknown, prevalence: float | None = None) -> float:
    """F1 of "unknown", at a stated share of unknown clips (default: the share in the sample).

    >>> f1_unknown([True, True, True], [True, False, False], prevalence=1 / 3)  # flags everything
    0.5
    """
    flagged, unknown = _two_sides(flags(flagged, np.shape(unknown), "flagged"), unknown)
    share = unknown.mean() if prevalence is None else prevalence
    hit, false = share * flagged[unknown].mean(), (1 - share) * flagged[~unknown].mean()
    return float(2 * hit / (hit + false + share))


def f1_reject_all(prevalence: float) -> float:
    """F1 of flagging everything: the number that a detector has to beat."""
    return 2 * prevalence / (1 + prevalence)
