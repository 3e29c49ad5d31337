"""The probe with its limit of one BLAS thread, and without: `helpers.probe.choose`.

`pytest -m benchmark tests/benchmarks/test_probe_speed.py -s`. Fits are many and small: with more
threads these wait for each other, and where OpenBLAS waits it spins. That `choose` keeps its limit
is held by a fast test, tests/test_probe.py.
"""

import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from helpers import probe

CLIPS, LAYERS, WIDTH, CLASSES, SPEAKERS = 480, 2, 512, 5, 12
pytestmark = pytest.mark.benchmark


def timed(call) -> tuple[float, float, object]:
    """Seconds on the clock, seconds of the processor, and what `call` gave."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = call()
    return time.perf_counter() - clock, time.process_time() - cpu, found


def test_one_thread_costs_no_more_than_many(record_property):
    rng = np.random.default_rng(0)
    y, who = np.arange(CLIPS) % CLASSES, np.arange(CLIPS) // (CLIPS // SPEAKERS)
    X = rng.normal(size=(CLIPS, LAYERS, WIDTH)) + 0.5 * np.eye(CLASSES, WIDTH)[y][:, None]
    free = probe.choose.__wrapped__  # without the decorator that limits
    with threadpool_limits(None):
        runs = [(timed(lambda: probe.choose(X, y, who)), timed(lambda: free(X, y, who)))
                for _ in range(3)]  # fmt: skip
    (clock, cpu, ours), (free_clock, free_cpu, theirs) = (
        min(each, key=lambda run: run[1]) for each in zip(*runs, strict=True)
    )
    record_property("ratio", free_cpu / cpu)
    print(f"one thread {clock:.2f} s, {cpu:.2f} s of the processor; "
          f"as many as there are {free_clock:.2f} s, {free_cpu:.2f} s")  # fmt: skip
    assert (ours.layer, ours.C) == (theirs.layer, theirs.C)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.02)
    assert cpu < 1.1 * free_cpu
