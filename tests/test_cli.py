"""The command line: what it says, and the status it ends with."""

import contextlib
import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from awkward import M4A, WEBM, put, sound
from conftest import write_lesson
from safetensors import SafetensorError

from course import cli, memory, predict, settings
from helpers import emotions
from helpers.errors import CourseError
from helpers.listener import Channel, Heard, Listener, View
from helpers.voice import Voice
from tools.make_head import write_head


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "did you mean 'run'"),
        (["run", "--coprus", "emodb"], "did you mean '--corpus'"),
        (["run", "--profile", "quik"], "did you mean 'quick'"),
        (["run", "--seed", "one"], "'one' is no whole number from 0 up"),
        (["run", "--seed", "-1"], "'-1' is no whole number from 0 up"),
        ([], "required"),
    ],
)
def test_bad_usage_ends_with_2(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--corpus", "emobd"], "did you mean 'emodb'"),
        (["--encoder", "embeded"], "did you mean 'embedded'"),
        (["03_calibratoin"], "did you mean '03_calibration'"),
        (["99"], "no lesson '99'"),
    ],
)
def test_unknown_names_end_with_2_and_the_nearest(words, said, world, monkeypatch, capsys):
    from course import runner

    write_lesson(world / "lessons" / "03_calibration.ipynb")
    (world / "enc" / "embedded").mkdir(parents=True)
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=world / "lessons"))
    assert cli.main(["run", *words]) == 2
    said_now = capsys.readouterr().err
    assert said in said_now and said_now.count("\n") == 1


def test_missing_corpus_is_one_line_with_licence_and_source(world, monkeypatch, capsys):
    monkeypatch.setenv("SER_CORPORA", str(world / "none"))
    assert cli.main(["download", "emodb"]) == 1
    assert cli.main(["download", "emobd"]) == 2
    assert cli.main(["corpora"]) == 0
    said = capsys.readouterr()
    assert "licence" in said.err and "ravdess" in said.out and "did you mean" in said.err


def test_lessons_by_number_name_or_file(tmp_path):
    path = write_lesson(tmp_path / "03_calibration.ipynb")
    write_lesson(tmp_path / "04_reliability_diagrams.ipynb")
    for name in ("03", "3", "03_calibration", "calibration", str(path)):
        assert list(settings.choose([name], tmp_path)) == ["03_calibration"]
    assert len(settings.choose([], tmp_path)) == 2


def test_help_is_quick_and_complete():
    for words in (["course", "--help"], ["course", "run", "--help"], ["helpers", "--help"]):
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        assert done.returncode == 0 and "--" in done.stdout
    code = "import sys, course.cli; sys.exit('torch' in sys.modules or 'papermill' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- predict ----------------------------------------------------------------------------------


def a_head(folder, size=4):
    """Write a head of three emotions for a pretended encoder."""
    rng = np.random.default_rng(0)
    view = View(np.zeros(size), np.ones(size), rng.normal(size=(3, size)), np.zeros(3),
                np.eye(size)[:2], rng.normal(size=(3, 2)), np.eye(2), np.array(2.0),
                np.linspace(0, 9, 50))  # fmt: skip
    voice = Voice().fit(rng.normal(size=(8, size)), np.repeat(["a", "b"], 4))
    listener = Listener(("neutral", "happy", "sad"), [view, view], voice, emotions.PAD, 0.2)
    about = {"encoder": "embedded", "encoder_key": "other", "corpus": "embedded", "licence": "CC0",
             "worth": "See docs/figures.md."}  # fmt: skip
    near = Channel(np.zeros((1, 2)), np.eye(2), np.linspace(0, 1e9, 50))
    write_head(listener, near, about, folder)
    return listener


def test_head_survives_the_disk_and_its_probabilities_sum_to_one(tmp_path):
    head = a_head(tmp_path)
    read, near, about = predict.read_head(tmp_path)
    x = np.random.default_rng(1).normal(size=(5, 4))
    for a, b in zip(read.hear(x), head.hear(x), strict=True):
        assert np.allclose(a, b, atol=1e-6)
    assert near.unlike(np.array([[0.0] * 4, [1e6] * 4]), read.views[0]).tolist() == [0, 1]
    assert about["classes"] == ["neutral", "happy", "sad"]
    assert np.allclose(read.hear(x).probabilities.sum(1), 1)
    (tmp_path / "head.safetensors").write_bytes(b"half")
    with pytest.raises(CourseError, match="make_head"):
        predict.read_head(tmp_path)


def test_decision_and_pad_point():
    p = np.array([[1, 0, 0], [1 / 3] * 3])
    pad = p @ [emotions.PAD[c] for c in ("neutral", "happy", "sad")]
    heard = Heard(p, np.array([0.9, 0.91]), pad, np.array([-1, 2]))
    certain, lost = predict.describe(heard, ["neutral", "happy", "sad"])
    assert certain["decision"] == "known" and lost["decision"] == "unknown"
    assert certain["emotion"] == "neutral" and set(certain["pad"].values()) == {0}
    assert lost["pad"]["pleasure"] == pytest.approx((0 + 2.77 - 0.89) / 3, abs=1e-3)
    assert certain["cluster"] is None and lost["cluster"] == 2


def test_bad_files_are_a_line_each(hear, world):
    (world / "empty.wav").touch()
    status, found, lines = hear("absent.wav", "empty.wav")
    assert (status, found) == (1, []) and len(lines) == 2
    assert "absent.wav" in lines[0] and "empty.wav" in lines[1]


@pytest.mark.skipif(not (predict.HEAD / "head.json").exists(), reason="no head is shipped yet")
def test_predict_on_a_bare_clone(world, capsys):
    clip = next((world / "clips").rglob("*.wav"))
    assert cli.main(["predict", str(clip), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (prediction,) = found["predictions"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert all(len(str(p)) <= 6 for p in prediction["probabilities"].values())
    assert 0 <= prediction["unknown"] <= 1 and found["head"]["licence"]
    assert "docs/figures.md" in found["head"]["worth"]  # a program is told, too
    assert prediction["decision"] in ("known", "unknown") and prediction["voice"] is None
    assert not (world / "listener").exists()  # who only asks is not remembered


def test_a_voice_is_enrolled_then_used_and_emotions_are_taught(hear, world, capsys):
    status, found, lines = hear("clips/happy", "--voice", "Anna")
    assert (status, found) == (0, [])  # enrolled clips are never scored
    said = "ser-course: 'Anna': enrolled by clips (ten are meant) that are not scored; clips: 2"
    assert lines == [said + "; ser-course listen takes it back"]
    assert "'Anne' (did you mean 'Anna'?)" in hear("clips/sad", "--voice", "Anne")[2][0]
    status, found, _ = hear("clips/sad", "--voice", "Anna", "--learn", "fear")
    assert status == 0 and {p["voice"] for p in found} == {"Anna"}
    assert list(found[0]["probabilities"]) == ["neutral", "happy", "sad"]  # heard, then taught
    assert list(hear("clips/sad")[1][0]["probabilities"])[3:] == ["fearful"]
    assert cli.main(["predict", "clips/sad", "--voice", "Anna"]) == 0
    said = capsys.readouterr().out
    assert "fearful" in said and "personal data" not in said.split("probabilities")[0]
    assert "is personal data and lies in" in said and str(world / "listener") in said


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--voice", "Ben", "--learn", "calm"], 2, "voice 'Ben' is not enrolled"),
        (["--learn", ""], 2, "a name has 1 to 40 letters"),
        (["--voice", "x" * 50], 2, "a name has 1 to 40 letters"),
    ],
)
def test_what_cannot_be_taught_is_one_line(hear, words, status, said, capsys):
    assert cli.main(["predict", "clips/sad", *words]) == status
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


# --- what people give it ------------------------------------------------------------------------


@pytest.fixture
def hear(world, monkeypatch):
    """`hear(*words)`: status, predictions and lines of `predict`, without a model."""
    from helpers import embed, encoders

    class Encoder:
        name, key = "pretended", "other"
        several = staticmethod(lambda states: states[:, 0])

    a_head(world / "head")
    monkeypatch.setattr(predict, "HEAD", world / "head")
    monkeypatch.setattr(encoders, "load", lambda name: Encoder)
    monkeypatch.setattr(
        embed, "embed", lambda waves, *_, **__: np.array([[np.full(4, len(w))] for w in waves])
    )

    def run(*words):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(["predict", "--json", *map(str, words)])
        lines = err.getvalue().splitlines()
        assert all(line.startswith("ser-course: ") for line in lines)
        return status, json.loads(out.getvalue())["predictions"], lines

    return run


def heard(predictions):
    return sorted(Path(p["file"]).name for p in predictions)


def test_predict_on_a_folder_hears_or_names_every_file(hear, world):
    put(world / "clips/phone/a.m4a", M4A)
    put(world / "clips/.bin/b.wav", sound())
    status, found, lines = hear(world / "clips")
    assert heard(found) == ["s0_happy.wav", "s0_sad.wav", "s1_happy.wav", "s1_sad.wav"]
    assert status == 1 and len(lines) == 1 and "a.m4a: MP4 or M4A; ffmpeg" in lines[0]
    (world / "none").mkdir()
    assert hear("none")[2] == ["ser-course: none: no audio file in this folder"]


@pytest.mark.parametrize("word", ["clips/happy/*.wav", "clips/happ?/*", "~/happy/*.wav", "~/happy"])
def test_predict_expands_what_no_shell_did(hear, world, monkeypatch, word):
    monkeypatch.setenv("HOME", str(world / "clips"))
    status, found, lines = hear(word)
    assert (status, heard(found), lines) == (0, ["s0_happy.wav", "s1_happy.wav"], [])


@pytest.mark.parametrize("word", ["*.flac", "~nobody/a.wav", "absent.wav", "a\0b", "x" * 5000])
def test_predict_names_what_is_not_there(hear, word):
    status, found, lines = hear(word)
    assert status == 1 and found == [] and len(lines) == 1


@pytest.mark.parametrize(
    "name", ["caf\udce9.wav", "new\nline.wav", "a+b.wav", "[a].wav", "-.wav", "情感 😀.wav"]
)
def test_predict_on_any_name(hear, world, name):
    with open(os.fsencode(name), "wb") as out:
        out.write(sound())
    status, found, lines = hear(f"./{name}")
    assert status == 0 and lines == [] and len(found) == 1
    assert found[0]["file"].isprintable()
    (world / "x" / name).parent.mkdir()
    os.rename(os.fsencode(name), os.fsencode(world / "x" / name))
    status, found, lines = hear("x")
    assert len(found) + len(lines) == 1


def test_a_name_that_the_console_cannot_show_is_escaped():
    code = "import sys; from course.cli import main; main(['corpora']); print(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, b"caf\xe9.wav"],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.endswith(b"caf\\udce9.wav\n")


def test_a_long_file_is_heard_in_pieces_and_its_line_has_times(hear, world, monkeypatch, capsys):
    from helpers import audio

    monkeypatch.setattr(audio, "WINDOW_S", 1.0)
    monkeypatch.setattr(predict, "BATCH", 20_000)
    monkeypatch.setattr(predict, "SPAN_S", 1.0)
    seen = []
    real = Listener.hear
    monkeypatch.setattr(Listener, "hear", lambda self, x, v: seen.extend(x[:, 0]) or real(self, x))
    put(world / "long.wav", sound(seconds=2.5))
    put(world / "short.wav", sound(seconds=0.5))
    status, found, lines = hear("long.wav", "short.wav")
    assert [p["pieces"] for p in found] == [3, 1]
    assert lines == []
    mean = (2 * 16_000**2 + 8_000**2) / 40_000  # by length
    assert seen == [mean, 16_000, 16_000, 8_000]  # two windows of 1 s, from 0 and from 1.5 s
    assert cli.main(["predict", "long.wav"]) == 0 and "\n  0:00-0:0" in capsys.readouterr().out


def test_what_was_heard_is_shown_whatever_comes_after(hear, world, monkeypatch):
    (world / "taken").write_text("no folder")
    monkeypatch.setenv("SER_LISTENER", str(world / "taken"))
    status, found, (line,) = hear("clips/sad", "--learn", "fear")
    assert status == 1 and len(found) == 2
    assert "nothing was changed; SER_LISTENER may name another folder" in line
    monkeypatch.setattr(predict, "BATCH", 1)
    monkeypatch.setattr(predict.audio, "windows", interrupted(predict.audio.windows, after=1))
    status, found, (line,) = hear("clips/sad")
    assert (status, len(found)) == (1, 1)
    assert line.endswith("interrupted: heard 1 of 2 files, taught nothing")


def test_what_a_full_disk_does_not_keep_is_not_known(hear, world, monkeypatch, capsys):
    def full(*_):
        raise SafetensorError("No space left on device")

    hear("clips/sad", "--learn", "calm")
    monkeypatch.setattr(memory, "save_file", full)
    assert cli.main(["predict", "clips/sad", "--json", "--learn", "fear"]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "No space left on device; nothing was changed" in err
    told = json.loads(out)
    assert len(told["predictions"]) == 2 and told["listener"]["emotions"][3:] == ["calm"]


def interrupted(act, after):
    """`act`, and Ctrl-C instead of it after so many times."""
    calls = iter(range(after))

    def once_more(*given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return act(*given)

    return once_more


def test_files_may_follow_an_option_and_a_file_after_all_is_named(hear, world, capsys):
    first, second = sorted((world / "clips" / "sad").iterdir())
    assert "clips: 2;" in hear(first, "--voice", "Anna", second)[2][0]
    assert cli.main(["predict", str(first), "no.wav", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [f"ser-course: {note}" for note in json.loads(out)["notes"]] == err.splitlines()
    with pytest.raises(SystemExit):
        cli.main(["predict", str(first), "--voice", "Anna", str(second), "--voise", "anna"])
    said = capsys.readouterr().err
    assert "did you mean '--voice'" in said and "see ser-course predict --help" in said


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--corpus", "/recordings/mine"], 2, "for a folder of your own: folder:/recordings/mine"),
        (["--corpus", "clips"], 2, "for a folder of your own: folder:clips"),
        (["--corpus", "~/mine"], 2, "folder:~/mine"),
        (["--corpus", "C:\\mine"], 2, "folder:C:\\mine"),
        (["--corpus", "folder:caf\udce9"], 2, "no UTF-8; rename that folder"),
        (["--out", "caf\udce9"], 2, "no UTF-8; rename that folder"),
        (["--corpus", "folder:absent"], 1, "folder:absent: no such folder or CSV file"),
        (["--corpus", "folder:~nobody/x"], 1, "no such folder or CSV file"),
        (["--corpus", "folder:a\nb"], 1, "no such folder or CSV file"),
    ],
)
def test_run_refuses_in_one_line(words, status, said, world, capsys):
    assert cli.main(["run", "01", *words]) == status
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_run_says_who_the_speakers_are_and_what_is_left_out(world, monkeypatch, capsys):
    from course import runner

    write_lesson(world / "lessons" / "01_data.ipynb")
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=world / "lessons"))
    for i in range(3):
        put(world / f"a+b/train/p{i}/happy/1.wav", sound(i))
        put(world / f"a+b/test/p{i}/sad/2.wav", sound(3 + i))
    put(world / "a+b/train/p0/sad/3.webm", WEBM)
    words = ["run", "--corpus", "folder:a+b", "--encoder", str(world / "tiny"), "--out", "out"]
    assert cli.main(words) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "ser-course: a+b: speakers: 3, by the folders above the emotions: p0, p1, p2 (passed over: "
        "test, train); 1 clip skipped: 3.webm (WebM or Matroska; ffmpeg -i x -ar 16000 y.wav)"
    )
