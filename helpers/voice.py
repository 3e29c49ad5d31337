"""A voice: k clips of a speaker, of known emotions, take the speaker out of embeddings (lesson 02).

Kin: per-speaker normalisation in paralinguistics, WCCN (Hatch et al. 2006), PLDA. Plain arrays:
`X (n, H)`, `speakers (n,)`, `y (n,)` with -1 for an emotion that was never taught.
"""

import copy
from typing import NamedTuple

import numpy as np

from helpers import probe
from helpers.arrays import matrix
from helpers.errors import CourseError
from helpers.estimators import Estimator

MOST = 10  # clips that a speaker is enrolled by
SIZE = 250  # columns of the space at most; twice as many serve unseen speakers of nEMO no better
MOST_NEUTRAL, ONE_OTHER = 3, 0.7  # clips of a neutral draw; share of one emotion in a skewed one


class Voice(Estimator):
    """Each speaker's embeddings less the shrunken mean, over the shrunken deviation, of that voice.

    From k clips with mean x̄: mean (k x̄ + τ μ) / (k + τ), variance (Σ (x - x̄)² + τ σ²) / (k - 1 + τ)
    where μ, σ² are those of training speakers. None: τ = σ² / (variance of speakers' means), at
    which the shrunken mean errs least if clips are drawn at random.
    A speaker who is not enrolled has k = 0: μ and σ.
    Fitted: `mean_`, `deviation_` (H,), `tau_`, `voices_` {speaker: (mean, deviation)}.

    >>> X, who = np.array([[0.0], [2.0], [9.0], [11.0]]), np.array(["a", "a", "b", "b"])
    >>> Voice(tau=0).fit_transform(X, who).round(3).ravel().tolist()
    [-0.707, 0.707, -0.707, 0.707]
    """

    kind = "transformer"

    def __init__(self, tau=None):
        self.tau = tau

    def fit(self, X, speakers):
        """Learn μ, σ and τ, and enrol the training speakers by their own clips."""
        X, speakers = matrix(X, "X").astype(np.float64), np.asarray(speakers)
        names, owner, counts = np.unique(speakers, return_inverse=True, return_counts=True)
        if len(names) < 2 or len(X) <= len(names):
            raise CourseError("speakers: a voice needs two training speakers with two clips each")
        means = np.stack([X[owner == i].mean(axis=0) for i in range(len(names))])
        within = ((X - means[owner]) ** 2).sum(axis=0) / (len(X) - len(names))
        self.mean_, self.deviation_ = means.mean(axis=0), np.sqrt(within) + 1e-9
        between = means.var(axis=0, ddof=1) / self.deviation_**2 - np.mean(1 / counts)
        self.tau_ = float(1 / max(between.mean(), 1e-9) if self.tau is None else self.tau)
        self.voices_ = {name: self._voice(X[speakers == name]) for name in names}
        return self

    def enrol(self, X, speakers):
        """A copy that knows these speakers, each by their rows here and no others; none: k = 0."""
        X, speakers, other = np.asarray(X, np.float64), np.asarray(speakers), copy.copy(self)
        new = {name: self._voice(X[speakers == name]) for name in np.unique(speakers)}
        other.voices_ = self.voices_ | new
        return other

    def transform(self, X, speakers) -> np.ndarray:
        """(n, H) -> (n, H): rows of each speaker less their mean, over their deviation."""
        X, speakers = matrix(X, "X", len(self.mean_)), np.asarray(speakers)
        out = np.empty(X.shape, X.dtype)
        for name in np.unique(speakers):
            mean, deviation = self.voices_.get(name, (self.mean_, self.deviation_))
            out[speakers == name] = (X[speakers == name] - mean) / deviation
        return out

    def fit_transform(self, X, speakers) -> np.ndarray:
        """`fit`, then `transform` of the same rows."""
        return self.fit(X, speakers).transform(X, speakers)

    def _voice(self, clips):
        k, tau, own = len(clips), self.tau_, clips.mean(axis=0)
        mean = (k * own + tau * self.mean_) / (k + tau)
        squares = ((clips - own) ** 2).sum(axis=0) + tau * self.deviation_**2
        return mean, np.sqrt(squares / max(k - 1 + tau, 1e-9)) + 1e-9


class VoicedProbe(Estimator):
    """Take the voice out, standardise, PCA, turn; the linear probe on the `size` columns.

    PCA leaves fewer columns than clips, the first far louder than the last. Whatever standardises
    columns (the probe, most detectors) would make the last as loud. So the space is turned at
    random: distances stay, and all columns are about as loud. Nothing but the head reads a label.
    `voiced=False`: the same for people of whom nothing is known, training speakers included.
    Fitted: `voice_`, `space_`, `C_` (chosen by unseen training speakers), `head_`:
    weight (K, size) and bias (K,).

    >>> X, y, who = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 1, 0, 1]), [*"aabb"]
    >>> models = [VoicedProbe(1, voiced).fit(X, y, who) for voiced in (True, False)]
    >>> [m.decision_function(X, who).argmax(axis=1).tolist() for m in models]  # b is a, 5 up
    [[0, 1, 0, 1], [0, 0, 1, 1]]
    """

    def __init__(self, size=SIZE, voiced=True):
        self.size, self.voiced = size, voiced

    def fit(self, X, y, speakers):
        """Fit on clips of training speakers, each enrolled by their own; `y (n,)` 0..K-1."""
        points = self.fit_space(X, speakers)
        self.C_ = probe.choose(points[:, None], y, speakers).C
        self.head_ = probe.fit(points, y, self.C_)
        return self

    def fit_space(self, X, speakers) -> np.ndarray:
        """`fit` without the head: it reads no label. Where the clips lie, (n, size)."""
        from scipy.stats import ortho_group
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, StandardScaler

        self.voice_, turn = Voice().fit(X, speakers), ortho_group.rvs(self.size, random_state=0)
        turned = FunctionTransformer(np.dot, kw_args={"b": turn.astype(np.float32)})
        self.space_ = make_pipeline(StandardScaler(), PCA(self.size, random_state=0), turned)
        return self.space_.fit_transform(self._heard(X, speakers))

    def enrol(self, X, speakers):
        """A copy that knows these speakers, see `Voice.enrol`."""
        other = copy.copy(self)
        other.voice_ = self.voice_.enrol(X, speakers)
        return other

    def transform(self, X, speakers) -> np.ndarray:
        """(n, H) -> (n, size): the space that detectors and the head read."""
        return self.space_.transform(self._heard(X, speakers))

    def decision_function(self, X, speakers) -> np.ndarray:
        """Logits (n, K)."""
        weight, bias = self.head_
        return self.transform(X, speakers) @ weight.T + bias

    def _heard(self, X, speakers):
        return self.voice_.transform(X, speakers) if self.voiced else matrix(X, "X")


class Enrolment(NamedTuple):
    """`clips[k]`: rows enrolled at k clips a speaker; `scored`: the rows scored at every k."""

    clips: list[np.ndarray]
    scored: np.ndarray


def draw(kind: str, y, speakers, neutral: int, seed: int = 0) -> Enrolment:
    """Draw the clips by which each speaker is enrolled, for k from 0 to `MOST`, or as far as go.

    `neutral`: the class number of neutral. Only known emotions are enrolled, each keeps a clip to
    be scored, and what is enrolled at any k is scored at none. Kinds: "neutral"; "balanced": every
    known emotion in turn, which no user gives unasked; "skewed": as one-sided as the clips allow.

    >>> found = draw("neutral", [0, 0, 0, 0, 1, 1], ["a"] * 6, neutral=0)
    >>> [len(rows) for rows in found.clips[:4]], len(found.scored)  # half the neutral clips
    ([0, 1, 2, 2], 4)
    """
    if kind not in KINDS:
        raise CourseError(f"draw: one of {', '.join(KINDS)}, not {kind!r}")
    if not len(y):
        raise CourseError("draw: no clip to draw from")
    y, speakers, rng = np.asarray(y), np.asarray(speakers), np.random.default_rng(seed)
    clips, scored = [[] for _ in range(MOST + 1)], []
    for name in np.unique(speakers):
        own = rng.permutation(np.flatnonzero(speakers == name))
        pools = {c: own[y[own] == c][:-1] for c in rng.permutation(np.unique(y[own][y[own] >= 0]))}
        calm = pools.pop(neutral, own[:0])
        drawn = KINDS[kind](calm[: (len(calm) + 1) // 2], list(pools.values()))
        for k, rows in enumerate(clips):
            rows.append(drawn[min(k, len(drawn) - 1)])
        scored.append(np.setdiff1d(own, np.concatenate(drawn)))
    return Enrolment([np.concatenate(rows) for rows in clips], np.concatenate(scored))


def _neutral(calm, pools):
    return [calm[:k] for k in range(min(MOST_NEUTRAL, len(calm)) + 1)]


def _balanced(calm, pools):
    pools = [calm, *pools]
    turns = range(max(map(len, pools)))
    order = np.array([rows[i] for i in turns for rows in pools if i < len(rows)], dtype=int)
    return [order[:k] for k in range(min(MOST, len(order)) + 1)]


def _skewed(calm, pools):
    """Neutral up to half of the neutral clips, one other emotion up to 70 % of k, then the rest."""
    pools = [rows for rows in pools if len(rows)] or [calm[:0]]
    other, rest, drawn = pools[0], np.concatenate([calm[:0], *pools[1:]]), []
    for k in range(MOST + 1):
        a = min(k, len(calm))
        b = min(k - a, int(ONE_OTHER * k), len(other))
        if k - a - b > len(rest):
            break
        drawn.append(np.concatenate([calm[:a], other[:b], rest[: k - a - b]]))
    return drawn


KINDS = {"neutral": _neutral, "balanced": _balanced, "skewed": _skewed}
