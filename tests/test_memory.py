"""What was taught, on disk: whole or absent, nothing lost, nothing left of what is forgotten."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from course.memory import KEPT, Memory, named
from course.settings import UsageError
from helpers.emotions import PAD
from helpers.errors import CourseError
from helpers.listener import Listener, View
from helpers.voice import Voice

ROOT = Path(__file__).resolve().parents[1]
H, D = 6, 3


def a_listener() -> Listener:
    rng = np.random.default_rng(0)
    view = View(np.zeros(H), np.ones(H), rng.normal(size=(3, H)), np.zeros(3),
                np.linalg.qr(rng.normal(size=(H, D)))[0].T, rng.normal(size=(3, D)), np.eye(D),
                np.array(1.0), np.linspace(0, 9, 50))  # fmt: skip
    X, speakers = rng.normal(size=(8, H)), np.repeat(["a", "b"], 4)
    voice = Voice().fit(X, speakers)
    voice.voices_ = {}
    return Listener(("neutral", "happy", "sad"), [view, view._replace()], voice, PAD, 0.2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SER_LISTENER", str(tmp_path / "mine"))
    return tmp_path / "mine"


def clip(number):
    return np.full((1, H), number, np.float32)


def teach(memory, number, emotion="fearful"):
    memory.change(lambda listener: listener.learn(clip(number), emotion))


def taught(memory):
    return [int(n.x[0]) for n in memory.listener.notes]


def test_what_was_taught_is_there_again(folder):
    first = Memory(a_listener(), "key")
    assert not folder.exists()  # who teaches nothing leaves nothing
    first.change(lambda listener: listener.enrol(clip(1), "Ünal").reject(clip(2), "Ünal"))
    teach(first, 3)
    again = Memory(a_listener(), "key")
    for a, b in zip(first.listener.notes, again.listener.notes, strict=True):
        assert a[1:] == b[1:] and np.array_equal(a.x, b.x) and a.x.dtype == b.x.dtype
    x = np.random.default_rng(1).normal(size=(4, H))
    for a, b in zip(first.listener.hear(x, "Ünal"), again.listener.hear(x, "Ünal"), strict=True):
        assert np.array_equal(a, b)
    assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0  # nobody else reads it


def test_the_last_versions_are_kept_and_a_damaged_one_is_passed_over(folder):
    memory = Memory(a_listener(), "key")
    for i in range(6):
        teach(memory, i)
    versions = sorted(folder.glob("memory-*"))
    assert len(versions) == KEPT and versions[-1].name.startswith("memory-00000006-")
    versions[-1].write_bytes(versions[-1].read_bytes()[:-5])
    with pytest.warns(UserWarning, match="memory-00000006.*damaged"):
        memory = Memory(a_listener(), "key")
    assert taught(memory) == [0, 1, 2, 3, 4]
    with pytest.warns(UserWarning, match="damaged"):
        teach(Memory(a_listener(), "key"), 9)
    assert taught(Memory(a_listener(), "key")) == [0, 1, 2, 3, 4, 9]
    for path in folder.glob("memory-*"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(CourseError, match="no version is whole"):
        Memory(a_listener(), "key")


def test_forgetting_reaches_every_version(folder):
    memory = Memory(a_listener(), "key")
    memory.change(lambda listener: listener.enrol(clip(7), "anna"))
    teach(memory, 8)
    (folder / ".99-memory-00000009.safetensors").write_bytes(clip(7).tobytes())  # a killed process'
    memory.change(lambda listener: listener.forget("anna"))
    left = b"".join(p.read_bytes() for p in folder.iterdir())
    assert clip(7).tobytes() not in left and b"anna" not in left and clip(8).tobytes() in left
    memory.change(lambda listener: listener.undo())
    assert clip(8).tobytes() not in b"".join(p.read_bytes() for p in folder.iterdir())


def test_an_error_changes_nothing(folder):
    memory = Memory(a_listener(), "key")
    teach(memory, 1)
    before = sorted(folder.iterdir())
    with pytest.raises(CourseError):
        memory.change(lambda listener: listener.forget("nobody"))
    assert sorted(folder.iterdir()) == before and taught(Memory(a_listener(), "key")) == [1]


def test_embeddings_of_another_encoder_are_refused(folder):
    teach(Memory(a_listener(), "key"), 1)
    with pytest.raises(CourseError, match="another encoder; delete .*mine"):
        Memory(a_listener(), "other")


def test_a_folder_that_somebody_deleted_is_empty(folder):
    memory = Memory(a_listener(), "key")
    teach(memory, 1)
    for path in folder.glob("memory-*"):
        path.unlink()
    memory.refresh()
    assert taught(memory) == []


@pytest.mark.parametrize("again", [False, True])
def test_what_was_deleted_with_its_folder_never_comes_back(folder, again):
    """Not even when another process has written a version of the same number since."""
    memory = Memory(a_listener(), "key")
    teach(memory, 1)
    shutil.rmtree(folder)  # as an error advises
    if again:
        teach(Memory(a_listener(), "key"), 2)
    memory.refresh()
    assert taught(memory) == [2] * again
    teach(memory, 3)
    assert taught(Memory(a_listener(), "key")) == [2] * again + [3]


def test_a_version_without_a_token_is_read(folder):
    """Folders of before have `memory-00000001.safetensors`."""
    teach(Memory(a_listener(), "key"), 1)
    (path,) = folder.glob("memory-*")
    path.rename(folder / "memory-00000009.safetensors")
    memory = Memory(a_listener(), "key")
    teach(memory, 2)
    assert taught(Memory(a_listener(), "key")) == [1, 2]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 41, "a\x1b[2J"])
def test_names_are_one_short_line(name):
    if name == "a\nb":
        assert named(name) == "a b"  # white space is one blank
        return
    with pytest.raises(UsageError, match="a name has 1 to 40 letters"):
        named(name)


def test_an_emotion_has_its_canonical_name():
    assert named("Fear", emotion=True) == "fearful" and named("Home Sick", True) == "home sick"
    assert named("Anna") == "Anna"


def _teach_many(numbers):
    memory = Memory(a_listener(), "key")
    for i in numbers:
        teach(memory, i)


def test_two_processes_that_teach_at_once_lose_nothing(folder):
    start = multiprocessing.get_context("spawn")
    both = [start.Process(target=_teach_many, args=(range(k, k + 12),)) for k in (0, 100)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    memory = Memory(a_listener(), "key")
    assert sorted(taught(memory)) == [*range(12), *range(100, 112)]
    steps = [n.step for n in memory.listener.notes]
    assert sorted(steps) == list(range(1, 25))  # each lesson can be undone alone


TEACH = """
import sys
sys.path[:0] = [{tests!r}]
from test_memory import Memory, a_listener, teach
memory = Memory(a_listener(), "key")
print("ready", flush=True)
for i in range({first}, 10**6):
    teach(memory, i)
    print(i, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.nightly)])
def test_a_killed_lesson_loses_nothing_taught_before(folder, times):
    rng, first = random.Random(times), 0
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for _ in range(times):
        code = TEACH.format(tests=str(ROOT / "tests"), first=first)
        run = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=-1, text=True)
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.3 * rng.random())
        os.kill(run.pid, signal.SIGKILL)
        said = [int(line) for line in run.communicate()[0].splitlines()]
        found = taught(Memory(a_listener(), "key"))
        # What it said that it taught is there; the lesson it was killed in, whole or not at all.
        assert found == list(range(len(found)))
        assert len(found) - (said[-1] + 1 if said else first) in (0, 1)
        first = len(found)
        if first > 60:
            Memory(a_listener(), "key").change(lambda listener: listener.forget())
            first = 0
    assert len(list(folder.glob(".*-memory-*"))) <= 1
