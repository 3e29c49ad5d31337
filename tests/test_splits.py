"""No speaker on two sides of a turn; every clip tested once; same speakers, same folds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import splits
from helpers.errors import CourseError

EMOTIONS = np.array(["neutral", "happy", "sad"])


def table(clips_per_speaker, seed=0):
    """A frame of made-up speakers, one number of clips each."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat([f"x/{i:02d}" for i in range(len(clips_per_speaker))], clips_per_speaker)
    return pd.DataFrame(
        {
            "utterance": [f"x/{i:04d}" for i in range(len(speaker))],
            "corpus": "x",
            "language": "en",
            "speaker": speaker,
            "gender": ["female" if int(s[2:]) % 2 else "male" for s in speaker],
            "emotion": rng.choice(EMOTIONS, len(speaker)),
        }
    )


frames = st.builds(
    table, st.lists(st.integers(1, 6), min_size=3, max_size=14), st.integers(0, 9)
)  # fmt: skip
quick = settings(max_examples=50, deadline=None)


def names(frame, turns):
    """Each turn's parts as sets of utterances, which do not depend on the order of rows."""
    ids = frame["utterance"].to_numpy()
    return [{part: set(ids[rows]) for part, rows in t.parts().items()} for t in turns]


@quick
@given(frames, st.integers(0, 5), st.integers(2, 7))
def test_rotation_separates_speakers_and_tests_every_clip_once(frame, seed, folds):
    folds = max(folds, 3)
    turns = splits.rotation(frame, folds, seed)
    speakers = frame["speaker"].to_numpy()
    for turn in turns:
        parts = [set(speakers[rows]) for rows in turn.parts().values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == frame["speaker"].nunique()
        assert all(len(turn.parts()[part]) for part in ("train", "tune", "test"))
        rows = np.concatenate(list(turn.parts().values()))
        assert sorted(rows) == list(range(len(frame)))
    tested = np.concatenate([turn.test for turn in turns])
    assert sorted(tested) == list(range(len(frame)))
    assert len(turns) == min(folds, frame["speaker"].nunique())
    assert not splits.speaker_overlap(frame, turns).any()


@quick
@given(frames, st.integers(0, 5), st.randoms(use_true_random=False))
def test_splits_ignore_the_order_of_rows(frame, seed, random):
    order = list(range(len(frame)))
    random.shuffle(order)
    other = frame.iloc[order]
    for split in (splits.rotation, splits.random_split):
        first, second = (names(f, split(f, seed=seed)) for f in (frame, other))
        assert first == second
        assert names(frame, split(frame, seed=seed)) == first


@quick
@given(frames, st.integers(0, 5))
def test_random_split_tests_every_clip_once_and_keeps_the_share_of_emotions(frame, seed):
    turns = splits.random_split(frame, seed)
    assert sorted(np.concatenate([t.test for t in turns])) == list(range(len(frame)))
    for turn in turns:
        assert sorted(np.concatenate(list(turn.parts().values()))) == list(range(len(frame)))
        counts = frame["emotion"].value_counts()
        for emotion, count in frame["emotion"].iloc[turn.test].value_counts().items():
            assert abs(count - counts[emotion] / 5) <= 1


def test_folds_balance_gender_and_depend_on_the_seed():
    frame = table([2] * 20)
    turns = splits.rotation(frame)
    for turn in turns:
        women = frame.loc[turn.test].drop_duplicates("speaker")["gender"].eq("female").sum()
        assert women == 2
    assert any(
        set(a.test) != set(b.test)
        for a, b in zip(turns, splits.rotation(frame, seed=1), strict=True)
    )


def test_small_corpora():
    with pytest.raises(CourseError, match="folds = 2"):
        splits.rotation(table([3] * 4), folds=2)
    turns = splits.rotation(table([3] * 4))
    assert [frame_part.size for frame_part in turns[0].parts().values()] == [6, 0, 3, 3]
    assert len(turns) == 4
    with pytest.raises(CourseError, match=r"2 speaker\(s\).*needs 3"):
        splits.rotation(table([9, 9]))  # as TESS


def test_a_part_without_a_class_is_found_and_refused_only_in_training():
    frame = table([4] * 5)
    frame["emotion"] = ["neutral", "happy", "neutral", "happy"] * 5
    frame.loc[frame["speaker"] == "x/00", "emotion"] = "sad"
    turns = splits.rotation(frame)
    gaps = splits.missing(frame, turns, ["neutral", "happy", "sad"])
    assert any(part == "train" and emotion == "sad" for _, part, emotion in gaps)
    splits.require(frame, turns, ["neutral", "happy"])
    with pytest.raises(CourseError, match="has no 'sad' to train on"):
        splits.require(frame, turns, ["neutral", "sad"])


def test_random_split_shares_speakers():
    frame = table([20] * 6)
    assert splits.speaker_overlap(frame, splits.random_split(frame)).mean() == 1


@pytest.fixture
def spoken():
    """Six speakers of two languages, each saying the four sentences of theirs."""
    rows = [(f"x/{s}", "en" if s % 2 else "de", f"s{k}") for s in range(6) for k in range(4)]
    frame = pd.DataFrame(rows, columns=["speaker", "language", "sentence"])
    return frame.assign(corpus="x", gender="female", emotion="sad")


def test_unseen_sentences_are_in_no_other_part_and_every_clip_is_tested_once(spoken):
    turns = splits.unseen_sentences(spoken, seed=1)
    said = (spoken["language"] + spoken["sentence"]).to_numpy()
    for turn in turns:
        others = np.concatenate([turn.train, turn.stop, turn.tune])
        assert len(others) and not set(said[turn.test]) & set(said[others])
        assert not set(spoken["speaker"].iloc[turn.test]) & set(spoken["speaker"].iloc[others])
        halves = spoken.iloc[turn.test].groupby("language")["sentence"].nunique()
        assert (halves == 2).all(), "dealt within each language"
    assert sorted(np.concatenate([turn.test for turn in turns])) == list(range(len(spoken)))


def test_one_sentence_cannot_be_left_out(spoken):
    with pytest.raises(CourseError, match="one sentence"):
        splits.unseen_sentences(spoken.assign(sentence="the same"))
