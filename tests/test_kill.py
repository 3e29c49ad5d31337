"""A run that is killed at any moment loses nothing finished, and nothing half-written is read."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from awkward import put, sound
from conftest import write_lesson

from helpers import results

ROOT = Path(__file__).resolve().parents[1]
RUN = """
import sys
from functools import partial
from pathlib import Path
from course import cli, runner
runner.run = partial(runner.run, folder=Path("lessons").resolve())
sys.exit(cli.main(["run", "--corpus", "folder:clips", "--encoder", "./tiny", "--out", "out"]))
"""
MAKE = """
import time
import numpy as np
from helpers import artefact, cache
for i in range(1, 16):
    artefact.save_arrays(f"{out}/artefacts/x.npz", {"x": np.full(300_000, i), "i": np.array(i)})
    with cache.Cache(f"{out}/cache") as store:
        store.put({f"{i}-{j}": np.full(5_000, i, "f4") for j in range(5)})
    time.sleep(0.02)"""
USE = """
import numpy as np
from helpers import artefact, cache
found = artefact.load_arrays(f"{out}/artefacts/x.npz")
assert (found["x"] == found["i"]).all() and found["i"] == 15
with cache.Cache(f"{out}/cache") as store:
    assert all((store.get(f"{i}-{j}") == i).all() for i in range(1, 16) for j in range(5))"""
RECORD = "from helpers import results\nfor i in range(8): results.record(f'value_{i}', seed + i)"


@pytest.fixture
def course(tmp_path):
    """`course(name)`: a folder with three lessons; the second reads what the first makes."""

    def make(name):
        folder = tmp_path / name
        write_lesson(folder / "lessons/01_make.ipynb", MAKE.strip(), RECORD)
        write_lesson(folder / "lessons/02_use.ipynb", USE.strip(), RECORD)
        write_lesson(folder / "lessons/03_last.ipynb", RECORD)
        put(folder / "tiny/config.json", b"{}")
        for i in range(4):
            put(folder / f"clips/p{i % 2}/{('happy', 'sad')[i // 2]}/{i}.wav", sound(i))
        return folder

    return make


def start(folder):
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=-1, stderr=-1, text=True)


def finish(run):
    said, wrong = run.communicate()
    wrong = [line for line in wrong.splitlines() if "speakers: " not in line]
    return run.returncode, said, wrong


def figures(folder):
    return results.read_results(folder / "out/results.json")["notebooks"]


def check_whole(out):
    """Read all that stands under its own name; return the records of finished lessons."""
    for path in out.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(out).parts):
            continue  # what is being written
        if path.suffix in (".json", ".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))
        if path.suffix == ".ipynb":
            nbformat.validate(nbformat.read(path, as_version=4))
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                assert (arrays["x"] == arrays["i"]).all()
    done = sorted(out.glob("records/*.json"))
    return {p: p.stat().st_mtime_ns for p in done if (out / f"notebooks/{p.stem}.ipynb").exists()}


def kill_and_resume(folder, lessons, after, expected):
    """Kill a run some seconds `after` so many `lessons` are finished, and give it again."""
    run = start(folder)
    while run.poll() is None and len(list(folder.glob("out/records/*.json"))) < lessons:
        time.sleep(0.01)
    time.sleep(after)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    finished = check_whole(folder / "out")
    assert len(finished) >= lessons
    status, said, wrong = finish(start(folder))
    assert (status, wrong) == (0, [])
    assert f"{3 - len(finished)} lessons to run" in said
    assert all(path.stat().st_mtime_ns == then for path, then in finished.items())
    check_whole(folder / "out")
    assert figures(folder) == expected
    assert (folder / "out/report/index.html").exists()
    assert not list((folder / "out").glob(".part*"))


@pytest.mark.slow
@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_killed_run_resumes(course, times):
    """Killed while it starts, within each lesson, or (4 and more) while it writes the report."""
    whole = course("whole")
    began = time.monotonic()
    assert finish(start(whole))[0] == 0
    part, expected = (time.monotonic() - began) / 4, figures(whole)
    assert list(expected) == ["01_make", "02_use", "03_last"]
    rng = random.Random(times)
    for i in range(times):
        kill_and_resume(course(f"{i}"), i % 4, part * rng.random(), expected)


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder(course):
    folder = course("both")
    both = [finish(run) for run in [start(folder), start(folder)]]
    statuses = sorted(status for status, _, _ in both)
    assert statuses in ([0, 0], [0, 1])
    for status, _, wrong in both:
        assert len(wrong) == status
        assert not wrong or "another run is at work in out; wait, or give another --out" in wrong[0]
    check_whole(folder / "out")
    assert list(figures(folder)) == ["01_make", "02_use", "03_last"]
    assert "0 lessons to run" in finish(start(folder))[1]
