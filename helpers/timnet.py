"""MFCC frames and wav2vec2 in one classifier (lesson 09): two temporal networks, two branches.

TIM-Net: Ye et al., "Temporal modeling matters", ICASSP 2023, arXiv 2211.08233. Source 3 takes its
blocks without the gate and without the fusion over dilations. Both are smaller here: 16 channels
for 39, and six blocks, where TIM-Net has as many as cover the clip. Shapes: MFCC `(b, 39, T)`,
embeddings `(b, H)`, or frames `(b, T', H)` with a mask `(b, T')`.
"""

import torch
from torch import nn
from torch.nn import functional

from helpers.networks import AttentiveStatistics

BLOCKS = 6  # dilations 1, 2, ..., 32
CHANNELS, WIDTH = 16, 64  # of the MFCC branch, of the embedding branch
DROPOUT = 0.1


def receptive_field(blocks: int = BLOCKS, kernel: int = 3, units: int = 1) -> int:
    """Frames that the last block hears: `units` convolutions a block, dilation doubled each time.

    1 + units (kernel - 1) (1 + 2 + 4 + ... + 2^(blocks - 1)).
    """
    return 1 + units * (kernel - 1) * (2**blocks - 1)


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


def focal_loss(logits, labels, gamma: float = 0.0, weight=None):
    """Mean of -a_t (1 - p_t)^gamma log p_t (Lin et al. 2017, arXiv 1708.02002, eqs. 4 and 5).

    `gamma` 0 is cross-entropy. `weight (K,)`: a class' share a_t, normalised over the batch as
    torch does.
    """
    log_p = functional.log_softmax(logits, -1).gather(-1, labels[:, None])[:, 0]
    share = torch.ones_like(log_p) if weight is None else torch.as_tensor(weight).to(log_p)[labels]
    return -(share * (1 - log_p.exp()) ** gamma * log_p).sum() / share.sum()


class Ensemble(nn.Module):
    """Two branches, concatenated, dropout, one linear layer (source 3). Either may be absent.

    `temporal`: a `TemporalNet` or None. `size`: H of the embeddings, or None; `attentive`: they
    come as frames and are pooled with learned attention.
    """

    def __init__(self, classes: int, temporal=None, size=None, attentive=False, dropout=0.3):
        super().__init__()
        self.temporal = temporal
        self.pooling = AttentiveStatistics(size) if attentive else None
        self.dense = size and nn.Sequential(nn.Linear(size * (1 + attentive), WIDTH), nn.ReLU())
        self.dropout = nn.Dropout(dropout)
        width = (temporal.width if temporal else 0) + (WIDTH if size else 0)
        self.classifier = nn.Linear(width, classes)

    def features(self, mfcc=None, embedding=None, mask=None):
        """What the classifier reads, `(b, width)`."""
        parts = [] if self.temporal is None else [self.temporal(mfcc)]
        if self.dense:
            pooled = embedding if self.pooling is None else self.pooling(embedding, mask)
            parts.append(self.dense(pooled))
        return torch.cat(parts, -1)

    def forward(self, mfcc=None, embedding=None, mask=None):
        from transformers.modeling_outputs import SequenceClassifierOutput

        logits = self.classifier(self.dropout(self.features(mfcc, embedding, mask)))
        return SequenceClassifierOutput(logits=logits)
