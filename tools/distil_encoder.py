"""Train the embedded encoder: a small wav2vec2 that regresses a teacher's hidden states.

    python -m tools.teacher_targets --teacher WHISPER --out targets/as_recorded
    python -m tools.teacher_targets --teacher WHISPER --out targets/copy1 --speed 0.25 --seed 1
    python -m tools.distil_encoder --targets targets/* --minutes 55 --out build/encoder

The blocks begin as the teacher's first ones (`student.py`); for the first steps only the front end
learns, so that they are not shaken by noise. A second round goes on from an encoder that is there:
`--start data/encoders/embedded`.

Loss a frame and layer: L1 - log sigmoid(cosine), as DistilHuBERT (arXiv 2110.01900, eq. 1), on
states standardised per dimension by the targets' mean and deviation; beside it the L1 between means
and standard deviations over the crop, because that is what an emotion probe reads. Labels play no
part. From half of the budget on an average of the weights follows them, and is what comes out. A
rerun goes on from its checkpoint.
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
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from helpers.errors import CourseError
from tools.heard_clips import APART, VALID, Clips
from tools.student import SHIFT, fit_projection, new_student, settle_norm, states, whiten_filters
from tools.teacher_targets import DEVICE, autocast

RATE, BLOCK_RATE, WARM_UP = 5e-4, 2e-4, 200  # of what is new, of the blocks; steps
AGAIN = 0.6  # of these rates, in a round that starts from a trained student
AVERAGE = 0.998  # of the averaged weights stays at each step, from half of the budget on


def losses(predicted: torch.Tensor, targets: torch.Tensor):
    """Total loss, and its readable parts by layer: L1, cosine, L1 of mean and deviation `(3, L)`.

    predicted, targets: standardised, `(batch, frames, layers, width)`.
    """
    targets = targets[:, SHIFT : SHIFT + predicted.shape[1]]
    l1 = (predicted - targets).abs().mean((0, 1, 3))
    cosine = nn.functional.cosine_similarity(predicted, targets, dim=-1)
    pooled = (predicted.mean(1) - targets.mean(1)).abs().mean((0, 2))
    pooled = pooled + (predicted.std(1) - targets.std(1)).abs().mean((0, 2))
    total = (l1 + pooled).mean() - nn.functional.logsigmoid(cosine).mean()
    return total, torch.stack([l1, cosine.mean((0, 1)), pooled]).detach()


class Run:
    """Student, averaged weights, optimiser and clock: what a checkpoint holds.

    `asked`: options that a rerun must give again; another budget would raise the rate anew.
    `front`: steps in which only the front end learns.
    """

    def __init__(self, student: Wav2Vec2Model, asked: dict, front: int = 0, scale: float = 1.0):
        self.student, self.asked, self.front = student.to(DEVICE).train(), asked, front
        student.feature_extractor._requires_grad = False  # it would ask for gradients of the wave
        groups = {}
        for name, value in student.named_parameters():
            kind = name.startswith("encoder.layers."), 0.01 if value.ndim > 1 else 0.0
            groups.setdefault(kind, []).append(value)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": values, "copied": copied, "weight_decay": decay}
                for (copied, decay), values in groups.items()
            ],
            lr=RATE,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.scale, self.step, self.average = scale, 0, {}
        self.seconds, self.cpu_seconds = 0.0, 0.0  # of the clock that the budget counts; worked

    def losses(self, waves, targets, clips: Clips, depth: int | None = None):
        """`losses` of a batch, of the layers that `depth` blocks give."""
        with autocast():
            found = states(self.student, waves, depth).float()
        layers = found.shape[2]
        found = (found - clips.mean[:layers]) / clips.std[:layers]
        return losses(found, targets[:, :, :layers])

    def set_rates(self, done: float) -> None:
        """Warm-up, then a cosine to 0. done: share of the budget that is spent."""
        for group in self.optimiser.param_groups:
            highest = self.scale * (BLOCK_RATE if group["copied"] else RATE)
            begun = self.step + 1 - (self.front if group["copied"] else 0)
            warm = min(1, max(0, begun) / WARM_UP)
            group["lr"] = highest * warm * 0.5 * (1 + math.cos(math.pi * done))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average a little towards the weights; it begins as they are."""
        for name, value in self.student.state_dict().items():
            self.average.setdefault(name, value.clone()).lerp_(value, 1 - AVERAGE)

    def save(self, path: Path) -> None:
        state = {f"net.{k}": v for k, v in self.student.state_dict().items()}
        for i, entry in self.optimiser.state_dict()["state"].items():
            state |= {f"opt.{i}.{k}": v for k, v in entry.items()}
        state |= {f"avg.{k}": v for k, v in self.average.items()}
        state = {k: v.contiguous() for k, v in state.items()}
        note = {k: getattr(self, k) for k in ("step", "seconds", "cpu_seconds", "asked")}
        save_file(state, f"{path}.part", {k: json.dumps(v) for k, v in note.items()})
        os.replace(f"{path}.part", path)

    def resume(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            note = {k: json.loads(v) for k, v in file.metadata().items()}
        for option, value in self.asked.items():
            if note["asked"].get(option) != value:
                raise CourseError(
                    f"{option} {value}: {path} was begun with {note['asked'].get(option)}; "
                    "give that again, or choose another --out"
                )
        state = load_file(path)
        self.step, self.seconds = note["step"], note["seconds"]
        self.cpu_seconds = note["cpu_seconds"]
        self.student.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("net.")})
        self.average = {k[4:]: v.to(DEVICE) for k, v in state.items() if k.startswith("avg.")}
        full, entries = self.optimiser.state_dict(), {}
        for key, value in state.items():
            if key.startswith("opt."):
                _, i, name = key.split(".", 2)
                entries.setdefault(int(i), {})[name] = value
        self.optimiser.load_state_dict(full | {"state": entries})


@torch.inference_mode()
def validate(run: Run, clips: Clips) -> np.ndarray:
    """`losses`' parts by layer on the speakers held back, unperturbed."""
    found = []
    for i in range(0, len(clips.valid), 16):
        batch = clips.batch(clips.crop(k, 0, VALID) for k in clips.valid[i : i + 16])
        found.append(run.losses(*batch, clips)[1].cpu().numpy())
    return np.mean(found, 0)


def train(run: Run, clips: Clips, budget: float, checkpoint: Path, clock=time.time) -> None:
    """Step until `budget` seconds of `clock` are spent."""
    before, worked, saved, recent = clock(), time.process_time(), time.time(), []
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(clips.draw, run.step)
        while run.seconds < budget:
            waves, targets = ahead.result()
            ahead = pool.submit(clips.draw, run.step + 1)
            run.set_rates(run.seconds / budget)
            depth = 0 if run.step < run.front else None
            loss, parts = run.losses(waves, targets, clips, depth)
            run.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(run.student.parameters(), 1.0)
            run.optimiser.step()
            now, cpu = clock(), time.process_time()
            run.step, run.seconds, before = run.step + 1, run.seconds + now - before, now
            run.cpu_seconds, worked = run.cpu_seconds + cpu - worked, cpu
            if run.seconds >= budget / 2:
                run.follow()
            recent.append(parts.mean(1))
            if run.step % 50 == 0:
                (l1, cosine, pooled), recent = torch.stack(recent).mean(0).tolist(), []
                print(
                    f"step {run.step}  L1 {l1:.4f}  cosine {cosine:.4f}  pooled {pooled:.4f}  "
                    f"last {' '.join(f'{c:.3f}' for c in parts[1])}  "
                    f"{run.seconds / run.step:.2f} s a step, "
                    f"{max(0, budget - run.seconds) / 60:.1f} min to go",
                    flush=True,
                )
            if time.time() - saved > 180:
                run.save(checkpoint)
                saved = time.time()
    run.save(checkpoint)


def export(run: Run, clips: Clips, out: Path, start: Path | None) -> None:
    """The student alone, as `Wav2Vec2Model.from_pretrained` reads it, in half precision."""
    run.student.load_state_dict(run.average or run.student.state_dict())
    run.student.eval()
    parts = validate(run, clips)
    settle_norm(run.student, (waves for waves, _ in clips.apart(20)))
    run.student.half().save_pretrained(out)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(out)
    rounds = json.loads((start / "training.json").read_text()) if start else []
    l1, cosine, pooled = (round(float(part.mean()), 4) for part in parts)
    rounds.append(
        {
            "steps": run.step,
            "minutes": round(run.seconds / 60, 2),
            "cpu_minutes": round(run.cpu_seconds / 60, 2),
            "asked": {k: v for k, v in run.asked.items() if k != "--start"},
            "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
            "parameters": sum(p.numel() for p in run.student.parameters()),
            "held_out_l1": l1,
            "held_out_cosine": cosine,
            "held_out_pooled": pooled,
            "held_out_cosine_by_layer": [round(float(c), 4) for c in parts[1]],
            "hours": clips.hours,
        }
    )
    (out / "training.json").write_text(json.dumps(rounds, indent=1) + "\n")
    print(rounds[-1])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--cpu", action="store_true", help="count the process' CPU time instead")
    parser.add_argument("--start", type=Path, help="go on from this encoder (a second round)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=1024, help="of a batch")
    parser.add_argument(
        "--scale",
        type=float,
        help="of the learning rates: 1, or 0.6 with --start; raise it for larger batches",
    )
    new = parser.add_argument_group("a new encoder (ignored with --start)")
    new.add_argument("--blocks", type=int, default=3, help="copied from the teacher")
    new.add_argument("--channels", type=int, nargs=3, default=[512, 384, 512])
    new.add_argument("--front", type=int, default=100, help="steps of the front end alone")
    found = parser.parse_args()
    if found.start and not (found.start / "training.json").is_file():
        raise CourseError(f"--start {found.start}: no encoder of this tool, with training.json")
    return found


def prepare(given: argparse.Namespace) -> tuple[Run, Clips]:
    """The student of a new or a further round, and what it hears."""
    torch.manual_seed(0)
    asked = {
        "--start": str(given.start.resolve()) if given.start else None,
        "--minutes": given.minutes,
        "--cpu": given.cpu,
        "--frames": given.frames,
        "--scale": given.scale,
    }
    if given.start:
        student = Wav2Vec2Model.from_pretrained(given.start, dtype=torch.float32)
        clips = Clips(given.targets, student.config.num_hidden_layers, given.frames)
        return Run(student, asked, scale=given.scale or AGAIN), clips
    asked |= {k: getattr(given, k[2:]) for k in ("--blocks", "--channels", "--front")}
    clips = Clips(given.targets, given.blocks, given.frames)
    student = new_student(clips.teacher, given.blocks, given.channels)
    return Run(student, asked, given.front, given.scale or 1.0), clips


def main() -> None:
    given = options()
    given.out.mkdir(parents=True, exist_ok=True)
    run, clips = prepare(given)
    for name, spent in clips.hours.items():
        print(f"{name}: {spent['trained']:.2f} h trained on, {spent['held_out']:.2f} h held out")
    checkpoint = given.out / "checkpoint.safetensors"
    if checkpoint.exists():
        run.resume(checkpoint)
        print(f"resumed at step {run.step}, {run.seconds / 60:.1f} min")
    else:
        if not given.start:
            whiten_filters(run.student, clips.draw(APART)[0])
            pairs = ((w, t[:, :, 0] * clips.std[0] + clips.mean[0]) for w, t in clips.apart(20))
            fit_projection(run.student, pairs)
        print("held out before this round: cosine by layer", validate(run, clips)[1].round(3))
    train(run, clips, given.minutes * 60, checkpoint, time.process_time if given.cpu else time.time)
    export(run, clips, given.out / "encoder", given.start)


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        sys.exit(str(error))
