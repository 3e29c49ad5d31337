"""A threshold that keeps its promise on speakers not yet heard (lesson 04). Plain arrays only.

A speaker is let down when too many of the answers that it gets are wrong. Clips of one speaker tell
little about the next, so speakers are what is counted: n of them bound the share that is let down.
"""

from functools import lru_cache

import numpy as np

from helpers.arrays import class_labels, probabilities
from helpers.errors import CourseError


@lru_cache
def promise(failures: int, n: int, delta: float = 0.1) -> float:
    """Upper bound, wrong with chance `delta`, on a share of which n draws showed `failures`.

    Clopper & Pearson 1934, one side.

    >>> round(promise(0, 5), 2)  # no failure among five speakers
    0.37
    """
    from scipy.stats import beta

    if not 0 <= failures <= n or n < 1:
        raise CourseError(f"promise: {failures} failures among {n} are no count")
    return 1.0 if failures == n else float(beta.ppf(1 - delta, failures + 1, n - failures))


def controlled_threshold(confidence, correct, speakers, wrong=0.1, failing=0.3, delta=0.1) -> float:
    """Lowest confidence from which answers may be given; inf where these speakers allow none.

    `confidence (n,)`, `correct (n,)`, `speakers (n,)` of clips that their model never met.
    Promised, but for a chance of `delta`: at most a share `failing` of new speakers is let
    down, with more than `wrong` of its answers wrong. Thresholds are tried from the top and the
    first that cannot be promised ends it, so that all tries together have that one chance to fail
    (Angelopoulos et al. 2021, fixed sequence testing).

    >>> sure, right = [0.9, 0.5] * 7, [True, False] * 7  # two clips of each speaker: of 7, of 6
    >>> [controlled_threshold(sure[:n], right[:n], np.arange(n) // 2) for n in (14, 12)]
    [0.9, inf]
    """
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    people, who = np.unique(speakers, return_inverse=True)
    if not confidence.shape == correct.shape == who.shape:
        raise CourseError("controlled_threshold: one confidence, answer and speaker a clip")
    kept, errors, lowest = np.zeros(len(people)), np.zeros(len(people)), float("inf")
    for level in np.unique(confidence)[::-1]:
        here = confidence == level
        kept += np.bincount(who[here], minlength=len(people))
        errors += np.bincount(who[here & ~correct], minlength=len(people))
        if promise(int(np.sum(errors > wrong * kept)), len(people), delta) > failing:
            break
        lowest = float(level)
    return lowest


def conformal_sets(probs, labels, new, miss=0.1, by_class=False) -> np.ndarray:
    """Emotions (m, K) bool that stay possible for the rows of `new (m, K)`.

    The truth is among them but for a share `miss` of clips, on average over clips like those of
    `probs (n, K)`, `labels (n,)`; with `by_class` also within each emotion. No promise is
    made for one speaker. Score: 1 - p of the class (Vovk et al. 2005; Sadinle et al. 2019).

    >>> sure = [[0.8, 0.2]] * 19
    >>> [conformal_sets(sure[:n], [0] * n, [[0.8, 0.2]]).tolist() for n in (19, 8)]  # 8: too few
    [[[True, False]], [[True, True]]]
    """
    probs, new = probabilities(probs), probabilities(new, "new")
    labels = class_labels(labels, len(probs))
    scores, kept = 1 - probs[np.arange(len(labels)), labels], np.zeros(new.shape, dtype=bool)
    for k in range(new.shape[1]):
        like = np.sort(scores[labels == k] if by_class else scores)
        as_strange = len(like) - np.searchsorted(like, 1 - new[:, k])  # (m,) as strange or more
        kept[:, k] = (as_strange + 1) / (len(like) + 1) > miss
    return kept
