"""A sweep on two local workers: figures as without them, a lost worker, and what can go wrong."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import filelock
import psutil
import pytest
from awkward import put
from conftest import write_lesson

from course import cli, folders, workers
from helpers import results
from helpers.errors import CourseError

pytest.importorskip("distributed", reason="no Dask here: the extra 'cluster' is not installed")
ROOT = Path(__file__).resolve().parents[1]
DRAW = (
    "import torch\ntorch.manual_seed(seed)\nfrom helpers import results\n"
    "x = (torch.randn(200, 200) @ torch.randn(200, 200)).sum()\nresults.record('x', float(x))"
)
# Every start leaves a line; the first two to come wait until they are told to go on.
WAIT = """import os, pathlib, time
here = pathlib.Path({place!r})
with open(here / f"seed-{{seed}}", "a") as file:
    file.write(f"{{os.getpid()}}\\n")
while not (here / "go").exists():
    time.sleep(0.05)"""


@pytest.fixture
def clone(world, monkeypatch):
    """A clone with lessons of our own: processes on workers know no other way to be given any."""
    place = world / "clone"
    for name in ("course", "helpers"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "data").mkdir()
    data = [path for path in (ROOT / "data").iterdir() if path.is_file()]
    for path in [*data, ROOT / "CITATION.cff"]:
        shutil.copy(path, place / path.relative_to(ROOT))
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.setenv("SER_CORPORA", str(world / "corpora"))  # no worker has any
    return place


started = []


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    yield
    while started:
        if (process := started.pop()).poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def sweep(world, *words, out="out", seeds="0 1"):
    command = [sys.executable, "-m", "course", "run", "--seed", *seeds.split()]
    command += ["--corpus", f"folder:{world / 'clips'}", "--encoder", str(world / "tiny")]
    command += ["--out", out, *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started.append(subprocess.Popen(command, cwd=world, **options))
    return started[-1]


def ended(process, timeout=600):
    said = process.communicate(timeout=timeout)
    return process.returncode, *said


def figures(out):
    read = {p.parent.name: results.read_results(p) for p in out.glob("*/results.json")}
    return {name: each["notebooks"] for name, each in read.items()}


@pytest.mark.slow
def test_two_workers_one_of_them_killed_give_the_figures_of_none(world, clone):
    write_lesson(clone / "notebooks" / "01_data.ipynb", DRAW)
    write_lesson(clone / "notebooks" / "02_x.ipynb", WAIT.format(place=str(world)))
    process = sweep(world, "--workers", "2", seeds="0 1 2")
    until = time.monotonic() + 400
    while len(list(world.glob("seed-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    kernel = psutil.Process(int((world / "seed-0").read_text()))
    run = kernel.parent()
    assert "course.workers" in run.cmdline()
    run.parent().send_signal(signal.SIGKILL)
    run.wait(60)  # ends by itself: nobody waits for it any more
    (world / "go").touch()
    status, said, errors = ended(process)
    assert status == 0, errors
    assert len((world / "seed-0").read_text().split()) == 2  # taken up again
    assert "Report:" in said and "Traceback" not in errors
    assert ended(sweep(world, out="serial", seeds="0 1 2"))[0] == 0
    alone = figures(world / "serial")
    assert len(alone) == 3 and figures(world / "out") == alone
    assert len({each["01_data"]["x"]["value"] for each in alone.values()}) == 3

    starts = (world / "seed-0").read_text()
    assert ended(sweep(world, "--workers", "2", seeds="0 1 2"))[0] == 0  # a rerun resumes
    assert (world / "seed-0").read_text() == starts


@pytest.mark.slow
def test_what_fails_names_its_run_and_worker_and_the_others_go_on(world, clone):
    write_lesson(clone / "notebooks" / "01_data.ipynb", "assert seed != 1, 'not this one'")
    both = [f"folder:{world / 'clips'}", "emodb"]  # no worker has the second
    status, _, errors = ended(sweep(world, "--corpus", *both, "--workers", "2"))
    assert status == 1 and "Traceback" not in errors
    lines = errors.splitlines()
    assert sum("emodb" in line and " on tcp://127.0.0.1" in line for line in lines) == 2
    assert sum("not this one" in line and "-1 on tcp://" in line for line in lines) == 1
    read = {p.parent.name[-1]: p for p in (world / "out").glob("*/results.json")}
    assert set(read) == {"0", "1"}
    assert results.read_results(read["1"])["run"]["failed"]


def go(world, *words):
    common = ["run", "--corpus", f"folder:{world / 'clips'}", "--encoder", str(world / "tiny")]
    return cli.main([*common, "--seed", "0", "1", "--out", str(world / "out"), *words])


def test_a_scheduler_that_does_not_answer(world, monkeypatch, capsys):
    monkeypatch.setattr(workers, "ANSWER", 1)
    started = time.monotonic()
    assert go(world, "--scheduler", "127.0.0.1:9") == 1
    said = capsys.readouterr().err
    assert "no answer in 1 s" in said and said.count("\n") == 1
    assert time.monotonic() - started < 60


def test_a_scheduler_without_tls_is_warned_of(monkeypatch, capsys):
    import distributed

    monkeypatch.setattr(distributed, "Client", lambda address, timeout: address)
    assert workers._cluster(None, "10.1.1.1:8786") == "tcp://10.1.1.1:8786"
    assert "not protected by TLS" in capsys.readouterr().err
    assert workers._cluster(None, "tls://10.1.1.1:8786") == "tls://10.1.1.1:8786"
    workers._cluster(None, "localhost:8786")
    assert not capsys.readouterr().err


def test_two_schedulers_on_one_folder(world, capsys):
    (world / "out").mkdir()
    with filelock.FileLock(world / "out" / ".lock"):
        assert go(world, "--workers", "1") == 1
    assert "another run is at work" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ENOSPC", "EDQUOT", "EROFS", "EACCES"])
def test_a_full_or_read_only_folder_is_told_before_a_cluster_starts(
    world, monkeypatch, capsys, kind
):
    def fail(path, content):
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)), str(path))

    monkeypatch.setattr(folders, "write_json", fail)
    monkeypatch.setattr(workers, "_cluster", lambda *_: pytest.fail("a cluster was started"))
    assert go(world, "--workers", "1") == 1
    said = capsys.readouterr().err
    assert str(world / "out") in said and said.count("\n") == 1
    assert ("free some" in said) == (kind in ("ENOSPC", "EDQUOT"))


@pytest.fixture
def on_worker(monkeypatch):
    """`on_worker(out)`: what a worker says of a run that it is given."""
    import distributed

    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(address="tcp://here"))
    return lambda out, where: workers.one(["--help"], str(out), str(where), {})


def test_what_a_worker_cannot_write_or_finds_at_work_fails_that_run_alone(
    world, monkeypatch, on_worker
):
    assert on_worker(world / "new", world / "absent")["said"] == [
        f"no folder {world / 'absent'} on this worker"
    ]
    put(world / "file", b"")  # where the run's folder should be
    assert on_worker(world / "file", world)["said"] == [f"{world / 'file'}: File exists"]
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    (world / "out").mkdir()
    with filelock.FileLock(world / "out" / ".lock"):
        ended = on_worker(world / "out", world)
    assert ended["status"] == 1 and "another run is at work" in ended["said"][0]


def test_a_worker_waits_for_a_run_of_an_interrupted_sweep(world, monkeypatch, on_worker):
    (world / "out").mkdir()
    lock = filelock.FileLock(world / "out" / ".lock", thread_local=False)
    lock.acquire()
    began = []
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # Dask's own; runs were a quarter slower
    monkeypatch.setattr(
        workers.subprocess,
        "Popen",
        lambda *_, **given: began.append((lock.is_locked, given)) or 1 / 0,
    )
    threading.Timer(0.5, lock.release).start()
    with pytest.raises(ZeroDivisionError):
        on_worker(world / "out", world)
    assert not began[0][0] and workers.PATIENCE >= 600
    assert "MALLOC_TRIM_THRESHOLD_" not in began[0][1]["env"] and began[0][1]["env"]["PATH"]


def test_two_sweeps_on_one_scheduler_are_kept_apart_by_their_folders(tmp_path):
    keys = []
    client = SimpleNamespace(submit=lambda *words, key, pure: keys.append((key, words[2])))
    for out in ("a", "b"):
        workers._submit(client, [], workers.Setting(), tmp_path / out, {})
    assert keys[0] != keys[1] and all(key == folder for key, folder in keys)
    assert Path(keys[0][0]) == tmp_path / "a" / workers.Setting().name


def test_a_scheduler_that_is_lost_is_one_line(monkeypatch):
    import distributed

    def lost():
        raise distributed.CancelledError

    workers._distributed()
    assert logging.getLogger("distributed.client").getEffectiveLevel() == logging.CRITICAL
    monkeypatch.setattr(distributed, "as_completed", iter)
    with pytest.raises(CourseError, match="the scheduler was lost; .* same command again"):
        workers._gather([SimpleNamespace(result=lost, key="x")])


def test_bad_usage(world, capsys):
    for words in (["--workers", "0"], ["--workers", "2", "--scheduler", "x"]):
        with pytest.raises(SystemExit) as stop:
            go(world, *words)
        assert stop.value.code == 2
    assert "from 1 up" in capsys.readouterr().err


def test_without_dask_the_remedy_is_said(world, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert go(world, "--workers", "1") == 1
    assert "[cluster]" in capsys.readouterr().err


def test_a_run_ends_when_nobody_waits_for_it():
    code = "import time; from course import workers; workers._leash(); print(1, flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}  # as behind &
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, **pipes, **ignored)
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) != 0
    process.stdout.close()


def test_words_of_a_task_are_plain_strings():
    words = workers._words(["01_data"], workers.Setting("a+b", "e", 3, "full"))
    assert json.loads(json.dumps(words)) == words
    assert words[:3] == ["01_data", "--corpus", "a+b"] and words[-2:] == ["full", "--no-report"]
