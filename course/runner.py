"""Run the lessons with papermill: sweeps over corpora, encoders and seeds; a rerun resumes.

The folder of a run: `results.json`; `notebooks/` executed lessons; `records/` what each
finished lesson recorded, under a fingerprint of all that went into it; `failed/` lessons as far
as they came; `artefacts/` of the lessons. A sweep holds such a folder for each
`<corpus>-<encoder>-<seed>`, and `pooled/<corpus>-<encoder>.json` over the seeds.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from course.folders import guard, locked, plan, pool
from course.provenance import about, threads, versions
from course.settings import (
    NOTEBOOKS,
    ROOT,
    Setting,
    check_corpus,
    check_parameters,
    choose,
    encoder_folder,
    lessons,
    read_notebook,
)
from helpers import corpora, results
from helpers.files import write_json
from helpers.provenance import made

# --- fingerprints -----------------------------------------------------------------------------


def _digest(*parts) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _stat(path) -> tuple:
    stat = os.stat(path)
    return str(path), stat.st_size, stat.st_mtime_ns


def inputs(setting: Setting) -> str:
    """Digest of all that every lesson of this run reads: parameters, helpers, clips, encoder.

    CourseError when the corpus is absent: that is known before the first lesson starts. Of joined
    corpora one may be: lesson 09 goes on without it, and the others say what is missing.
    """
    frame = corpora.frame(corpora.present(setting.corpus)[0])  # a list of clips may be edited
    clips = [frame.to_csv(), *map(_stat, frame["path"])]
    folder = encoder_folder(setting.encoder)
    encoder = [_stat(p) for p in sorted(folder.iterdir())] if folder else setting.encoder
    code = [p.read_text(encoding="utf-8") for p in sorted((ROOT / "helpers").glob("*.py"))]
    choice = ROOT / "data" / "reference" / "recommended.json"  # settings fixed beforehand
    chosen = choice.read_text(encoding="utf-8") if choice.is_file() else ""
    return _digest(setting, clips, encoder, code, chosen, versions(), threads())


def _fingerprint(path: Path, shared: str) -> str:
    cells = [[c["cell_type"], "".join(c["source"])] for c in read_notebook(path)["cells"]]
    return _digest(shared, cells)


def _finished(run: Path, name: str, fingerprint: str) -> dict | None:
    """What a finished lesson with the same inputs left behind, else None."""
    record = run / "records" / f"{name}.json"
    if not (record.exists() and (run / "notebooks" / f"{name}.ipynb").exists()):
        return None
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        same = kept["fingerprint"] == fingerprint and "made" in kept
        return kept if same else None
    except (json.JSONDecodeError, KeyError, TypeError):
        return None  # half-written by an older run: do the lesson again


# --- running ----------------------------------------------------------------------------------


@contextmanager
def _environment(setting: Setting, records: Path):
    """What kernels inherit: pinned threads and hashes, and no network where none is needed."""
    pinned = {f"{kind}_NUM_THREADS": threads() for kind in ("OMP", "MKL")}  # torch
    # A thread that waits sleeps: spinning doubles the CPU time where others use the machine.
    pinned["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
    pinned["OPENBLAS_NUM_THREADS"] = "1"  # numpy: on small matrices threads wait on each other
    pinned |= {"PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    pinned["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    pinned |= {"SER_RESULTS": str(records), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    pinned["SER_CORPORA"] = str(corpora.root())  # kernels start in notebooks/, not where you are
    pinned["TQDM_DISABLE"] = "1"  # bars are for terminals; pages would keep every step of them
    if encoder_folder(setting.encoder):
        pinned["HF_HUB_OFFLINE"] = "1"
    before = dict(os.environ)
    os.environ.update(pinned)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _from_kernel(path, start: Path) -> str:
    """A path as a lesson says it: kernels start in `start`. Inside the clone it stays relative."""
    path = Path(path).expanduser().resolve()
    inside = path.is_relative_to(ROOT)
    return Path(os.path.relpath(path, start) if inside else path).as_posix()


def _lesson(path: Path, setting: Setting, run: Path, fingerprint: str, progress) -> str | None:
    """Execute one lesson into `run/notebooks`; return what failed, None when all went well."""
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from course.kernel import execute

    for left in run.glob(".part-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = run / f".part-{os.getpid()}"  # the kernel of a killed run may live on for a moment
    work.mkdir(parents=True)
    records, executed = work / "records.json", work / path.name
    seen = partial(_from_kernel, start=path.parent)
    parameters = setting._asdict() | {"out": seen(run)}
    parameters["corpus"] = "+".join(
        f"folder:{seen(part[7:])}" if part.startswith("folder:") else part
        for part in corpora.parts(setting.corpus)
    )
    folder = encoder_folder(setting.encoder)
    if folder and "/" in setting.encoder:
        parameters["encoder"] = seen(folder)
    started, failure = time.monotonic(), None
    try:
        with _environment(setting, records.resolve()):
            used = execute(path, executed.resolve(), parameters, progress)
    except PapermillExecutionError as error:
        line = (error.source.strip().splitlines() or [""])[0]
        why = f"{error.ename}: {error.evalue}".splitlines()[0]
        failure = f"cell [{error.exec_count}] ({line}) failed: {why}"
    except DeadKernelError:
        failure = "the kernel died, most often because memory ran out"
    (run / "failed" / path.name).unlink(missing_ok=True)
    target = run / ("failed" if failure else "notebooks") / path.name
    target.parent.mkdir(exist_ok=True)
    if executed.exists():
        os.replace(executed, target)
    if not failure:
        entries = results.read_records(records) if records.exists() else {}
        seconds = round(time.monotonic() - started, 1)
        kept = {"fingerprint": fingerprint, "seconds": seconds, "cpu_seconds": used}
        kept |= {"made": made(path, setting.encoder), "entries": entries}
        write_json(run / "records" / f"{path.stem}.json", kept)
    shutil.rmtree(work, ignore_errors=True)
    return failure


def _collect(run: Path, setting: Setting, shared: str, folder: Path, failed: dict) -> None:
    """Write `results.json` from every lesson whose figures this very code and input made."""
    notebooks, seconds, cpu, digests = {}, {}, {}, {}
    for name, path in lessons(folder).items():
        kept = None if name in failed else _finished(run, name, _fingerprint(path, shared))
        if kept:
            seconds[name], cpu[name] = kept["seconds"], kept["cpu_seconds"]
            digests[name], entries = kept["made"], kept["entries"].items()
            notebooks[name] = {key: entry | {"seeds": [setting.seed]} for key, entry in entries}
    told = about(setting) | {"seconds": seconds, "cpu_seconds": cpu, "failed": failed}
    told["made"] = digests
    content = {"schema": results.SCHEMA, "run": told, "notebooks": notebooks}
    write_json(run / "results.json", content)


def run(
    names: list[str], settings: list[Setting], out: Path, folder: Path = NOTEBOOKS
) -> list[str]:
    """Run lessons for every setting; return a line for each that failed, after all have run.

    Finished lessons with the same inputs are skipped. Nothing half-written is left where it would
    be read: not by an error, a full disk or Ctrl-C. Errors: UsageError or CourseError before the
    first lesson where that is possible.
    """
    chosen = choose(names, folder)
    for path in chosen.values():
        check_parameters(path)
    for setting in settings:
        check_corpus(setting.corpus)
        encoder_folder(setting.encoder)
    shared = {setting: inputs(setting) for setting in settings}
    guard(out, settings)
    with locked(out):
        return _run(chosen, shared, out, folder)


def _run(chosen: dict[str, Path], shared: dict[Setting, str], out: Path, folder: Path) -> list[str]:
    from tqdm import tqdm

    folders = {s: out / s.name if len(shared) > 1 else out for s in shared}
    todo = [
        (setting, name, path)
        for setting, digest in shared.items()
        for name, path in chosen.items()
        if not _finished(folders[setting], name, _fingerprint(path, digest))
    ]
    if len(shared) > 1:
        plan(out, list(shared), list(chosen))
    done = len(shared) * len(chosen) - len(todo)
    skipped = f" ({done} finished before)" if done else ""
    print(f"{len(todo)} lessons to run into {out}{skipped}", flush=True)
    cells = sum(len(read_notebook(path)["cells"]) for _, _, path in todo)
    failed: dict[Setting, dict[str, str]] = {setting: {} for setting in shared}
    with tqdm(total=cells, unit="cell", disable=None, file=sys.stdout, dynamic_ncols=True) as bar:
        for i, (setting, name, path) in enumerate(todo, 1):
            where = f"{setting.name} {name}" if len(shared) > 1 else name
            bar.set_description(f"{where} ({i} of {len(todo)})")
            started = time.monotonic()
            fingerprint = _fingerprint(path, shared[setting])
            failure = _lesson(path, setting, folders[setting], fingerprint, bar.update)
            if failure:
                failed[setting][name] = failure
            took = time.monotonic() - started
            bar.write(f"{where}: {failure or f'done in {took:.0f} s'}", file=sys.stdout)
            _collect(folders[setting], setting, shared[setting], folder, failed[setting])
    for setting in shared:
        _collect(folders[setting], setting, shared[setting], folder, failed[setting])
    if len(shared) > 1:
        pool(out)
    return [f"{s.name} {name}: {why}" for s, each in failed.items() for name, why in each.items()]
