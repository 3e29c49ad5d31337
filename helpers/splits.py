"""Splits: a rotation in which no part of a turn shares a speaker with another (lesson 01)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.errors import CourseError

PARTS = ("train", "stop", "tune", "test")
STOP_SHARE = 5  # one in five of the training speakers decides when training stops


@dataclass(frozen=True)
class Turn:
    """One turn: row numbers (int arrays) of the frame that it was made from.

    `train` is fitted on, `stop` says when to stop fitting (empty when there are fewer than
    three training speakers), `tune` serves calibration and thresholds, `test` is scored.
    """

    index: int
    train: np.ndarray
    stop: np.ndarray
    tune: np.ndarray
    test: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """Return the four arrays by name."""
        return {part: getattr(self, part) for part in PARTS}


def rotation(frame: pd.DataFrame, folds: int = 5, seed: int = 0) -> list[Turn]:
    """Rotate over speakers: in turn i fold i is the test, fold i + 1 tunes, the rest trains.

    Speakers are shuffled within corpus, language and gender and dealt to the folds like cards, so
    that folds resemble each other. The same speakers and seed give the same folds, whatever the
    order of the rows. With fewer speakers than folds each speaker is a fold. Errors: CourseError
    below three speakers, for then training, tuning and test cannot be disjoint.

    >>> frame = pd.DataFrame({"speaker": [*"aabbccdd"]})
    >>> turns = rotation(frame, folds=4)
    >>> sorted(row for turn in turns for row in turn.test.tolist())  # every clip is tested once
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    speakers = _shuffled_speakers(frame, seed)
    if folds < 3:
        raise CourseError(f"folds = {folds}: a turn tests one, tunes on one and trains on one")
    if len(speakers) < 3:
        raise CourseError(
            f"{len(speakers)} speaker(s) in this corpus, a rotation needs 3: no result on unseen "
            "speakers can be had; join it to others (--corpus a+b), or name speakers in a CSV"
        )
    fold_of = {speaker: i % min(folds, len(speakers)) for i, speaker in enumerate(speakers)}
    rows_of = frame.reset_index(drop=True).groupby("speaker").indices
    turns = []
    for i in range(max(fold_of.values()) + 1):
        tune = (i + 1) % (max(fold_of.values()) + 1)
        rest = [s for s in speakers if fold_of[s] not in (i, tune)]
        stop = rest[:: len(rest) // _stop_count(rest)][: _stop_count(rest)] if len(rest) > 2 else []
        names = {
            "train": [s for s in rest if s not in stop],
            "stop": stop,
            "tune": [s for s in speakers if fold_of[s] == tune],
            "test": [s for s in speakers if fold_of[s] == i],
        }
        turns.append(Turn(i, **{p: _rows(rows_of[s] for s in names[p]) for p in PARTS}))
    return turns


def random_split(frame: pd.DataFrame, seed: int = 0, folds: int = 5) -> list[Turn]:
    """Split the sources' way, for comparison only: clips at random, stratified by emotion.

    Parts share speakers and sentences, so scores on it are too good. Same shape as `rotation`.

    >>> frame = pd.DataFrame({"utterance": range(10), "emotion": ["sad", "angry"] * 5})
    >>> {tuple(sorted(frame["emotion"][turn.test])) for turn in random_split(frame)}  # 5 of each
    {('angry', 'sad')}
    """
    order = frame["utterance"].reset_index(drop=True).sort_values(kind="stable").index.to_numpy()
    shuffled = np.random.default_rng(seed).permutation(order)
    labels = frame["emotion"].to_numpy()[shuffled]
    dealt = shuffled[np.argsort(labels, kind="stable")]
    fold = np.empty(len(frame), dtype=int)
    fold[dealt] = np.arange(len(frame)) % folds
    turns = []
    for i in range(folds):
        tune = (i + 1) % folds
        rest = dealt[(fold[dealt] != i) & (fold[dealt] != tune)]
        in_stop = np.arange(len(rest)) % STOP_SHARE == 0
        train, stop = np.sort(rest[~in_stop]), np.sort(rest[in_stop])
        turns.append(Turn(i, train, stop, np.flatnonzero(fold == tune), np.flatnonzero(fold == i)))
    return turns


def unseen_sentences(frame: pd.DataFrame, seed: int = 0, folds: int = 5) -> list[Turn]:
    """Rotate over speakers *and* sentences: no part of a turn holds a sentence that it tests.

    The sentences of each language are dealt to two halves. Each turn of `rotation` becomes two:
    one half is tested, the other parts keep their clips of the other half. Errors: CourseError
    where a language has a single sentence.

    >>> frame = pd.DataFrame({"speaker": [*"aabbcc"], "language": "en", "sentence": [*"xyxyxy"]})
    >>> turns, said = unseen_sentences(frame, folds=3), frame["sentence"].to_numpy()
    >>> len(turns), any(np.isin(said[t.test], said[t.train]).any() for t in turns)  # 3 by 2 halves
    (6, False)
    """
    frame = frame.reset_index(drop=True)
    half, rng = np.empty(len(frame), dtype=int), np.random.default_rng(seed)
    for language, rows in frame.groupby("language").indices.items():
        texts = rng.permutation(np.unique(frame["sentence"].to_numpy(str)[rows]))
        if len(texts) < 2:
            raise CourseError(f"'{language}' has one sentence here: none is left to train on")
        half[rows] = pd.Index(texts).get_indexer(frame["sentence"].to_numpy(str)[rows]) % 2
    turns = []
    for turn in rotation(frame, folds, seed):
        for tested in (0, 1):
            parts = {part: rows[half[rows] != tested] for part, rows in turn.parts().items()}
            parts["test"] = turn.test[half[turn.test] == tested]
            turns.append(Turn(len(turns), **parts))
    return turns


def missing(
    frame: pd.DataFrame, turns: Sequence[Turn], emotions: Iterable[str] | None = None
) -> list[tuple[int, str, str]]:
    """List (turn, part, emotion) wherever a part that has clips has none of an emotion.

    >>> frame = pd.DataFrame({"speaker": [*"abcd"], "emotion": ["sad", "sad", "angry", "sad"]})
    >>> turn = Turn(0, *(np.array(rows, dtype=int) for rows in ([0, 2], [], [1], [3])))
    >>> missing(frame, [turn])
    [(0, 'tune', 'angry'), (0, 'test', 'angry')]
    """
    labels = frame["emotion"].to_numpy()
    wanted = sorted(set(labels) if emotions is None else set(emotions))
    return [
        (turn.index, part, emotion)
        for turn in turns
        for part, rows in turn.parts().items()
        if len(rows)
        for emotion in wanted
        if emotion not in labels[rows]
    ]


def require(frame: pd.DataFrame, turns: Sequence[Turn], emotions: Iterable[str]) -> None:
    """Raise `CourseError` when an emotion is missing where a model is trained.

    A class that is missing from a test fold is no error: predictions are pooled over the rotation.
    """
    for turn, part, emotion in missing(frame, turns, emotions):
        if part == "train":
            why = "too few speakers speak it; leave that emotion out, or take fewer folds"
            raise CourseError(f"turn {turn} has no '{emotion}' to train on: {why}")


def speaker_overlap(frame: pd.DataFrame, turns: Sequence[Turn]) -> np.ndarray:
    """Say for each tested clip, bool (n,), whether its speaker was trained on in that turn.

    >>> frame = pd.DataFrame({"speaker": [*"aab"]})
    >>> turn = Turn(0, *(np.array(rows, dtype=int) for rows in ([0], [], [], [1, 2])))
    >>> speaker_overlap(frame, [turn]).tolist()  # clip 1 is of a, as is the trained clip 0
    [False, True, False]
    """
    speakers = frame["speaker"].to_numpy()
    heard = np.zeros(len(frame), dtype=bool)
    for turn in turns:
        heard[turn.test] = np.isin(speakers[turn.test], speakers[turn.train])
    return heard


def _shuffled_speakers(frame: pd.DataFrame, seed: int) -> list[str]:
    """Return the speakers group by group (corpus, language, gender), shuffled within a group."""
    table = frame.drop_duplicates("speaker").sort_values("speaker")
    keys = [k for k in ("corpus", "language", "gender") if k in table]
    rng = np.random.default_rng(seed)
    groups = table.groupby(keys, sort=True)["speaker"] if keys else [((), table["speaker"])]
    return [s for _, group in groups for s in rng.permutation(group.to_numpy()).tolist()]


def _stop_count(speakers: Sequence[str]) -> int:
    return max(1, len(speakers) // STOP_SHARE)


def _rows(chunks: Iterable[np.ndarray]) -> np.ndarray:
    chunks = list(chunks)
    return np.sort(np.concatenate(chunks)) if chunks else np.empty(0, dtype=int)
