"""A sweep on several workers, of this machine or of others: Dask distributed, a run a task.

A task is given strings and paths on a folder that all workers share, and runs `ser-course run` as
a process of its own, its threads pinned: the figures are those of a run without workers. That
process ends when its worker does, so that another worker can take the run up.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from course.folders import guard, locked, plan
from course.provenance import threads
from course.settings import Setting, check_corpus, choose, encoder_folder
from helpers import corpora
from helpers.errors import CourseError

PATIENCE = 600  # seconds that a run of a lost worker or an interrupted sweep has to end
ANSWER = 5  # seconds that a scheduler has to answer
LOOPBACK = ("localhost", "127.0.0.1", "::1")


# --- on a worker ------------------------------------------------------------------------------


def one(words: list[str], out: str, where: str, environment: dict[str, str]) -> dict:
    """Run `ser-course run *words --out out` in the folder `where`; tell how it ended."""
    import filelock
    from distributed import get_worker

    place = get_worker().address
    try:
        with filelock.FileLock(Path(out) / ".lock", timeout=PATIENCE):
            pass  # whoever was at work here has ended
    except filelock.Timeout:
        return {"place": place, "status": 1, "said": [f"another run is at work in {out}"]}
    except OSError as error:
        return {"place": place, "status": 1, "said": [f"{out}: {error.strerror}"]}
    command = [sys.executable, "-m", "course.workers", "run", *words, "--out", out]
    options = {"cwd": where, "env": os.environ | environment, "stdin": subprocess.PIPE}
    options["env"].pop("MALLOC_TRIM_THRESHOLD_", None)  # Dask's: it slows whatever asks for tensors
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, **options) as run:
                status = run.wait()  # its stdin stays open for as long as this process lives
        except FileNotFoundError:
            return {"place": place, "status": 1, "said": [f"no folder {where} on this worker"]}
        log.seek(0)
        said = log.read().splitlines()
    own = [line.removeprefix("ser-course: ") for line in said if line.startswith("ser-course: ")]
    own = [line for line in own if not line.startswith("failed lessons as far")]
    return {"place": place, "status": status, "said": own or said[-1:]}


def _leash() -> None:
    """End this process when stdin closes: nobody waits for it any more."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell's background

    def watch():
        os.read(0, 1)  # not sys.stdin, whose lock may be asked for when Python ends
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)  # for the kernel to end, and for files that are half written
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


# --- where the sweep was started --------------------------------------------------------------


def _distributed():
    # Dask watches what its workers do; ours wait for a process.
    os.environ.setdefault("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED", "False")
    try:
        import distributed
    except ImportError as error:
        remedy = "pip install -c requirements.lock -e .[cluster]"
        raise CourseError(f"no package for --workers and --scheduler: {remedy}") from error
    for name in ("distributed", "distributed.client"):  # the course says what happened
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def _cluster(workers: int | None, scheduler: str | None):
    """A client of local workers, or of a scheduler elsewhere."""
    distributed = _distributed()
    if workers:
        # a run at a time; what it takes of memory, its own process takes
        each = {"threads_per_worker": 1, "memory_limit": 0, "host": "127.0.0.1"}
        quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
        return distributed.LocalCluster(workers, **each, **quiet).get_client()
    address = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if address.scheme != "tls" and address.hostname not in LOOPBACK:
        line = "whoever reaches it can run code on its workers (docs/thousand_runs.md)"
        print(f"ser-course: {scheduler} is not protected by TLS: {line}", file=sys.stderr)
    try:
        return distributed.Client(address.geturl(), timeout=ANSWER)
    except (OSError, ValueError) as error:
        remedy = f"no answer in {ANSWER} s; start one with: dask scheduler --host 127.0.0.1"
        raise CourseError(f"scheduler {scheduler}: {remedy}") from error


def _words(lessons: list[str], setting: Setting) -> list[str]:
    words = [word for k, v in setting._asdict().items() for word in (f"--{k}", str(v))]
    return [*lessons, *words, "--no-report"]  # one report comes out, of the sweep


def run(
    names: list[str], settings: list[Setting], out: Path, workers: int | None, scheduler: str | None
) -> list[str]:
    """Run a sweep on `workers` processes here, or on those of a `scheduler`.

    Returns a line for each lesson or run that failed. A run that loses its worker is taken up by
    another one. Errors: CourseError when the scheduler does not answer, and as a plain run does.
    """
    lessons = list(choose(names))
    for setting in settings:
        check_corpus(setting.corpus)
        encoder_folder(setting.encoder)
    guard(out, settings)
    divided = workers and "OMP_NUM_THREADS" not in os.environ
    used = str(max(1, int(threads()) // workers)) if divided else threads()
    pinned = {"OMP_NUM_THREADS": used, "SER_CORPORA": str(corpora.root())}
    with locked(out):
        plan(out, settings, lessons)  # a folder that is full or read-only shows before any start
        with _cluster(workers, scheduler) as client:
            print(f"{len(settings)} runs into {out}, {used} threads each", flush=True)
            try:
                return _gather([_submit(client, lessons, s, out, pinned) for s in settings])
            finally:
                if workers:
                    client.cluster.close()


def _submit(client, lessons: list[str], setting: Setting, out: Path, environment: dict):
    """Hand a run to a worker; its key is its folder, for two sweeps may share a scheduler."""
    folder = str((out / setting.name).resolve())
    words = _words(lessons, setting)
    return client.submit(one, words, folder, str(Path.cwd()), environment, key=folder, pure=False)


def _gather(futures: list) -> list[str]:
    """Wait for every run, say each as it ends, return what failed."""
    from distributed import CancelledError, KilledWorker, as_completed
    from tqdm import tqdm

    failed = []
    with tqdm(total=len(futures), unit="run", disable=None, file=sys.stdout) as bar:
        for future in as_completed(futures):
            try:
                ended = future.result()
            except KilledWorker:
                ended = {"place": "its worker", "status": 1, "said": ["lost time and again"]}
            except CancelledError:
                lost = "the scheduler was lost; start it, and give the same command again"
                raise CourseError(lost) from None
            name = Path(future.key).name
            if ended["status"]:
                said = ended["said"] or [f"ended with status {ended['status']}"]
                failed += [f"{name} on {ended['place']}: {line}" for line in said]
            bar.write(f"{name}: {'failed' if ended['status'] else 'done'}", file=sys.stdout)
            bar.update()
    return failed


if __name__ == "__main__":
    from course.cli import main

    _leash()
    sys.exit(main())
