"""One table of emotions: names, aliases, PAD vectors, colours, partition."""

import re

import pytest

from helpers import emotions
from helpers.errors import CourseError


def test_every_emotion_has_vector_source_and_colour_of_its_own():
    for name in emotions.EMOTIONS:
        assert len(emotions.PAD[name]) == 3
        assert emotions.PAD_SOURCE[name]
        assert re.fullmatch("#[0-9A-F]{6}", emotions.COLOURS[name])
        assert emotions.canonical(name) == name
    assert len(set(emotions.COLOURS.values())) == len(emotions.EMOTIONS)


def test_no_alias_belongs_to_two_emotions():
    aliases = [a for row in emotions.TABLE.values() for a in row.aliases.split()]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(emotions.EMOTIONS)


def test_table_1_of_source_2():
    assert emotions.PAD["happy"] == (2.77, 1.21, 1.42)
    assert emotions.PAD["bored"] == (-0.53, -1.25, -0.84)
    assert emotions.PAD["neutral"] == (0, 0, 0)
    from_the_table = [n for n in emotions.EMOTIONS if emotions.PAD_SOURCE[n] == emotions.TABLE_1]
    assert len(from_the_table) == 12


@pytest.mark.parametrize(
    ("label", "name"), [("Fear", "fearful"), (" ANGER ", "angry"), ("ps", "surprised")]
)
def test_labels_become_canonical(label, name):
    assert emotions.canonical(label) == name


def test_label_outside_the_map_names_the_nearest():
    with pytest.raises(CourseError, match=r"'hapy' is not in the table .did you mean 'happy'..; "):
        emotions.canonical("hapy")


RAVDESS = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]


@pytest.mark.parametrize("corpus", ["ravdess", "embedded"])
def test_partition_of_the_main_corpora(corpus):
    known, unknown = emotions.partition(corpus, reversed(RAVDESS))
    assert known == ("neutral", "happy", "sad", "angry", "surprised")
    assert unknown == ("calm", "fearful", "disgust")


def test_partition_of_emodb_and_of_corpora_that_lack_something():
    emodb = ["neutral", "happy", "sad", "angry", "fearful", "disgust", "bored"]
    assert emotions.partition("emodb", emodb) == (
        ("neutral", "happy", "sad", "angry"),
        ("fearful", "disgust", "bored"),
    )
    esd = ["neutral", "happy", "sad", "angry", "surprised"]
    assert emotions.partition("esd", esd)[1] == ("surprised",)
    assert emotions.partition("folder:x", ["calm", "bored"]) == (("calm", "bored"), ())


def test_partition_takes_what_is_to_be_taught():
    known, unknown = emotions.partition("ravdess", RAVDESS, ("Fear", "sad", "bored"))
    assert known == ("sad", "fearful")  # nobody is bored in this corpus
    assert unknown == ("neutral", "calm", "happy", "angry", "disgust", "surprised")
    assert emotions.partition("esd", ["happy", "surprised"], ("happy", "surprised"))[1] == ()
    with pytest.raises(CourseError, match="'hapy' is not in the table"):
        emotions.partition("ravdess", RAVDESS, ("hapy", "sad"))
