"""A million embeddings, one after the other: memory flat, cost per item set by the clusters."""

import time
import tracemalloc

import numpy as np
import pytest

from helpers.clustering import OnlineClustering

pytestmark = pytest.mark.benchmark

WIDTH, CLUSTERS, BATCH, BATCHES = 64, 20, 10_000, 100


def stream(seed):
    rng = np.random.default_rng(seed)
    for _ in range(BATCHES):
        rows = 0.02 * rng.normal(size=(BATCH, WIDTH))
        rows[np.arange(BATCH), rng.integers(CLUSTERS, size=BATCH)] += 1
        yield rows


def test_a_million_items():
    model, seconds, memory = OnlineClustering(0.9), [], []
    for i, rows in enumerate(stream(0)):
        traced = i in (1, BATCHES - 1)  # tracing slows the loop: two batches show the growth
        if traced:
            tracemalloc.start()
        start = time.process_time()
        model.partial_fit(rows)
        seconds.append(time.process_time() - start)
        if traced:
            memory.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert model.counts_.sum() == BATCH * BATCHES and len(model.counts_) == CLUSTERS
    held = sum(value.nbytes for value in vars(model).values() if isinstance(value, np.ndarray))
    early, late = np.median(seconds[2:12]), np.median(seconds[-11:-1])
    print(f"{1e6 * late / BATCH:.1f} µs an item, {held / 1e3:.0f} kB held")
    assert memory[1] < 1.1 * memory[0]
    assert held < 64 * WIDTH * 8 * 4 + 2 * BATCH * 8
    assert late < 1.5 * early
