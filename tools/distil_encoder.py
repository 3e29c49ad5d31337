"""Train the embedded encoder: a small wav2vec2 that regresses a teacher's hidden states.

    python tools/teacher_targets.py --teacher WHISPER --out targets/as_recorded
    python tools/teacher_targets.py --teacher WHISPER --out targets/other_speeds --speed 0.25
    python tools/distil_encoder.py --targets targets/* --minutes 55 --out build/encoder

A second round goes on from an encoder that is there: `--start data/encoders/embedded`.

Loss a frame: L1 - log sigmoid(cosine), as DistilHuBERT (arXiv 2110.01900, eq. 1), on targets
standardised per dimension; beside it the L1 between means and standard deviations over the crop,
because that is what an emotion probe reads. Inputs are perturbed (equaliser, reverberation,
low-pass, noise, babble, gain), targets are clean. Labels play no part. A rerun goes on from its
checkpoint.
"""

import argparse
import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

STRIDE = 320
SHIFT = 1  # a student frame needs 1,040 samples: its centre is that of the teacher's next frame
LENGTHS, CHANCES = (64, 96, 128, 176), (0.2, 0.3, 0.3, 0.2)  # frames of a crop
FRAMES = 2048  # frames of a batch
RATE, WARM_UP = 1e-3, 200
RATE_AGAIN = 6e-4  # of a round that starts from a trained student
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
    """Random weights, but for the first convolution: quadrature pairs of windowed sinusoids,
    mel-spaced from 60 to 7,600 Hz, each with both signs (GELU keeps one side only)."""
    model = Wav2Vec2Model(Wav2Vec2Config(**CONFIG))
    conv = model.feature_extractor.conv_layers[0].conv
    count, _, width = conv.weight.shape
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7600)), count // 4)
    t, window = (np.arange(width) - width / 2) / 16000, np.hanning(width)
    scale = np.sqrt((window**2).sum() / 2)
    bank = [sign * window * wave(2 * np.pi * 700 * (10 ** (m / 2595) - 1) * t) / scale
            for m in mel for sign in (1, -1) for wave in (np.cos, np.sin)]
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(np.array(bank), dtype=torch.float32)[:, None])
        conv.bias.normal_(0, 0.1)
    return model


def held_out(file: str) -> bool:
    """Speakers kept back for choosing: two of nEMO, nine of CREMA-D, a twentieth of EmoGator."""
    path = Path(file)
    if "nemo" in path.parts:
        return path.stem[:3] in ("IC0", "MP0")
    if "crema_d" in path.parts:
        return (int(path.stem[:4]) - 1001) % 11 == 0
    return "emogator" in path.parts and int(path.parent.name) % 20 == 0


class Clips:
    """Crops of what `teacher_targets.py` wrote, from memory maps."""

    def __init__(self, folders):
        self.parts, self.items = [], []
        for folder in folders:
            index = json.loads((folder / "index.json").read_text())
            frames = np.array(index["frames"])
            lengths = np.where(frames > 0, frames * STRIDE + 80, 0)
            shape = (-1, len(index["layers"]), index["size"])
            self.outputs = shape[1] * shape[2]
            self.parts.append((
                np.memmap(folder / "audio.i16", np.int16, "r"),
                np.memmap(folder / "targets.f16", np.float16, "r").reshape(shape),
                np.concatenate([[0], np.cumsum(lengths)]),
                np.concatenate([[0], np.cumsum(frames)])))
            self.items += [(len(self.parts) - 1, i, int(n), file)
                           for i, (n, file) in enumerate(zip(frames, index["files"], strict=True))
                           if n >= min(LENGTHS)]
        first = self.parts[0][1]
        rows = np.sort(np.random.default_rng(0).choice(len(first), min(6000, len(first)), False))
        sample = first[rows].astype(np.float32)
        self.mean, self.std = torch.tensor(sample.mean(0)), torch.tensor(sample.std(0) + 1e-3)
        self.train = [k for k, item in enumerate(self.items) if not held_out(item[3])]
        self.valid = [k for k, item in enumerate(self.items)
                      if held_out(item[3]) and item[0] == 0 and item[2] >= 96][::6]
        self.frames = np.array([self.items[k][2] for k in self.train])
        # Bursts without words weigh less than speech.
        self.weight = np.array([0.6 if "emogator" in Path(self.items[k][3]).parts else 1.0
                                for k in self.train])

    def crop(self, k: int, start: int, length: int):
        part, i, _, _ = self.items[k]
        audio, targets, edges, starts = self.parts[part]
        clip = audio[edges[i]:edges[i + 1]].astype(np.float32)
        piece = clip[start * STRIDE:(start + length) * STRIDE + 80]
        return ((piece - clip.mean()) / (clip.std() + 1e-5 * 32768),
                targets[starts[i] + start:starts[i] + start + length])

    def batch(self, crops):
        waves, targets = zip(*crops, strict=True)
        return (torch.tensor(np.stack(waves)),
                (torch.tensor(np.stack(targets)).float() - self.mean) / self.std)

    def draw(self, step: int):
        """Batch number `step`: the same whenever it is asked for, so that a restart goes on."""
        rng = np.random.default_rng([7, step])
        length = min(int(rng.choice(LENGTHS, p=CHANCES)), int(self.frames.max()))
        chance = self.weight * (self.frames >= length) * np.minimum(self.frames / length, 2)
        size = min(max(4, FRAMES // length), int((chance > 0).sum()))
        rows = rng.choice(len(self.train), size, p=chance / chance.sum(), replace=False)
        waves, targets = self.batch(
            self.crop(self.train[r], int(rng.integers(self.frames[r] - length + 1)), length)
            for r in rows)
        return perturb(waves, rng), targets


def perturb(waves: torch.Tensor, rng) -> torch.Tensor:
    """Another room, microphone and background for `waves` `(batch, samples)`."""
    size, length = waves.shape
    torch.manual_seed(int(rng.integers(2**31)))
    kHz = np.linspace(0, 8, length // 2 + 1)
    curve = sum(rng.normal(0, 3, (size, 1)) * np.cos(np.pi * k * np.log1p(kHz) / np.log(9))
                for k in range(1, 5))
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
        noise[pink] = torch.fft.irfft(shaped / torch.sqrt(torch.arange(shaped.shape[1]) + 10.0),
                                      n=length)
    babble = torch.tensor(rng.random(size) < 0.25)
    noise[babble] = waves.roll(1, 0)[babble]
    noise = noise / (noise.std(1, keepdim=True) + 1e-3)
    snr = np.where(rng.random(size) < 0.5, rng.uniform(5, 35, size), 80)[:, None]
    out = out + noise * out.std(1, keepdim=True) * torch.tensor(10 ** (-snr / 20)).float()
    return out * torch.tensor(10 ** (rng.uniform(-5, 5, (size, 1)) / 20), dtype=torch.float32)


def losses(predicted: torch.Tensor, targets: torch.Tensor):
    """Total loss, and its readable parts: L1, cosine, L1 of mean and standard deviation."""
    predicted = predicted.float().view(*predicted.shape[:2], *targets.shape[2:])
    targets = targets[:, SHIFT:SHIFT + predicted.shape[1]]
    l1 = (predicted - targets).abs().mean()
    cosine = nn.functional.cosine_similarity(predicted, targets, dim=-1)
    pooled = ((predicted.mean(1) - targets.mean(1)).abs().mean()
              + (predicted.std(1) - targets.std(1)).abs().mean())
    total = l1 - nn.functional.logsigmoid(cosine).mean() + pooled
    return total, (l1.item(), cosine.mean().item(), pooled.item())


class Run:
    """Model, heads, optimiser and clock: what a checkpoint holds."""

    def __init__(self, outputs: int, start: Path | None = None):
        torch.manual_seed(0)
        student = new_student() if start is None else Wav2Vec2Model.from_pretrained(
            start, dtype=torch.float32)
        self.rate = RATE if start is None else RATE_AGAIN
        self.net = nn.ModuleDict({"student": student,
                                  "heads": nn.Linear(student.config.hidden_size, outputs)})
        matrices = [p for p in self.net.parameters() if p.ndim > 1]
        vectors = [p for p in self.net.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
            lr=self.rate, betas=(0.9, 0.98))
        self.step, self.seconds = 0, 0.0

    def __call__(self, waves):
        return self.net["heads"](self.net["student"](waves).last_hidden_state)

    def save(self, path: Path) -> None:
        state = {f"net.{k}": v for k, v in self.net.state_dict().items()}
        for i, entry in self.optimiser.state_dict()["state"].items():
            state |= {f"opt.{i}.{k}": v for k, v in entry.items()}
        state = {k: v.contiguous() for k, v in state.items()}
        save_file(state, f"{path}.part",
                  {"step": str(self.step), "seconds": str(self.seconds)})
        os.replace(f"{path}.part", path)

    def resume(self, path: Path) -> None:
        from safetensors import safe_open

        state = load_file(path)
        with safe_open(path, "pt") as file:
            note = file.metadata()
        self.step, self.seconds = int(note["step"]), float(note["seconds"])
        self.net.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("net.")})
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
        with torch.autocast("cpu", torch.bfloat16):
            frames = run.net["student"](waves).last_hidden_state.float()
        targets = targets[:, SHIFT:SHIFT + frames.shape[1]].flatten(0, 1).flatten(1)
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
    with torch.autocast("cpu", torch.bfloat16):
        for i in range(0, len(clips.valid), 16):
            waves, targets = clips.batch(clips.crop(k, 0, 96) for k in clips.valid[i:i + 16])
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
            with torch.autocast("cpu", torch.bfloat16):
                loss, parts = losses(run(waves), targets)
            run.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
            run.optimiser.step()
            now = time.time()
            run.step, run.seconds, clock = run.step + 1, run.seconds + now - clock, now
            recent.append(parts)
            if run.step % 50 == 0:
                l1, cosine, pooled = np.mean(recent, 0)
                recent = []
                print(f"step {run.step}  L1 {l1:.4f}  cosine {cosine:.4f}  pooled {pooled:.4f}  "
                      f"{run.seconds / run.step:.2f} s a step, "
                      f"{max(0, budget - run.seconds) / 60:.0f} min to go", flush=True)
            if now - saved > 180:
                run.save(checkpoint)
                saved = now
    run.save(checkpoint)


def export(run: Run, clips: Clips, out: Path, start: Path | None) -> None:
    """The student alone, as `Wav2Vec2Model.from_pretrained` reads it, in half precision."""
    l1, cosine, pooled = map(float, validate(run, clips))
    run.net["student"].eval().half().save_pretrained(out)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(out)
    rounds = json.loads((start / "training.json").read_text()) if start else []
    rounds.append({"steps": run.step, "minutes": run.seconds / 60, "held_out_l1": l1,
                   "held_out_cosine": cosine, "held_out_pooled": pooled})
    (out / "training.json").write_text(json.dumps(rounds, indent=1) + "\n")
    print(rounds[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--start", type=Path, help="go on from this encoder (a second round)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    clips = Clips(options.targets)
    run = Run(clips.outputs, options.start)
    checkpoint = options.out / "checkpoint.safetensors"
    if checkpoint.exists():
        run.resume(checkpoint)
        print(f"resumed at step {run.step}, {run.seconds / 60:.1f} min")
    elif options.start:
        fit_heads(run, clips)
        print("held out before this round: L1 {:.4f}, cosine {:.4f}, pooled {:.4f}".format(
            *validate(run, clips)))
    train(run, clips, options.minutes, checkpoint)
    export(run, clips, options.out / "encoder", options.start)


if __name__ == "__main__":
    main()
