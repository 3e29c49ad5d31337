"""Four runs of lesson 01 on two workers against one after the other, on a thread each.

Aim 0.6. Measured 0.65 on two idle cores: of 106 seconds 9 are the start and the report, which one
core does, and two runs at once take 27 seconds each where one alone takes 24. Longer runs come
nearer to a half. Dask's own setting of malloc had made it 0.85.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import results

pytestmark = pytest.mark.benchmark
pytest.importorskip("distributed", reason="no Dask here: the extra 'cluster' is not installed")
ROOT = Path(__file__).resolve().parents[2]


def timed(out, *words) -> float:
    command = [sys.executable, "-m", "course", "run", "01", "--seed", "0", "1", "2", "3"]
    start = time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--out", out, *words], cwd=ROOT, env=environment, check=True)
    return time.monotonic() - start


def figures(out) -> list[dict]:
    read = [results.read_results(path) for path in sorted(out.glob("*/results.json"))]
    return [each["notebooks"] for each in read]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: two workers share it")
def test_two_workers_take_little_more_than_half_the_time(tmp_path, record_property):
    alone = timed(tmp_path / "serial")
    shared = timed(tmp_path / "workers", "--workers", "2")
    record_property("ratio", shared / alone)
    print(f"{alone:.0f} s alone, {shared:.0f} s on two workers: {shared / alone:.2f}")
    assert figures(tmp_path / "serial") == figures(tmp_path / "workers")
    assert shared <= 0.75 * alone  # the aim is 0.6
