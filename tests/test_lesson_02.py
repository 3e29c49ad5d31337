"""The checks of lesson 02 against plausible wrong answers."""

import numpy as np
import torch
from transformers import Wav2Vec2Config
from wrong_answers import catalogue

from helpers import networks
from helpers.exercises import unaided


def frames(body):
    return f"def frame_count(n, kernels, strides):\n    {body}"


def mean(body):
    return f"def masked_mean(h, mask):\n    w = mask[..., None].to(h.dtype)\n    {body}"


def stop(body, new="recall > recalls[best]", done="epoch - best >= patience"):
    return (
        f"def stop_early(recalls, patience):\n    best = 0\n    for epoch, recall in enumerate("
        f"recalls):\n        if {new}:\n            best = epoch\n        if {done}:\n"
        f"            return {body}\n    return best, len(recalls)"
    )


LOOP = "for k, s in zip(kernels, strides): n = {}\n    return n"
WRONG = [
    (1, frames("pass"), "ends without `return`"),
    (1, frames("return [(n - k) // s + 1 for k, s in zip(kernels, strides)]"),
     "return one integer"),
    (1, frames(LOOP.format("(n - k) // s")), "the first place counts"),
    (1, frames(LOOP.format("n // s")), "the first place counts"),
    (1, frames(LOOP.format("-(-(n - k) // s) + 1")), "does not fit whole"),
    (1, frames("return (n - kernels[0]) // strides[0] + 1"), "input of the next"),
    (1, frames("kernels, strides = kernels[::-1], strides[::-1]\n    " + LOOP.format(
        "(n - k) // s + 1")), "first layer to the last"),
    (1, frames(LOOP.format("(n - k) // s + 1") + " if len(kernels) < 7 else 50"),
     "audio gives 49 frames"),
    (2, mean("pass"), "ends without `return`"),
    (2, mean("return (h * w).sum(1).numpy() / w.sum(1).numpy()"), "return a tensor"),
    (2, mean("return (h * w).sum(1, keepdim=True) / w.sum(1, keepdim=True)"), "one row of H"),
    (2, mean("return h.mean(dim=1)"), "has a padded frame"),
    (2, mean("return (h * (1 - w)).sum(1) / (1 - w).sum(1)"), "has a padded frame"),
    (2, mean("return (h * w).sum(dim=1)"), "the sum of clip 1"),
    (2, mean("return (h * w).mean(dim=1)"), "real frames of that clip"),
    (2, mean("return (h * w).sum(dim=1) / w.sum()"), "real frames of that clip"),
    (2, mean("return (h * w).max(dim=1).values"), "real frames of that clip"),
    (2, mean("return torch.stack([x[: int(m.sum())].mean(0) for x, m in zip(h, mask)])"),
     "may have holes"),
    (2, mean("return networks.pool(h, mask)"), "pool would solve"),
    (3, "def stop_early(recalls, patience): pass", "ends without `return`"),
    (3, stop("best").replace("best, len", "best  # len"), "return two numbers"),
    (3, "def stop_early(recalls, patience): return int(np.argmax(recalls)), len(recalls)",
     "never sees 0.9"),
    (3, stop("best, epoch + 1", done="epoch - best > patience"), "never sees 0.9"),
    (3, stop("epoch, epoch + 1"), "is the best and is kept"),
    (3, stop("best + 1, epoch + 1"), "counted from 0"),
    (3, stop("best, epoch"), "five, you say 4"),
    (3, stop("best, epoch + 1", new="recall >= recalls[best]"), "equal recall is no new best"),
    (3, "def stop_early(r, patience):\n    best, bad = 0, 0\n    for e in range(len(r)):\n"
        "        bad = bad + 1 if e and r[e] <= r[e - 1] else 0\n"
        "        if r[e] > r[best]: best = e\n"
        "        if bad >= patience or e - best > patience: return best, e + 1\n"
        "    return best, len(r)", "two epochs bring nothing new"),
    (3, stop("best, epoch + 1").replace("return best, len(recalls)", "return 0, len(recalls)"),
     "still rising: the last"),
    (3, stop("best, epoch + 1", done="epoch - best >= 2"), "patience is the one"),
]  # fmt: skip
RIGHT = [
    (1, frames(LOOP.format("int(np.floor((n - k) / s)) + 1"))),
    (2, mean("return torch.stack([x[m].mean(dim=0) for x, m in zip(h, mask)])")),
    (2, mean("return torch.einsum('bth,bt->bh', h, mask.float()) / mask.sum(1, keepdim=True)")),
    (3, stop("[best, epoch + 1]")),
]  # fmt: skip


def space():
    return {
        "np": np, "torch": torch, "nn": torch.nn, "networks": networks, "unaided": unaided,
        "base": Wav2Vec2Config(),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("02_fine_tune", space, WRONG, RIGHT)
