"""TIM-Net and its kin: causality, receptive field, symmetry, batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import timnet

FRAMES = 24


def lively(module, seed=0):
    """The module in evaluation mode, with batch norm that has seen data and moves things."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            part.bias.data.uniform_(0.1, 0.5, generator=generator)
    return module.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["source 3", "TIM-Net"])
def direction(request):
    torch.manual_seed(0)
    return lively(timnet.Direction(size=3, channels=4, blocks=3, gate=request.param).double())


# --- time -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(t=st.integers(0, FRAMES - 1), change=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_no_frame_moves_what_came_before(direction, t, change, seed):
    x = torch.randn(1, 3, FRAMES, generator=torch.Generator().manual_seed(seed)).double()
    moved = x.clone()
    moved[..., t] += change
    with torch.no_grad():
        for before, after in zip(direction(x), direction(moved), strict=True):
            assert torch.equal(before[..., :t], after[..., :t])


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
@pytest.mark.parametrize("gate", [False, True])
def test_receptive_field_is_what_is_measured(blocks, gate):
    """The frames that the gradient of the last output reaches, and not one more."""
    torch.manual_seed(0)
    kernel, units = (2, 2) if gate else (3, 1)
    field = 1 + units * (kernel - 1) * (2**blocks - 1)
    net = timnet.Direction(3, 8, blocks, gate=gate).double()
    x = torch.randn(8, 3, field + 5, requires_grad=True, dtype=torch.float64)
    for part in net.modules():  # a ReLU that is shut would hide a path
        if isinstance(part, torch.nn.BatchNorm1d):
            part.bias.data.fill_(10)
    net.eval()(x)[-1][..., -1].sum().backward()
    reached = x.grad.abs().sum((0, 1)) > 0
    assert reached[-field:].all() and not reached[:-field].any()


@pytest.mark.parametrize("full", [False, True])
def test_reversing_the_clip_swaps_the_directions(full):
    torch.manual_seed(0)
    net = lively(timnet.TemporalNet(full, blocks=3).double())
    x = torch.randn(2, 39, FRAMES).double()
    with torch.no_grad():
        there = net(x)
        assert not torch.allclose(there, net(x.flip(-1)))  # it does hear the order of time
        net.ahead, net.back = net.back, net.ahead
        torch.testing.assert_close(net(x.flip(-1)), there)


# --- TIM-Net's two ideas ----------------------------------------------------------------------


def by_hand(block, x):
    """Convolution over k frames of the past, batch norm, ReLU, twice; its sigmoid weighs the input.

    Ye et al. 2023, eq. 2, frame by frame.
    """
    y = x
    for unit in block.units:
        w, norm, past = unit.convolution.weight, unit.norm, unit.past
        frames = []
        for t in range(y.shape[-1]):
            heard = [t - past + i * unit.convolution.dilation[0] for i in range(w.shape[-1])]
            taps = [y[..., s] @ w[..., i].T for i, s in enumerate(heard) if s >= 0]
            frames.append(sum(taps))
        z = torch.stack(frames, -1)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        y = ((z - norm.running_mean[:, None]) * scale[:, None] + norm.bias[:, None]).clamp_min(0)
    return x / (1 + (-y).exp())


def test_a_gated_block_weighs_its_input_with_a_sigmoid():
    torch.manual_seed(0)
    block, x = lively(timnet.Block(4, 2, True, 0.1).double()), torch.randn(2, 4, 9).double()
    with torch.no_grad():
        torch.testing.assert_close(block(x), by_hand(block, x))
        assert (block(x).abs() <= x.abs()).all()  # a gate lets through, it adds nothing


def test_fusion_over_dilations_is_learned():
    torch.manual_seed(0)
    net, x = lively(timnet.TemporalNet(full=True, blocks=3)), torch.randn(2, 39, FRAMES)
    with torch.no_grad():
        both = zip(net.ahead(x), net.back(x.flip(-1)), strict=True)
        g = [(a + b.flip(-1)).mean(-1) for a, b in both]
        for j, each in enumerate(g):
            net.fusion.copy_(torch.eye(3)[j])
            torch.testing.assert_close(net(x), each)
    net(x).sum().backward()
    assert (net.fusion.grad != 0).all()


# --- batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_a_batch_is_its_clips_one_by_one(full):
    net, x = lively(timnet.TemporalNet(full, blocks=2)), torch.randn(6, 39, FRAMES)
    with torch.no_grad():
        whole, alone = net(x), torch.cat([net(x[i : i + 1]) for i in range(6)])
    assert whole.shape == (6, net.width)
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-5)
