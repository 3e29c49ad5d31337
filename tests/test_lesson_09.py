"""The checks of lesson 09 against plausible wrong answers: each is told its own mistake."""

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from wrong_answers import catalogue


def blocks(body):
    return f"def blocks_for(frames, kernel=3, units=1):\n    {body}"


def fused(body):
    return f"def product(p, q, w=0.5):\n    {body}"


def loss(body):
    return f"def weighted_cross_entropy(z, y, alpha):\n    lp = log_softmax(z, axis=1)\n    {body}"


COUNTED = "next(b for b in range(99) if 1 + {} >= frames)"
OWN = "-lp[np.arange(len(y)), y]"
# (exercise, answer, part of the message)
WRONG = [
    (1, blocks("pass"), "ends without `return`"),
    (1, blocks("return 2"), "one block of kernel 3"),
    (1, blocks("return next(b for b in range(99) if 2 * (2**b - 1) >= frames)"),
     "one block of kernel 3"),
    (1, blocks("return (frames - 1) // 2"), "the fourth frame"),
    (1, blocks(f"return {COUNTED.format('(kernel - 1) * units * b')}"), "7 are enough"),
    (1, blocks("return max(1, " + COUNTED.format("2 * (2**b - 1)") + ")"), "no block at all"),
    (1, blocks(f"return {COUNTED.format('2 * (2**b - 1)')}"), "kernel 2 adds one frame"),
    (1, blocks(f"return {COUNTED.format('(kernel - 1) * (2**b - 1)')}"), "two units a block"),
    (1, blocks(f"return min(4, {COUNTED.format('units * (kernel - 1) * (2**b - 1)')})"),
     "the fields are"),
    (2, fused("pass"), "ends without `return`"),
    (2, fused("return (p**w * q ** (1 - w)).sum()"), "one row for each row"),
    (2, fused("m = p**w * q ** (1 - w); return m / m.sum(axis=1, keepdims=True)"), "1e-12 for 0"),
    (2, fused("return softmax(w * np.log(p) + (1 - w) * np.log(q), axis=1)"), "1e-12 for 0"),
    (2, fused("return p**w * q ** (1 - w)"), "rows must sum to 1"),
    (2, fused("p, q = np.maximum(p, 1e-8), np.maximum(q, 1e-8)\n"
              "    return softmax(w * np.log(p) + (1 - w) * np.log(q), axis=1)"),
     "1e-12 before the power"),
    (2, fused("return w * p + (1 - w) * q"), "looks like a mean"),
    (2, fused("return softmax(np.log(p + 1e-12) + np.log(q + 1e-12), axis=1)"),
     "is the first branch"),
    (2, fused("m = p ** (1 - w) * q**w + 1e-12; return m / m.sum(axis=1, keepdims=True)"),
     "w = 1 is the first branch"),
    (2, fused("m = p * q + 1e-12 if w == 0.5 else p; return m / m.sum(axis=1, keepdims=True)"),
     "w defaults to 0.5"),
    (2, fused("m = (p * q)**0.5 + 1e-12 if w < 1 else p; return m / m.sum(1)[:, None]"),
     "0.25 belongs to p"),
    (3, loss("pass"), "ends without `return`"),
    (3, loss(f"return alpha[y] * {OWN}"), "one number, the weighted mean"),
    (3, loss(f"return np.average(-({OWN}), weights=alpha[y])"), "is the sign right"),
    (3, loss(f"return np.sum({OWN} * alpha[y])"), "by hand, weights 1"),
    (3, loss("return -lp.mean()"), "by hand, weights 1"),
    (3, loss(f"return np.mean({OWN})"), "by hand, weights 3, 3 and 1"),
    (3, loss(f"return np.mean({OWN} * alpha[y])"), "not by n"),
    (3, loss(f"return ({OWN} * alpha[y]).sum() / alpha.sum()"), "4 is the sum of alpha"),
    (3, loss("p = np.exp(z) / np.exp(z).sum(1)[:, None]\n"
             "    return np.average(-np.log(p[np.arange(len(y)), y]), weights=alpha[y])"),
     "logits 1,000 and 0"),
    (3, loss("lp = z - z.max() - np.log(np.exp(z - z.max()).sum(axis=1, keepdims=True))\n"
             f"    return np.average({OWN}, weights=alpha[y])"), "a maximum of its own"),
    (3, loss(f"return np.average({OWN}, weights=alpha[np.minimum(y, 1)])"), "differs from torch"),
]  # fmt: skip
RIGHT = [
    (1, blocks("return int(np.ceil(np.log2((frames - 1) / (units * (kernel - 1)) + 1)))")),
    (2, fused("m = np.maximum(p, 1e-12)**w * np.maximum(q, 1e-12)**(1 - w); return m / m.sum(1)"
              "[:, None]")),
    (3, loss(f"return sum({OWN} * alpha[y]) / sum(alpha[y])")),
]  # fmt: skip


def space():
    return {
        "np": np, "nn": torch.nn, "torch": torch, "softmax": softmax, "log_softmax": log_softmax,
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("09_ensemble", space, WRONG, RIGHT)
