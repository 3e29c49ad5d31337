"""How source 1 fine-tunes (lesson 02): settings by profile, and the clips. The loop: `training`."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from helpers import audio


@dataclass(frozen=True)
class Settings:
    """How to fine-tune. `samples` is the longest crop that is trained on (16 kHz)."""

    epochs: int  # 0: the encoder stays frozen, the linear probe is the head
    learning_rate: float
    samples: int
    fixed: bool  # cut or zero-pad every clip to `samples`, no mask, as source 1
    probe_head: bool  # begin with the linear probe as head (arXiv 2202.10054)
    freeze_front: bool  # leave the convolutions as they are
    bf16: bool  # autocast, where the machine has bfloat16 units
    patience: int | None  # epochs without a better recall on the `stop` part
    turns: int | None  # of the rotation; None: all
    random_turns: int  # of the random split, which is there for comparison only
    batch: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.0  # share of all steps


PROFILES = {
    # Whole clips (5 s holds nearly all): the probe that training begins with has read whole clips.
    # On crops of 1-3 s it is off, because less of them is silence; the network then learns the
    # crops, and loses on whole clips, even those that it trained on. Two rates were tried on the
    # tuning speakers of two turns of RAVDESS: 3e-5 changes little, 1e-4 gains.
    # One epoch in `quick`: lessons 01-04 have five minutes.
    "quick": Settings(
        epochs=1,
        learning_rate=1e-4,
        samples=80_000,
        fixed=False,
        probe_head=True,
        freeze_front=True,
        bf16=True,
        patience=2,
        turns=2,
        random_turns=1,
        warmup=0.1,
    ),
    "full": Settings(
        epochs=2,
        learning_rate=1e-4,
        samples=80_000,
        fixed=False,
        probe_head=True,
        freeze_front=True,
        bf16=True,
        patience=2,
        turns=None,
        random_turns=1,
        warmup=0.1,
    ),
    # Source 1, sections 2 and 4; what it leaves open is transformers' default (linear decay).
    "paper": Settings(
        epochs=3,
        learning_rate=2e-5,
        samples=45_000,
        fixed=True,
        probe_head=False,
        freeze_front=False,
        bf16=False,
        patience=None,
        turns=None,
        random_turns=5,
    ),
}


LARGE = 12_000_000  # weights: beyond, two cores need hours for what `quick` and `full` promise


def settings_for(profile: str, encoder) -> Settings:
    """Settings of a profile that suit the encoder and the machine.

    Without a GPU `quick` and `full` leave a large encoder frozen and train its head only.
    """
    settings = PROFILES[profile]
    weights = sum(p.numel() for p in encoder.model.parameters())
    if profile != "paper" and weights > LARGE and not torch.cuda.is_available():
        return replace(settings, epochs=0)
    return settings


@lru_cache(maxsize=1)
def fast_bf16() -> bool:
    """Does this machine multiply bfloat16 matrices well faster than float32?

    Measured once: a processor can list the instructions and be slower with them.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False  # emulated: minutes for what float32 does in seconds

    def seconds(dtype, repeats=5) -> float:
        x, w = torch.zeros(1024, 512, dtype=dtype), torch.zeros(2048, 512, dtype=dtype)
        spent = []
        for _ in range(repeats):
            start = time.perf_counter()
            torch.nn.functional.linear(x, w)
            spent.append(time.perf_counter() - start)
        return min(spent)

    return seconds(torch.float32) > 1.3 * seconds(torch.bfloat16)


read = lru_cache(maxsize=2000)(audio.read)  # waves of 3 s: about 400 MB


class Clips(torch.utils.data.Dataset):
    """`(wave, label)` pairs: waves of at most `samples`, cut at a random place when `crop`.

    `fixed` zero-pads shorter ones. Random places come from torch's generator, which checkpoints
    keep.
    """

    def __init__(self, paths, labels, samples: int, crop=False, fixed=False):
        self.paths, self.labels = list(paths), [int(y) for y in labels]
        self.samples, self.crop, self.fixed = samples, crop, fixed

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        wave = read(self.paths[i])
        spare = len(wave) - self.samples
        start = int(torch.randint(spare + 1, ())) if self.crop and spare > 0 else 0
        wave = wave[start : start + self.samples]
        return audio.fix_length(wave, self.samples) if self.fixed else wave, self.labels[i]
