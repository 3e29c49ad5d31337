"""Where figures come from: the code, the packages, the machine, and the command that made them."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil

from course.settings import ROOT, Setting
from helpers import __version__

VERSIONS = ("torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn", "librosa")


def versions() -> dict[str, str]:
    """Python, the course and the packages that figures depend on."""
    found = {name: importlib.metadata.version(name).split("+")[0] for name in VERSIONS}
    return {"python": platform.python_version(), "course": __version__} | found


def threads() -> str:
    """How many threads a lesson may use: figures to the digit hold for one number of them."""
    return os.environ.get("OMP_NUM_THREADS") or str(_cores())


def _cores() -> int:
    counted = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if counted else os.cpu_count() or 1


def commit(root: Path = ROOT) -> str:
    """The clone's commit, with `-dirty` where tracked files were changed; empty without git."""
    if not (root / ".git").exists():  # do not take the commit of a folder around it
        return ""
    command = "git describe --always --abbrev=12 --dirty --exclude=*".split()  # whatever the tags
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=root).stdout.strip()
    except OSError:
        return ""


def machine() -> str:
    """System, processor, cores, memory and GPU; no name of the machine."""
    import torch

    model = platform.processor() or platform.machine()
    about = Path("/proc/cpuinfo")
    if about.is_file():
        lines = about.read_text(encoding="utf-8", errors="replace").splitlines()
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    size = round(psutil.virtual_memory().total / 2**30)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {model}, {_cores()} cores, {size} GiB{gpu}"


def command(setting: Setting) -> str:
    """The line that makes this run again, in its plain form."""
    asked = [f"--{name} {value}" for name, value in setting._asdict().items()]
    return f"ser-course run {' '.join(asked)}"


def about(setting: Setting) -> dict:
    """What `results.json` says of a run, besides its figures."""
    told = setting._asdict()
    told["seeds"] = [told.pop("seed")]
    told |= {"versions": versions(), "threads": threads(), "machine": machine()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return told | {"commit": commit(), "command": command(setting), "date": now}
