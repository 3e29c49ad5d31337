"""What the student hears: crops of the clips that `teacher_targets.py` wrote, perturbed.

Targets stay clean. A batch is made from its number alone, so a training that goes on hears what it
would have heard.
"""

import numpy as np
import torch

from helpers.errors import CourseError
from tools.teacher_targets import DEVICE, LEAST, STRIDE, corpus_of, held_out, hours, read

# Frames of a crop. Most clips of EmoGator have exactly 92.
LENGTHS, CHANCES = (LEAST, 92, 128, 176), (0.2, 0.3, 0.3, 0.2)
VALID = 92  # frames of a crop that is validated on
# How often a corpus is drawn from, for its length: bursts without words weigh less than speech.
DRAW = {"crema_d": 1.0, "nemo": 1.0, "emogator": 0.6, "embedded": 1.0}
APART = 2**31  # number of the first batch that no training step uses


class Clips:
    """Crops of what `teacher_targets.py` wrote: layers 0 to `depth`.

    Read from memory maps, or from a GPU's memory, which has to hold all of it. `frames`: about so
    many in a batch.
    """

    def __init__(self, folders, depth: int, frames: int = 1024):
        indexes, self.parts = read(folders)
        layers, self.teacher = indexes[0]["layers"], indexes[0]["teacher"]
        if layers[: depth + 1] != list(range(depth + 1)):
            raise CourseError(
                f"--targets: layers {layers}, but {depth} blocks need 0 to {depth}; make them again"
            )
        self.depth, self.room = depth, frames
        self.items = []  # part, number in it, frames, file
        for part, index in enumerate(indexes):
            pairs = enumerate(zip(index["frames"], index["files"], strict=True))
            self.items += [(part, i, *pair) for i, pair in pairs if pair[0] >= min(LENGTHS)]
        self.hours = hours((file, frames) for _, _, frames, file in self.items)
        first = self.parts[0][1]
        rows = np.sort(np.random.default_rng(0).choice(len(first), min(6000, len(first)), False))
        sample = first[rows, : depth + 1].astype(np.float32)
        self.mean = torch.tensor(sample.mean(0), device=DEVICE)
        self.std = torch.tensor(sample.std(0) + 1e-3, device=DEVICE)
        self.train = [k for k, item in enumerate(self.items) if not held_out(item[3])]
        self.valid = [
            k
            for k, item in enumerate(self.items)
            if held_out(item[3]) and item[0] == 0 and item[2] >= VALID
        ][::6]
        if not (self.train and self.valid):
            raise CourseError("--targets: too few clips; some must train and some be held out")
        self.levels = [levels(audio, edges) for audio, _, edges, _ in self.parts]
        self.parts = [
            (torch.from_numpy(audio).to(DEVICE), torch.from_numpy(states).to(DEVICE), edges, starts)
            for audio, states, edges, starts in self.parts
        ]
        self.frames = np.array([self.items[k][2] for k in self.train])
        self.weight = np.array([DRAW[corpus_of(self.items[k][3])] for k in self.train])

    def crop(self, k: int, start: int, length: int):
        part, i, _, _ = self.items[k]
        audio, targets, edges, starts = self.parts[part]
        begin, first = edges[i] + start * STRIDE, starts[i] + start
        return (
            audio[begin : begin + length * STRIDE + 80],
            targets[first : first + length, : self.depth + 1],
            self.levels[part][i],
        )

    def batch(self, crops):
        waves, targets, level = zip(*crops, strict=True)
        mean, deviation = torch.tensor(np.stack(level), device=DEVICE).T[:, :, None]
        return (
            (torch.stack(waves).float() - mean) / deviation,
            (torch.stack(targets).float() - self.mean) / self.std,
        )

    def apart(self, count: int):
        """`count` training batches that are no step's."""
        return (self.draw(APART + number) for number in range(count))

    def draw(self, step: int):
        """Batch number `step`: the same whenever it is asked for, so that a restart goes on."""
        rng = np.random.default_rng([7, step])
        length = min(int(rng.choice(LENGTHS, p=CHANCES)), int(self.frames.max()))
        chance = self.weight * (self.frames >= length) * np.minimum(self.frames / length, 2)
        size = min(max(4, self.room // length), int((chance > 0).sum()))
        rows = rng.choice(len(self.train), size, p=chance / chance.sum(), replace=False)
        waves, targets = self.batch(
            self.crop(self.train[r], int(rng.integers(self.frames[r] - length + 1)), length)
            for r in rows
        )
        return perturb(waves, rng), targets


def levels(audio: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean and deviation of each clip `(clips, 2)`, in int16 units."""
    found = np.ones((len(edges) - 1, 2), np.float32)
    for i in np.flatnonzero(np.diff(edges)):
        clip = audio[edges[i] : edges[i + 1]].astype(np.float32)
        found[i] = clip.mean(), clip.std() + 1e-5 * 32768
    return found


def perturb(waves: torch.Tensor, rng) -> torch.Tensor:
    """Another room, microphone and background for `waves` `(batch, samples)`."""
    size, length = waves.shape
    torch.manual_seed(int(rng.integers(2**31)))

    def there(values):
        return torch.tensor(values, dtype=torch.float32, device=waves.device)

    def some(share):  # rows; indices, for a mask would make a GPU wait
        return torch.tensor(np.flatnonzero(rng.random(size) < share), device=waves.device)

    def noise_like(*shape):
        return torch.randn(*shape, device=waves.device)

    kHz = np.linspace(0, 8, length // 2 + 1)
    bends = np.cos(np.pi * np.arange(1, 5)[:, None] * np.log1p(kHz) / np.log(9))
    heights = rng.normal(0, 3, (size, 4)) * (rng.random((size, 1)) >= 0.4)
    edge = np.where(rng.random(size) < 0.15, rng.uniform(3, 7, size), 99)[:, None]
    gain = 10 ** (there(heights) @ there(bends) / 20) / (1 + (there(kHz) / there(edge)) ** 8)
    spectrum = torch.fft.rfft(waves) * gain
    room = some(0.25)
    if len(room):
        decay = torch.arange(4800, device=waves.device) / 16000
        tail = there(rng.uniform(0.02, 0.12, (len(room), 1)))
        response = noise_like(len(room), 4800) * torch.exp(-decay / tail) * 0.06
        response[:, 0] = 1
        spectrum[room] *= torch.fft.rfft(response, n=length)
    out = torch.fft.irfft(spectrum, n=length)
    out = out / (out.std(1, keepdim=True) + 1e-4) * waves.std(1, keepdim=True)
    noise = noise_like(size, length)
    pink = some(0.5)
    if len(pink):
        shaped = torch.fft.rfft(noise[pink])
        falling = torch.sqrt(torch.arange(shaped.shape[1], device=waves.device) + 10.0)
        noise[pink] = torch.fft.irfft(shaped / falling, n=length)
    babble = some(0.25)
    noise[babble] = waves.roll(1, 0)[babble]
    noise = noise / (noise.std(1, keepdim=True) + 1e-3)
    snr = np.where(rng.random(size) < 0.5, rng.uniform(5, 35, size), 80)[:, None]
    out = out + noise * out.std(1, keepdim=True) * there(10 ** (-snr / 20))
    return out * there(10 ** (rng.uniform(-5, 5, (size, 1)) / 20))
