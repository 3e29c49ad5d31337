"""What a profile is: the settings of fine-tuning (lesson 02), and what suits this machine."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True)
class Settings:
    """How to train (the first block, all that `training.fit` reads) and how to fine-tune."""

    epochs: int  # 0: the encoder stays frozen, the linear probe is the head
    learning_rate: float
    batch: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.0  # share of all steps
    patience: int | None = 2  # epochs without a better score on the `stop` part
    bf16: bool = False  # autocast, where the machine is faster with it

    samples: int = 80_000  # the longest crop that is trained on (16 kHz)
    fixed: bool = False  # cut or zero-pad every clip to `samples`, no mask, as source 1
    probe_head: bool = True  # begin with the linear probe as head (arXiv 2202.10054)
    freeze_front: bool = True  # leave the convolutions as they are
    blocks: int | None = None  # train so many of the upper blocks only; None: all
    turns: int | None = None  # of the rotation; None: all
    random_turns: int = 1  # of the random split, which is there for comparison only


# Whole clips (5 s holds nearly all): the probe that training begins with has read whole clips.
# On crops of 1-3 s it is off, because less of them is silence; the network then learns the crops,
# and loses on whole clips, even those that it trained on. Two rates were tried on the tuning
# speakers of two turns of RAVDESS: 1e-4 loses to the probe that it began with, 2e-5, the source's,
# gains and halves the loss of 1e-4 (`data/reference/rate.json`). `quick` has
# minutes: one epoch, of the top block, at a rate chosen on speakers of the embedded corpus whom
# `quick` does not test: there the loss on those left out is lower than with two or three blocks,
# the UAR no worse; a third of the rate stays where it began, at the probe.
FULL = Settings(epochs=2, learning_rate=2e-5, warmup=0.1, bf16=True)
PROFILES = {
    "quick": replace(FULL, epochs=1, learning_rate=1e-4, blocks=1, turns=2),
    "full": FULL,
    # Source 1, sections 2 and 4; what it leaves open is transformers' default (linear decay).
    "paper": Settings(
        epochs=3,
        learning_rate=2e-5,
        samples=45_000,
        fixed=True,
        probe_head=False,
        freeze_front=False,
        patience=None,
        random_turns=5,
    ),
}


LARGE = 12_000_000  # weights: beyond, two cores need hours for what `quick` and `full` promise


def settings_for(profile: str, encoder) -> Settings:
    """Settings of a profile that suit the encoder and the machine.

    Without a GPU `quick` and `full` leave a large encoder frozen and train its head only.
    """
    import torch

    settings = PROFILES[profile]
    weights = sum(p.numel() for p in encoder.model.parameters())
    if profile != "paper" and weights > LARGE and not torch.cuda.is_available():
        return replace(settings, epochs=0)
    return settings


@lru_cache(maxsize=1)
def fast_bf16() -> bool:
    """Does this machine multiply bfloat16 matrices well faster than float32?

    Measured, for a processor can list the instructions and be slower with them; in CPU seconds,
    which hang less on what else the machine does.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False  # emulated: minutes for what float32 does in seconds

    def seconds(dtype, repeats=5) -> float:
        x, w = torch.zeros(1024, 512, dtype=dtype), torch.zeros(2048, 512, dtype=dtype)
        spent = []
        for _ in range(repeats):
            start = time.process_time()
            torch.nn.functional.linear(x, w)
            spent.append(time.process_time() - start)
        return min(spent)

    return seconds(torch.float32) > 1.3 * seconds(torch.bfloat16)


def dtype_for(profile: str) -> str:
    """ "bfloat16" where the profile asks for it and the machine is faster with it."""
    return "bfloat16" if PROFILES[profile].bf16 and fast_bf16() else "float32"
