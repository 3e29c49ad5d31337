"""Train the embedded encoder: a small wav2vec2 that regresses a teacher's hidden states.

    python -m tools.teacher_targets --teacher WHISPER --out targets/as_recorded
    python -m tools.teacher_targets --teacher WHISPER --out targets/other_speeds --speed 0.25
    python -m tools.distil_encoder --targets targets/* --minutes 55 --out build/encoder

A second round goes on from an encoder that is there: `--start data/encoders/embedded`.

Loss a frame: L1 - log sigmoid(cosine), as DistilHuBERT (arXiv 2110.01900, eq. 1), on targets
standardised per dimension; beside it the L1 between means and standard deviations over the crop,
because that is what an emotion probe reads. Inputs are perturbed (equaliser, reverberation,
low-pass, noise, babble, gain), targets are clean. Labels play no part. From half of the budget on
an average of the weights follows them, and is what comes out. A rerun goes on from its checkpoint.
"""

import argparse
import json
import math
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from helpers.errors import CourseError
from tools.teacher_targets import STRIDE, autocast, corpus_of, held_out, hours, read

SHIFT = 1  # a student frame needs 1,040 samples: its centre is that of the teacher's next frame
# Frames of a crop. Most clips of EmoGator have exactly 92.
LENGTHS, CHANCES = (64, 92, 128, 176), (0.2, 0.3, 0.3, 0.2)
VALID = 92  # frames of a crop that is validated on
# How often a corpus is drawn from, for its length: bursts without words weigh less than speech.
DRAW = {"crema_d": 1.0, "nemo": 1.0, "emogator": 0.6, "embedded": 1.0}
FRAMES = 2048  # frames of a batch
RATE, WARM_UP = 1e-3, 200
RATE_AGAIN = 6e-4  # of a round that starts from a trained student
AVERAGE = 0.998  # of the averaged weights stays at each step, from half of the budget on
# Three convolutions instead of wav2vec2's seven. The first has the window and hop of a log-mel
# front end and starts from its filters, so that little of the budget goes into inventing them.
CONFIG = dict(
    conv_dim=[512, 256, 384], conv_kernel=[400, 3, 3], conv_stride=[160, 1, 2],
    num_feat_extract_layers=3, feat_extract_norm="layer", conv_bias=True,
    do_stable_layer_norm=True, hidden_size=384, num_hidden_layers=4, num_attention_heads=6,
    intermediate_size=1536, num_conv_pos_embeddings=64, num_conv_pos_embedding_groups=16,
    hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0,
    layerdrop=0.0, apply_spec_augment=False, mask_time_prob=0.0, vocab_size=32,
)  # fmt: skip


def new_student() -> Wav2Vec2Model:
    """Make a student: random weights, but for the first convolution.

    That holds quadrature pairs of windowed sinusoids, mel-spaced from 60 to 7,600 Hz, with both
    signs each (GELU keeps one side only).
    """
    model = Wav2Vec2Model(Wav2Vec2Config(**CONFIG))
    conv = model.feature_extractor.conv_layers[0].conv
    count, _, width = conv.weight.shape
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7600)), count // 4)
    t, window = (np.arange(width) - width / 2) / 16000, np.hanning(width)
    scale = np.sqrt((window**2).sum() / 2)
    bank = [
        sign * window * wave(2 * np.pi * 700 * (10 ** (m / 2595) - 1) * t) / scale
        for m in mel
        for sign in (1, -1)
        for wave in (np.cos, np.sin)
    ]
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(np.array(bank), dtype=torch.float32)[:, None])
        conv.bias.normal_(0, 0.1)
    return model


class Clips:
    """Crops of what `teacher_targets.py` wrote, from memory maps."""

    def __init__(self, folders):
        indexes, self.parts = read(folders)
        layers, size = indexes[0]["layers"], indexes[0]["size"]
        self.outputs, self.layers = len(layers) * size, f"{layers} of width {size}"
        self.items = []  # part, number in it, frames, file
        for part, index in enumerate(indexes):
            pairs = enumerate(zip(index["frames"], index["files"], strict=True))
            self.items += [(part, i, *pair) for i, pair in pairs if pair[0] >= min(LENGTHS)]
        self.hours = hours((file, frames) for _, _, frames, file in self.items)
        first = self.parts[0][1]
        rows = np.sort(np.random.default_rng(0).choice(len(first), min(6000, len(first)), False))
        sample = first[rows].astype(np.float32)
        self.mean, self.std = torch.tensor(sample.mean(0)), torch.tensor(sample.std(0) + 1e-3)
        self.train = [k for k, item in enumerate(self.items) if not held_out(item[3])]
        self.valid = [
            k
            for k, item in enumerate(self.items)
            if held_out(item[3]) and item[0] == 0 and item[2] >= VALID
        ][::6]
        if not (self.train and self.valid):
            raise CourseError("--targets: too few clips; some must train and some be held out")
        self.frames = np.array([self.items[k][2] for k in self.train])
        self.weight = np.array([DRAW[corpus_of(self.items[k][3])] for k in self.train])

    def crop(self, k: int, start: int, length: int):
        part, i, _, _ = self.items[k]
        audio, targets, edges, starts = self.parts[part]
        clip = audio[edges[i] : edges[i + 1]].astype(np.float32)
        piece = clip[start * STRIDE : (start + length) * STRIDE + 80]
        return (
            (piece - clip.mean()) / (clip.std() + 1e-5 * 32768),
            targets[starts[i] + start : starts[i] + start + length],
        )

    def batch(self, crops):
        waves, targets = zip(*crops, strict=True)
        return (
            torch.tensor(np.stack(waves)),
            (torch.tensor(np.stack(targets)).float() - self.mean) / self.std,
        )

    def draw(self, step: int):
        """Batch number `step`: the same whenever it is asked for, so that a restart goes on."""
        rng = np.random.default_rng([7, step])
        length = min(int(rng.choice(LENGTHS, p=CHANCES)), int(self.frames.max()))
        chance = self.weight * (self.frames >= length) * np.minimum(self.frames / length, 2)
        size = min(max(4, FRAMES // length), int((chance > 0).sum()))
        rows = rng.choice(len(self.train), size, p=chance / chance.sum(), replace=False)
        waves, targets = self.batch(
            self.crop(self.train[r], int(rng.integers(self.frames[r] - length + 1)), length)
            for r in rows
        )
        return perturb(waves, rng), targets


def perturb(waves: torch.Tensor, rng) -> torch.Tensor:
    """Another room, microphone and background for `waves` `(batch, samples)`."""
    size, length = waves.shape
    torch.manual_seed(int(rng.integers(2**31)))
    kHz = np.linspace(0, 8, length // 2 + 1)
    curve = sum(
        rng.normal(0, 3, (size, 1)) * np.cos(np.pi * k * np.log1p(kHz) / np.log(9))
        for k in range(1, 5)
    )
    curve[rng.random(size) < 0.4] = 0
    edge = np.where(rng.random(size) < 0.15, rng.uniform(3, 7, size), 99)[:, None]
    gain = 10 ** (curve / 20) / (1 + (kHz / edge) ** 8)
    spectrum = torch.fft.rfft(waves) * torch.tensor(gain, dtype=torch.float32)
    room = torch.tensor(rng.random(size) < 0.25)
    if room.any():
        count, decay = int(room.sum()), torch.arange(4800) / 16000
        tail = torch.tensor(rng.uniform(0.02, 0.12, (count, 1)), dtype=torch.float32)
        response = torch.randn(count, 4800) * torch.exp(-decay / tail) * 0.06
        response[:, 0] = 1
        spectrum[room] *= torch.fft.rfft(response, n=length)
    out = torch.fft.irfft(spectrum, n=length)
    out = out / (out.std(1, keepdim=True) + 1e-4) * waves.std(1, keepdim=True)
    noise = torch.randn(size, length)
    pink = torch.tensor(rng.random(size) < 0.5)
    if pink.any():
        shaped = torch.fft.rfft(noise[pink])
        noise[pink] = torch.fft.irfft(
            shaped / torch.sqrt(torch.arange(shaped.shape[1]) + 10.0), n=length
        )
    babble = torch.tensor(rng.random(size) < 0.25)
    noise[babble] = waves.roll(1, 0)[babble]
    noise = noise / (noise.std(1, keepdim=True) + 1e-3)
    snr = np.where(rng.random(size) < 0.5, rng.uniform(5, 35, size), 80)[:, None]
    out = out + noise * out.std(1, keepdim=True) * torch.tensor(10 ** (-snr / 20)).float()
    return out * torch.tensor(10 ** (rng.uniform(-5, 5, (size, 1)) / 20), dtype=torch.float32)


def losses(predicted: torch.Tensor, targets: torch.Tensor):
    """Total loss, and its readable parts: L1, cosine, L1 of mean and standard deviation."""
    predicted = predicted.float().view(*predicted.shape[:2], *targets.shape[2:])
    targets = targets[:, SHIFT : SHIFT + predicted.shape[1]]
    l1 = (predicted - targets).abs().mean()
    cosine = nn.functional.cosine_similarity(predicted, targets, dim=-1)
    pooled = (predicted.mean(1) - targets.mean(1)).abs().mean() + (
        predicted.std(1) - targets.std(1)
    ).abs().mean()
    total = l1 - nn.functional.logsigmoid(cosine).mean() + pooled
    return total, (l1.item(), cosine.mean().item(), pooled.item())


class Run:
    """Model, heads, averaged weights, optimiser and clock: what a checkpoint holds.

    `asked`: options that a rerun must give again; another budget would raise the rate anew.
    """

    def __init__(self, outputs: int, start: Path | None, asked: dict):
        torch.manual_seed(0)
        student = (
            new_student()
            if start is None
            else Wav2Vec2Model.from_pretrained(start, dtype=torch.float32)
        )
        self.rate = RATE if start is None else RATE_AGAIN
        self.net = nn.ModuleDict(
            {"student": student, "heads": nn.Linear(student.config.hidden_size, outputs)}
        )
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
            lr=self.rate,
            betas=(0.9, 0.98),
        )
        self.step, self.seconds, self.asked, self.average = 0, 0.0, asked, {}

    def __call__(self, waves):
        return self.net["heads"](self.net["student"](waves).last_hidden_state)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average a little towards the weights; it begins as they are."""
        for name, value in self.net.state_dict().items():
            self.average.setdefault(name, value.clone()).lerp_(value, 1 - AVERAGE)

    def save(self, path: Path) -> None:
        state = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        for i, entry in self.optimiser.state_dict()["state"].items():
            state |= {f"opt.{i}.{k}": v for k, v in entry.items()}
        state |= {f"avg.{k}": v for k, v in self.average.items()}
        state = {k: v.contiguous() for k, v in state.items()}
        save_file(
            state,
            f"{path}.part",
            {"step": str(self.step), "seconds": str(self.seconds), "asked": json.dumps(self.asked)},
        )
        os.replace(f"{path}.part", path)

    def resume(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            note = file.metadata()
        begun = json.loads(note.get("asked", "{}"))
        for option, value in self.asked.items():
            if begun.get(option) != value:
                raise CourseError(
                    f"{option} {value}: {path} was begun with {begun.get(option)}; "
                    "give that again, or choose another --out"
                )
        state = load_file(path)
        self.step, self.seconds = int(note["step"]), float(note["seconds"])
        self.net.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("net.")})
        self.average = {k[4:]: v for k, v in state.items() if k.startswith("avg.")}
        full, entries = self.optimiser.state_dict(), {}
        for key, value in state.items():
            if key.startswith("opt."):
                _, i, name = key.split(".", 2)
                entries.setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(full | {"state": entries})


@torch.no_grad()
def fit_heads(run: Run, clips: Clips, batches: int = 60, ridge: float = 1.0) -> None:
    """Least-squares heads for a trained student: random ones would shake it at first."""
    size = run.net["student"].config.hidden_size + 1
    left, right = torch.zeros(size, size), torch.zeros(size, clips.outputs)
    for step in range(batches):
        waves, targets = clips.draw(-1 - step + 2**31)
        with autocast():
            frames = run.net["student"](waves).last_hidden_state.float()
        targets = targets[:, SHIFT : SHIFT + frames.shape[1]].flatten(0, 1).flatten(1)
        frames = nn.functional.pad(frames.flatten(0, 1), (0, 1), value=1.0)
        left += frames.T @ frames
        right += frames.T @ targets
    found = torch.linalg.solve(left + ridge * torch.eye(size), right)
    run.net["heads"].weight.copy_(found[:-1].T)
    run.net["heads"].bias.copy_(found[-1])


@torch.inference_mode()
def validate(run: Run, clips: Clips) -> np.ndarray:
    run.net.eval()
    found = []
    with autocast():
        for i in range(0, len(clips.valid), 16):
            waves, targets = clips.batch(clips.crop(k, 0, VALID) for k in clips.valid[i : i + 16])
            found.append(losses(run(waves), targets)[1])
    run.net.train()
    return np.mean(found, 0)


def train(run: Run, clips: Clips, minutes: float, checkpoint: Path) -> None:
    budget, clock, saved, recent = minutes * 60, time.time(), time.time(), []
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(clips.draw, run.step)
        while run.seconds < budget:
            waves, targets = ahead.result()
            ahead = pool.submit(clips.draw, run.step + 1)
            rate = run.rate * min(1, (run.step + 1) / WARM_UP)
            rate *= 0.5 * (1 + math.cos(math.pi * run.seconds / budget))
            for group in run.optimiser.param_groups:
                group["lr"] = rate
            with autocast():
                loss, parts = losses(run(waves), targets)
            run.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
            run.optimiser.step()
            now = time.time()
            run.step, run.seconds, clock = run.step + 1, run.seconds + now - clock, now
            if run.seconds >= budget / 2:
                run.follow()
            recent.append(parts)
            if run.step % 50 == 0:
                (l1, cosine, pooled), recent = np.mean(recent, 0), []
                print(
                    f"step {run.step}  L1 {l1:.4f}  cosine {cosine:.4f}  pooled {pooled:.4f}  "
                    f"{run.seconds / run.step:.2f} s a step, "
                    f"{max(0, budget - run.seconds) / 60:.0f} min to go",
                    flush=True,
                )
            if now - saved > 180:
                run.save(checkpoint)
                saved = now
    run.save(checkpoint)


def export(run: Run, clips: Clips, out: Path, start: Path | None) -> None:
    """The student alone, as `Wav2Vec2Model.from_pretrained` reads it, in half precision."""
    run.net.load_state_dict(run.average or run.net.state_dict())
    l1, cosine, pooled = map(float, validate(run, clips))
    run.net["student"].eval().half().save_pretrained(out)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(out)
    rounds = json.loads((start / "training.json").read_text()) if start else []
    rounds.append(
        {
            "steps": run.step,
            "minutes": run.seconds / 60,
            "held_out_l1": l1,
            "held_out_cosine": cosine,
            "held_out_pooled": pooled,
            "hours": clips.hours,
        }
    )
    (out / "training.json").write_text(json.dumps(rounds, indent=1) + "\n")
    print(rounds[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--start", type=Path, help="go on from this encoder (a second round)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.start and not (options.start / "training.json").is_file():
        raise CourseError(f"--start {options.start}: no encoder of this tool, with training.json")
    options.out.mkdir(parents=True, exist_ok=True)
    clips = Clips(options.targets)
    for name, spent in clips.hours.items():
        print(f"{name}: {spent['trained']:.2f} h trained on, {spent['held_out']:.2f} h held out")
    run = Run(
        clips.outputs,
        options.start,
        {
            "--minutes": options.minutes,
            "--targets of layers": clips.layers,
            "--start": str(options.start.resolve()) if options.start else None,
        },
    )
    checkpoint = options.out / "checkpoint.safetensors"
    if checkpoint.exists():
        run.resume(checkpoint)
        print(f"resumed at step {run.step}, {run.seconds / 60:.1f} min")
    elif options.start:
        fit_heads(run, clips)
        print(
            "held out before this round: L1 {:.4f}, cosine {:.4f}, pooled {:.4f}".format(
                *validate(run, clips)
            )
        )
    train(run, clips, options.minutes, checkpoint)
    export(run, clips, options.out / "encoder", options.start)


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        sys.exit(str(error))
