"""What lessons 03-08 open first: the artefact of lesson 02, and its test clips."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import corpora, finetune
from helpers.artefact import Artefact
from helpers.calibration import TemperatureScaling, by_turn
from helpers.errors import CourseError


@dataclass(frozen=True)
class Opened:
    """m test clips, each tested once, by a model that never met its speaker.

    `rows (m,)` are their rows in `art` and in `frame`, `turn (m,)` the turns that test them.
    """

    frame: pd.DataFrame  # (n rows), in the order of `art`
    art: Artefact
    logits: np.ndarray  # (m, K)
    rows: np.ndarray
    turn: np.ndarray

    def __post_init__(self):
        for name in ("labels", "emotions", "speakers", "genders"):  # (m,) each, as in `art`
            object.__setattr__(self, name, getattr(self.art, name)[self.rows])

    @property
    def unknown(self) -> np.ndarray:
        """Bool (m,): clips of an emotion that nobody taught."""
        return self.labels < 0

    @property
    def tune(self) -> list[np.ndarray]:
        """Rows of each turn's tuning speakers, known emotions only."""
        return [self.art.part(turn, "tune") for turn in range(self.art.turns)]

    @cached_property
    def _calibrated(self):
        return by_turn(
            TemperatureScaling(), self.art.logits, self.art.labels, self.tune, self.art.speakers
        )

    @property
    def temperatures(self) -> np.ndarray:
        """Each turn's temperature (lesson 03): (turns,)."""
        return np.array([fitted.temperature_ for fitted in self._calibrated[0]])

    @property
    def probs(self) -> np.ndarray:
        """Calibrated probabilities (m, K)."""
        return self._calibrated[1][self.turn, self.rows]

    @cached_property
    def frozen(self) -> np.ndarray:
        """Embeddings (n, H) before any fine-tuning, for pseudo-unknowns."""
        how, out = self.art.how, self.art.folder.parents[1]
        return finetune.frozen(self.art, self.frame, how["encoder"], out, progress=False)


def opened(corpus="embedded", encoder="embedded", seed=0, profile="quick", out="runs/course",
           unknown=True, kind=None) -> Opened:  # fmt: skip
    """Read the artefact that lesson 02 left below `out`, or make it.

    `unknown`: with the test clips of emotions that nobody taught; else those of known ones only.
    `kind`: see `finetune.artefact`; `finetune.Frozen` gives heads on frozen states. Errors:
    CourseError where every emotion is taught and a lesson needs one that is not.
    """
    frame = corpora.frame(corpus)
    art = finetune.artefact(frame, encoder, seed, profile, out, kind=kind)
    frame = frame.set_index("utterance").loc[art.utterances].reset_index()
    found = Opened(frame, art, *art.pooled("logits", "test", known=None if unknown else True))
    if unknown and not found.unknown.any():
        raise CourseError(
            f"{corpus}: every emotion here is taught; this lesson needs one that is not"
        )
    return found
