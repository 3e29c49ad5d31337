"""A million embeddings, one after the other: memory flat, cost per item set by the clusters."""

import time
import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from helpers.clustering import OnlineClustering

pytestmark = pytest.mark.benchmark

WIDTH, CLUSTERS, BATCH, BATCHES = 64, 20, 10_000, 100


def stream(seed, clusters=CLUSTERS, batches=BATCHES, batch=BATCH, width=WIDTH):
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        rows = 0.02 * rng.normal(size=(batch, width))
        rows[np.arange(batch), rng.integers(clusters, size=batch)] += 1
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


FEW, MANY = 16, 256


@threadpool_limits.wrap(limits=1)
def test_the_cost_of_an_item_grows_with_the_clusters_only():
    # The two streams take turns, batch by batch, so that whatever else runs slows both alike.
    models = {count: OnlineClustering(0.8) for count in (FEW, MANY)}
    seconds = {count: [] for count in models}
    size = {"batches": 40, "batch": 2000, "width": MANY}
    streams = [stream(count, count, **size) for count in models]
    for pair in zip(*streams, strict=True):
        for (count, model), rows in zip(models.items(), pair, strict=True):
            start = time.process_time()
            model.partial_fit(rows)
            seconds[count].append(time.process_time() - start)
    early, late = (
        {count: np.median(times[part]) for count, times in seconds.items()}
        for part in (slice(5, 15), slice(-10, None))
    )
    for count, model in models.items():
        assert len(model.counts_) == count and model.counts_.sum() == 40 * 2000
        assert late[count] < 1.5 * early[count]  # not with the items
    ratio = late[MANY] / late[FEW]
    print(f"{MANY} clusters against {FEW}: {ratio:.2f} times the cost of an item")
    # A fixed cost and one product with each prototype: more than once, and never beyond the ratio
    # of the clusters (16). Cosines between all pairs of clusters would make it up to 256.
    assert 1 < ratio < MANY / FEW
