"""Fine-tuning of source 1 (lesson 02): settings by profile, clips, the Trainer's loop."""

import json
import shutil
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from helpers import audio
from helpers.encoders import bar, quiet


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
    "quick": Settings(epochs=1, learning_rate=1e-4, samples=80_000, fixed=False, probe_head=True,
                      freeze_front=True, bf16=True, patience=2, turns=2, random_turns=1,
                      warmup=0.1),
    "full": Settings(epochs=2, learning_rate=1e-4, samples=80_000, fixed=False, probe_head=True,
                     freeze_front=True, bf16=True, patience=2, turns=None, random_turns=1,
                     warmup=0.1),
    # Source 1, sections 2 and 4; what it leaves open is transformers' default (linear decay).
    "paper": Settings(epochs=3, learning_rate=2e-5, samples=45_000, fixed=True, probe_head=False,
                      freeze_front=False, bf16=False, patience=None, turns=None, random_turns=5),
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


def fast_bf16() -> bool:
    """Does this machine multiply bfloat16 matrices in hardware? Elsewhere autocast is slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


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
        wave = wave[start:start + self.samples]
        return audio.fix_length(wave, self.samples) if self.fixed else wave, self.labels[i]


def epoch_metrics(output) -> dict:
    """Accuracy and macro precision, recall (= UAR) and F1: the columns of source 1's table 1."""
    logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    truth, guess = output.label_ids, logits.argmax(-1)
    macro = precision_recall_fscore_support(truth, guess, average="macro", labels=np.unique(truth),
                                            zero_division=0)
    return {"accuracy": float((guess == truth).mean()),
            **dict(zip(("precision", "recall", "f1"), map(float, macro[:3]), strict=True))}


COLUMNS = {"loss": "train_loss", "eval_loss": "val_loss",
           **{f"eval_{name}": name for name in ("accuracy", "precision", "recall", "f1")}}


class _Watch(TrainerCallback):
    """A bar over steps, the seconds of each epoch, and a mark on a checkpoint that is whole."""

    def __init__(self, progress):
        self.seconds, self.began, self.progress = {}, 0.0, progress

    def on_train_begin(self, args, state, control, **_):
        self.bar = bar(self.progress, "fine-tune", state.max_steps, "step", state.global_step)

    def on_step_end(self, args, state, control, **_):
        self.bar.update()

    def on_evaluate(self, args, state, control, metrics, **_):
        self.bar.set_postfix(recall=f"{metrics['eval_recall']:.3f}")

    def on_train_end(self, args, state, control, **_):
        self.bar.close()

    def on_epoch_begin(self, args, state, control, **_):
        self.began = time.perf_counter()

    def on_epoch_end(self, args, state, control, **_):
        self.seconds[round(state.epoch)] = time.perf_counter() - self.began

    def on_save(self, args, state, control, **_):
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / "whole.json").write_text(json.dumps(self.seconds))


def fit(model, train, stop, collate, settings, folder, seed, progress=True) -> list[dict]:
    """Fine-tune `model` in place; return a row an epoch (source 1's table 1, and seconds).

    `model`: any module whose `forward(labels=…, **batch)` gives an output with `loss` and `logits`.
    `train`, `stop`: datasets; `collate` makes a batch, labels included, of their items. The
    weights kept are those of the epoch with the best recall on `stop` (the last one if it is
    empty). Checkpoints go to `folder` at each epoch's end; a rerun goes on from the last whole one
    and ends at the same weights.
    """
    cpu, staged = not torch.cuda.is_available(), len(stop) > 0
    folder, watch, resume = Path(folder), _Watch(progress), None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name[11:])):
        if (checkpoint / "whole.json").is_file():
            resume = checkpoint
        else:
            shutil.rmtree(checkpoint)  # cut off while it was written
    if resume:
        seconds = json.loads((resume / "whole.json").read_text())
        watch.seconds.update({int(epoch): value for epoch, value in seconds.items()})
    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=settings.epochs, optim="adamw_torch",
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup, per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch, bf16=settings.bf16 and fast_bf16(),
        use_cpu=cpu, seed=seed, data_seed=seed, logging_strategy="epoch", save_strategy="epoch",
        eval_strategy="epoch" if staged else "no", save_total_limit=2,
        load_best_model_at_end=staged, metric_for_best_model="recall" if staged else None,
        greater_is_better=True if staged else None, report_to="none", label_names=["labels"],
        remove_unused_columns=False, dataloader_pin_memory=not cpu, disable_tqdm=True,
    )
    stopping = staged and settings.patience is not None
    trainer = Trainer(
        model=model, args=arguments, train_dataset=train, eval_dataset=stop if staged else None,
        data_collator=collate, compute_metrics=epoch_metrics,
        callbacks=[watch, *([EarlyStoppingCallback(settings.patience)] if stopping else [])])
    trainer.remove_callback(PrinterCallback)
    with quiet():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    model.to("cpu").eval()
    rows = {}
    for entry in trainer.state.log_history:
        row = rows.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        row.update({COLUMNS[name]: entry[name] for name in entry if name in COLUMNS})
    return [{**row, "seconds": watch.seconds[epoch]} for epoch, row in sorted(rows.items())]
