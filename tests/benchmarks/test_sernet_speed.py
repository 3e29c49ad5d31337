"""A training step of lesson 12's ears, as a ratio to the same layers laid out plainly."""

import statistics
import time

import nbformat
import pytest
import torch
from torch import nn
from torch.nn import functional

from course.settings import lessons

pytestmark = pytest.mark.benchmark
LAYOUT = ".contiguous(memory_format=torch.channels_last)"
CELLS = [
    cell.source
    for cell in nbformat.read(lessons()["12_msac_sernet"], as_version=4).cells
    if cell.cell_type == "code"
    and any(name in cell.source for name in ("def layer", "def block", "class Ears"))
]


def ears(plain):
    """The lesson's network; `plain`: channels first all the way."""
    space = {"torch": torch, "nn": nn, "functional": functional, "BANDS": 40}
    for source in CELLS:
        exec(source.replace(LAYOUT, "") if plain else source, space)
    torch.manual_seed(0)
    return space["Ears"](thin=4, squeeze=(2, 4))


def step(net, x):
    """CPU seconds of one step."""
    began = time.process_time()
    net(x).square().mean().backward()
    return time.process_time() - began


def test_a_step_is_no_slower_than_the_plain_one(record_property):
    assert any(LAYOUT in source for source in CELLS)
    torch.manual_seed(0)
    x, nets = torch.randn(64, 40, 200), [ears(plain) for plain in (False, True)]
    assert torch.allclose(*(net(x) for net in nets), atol=1e-4)
    rounds = [[step(net, x) for net in nets] for _ in range(12)][2:]
    ratio = statistics.median(ours / plain for ours, plain in rounds)
    record_property("ratio", ratio)
    print(f"a step takes {ratio:.2f} of the plain one")
    assert ratio < 1.15
