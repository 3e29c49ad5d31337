"""The command line: what it says, and the status it ends with."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import write_lesson

from course import cli, predict, settings
from helpers.errors import CourseError


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
    from functools import partial

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
    for words in (["--help"], ["run", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "course", *words], capture_output=True, text=True
        )
        assert done.returncode == 0 and "--" in done.stdout
    code = "import sys, course.cli; sys.exit('torch' in sys.modules or 'papermill' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- predict ----------------------------------------------------------------------------------


def a_head(classes=("neutral", "happy", "sad")):
    rng = np.random.default_rng(0)
    about = {"classes": list(classes), "temperature": 2.0, "encoder": "embedded"}
    about |= {"encoder_key": "other", "corpus": "embedded", "licence": "CC0"}
    weight = rng.normal(size=(len(classes), 4))
    return predict.Head(weight, np.zeros(len(classes)), np.zeros(4), np.ones(4), about)


def test_head_survives_the_disk_and_its_probabilities_sum_to_one(tmp_path):
    head = a_head()
    predict.write_head(head, tmp_path)
    read = predict.read_head(tmp_path)
    x = np.random.default_rng(1).normal(size=(5, 4))
    p = read.predict_proba(x)
    assert np.allclose(p.sum(1), 1) and np.allclose(p, head.predict_proba(x), atol=1e-6)
    (tmp_path / "head.safetensors").write_bytes(b"half")
    with pytest.raises(CourseError, match="make_head"):
        predict.read_head(tmp_path)


def test_unknown_score_and_pad_point():
    certain, lost = predict.describe([[1, 0, 0], [1 / 3] * 3], ["neutral", "happy", "sad"])
    assert certain["unknown"] == 0 and lost["unknown"] == 1
    assert certain["emotion"] == "neutral" and set(certain["pad"].values()) == {0}
    assert lost["pad"]["pleasure"] == pytest.approx((0 + 2.77 - 0.89) / 3, abs=1e-3)


def test_bad_files_are_a_line_each(world, tmp_path, monkeypatch, capsys):
    predict.write_head(a_head(), tmp_path / "head")
    monkeypatch.setattr(predict, "predict", lambda files: predict_here(files, tmp_path / "head"))
    (tmp_path / "empty.wav").touch()
    assert cli.main(["predict", "absent.wav", "empty.wav"]) == 1
    said = capsys.readouterr().err
    assert "absent.wav" in said and "empty.wav" in said and said.count("\n") == 2


predict_here = predict.predict


@pytest.mark.skipif(not (predict.HEAD / "head.json").exists(), reason="no head is shipped yet")
def test_predict_on_a_bare_clone(world, capsys):
    clip = next((world / "clips").rglob("*.wav"))
    assert cli.main(["predict", str(clip), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (prediction,) = found["predictions"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert 0 <= prediction["unknown"] <= 1 and found["head"]["licence"]
