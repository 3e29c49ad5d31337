"""Temporal networks over MFCC frames (lesson 09 builds what stands around them).

TIM-Net: Ye et al., "Temporal modeling matters", ICASSP 2023, arXiv 2211.08233. Source 3 takes its
blocks without the gate and without the fusion over dilations. Both are smaller here: 16 channels
for 39, and six blocks, where TIM-Net has as many as cover the clip. Shapes: MFCC `(b, 39, T)`.
"""

import torch
from torch import nn
from torch.nn import functional

BLOCKS = 6  # dilations 1, 2, ..., 32
CHANNELS, DROPOUT = 16, 0.05


class CausalUnit(nn.Module):
    """Dilated causal convolution, batch norm, ReLU, spatial dropout: `(b, C, T)` to the same.

    Zeros are put before the first frame only, so output t is made of inputs up to t. (In training
    batch norm averages over time, so the property holds in evaluation mode.)
    """

    def __init__(self, channels: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.convolution = nn.Conv1d(channels, channels, kernel, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(channels, momentum=0.2)  # an epoch here has few steps
        self.dropout = nn.Dropout1d(dropout)  # drops whole channels

    def forward(self, x):
        x = self.convolution(functional.pad(x, (self.past, 0)))
        return self.dropout(self.norm(x).relu())


class Block(nn.Module):
    """Causal units of one dilation. `gate`: their sigmoid weighs the input, F_j+1 = A(F_j) * F_j.

    TIM-Net: two units of kernel 2 and the gate. Source 3 gives neither kernel nor number of units;
    here it is one of kernel 3, which hears as far in half the layers, for there is no short cut.
    """

    def __init__(self, channels: int, dilation: int, gate: bool, dropout: float):
        super().__init__()
        self.gate = gate
        kernels = (2, 2) if gate else (3,)
        self.units = nn.Sequential(
            *(CausalUnit(channels, kernel, dilation, dropout) for kernel in kernels)
        )

    def forward(self, x):
        return self.units(x).sigmoid() * x if self.gate else self.units(x)


class Direction(nn.Module):
    """One pass over time: what each block gives, a list of `(b, C, T)`. Frame t hears up to t."""

    def __init__(self, size=39, channels=CHANNELS, blocks=BLOCKS, gate=False, dropout=DROPOUT):
        super().__init__()
        self.enter = nn.Conv1d(size, channels, 1)
        self.blocks = nn.ModuleList(Block(channels, 2**j, gate, dropout) for j in range(blocks))

    def forward(self, x):
        x, outputs = self.enter(x), []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs


class TemporalNet(nn.Module):
    """MFCC `(b, 39, T)` to `(b, C)`: a pass forward plus a pass over the reversed clip.

    `full=False`, source 3's branch: plain blocks, the last one averaged over time. `full=True`,
    TIM-Net: gated blocks, and every block's average g_j, mixed with learned weights: sum w_j g_j.
    Each direction has weights of its own, as in TIM-Net.
    """

    def __init__(self, full=False, channels=CHANNELS, blocks=BLOCKS):
        super().__init__()
        self.full, self.width = full, channels
        self.ahead, self.back = (
            Direction(channels=channels, blocks=blocks, gate=full) for _ in range(2)
        )
        if full:
            self.fusion = nn.Parameter(torch.full((blocks,), 1 / blocks))

    def forward(self, x):
        both = [a + b.flip(-1)
                for a, b in zip(self.ahead(x), self.back(x.flip(-1)), strict=True)]  # fmt: skip
        if not self.full:
            return both[-1].mean(-1)
        return torch.stack([each.mean(-1) for each in both], -1) @ self.fusion
