"""Running lessons: sweeps, parameters, resuming, and everything that can go wrong on the way."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from functools import partial

import filelock
import nbformat
import pytest
from conftest import PARAMETERS, write_lesson

from course import cli, provenance, runner, settings
from helpers import results
from helpers.errors import CourseError

RECORD = (
    'from helpers import results\nresults.record("ece_after", 0.02 + seed / 100, 0.0, 0.5, n=9)'
)


@pytest.fixture
def go(world, monkeypatch):
    """`go("03", "--seed", "0")` is `ser-course run` on the lessons in `world/lessons`."""
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=world / "lessons"))

    def run(*words):
        common = ["--encoder", str(world / "tiny"), "--corpus", f"folder:{world / 'clips'}"]
        return cli.main(["run", *words, *common, "--out", str(world / "out")])

    return run


def test_a_machine_names_its_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert re.search(r", \d+ cores, \d+ GiB$", provenance.machine())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    assert re.search(r", \d+ cores, \d+ GiB, A GPU$", provenance.machine())


def test_a_run_records_and_a_second_one_resumes(go, world, capsys):
    lesson = write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    write_lesson(world / "lessons" / "04_reliability_diagrams.ipynb", "print(corpus)")
    assert go() == 0
    found = results.read_results(world / "out" / "results.json")
    entry = found["notebooks"]["03_calibration"]["ece_after"]
    assert entry == {"value": 0.02, "low": 0.0, "high": 0.5, "n": 9, "seeds": [0]}
    assert found["run"]["profile"] == "quick" and found["run"]["seeds"] == [0]
    assert found["run"]["versions"]["torch"] and found["run"]["threads"] == "1"
    assert found["run"]["cpu_seconds"]["03_calibration"] > 0
    assert found["run"]["command"].startswith("ser-course run --corpus folder:")
    assert (world / "out" / "report" / "index.html").exists()
    executed = nbformat.read(world / "out" / "notebooks" / lesson.name, as_version=4)
    assert "json" not in executed.cells[-1].source  # the question about parameters is gone

    capsys.readouterr()
    assert go() == 0
    assert "0 lessons to run" in capsys.readouterr().out
    write_lesson(lesson, RECORD, "1 + 1")  # another source: this lesson alone runs again
    assert go() == 0
    assert "1 lessons to run" in capsys.readouterr().out


def test_an_absent_part_of_joined_corpora_is_the_lessons_business(world, monkeypatch, capsys):
    """Lesson 09 goes on without it; a lesson that needs it fails with the corpus' own words."""
    monkeypatch.setenv("SER_CORPORA", str(world / "nowhere"))
    lessons = world / "lessons"
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=lessons))
    ask = "from helpers import corpora"
    write_lesson(lessons / "01_data.ipynb", ask, "corpora.frame(corpus)")
    goes_on = "from helpers.results import record\nrecord('n', len(corpora.frame(here)))"
    write_lesson(lessons / "09_ensemble.ipynb", ask, "here, _ = corpora.present(corpus)", goes_on)
    words = ["run", "--corpus", f"folder:{world / 'clips'}+tess", "--encoder", str(world / "tiny")]
    assert cli.main([*words, "--out", str(world / "out")]) == 1
    assert "01_data: cell" in (said := capsys.readouterr().err) and "tess" in said
    found = results.read_results(world / "out" / "results.json")["notebooks"]
    assert list(found) == ["09_ensemble"] and found["09_ensemble"]["n"]["value"] > 0


def test_cells_for_joined_corpora_run_on_joined_corpora_only(world, monkeypatch):
    lesson = write_lesson(world / "lessons" / "09_ensemble.ipynb", "# Joined", RECORD, "print(1)")
    nb = nbformat.read(lesson, as_version=4)
    for cell in nb.cells[2:4]:  # prose and code
        cell.metadata["tags"] = ["joined"]
    nbformat.write(nb, lesson)
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=world / "lessons"))
    one, two = f"folder:{world / 'clips'}", f"folder:{world / shutil.copytree('clips', 'more')}"
    for corpus, tagged, recorded in ((one, 0, []), (f"{one}+{two}", 2, ["ece_after"])):
        out = world / f"out-{tagged}"
        words = ["run", "--corpus", corpus, "--encoder", str(world / "tiny"), "--out", str(out)]
        assert cli.main(words) == 0
        cells = nbformat.read(out / "notebooks" / lesson.name, as_version=4).cells
        assert sum("joined" in cell.metadata.get("tags", []) for cell in cells) == tagged
        assert any(cell.source == "print(1)" for cell in cells)
        found = results.read_results(out / "results.json")["notebooks"]
        assert list(found.get("09_ensemble", {})) == recorded


def test_relative_paths_are_meant_from_where_you_stand(world, monkeypatch, tmp_path):
    """Kernels start in notebooks/; what the command names must still be found."""
    lessons, elsewhere = world / "lessons", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(runner, "run", partial(runner.run, folder=lessons))
    monkeypatch.chdir(elsewhere)
    (elsewhere / "cc" / "emodb" / "wav").mkdir(parents=True)
    clip = next((world / "clips").rglob("*.wav"))
    (elsewhere / "cc" / "emodb" / "wav" / "03a01Fa.wav").write_bytes(clip.read_bytes())
    monkeypatch.setenv("SER_CORPORA", "cc")
    count = "from pathlib import Path\nfrom helpers import corpora, results"
    found = "assert Path(encoder, 'config.json').is_file()"
    also = "results.record('n', len(corpora.frame(corpus)))"
    write_lesson(lessons / "01_data.ipynb", count, found, also)
    there = os.path.relpath(world, elsewhere)
    words = ["run", "--corpus", f"folder:{there}/clips+emodb", "--encoder", f"{there}/tiny"]
    assert cli.main([*words, "--out", "out"]) == 0
    found = results.read_results(elsewhere / "out" / "results.json")
    clips = len(list((world / "clips").rglob("*.wav")))
    assert found["notebooks"]["01_data"]["n"]["value"] == clips + 1


def test_a_failing_lesson_names_its_cell_and_the_others_go_on(go, world, capsys):
    write_lesson(world / "lessons" / "01_data.ipynb", "x = 1", 'raise ValueError("no speech")')
    write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    assert go() == 1
    said = capsys.readouterr()
    assert "01_data: cell [4] (raise" in said.err and "ValueError: no speech" in said.err
    assert "Traceback" not in said.err
    found = results.read_results(world / "out" / "results.json")
    assert list(found["notebooks"]) == ["03_calibration"] and "01_data" in found["run"]["failed"]
    assert (world / "out" / "failed" / "01_data.ipynb").exists()
    assert "failed" in (world / "out" / "report" / "index.html").read_text()


def test_sweep_writes_a_folder_a_run_and_pools_the_seeds(go, world):
    write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    assert go("--seed", "0", "1") == 0
    folders = [p.parent.name for p in sorted((world / "out").glob("*/results.json"))]
    assert len(folders) == 2 and folders[0].endswith("-0") and folders[1].endswith("-1")
    (pooled,) = (world / "out" / "pooled").glob("*.json")
    entry = results.read_results(pooled)["notebooks"]["03_calibration"]["ece_after"]
    assert entry["value"] == pytest.approx(0.025) and entry["seeds"] == [0, 1]
    assert folders[1] in (world / "out" / "report" / "index.html").read_text()
    assert go() == 1  # one run does not mix with a sweep


def test_cpu_seconds_count_the_children_of_a_kernel(go, world):
    burn = "sum(i * i for i in range(10**7))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    write_lesson(world / "lessons" / "01_data.ipynb", "x = 1")
    write_lesson(world / "lessons" / "02_fine_tune.ipynb", child)
    assert go() == 0
    used = results.read_results(world / "out" / "results.json")["run"]["cpu_seconds"]
    assert used["02_fine_tune"] > used["01_data"] + 0.1


def test_a_kernel_that_ends_says_nothing(go, world, tmp_path):
    late = tmp_path / "late"
    write_lesson(
        world / "lessons" / "01_data.ipynb",
        f"import atexit, pathlib; atexit.register(pathlib.Path({str(late)!r}).touch)",
    )
    assert go() == 0
    assert (
        not late.exists()
    )  # what a kernel does while it closes (libzmq may abort) is not waited for


@pytest.mark.parametrize(("said", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(
    go, world, monkeypatch, said, wanted
):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if said:
        monkeypatch.setenv("OMP_WAIT_POLICY", said)
    ask = f"import os\nassert os.environ['OMP_WAIT_POLICY'] == {wanted!r}"
    write_lesson(world / "lessons" / "01_data.ipynb", ask)
    assert go() == 0
    assert os.environ.get("OMP_WAIT_POLICY") == said  # the run's own environment is put back


def test_half_a_sweep_says_what_is_missing(go, world):
    write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    assert go("--seed", "0", "1") == 0
    name = next(path.parent.name for path in (world / "out").glob("*-1/results.json"))
    (world / "out" / name / "results.json").unlink()
    assert cli.main(["report", str(world / "out")]) == 0
    index = (world / "out" / "report" / "index.html").read_text()
    assert f"{name}: not run yet" in index and "ser-course run --corpus" in index


def test_the_commit_says_whether_code_was_changed(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    assert provenance.commit(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "x").write_text("1")
    git("add", "x")
    git("commit", "-qm", "x")
    clean = provenance.commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "x").write_text("2")
    assert provenance.commit(tmp_path) == f"{clean}-dirty"


def test_same_command_gives_same_figures(go, world):
    lesson = write_lesson(
        world / "lessons" / "03_calibration.ipynb",
        "import numpy as np, os, torch\ntorch.manual_seed(seed)\n"
        "x = float((torch.randn(300, 300) @ torch.randn(300, 300)).sum()) + hash('a') % 7\n"
        "from helpers import results\nresults.record('x', x)",
    )
    seen = []
    for _ in range(2):
        assert go() == 0
        seen.append(results.read_results(world / "out" / "results.json")["notebooks"])
        (world / "out" / "records" / f"{lesson.stem}.json").unlink()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": PARAMETERS.replace("profile:", "profil:")}, "profil"),
        ({"parameters": PARAMETERS + "\nseeds: int = 3"}, "did you mean 'seed'"),
        ({"tags": ()}, "tagged 'parameters'"),
    ],
)
def test_unknown_parameters_are_refused(go, world, capsys, change, said):
    write_lesson(world / "lessons" / "03_calibration.ipynb", **change)
    assert go() == 1
    assert said in capsys.readouterr().err


def test_a_lesson_that_sets_a_parameter_again_is_caught(go, world, capsys):
    write_lesson(world / "lessons" / "03_calibration.ipynb", "seed = 7")
    assert go() == 1
    assert "parameter 'seed' was 0 and ends as 7" in capsys.readouterr().err


def test_two_runs_at_once_in_one_folder(go, world, capsys):
    write_lesson(world / "lessons" / "03_calibration.ipynb")
    (world / "out").mkdir()
    with filelock.FileLock(world / "out" / ".lock"):
        assert go() == 1
    assert "another run is at work" in capsys.readouterr().err
    assert go() == 0


def test_ctrl_c_leaves_nothing_half_written_and_the_next_run_resumes(go, world, capsys):
    flag = world / "started"
    write_lesson(world / "lessons" / "01_data.ipynb", RECORD)
    slow = f"import pathlib, time, os\npathlib.Path({str(flag)!r}).write_text(str(os.getpid()))"
    write_lesson(world / "lessons" / "02_fine_tune.ipynb", RECORD, slow, "time.sleep(60)")

    def press():
        until = time.monotonic() + 60
        while not flag.exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        if flag.exists():
            os.kill(os.getpid(), signal.SIGINT)

    started = time.monotonic()
    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    assert go() == 130
    presser.join()
    assert time.monotonic() - started < 45
    assert "interrupted" in capsys.readouterr().err
    with pytest.raises(ProcessLookupError):  # the kernel is gone too
        os.kill(int(flag.read_text()), 0)
    found = results.read_results(world / "out" / "results.json")
    assert list(found["notebooks"]) == ["01_data"]
    assert not (world / "out" / "notebooks" / "02_fine_tune.ipynb").exists()
    write_lesson(world / "lessons" / "02_fine_tune.ipynb", RECORD)
    assert go() == 0
    assert "1 lessons to run" in capsys.readouterr().out


def test_full_disk(go, world, monkeypatch, capsys):
    write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    with monkeypatch.context() as patch:

        def full(*_args, **_options):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("papermill.execute.write_ipynb", full)
        assert go() == 1
    said = capsys.readouterr().err
    assert "no space left" in said and "resumes" in said
    assert not list((world / "out").glob("records/*"))
    assert go() == 0


def test_corrupt_results_are_named(go, world, capsys):
    write_lesson(world / "lessons" / "03_calibration.ipynb", RECORD)
    assert go() == 0
    (world / "out" / "records" / "03_calibration.json").write_text('{"finger')
    capsys.readouterr()
    assert go() == 0  # a broken record is made again
    assert "1 lessons to run" in capsys.readouterr().out
    (world / "out" / "results.json").write_text("{")
    assert cli.main(["report", str(world / "out")]) == 1
    assert "results.json" in capsys.readouterr().err
    (world / "out" / "results.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(CourseError, match="schema"):
        results.read_results(world / "out" / "results.json")


def test_names_of_folders(tmp_path):
    sweep = settings.sweep(["a+b"], ["facebook/wav2vec2-base"], [0, 1, 1])
    assert [s.name for s in sweep] == [
        "a+b-facebook_wav2vec2_base-0",
        "a+b-facebook_wav2vec2_base-1",
    ]
    assert settings.default_out([settings.Setting()]).as_posix() == "runs/course"
    assert settings.default_out(sweep).as_posix() == "runs/a+b-facebook_wav2vec2_base-0_1"
    with pytest.raises(settings.UsageError):
        settings.sweep(["a b", "a_b"], ["e"], [0])
