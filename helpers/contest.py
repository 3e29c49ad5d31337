"""The detectors of lessons 05, 06 and 08, their settings, and one contest on equal terms.

Each detector is built in the lesson that its class names. Called with ``(case, rows)`` it fits on
the case's ``fit`` and ``held`` rows and scores ``rows``: higher = more unknown (``pseudo.Case``).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from helpers import detectors, pseudo
from helpers.calibration import TemperatureScaling
from helpers.openmax import BendaleOpenMax, OpenMax, PrintedOpenMax


def temperature(case) -> float:
    """T of the held clips, as in lesson 03."""
    rows = case.held
    model = case.once(
        ("T", rows.tobytes()),
        lambda: TemperatureScaling().fit(case.logits[rows], case.labels[rows]),
    )
    return model.temperature_


@dataclass(frozen=True)
class Logits:
    """One pass over the clip, one score from its logits (lesson 05)."""

    score: str = "entropy"  # entropy, msp, margin, max_logit or energy

    def __call__(self, case, rows):
        logits, T = case.logits[rows], temperature(case)
        if self.score in ("max_logit", "energy"):
            return getattr(detectors, self.score)(logits / T)
        return getattr(detectors, self.score)(softmax(logits / T, axis=1))


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the nearest class, one shrunk covariance for all (lesson 06)."""

    def __call__(self, case, rows):
        model = case.once(
            self,
            lambda: detectors.Mahalanobis().fit(case.embeddings[case.fit], case.labels[case.fit]),
        )
        return model.score_samples(case.embeddings[rows])


@dataclass(frozen=True)
class Source:
    """Mahalanobis-OpenMax as source 1 prints it (lesson 06); it does not give ε and γ."""

    epsilon: float
    tail: float

    def fitted(self, case) -> PrintedOpenMax:
        """Class models and tails from the rows that the network was trained on, as printed."""

        def make():
            model = PrintedOpenMax(self.epsilon, self.tail)
            return model.fit(case.embeddings[case.fit], case.labels[case.fit])

        return case.once(self, make).set_params(temperature=temperature(case))

    def proba(self, case, rows):
        """Probabilities (m, K + 1), "unknown" last."""
        return self.fitted(case).predict_proba(case.embeddings[rows], case.logits[rows])

    def __call__(self, case, rows):
        return self.proba(case, rows)[:, -1]


@dataclass(frozen=True)
class Bendale:
    """Bendale & Boulton's OpenMax (lesson 06)."""

    tail: int
    rank: int

    def fitted(self, case) -> BendaleOpenMax:
        """Class means and tails from the training rows that the network has right."""

        def make():
            model = BendaleOpenMax(self.tail, rank=1)
            return model.fit(case.logits[case.fit], case.labels[case.fit])

        model = case.once(("bendale", self.tail), make)
        return model.set_params(rank=min(self.rank, case.logits.shape[1]))

    def proba(self, case, rows):
        """Probabilities (m, K + 1), "unknown" last."""
        return self.fitted(case).predict_proba(case.logits[rows])

    def __call__(self, case, rows):
        return self.proba(case, rows)[:, -1]


@dataclass(frozen=True)
class Recommended:
    """OpenMax in probability space, tied covariance, held-out tails (lesson 06).

    ``space``: where distances are taken, in the "embeddings" or in the "logits" less their mean.
    """

    space: str
    tail: float

    def points(self, case):
        """What distances are taken between: (n, H), or (n, K) without their common shift."""
        if self.space == "embeddings":
            return case.embeddings
        return case.logits - case.logits.mean(axis=1, keepdims=True)

    def fitted(self, case) -> OpenMax:
        """Class models from the training rows; temperature and tails from the held ones."""
        model = OpenMax(self.tail, temperature(case), normalise=self.space == "embeddings")
        X, y = self.points(case), case.labels
        return model.fit(X[case.fit], y[case.fit], X[case.held], y[case.held])

    def proba(self, case, rows):
        """Probabilities (m, K + 1), "unknown" last."""
        return self.fitted(case).predict_proba(self.points(case)[rows], case.logits[rows])

    def __call__(self, case, rows):
        return self.fitted(case).score_samples(self.points(case)[rows], case.logits[rows])


# Settings that each rival may choose from. What has none is a list of one.
GRIDS = {
    "entropy": [Logits("entropy")],
    "msp": [Logits("msp")],
    "margin": [Logits("margin")],
    "maxlogit": [Logits("max_logit")],
    "energy": [Logits("energy")],
    "mahalanobis": [Mahalanobis()],
    "source": [Source(e, g) for e in (1e-4, 1e-3, 1e-2) for g in (0.1, 0.5)],
    "bendale": [Bendale(t, r) for t in (10, 20, 40) for r in (1, 3, 5)],
    "recommended": [Recommended(s, g) for s in ("embeddings", "logits") for g in (0.25, 0.5, 1.0)],
}


# The recommended form is fixed on one of the two main corpora and reported on the other.
FIXED = Path(__file__).resolve().parents[1] / "data" / "reference" / "recommended.json"
OTHER = {"ravdess": "emodb", "emodb": "ravdess"}


def grid(name: str, corpus: str, encoder: str) -> list:
    """Settings that a rival may choose from on a corpus: for most those of ``GRIDS``.

    The recommended form has none left on a main corpus: the pseudo-unknowns of the *other* one,
    heard by the same encoder, chose (`tools/fix_recommended.py`).
    """
    if name == "recommended" and corpus in OTHER and FIXED.is_file():
        fixed = json.loads(FIXED.read_text(encoding="utf-8")).get(Path(encoder).name, {})
        if chosen := fixed.get(OTHER[corpus]):
            return [Recommended(chosen["space"], chosen["tail"])]
    return GRIDS[name]


def settings(detector) -> str:
    """``epsilon 0.001, tail 0.1``: what was chosen, in words."""
    return ", ".join(f"{k} {v}" for k, v in asdict(detector).items()) or "none"


def case(art, turn: int) -> pseudo.Case:
    """One turn of an artefact: fit = train, held = tune (known emotions), score = all of test."""
    fit, held = art.part(turn, "train"), art.part(turn, "tune")
    score = art.part(turn, "test", known=None)
    E, Z = art.embeddings[turn], art.logits[turn]
    return pseudo.Case(E, Z, art.labels, art.speakers, fit, held, score)


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
    """Each rival picks settings and threshold on pseudo-unknowns, then scores the test clips.

    ``frozen (n, H)``: embeddings of the clips of ``art`` before fine-tuning. In each turn only its
    own tuning speakers choose, so no test clip and no unknown emotion has a say.
    """
    found = {name: [] for name in names}
    for turn in range(art.turns):
        here = case(art, turn)
        trials = pseudo.trials(frozen, art.labels, art.speakers, here.fit, here.held, here.held)
        heard = art.how["corpus"], art.how["encoder"]
        options = {(n, i): d for n in names for i, d in enumerate(grid(n, *heard))}
        results = pseudo.tune(options, trials.values(), prevalence)
        for name in names:
            best = max((k for k in options if k[0] == name), key=lambda k: results[k].f1)
            limit = pseudo.threshold(options[best], here, results[best].rate)
            scores = options[best](here, here.score)
            found[name].append((scores, scores >= limit, options[best], results[best], limit))
    return {name: Outcome(*_joined(turns)) for name, turns in found.items()}


def _joined(turns):
    scores, flagged, detectors, tuned, limits = zip(*turns, strict=True)
    return np.concatenate(scores), np.concatenate(flagged), detectors, tuned, np.array(limits)
