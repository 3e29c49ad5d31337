"""What lessons open first: the artefact of lesson 02, its test clips, and their voices.

To show a figure both ways, on the same clips:

    found = opened(corpus, encoder, seed, profile, out)
    known = enrolled(found)  # ten clips of each speaker are enrolled, the others are scored
    nobody = enrolled(found, k=0)  # the same clips are scored, nobody is enrolled
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from helpers import corpora, encoders, finetune, voice
from helpers.artefact import Artefact
from helpers.calibration import TemperatureScaling, by_turn
from helpers.errors import CourseError
from helpers.profiles import PROFILES
from helpers.voice import MOST, SIZE, VoicedProbe

TAUGHT = ("train", "stop")  # parts that heads on frozen states learn from: they stop nowhere


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
    def encoder(self) -> encoders.Encoder:
        """The frozen encoder that the artefact was made from."""
        return encoders.load(self.art.how["encoder"], self.art.how["dtype"])

    @cached_property
    def states(self) -> np.ndarray:
        """Frozen states (n, layers + 1, 2H) before any fine-tuning, mean and deviation."""
        settings, out = PROFILES[self.art.how["profile"]], self.art.folder.parents[1]
        return finetune.states(self.frame["path"], self.encoder, settings, out, progress=False)

    @property
    def frozen(self) -> np.ndarray:
        """Embeddings (n, H) before any fine-tuning, for pseudo-unknowns: mean of the last layer."""
        return self.states[:, -1, : self.states.shape[-1] // 2]

    @cached_property
    def several(self) -> np.ndarray:
        """Embeddings (n, H') of several layers, before any fine-tuning, mean and deviation."""
        return self.encoder.several(self.states)

    @cached_property
    def heads(self) -> dict[bool, list]:
        """A turn's head on `several` and where it puts all clips (n, d); True: with voices."""
        art, X = self.art, self.several
        train = [np.concatenate([art.part(t, p) for p in TAUGHT]) for t in range(art.turns)]
        size = min(SIZE, X.shape[1], *(len(rows) // 2 for rows in train))  # alike in all turns

        def head(rows, voiced):
            made = VoicedProbe(size, voiced).fit(X[rows], art.labels[rows], art.speakers[rows])
            return made, made.transform(X, art.speakers)

        return {voiced: [head(rows, voiced) for rows in train] for voiced in (False, True)}


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


@dataclass(frozen=True)
class Enrolled(Opened):
    """What `enrolled` gives: read like `Opened`."""

    clips: np.ndarray  # rows of `art` by which all speakers are enrolled
    plain: Opened  # what was enrolled

    def frozen(self, turn: int, out: int) -> np.ndarray:
        """For pseudo-unknowns: clips (n, d) in a space, and by voices, that never met `out`."""
        X, y, who = self.plain.several, self.art.labels, self.art.speakers
        head, _ = self.plain.heads[len(self.clips) > 0][turn]
        met = np.flatnonzero(np.isin(self.art.split[turn], TAUGHT) & (y >= 0) & (y != out))
        new = self.clips[~np.isin(who[self.clips], who[met]) & (y[self.clips] != out)]
        space = VoicedProbe(min(head.size, len(met) // 2), head.voiced)
        space.fit_space(X[met], who[met])
        return space.enrol(X[new], who[new]).transform(X, who)


def enrolled(found: Opened, k=10, kind="skewed", draw=0) -> Enrolled:
    """`found` by a frozen encoder that knows each tuning and test speaker by `k` clips of theirs.

    It is read like `found`: `art.embeddings (turns, n, d)` are several layers less the voice,
    standardised, in `d` components; `art.logits` are those of a probe on them. `k=0`: nobody is
    enrolled, training speakers neither. `kind`, and `draw`, its number: see `voice.draw`. Enrolled
    clips are in no part; what is scored is the same for every `k`, so figures can be paired.
    "transductive": by all clips of a speaker, unknown emotions too, scored where the skewed draw of
    that number is; a roof, never a result.
    """
    art, roof = found.art, kind == "transductive"
    neutral = list(art.classes).index("neutral") if "neutral" in art.classes else -1
    drawn = voice.draw(
        "skewed" if roof else kind, art.labels, art.speakers, neutral,
        seed=1000 * art.how["seed"] + draw,
    )  # fmt: skip
    if not 0 <= k <= MOST:
        raise CourseError(f"enrolled: k from 0 to {MOST}, not {k}")
    clips = np.arange(len(art.labels)) if roof else drawn.clips[k]
    known = with_voices(art, found.several, found.heads[k > 0], clips, drawn.scored)
    keep = np.isin(found.rows, drawn.scored)
    rows, turn = found.rows[keep], found.turn[keep]
    return Enrolled(found.frame, known, known.logits[turn, rows], rows, turn, clips, found)


def with_voices(art, X, heads, clips, scored) -> Artefact:
    """`art` as heads (see `Opened.heads`) hear it that know its speakers by rows `clips`.

    `X (n, H)`. Rows that are not `scored` are taken out of what a turn tunes on and tests.
    """
    late = np.isin(art.split, ("tune", "test"))  # (turns, n)
    embeddings, logits = [], []
    for turn, (head, points) in enumerate(heads):
        rows, mine = np.flatnonzero(late[turn]), clips[late[turn, clips]]
        here, points = head.enrol(X[mine], art.speakers[mine]), points.copy()
        points[rows] = here.transform(X[rows], art.speakers[rows])
        embeddings.append(points)
        logits.append(points @ head.head_[0].T + head.head_[1])
    out = late & ~np.isin(np.arange(len(art.labels)), scored)
    return replace(
        art,
        split=np.where(out, "enrol", art.split),
        fold=np.where(np.isin(np.arange(len(art.labels)), scored), art.fold, -1),
        embeddings=np.stack(embeddings),
        logits=np.stack(logits),
        head_weight=np.stack([head.head_[0] for head, _ in heads]),
        head_bias=np.stack([head.head_[1] for head, _ in heads]),
        segment_logits=art.segment_logits[:0],
        segment_owner=art.segment_owner[:0],
        segment_turn=art.segment_turn[:0],
        how=art.how | {"taught": TAUGHT},
    )
