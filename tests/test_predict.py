"""What is heard when in a long file."""

import numpy as np
import pytest
import soundfile
from test_cli import hear  # noqa: F401

from course import cli, predict
from helpers import audio, embed

RATE = audio.SAMPLE_RATE


@pytest.fixture
def talk(world, hear, monkeypatch):  # noqa: F811
    """`talk(*seconds)`: a file, loud and quiet by turns; a pretended encoder hears how loud."""
    sizes = []

    def heard(waves):
        return np.array([[np.full(4, np.std(w) - 0.2)] for w in waves])

    monkeypatch.setattr(
        embed, "embed", lambda waves, *_, **__: sizes.append(len(waves)) or heard(waves)
    )

    def make(*seconds):
        rng = np.random.default_rng(0)
        parts = [rng.normal(0, (0.3, 0.1)[i % 2], int(s * RATE)) for i, s in enumerate(seconds)]
        soundfile.write("talk.wav", np.concatenate(parts).clip(-1, 1), RATE)
        return hear("talk.wav")[1]

    make.sizes = sizes
    return make


def test_a_long_file_says_what_is_heard_when(talk):
    (found,) = talk(30, 31)
    windows = found["windows"]
    assert [w["start"] for w in windows] == [*range(0, 51, 5), 51]
    assert all(w["end"] == w["start"] + 10 for w in windows) and windows[-1]["end"] == 61
    loud, quiet = windows[0]["emotion"], windows[-1]["emotion"]
    assert loud != quiet
    assert {w["emotion"] for w in windows if w["end"] <= 30} == {loud}
    assert {w["emotion"] for w in windows if w["start"] >= 30} == {quiet}
    assert set(windows[0]) == {"start", "end", "emotion", "probability", "unknown", "decision"}
    alone = talk(10)[0]  # the first window as a file of its own
    assert windows[0] == {"start": 0, "end": 10, "probability": alone["probabilities"][loud]} | {
        key: alone[key] for key in ("emotion", "unknown", "decision")
    }


@pytest.mark.parametrize(("seconds", "long"), [(29.9, False), (30, False), (30.5, True)])
def test_a_short_file_has_one_answer(talk, seconds, long):
    (found,) = talk(seconds)
    assert ("windows" in found) == long
    told = "file pieces emotion probabilities unknown decision pad cluster voice unlike".split()
    assert [key for key in found if key != "windows"] == told


def test_the_voice_is_taken_out_of_windows_and_enrolled_clips_have_none(talk, hear):  # noqa: F811
    talk(40)
    assert hear("talk.wav", "--voice", "Anna")[1] == []
    (plain,), (known,) = hear("talk.wav")[1], hear("talk.wav", "--voice", "Anna")[1]
    one, other = ([w["probability"] for w in each["windows"]] for each in (plain, known))
    assert one != other


def test_little_of_a_long_file_is_held_at_once(talk, monkeypatch):
    whole = talk(60, 70)
    assert talk.sizes == [5, 25]
    monkeypatch.setattr(predict, "BATCH", 1)
    assert talk(60, 70) == whole and talk.sizes[2:] == [5, 24, 1]


def test_silence_in_a_long_file_has_no_emotion(talk, hear):  # noqa: F811
    loud = np.random.default_rng(0).normal(0, 0.1, 15 * RATE).clip(-1, 1)
    soundfile.write("gap.wav", np.concatenate([loud, np.zeros(20 * RATE), loud]), RATE)
    windows = hear("gap.wav")[1][0]["windows"]
    silent = [w["start"] for w in windows if w["decision"] == "silent"]
    assert silent == [15, 20, 25]  # wholly within the gap
    for w in windows:
        assert (w["emotion"] is None) == (w["start"] in silent) == (w["probability"] is None)
    assert any(line.endswith(" silent") for line in predict.joined(windows))


def test_equal_answers_are_joined_in_text(talk, capsys):
    windows = talk(30, 31)[0]["windows"]
    assert cli.main(["predict", "talk.wav"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line[:2] in ("0:", "1:")] == predict.joined(windows)


def test_joined_by_hand():
    said = [("sad", "known"), ("sad", "known"), ("sad", "unknown"), ("happy", "unknown")]
    windows = [
        {"start": at, "end": at + 10, "emotion": emotion, "decision": decision}
        for at, (emotion, decision) in zip((0, 5, 55, 57.5), said, strict=True)
    ]
    assert predict.joined(windows) == ["0:00-0:35 sad", "0:35-1:07 unknown"]
    assert predict.joined(windows[:1]) == ["0:00-0:10 sad"]
