"""The loop that trains every network of the course, by transformers' Trainer (lessons 02, 09-12).

A module of its own, because the Trainer takes seconds to import and most lessons train nothing.
"""

import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from helpers.encoders import quiet
from helpers.profiles import fast_bf16
from helpers.progress import bar

TIMINGS = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")


def cross_entropy(output, labels, num_items_in_batch=None):
    """Mean over the batch. `labels`: classes `(b,)`, or shares of the votes `(b, K)`."""
    return torch.nn.functional.cross_entropy(output["logits"], labels)


def epoch_metrics(output) -> dict:
    """Accuracy and macro precision, recall (= UAR) and F1: the columns of source 1's table 1."""
    logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    truth, guess = output.label_ids, logits.argmax(-1)
    macro = precision_recall_fscore_support(
        truth, guess, average="macro", labels=np.unique(truth), zero_division=0
    )
    return {
        "accuracy": float((guess == truth).mean()),
        **dict(zip(("precision", "recall", "f1"), map(float, macro[:3]), strict=True)),
    }


class _Watch(TrainerCallback):
    """A bar over steps, the seconds of each epoch, and a mark on a checkpoint that is whole."""

    def __init__(self, progress):
        self.seconds, self.began, self.progress = {}, 0.0, progress

    def on_train_begin(self, args, state, control, **_):
        self.bar = bar(self.progress, "train", state.max_steps, "step", state.global_step)

    def on_step_end(self, args, state, control, **_):
        self.bar.update()

    def on_train_end(self, args, state, control, **_):
        self.bar.close()

    def on_epoch_begin(self, args, state, control, **_):
        self.began = time.perf_counter()

    def on_epoch_end(self, args, state, control, **_):
        self.seconds[round(state.epoch)] = time.perf_counter() - self.began

    def on_save(self, args, state, control, **_):
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / "whole.json").write_text(json.dumps(self.seconds))


def fit(model, train, stop, collate, settings, folder, seed, progress=True, *, loss=cross_entropy,
        score=epoch_metrics, best="recall", optimizers=(None, None)) -> list[dict]:  # fmt: skip
    """Train `model` in place; return a row an epoch: losses, what `score` gives, seconds.

    `train_loss` is the mean of the steps' `losses`, `val_loss` that of the `stop` part.

    `model`: any module whose `forward(**batch)` gives an output with `logits`. `train`, `stop`:
    datasets; `collate` makes a batch of their items, with what is to be learned under `labels`:
    classes `(b,)`, votes `(b, K)`, or several attributes `(b, A)`.

    `loss(output, labels, num_items_in_batch)`: transformers' `compute_loss_func`. `score`: from an
    `EvalPrediction` of the `stop` part to `{name: value}`. The weights kept are those of the epoch
    with the highest `best` among these, or the lowest "loss" (the last epoch if `stop` is empty).
    `optimizers`: torch's optimizer and schedule; None: AdamW, linear decay to 0.

    Checkpoints go to `folder` at each epoch's end; a rerun goes on from the last whole one and ends
    at the same weights.
    """
    cpu, staged = not torch.cuda.is_available(), len(stop) > 0
    folder, watch = Path(folder), _Watch(progress)
    resume = _last_whole(folder)
    if resume:
        seconds = json.loads((resume / "whole.json").read_text())
        watch.seconds.update({int(epoch): value for epoch, value in seconds.items()})
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        optim="adamw_torch",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        bf16=settings.bf16 and fast_bf16(),
        use_cpu=cpu,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        save_strategy="epoch",
        eval_strategy="epoch" if staged else "no",
        save_total_limit=2,
        load_best_model_at_end=staged,
        metric_for_best_model=best if staged else None,
        greater_is_better=best != "loss" if staged else None,
        average_tokens_across_devices=False,  # losses here are means over their own batch
        report_to="none",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        disable_tqdm=True,
    )
    stopping = staged and settings.patience is not None
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=stop if staged else None,
        data_collator=collate,
        compute_loss_func=loss,
        compute_metrics=score,
        optimizers=optimizers,
        callbacks=[watch, *([EarlyStoppingCallback(settings.patience)] if stopping else [])],
    )
    trainer.remove_callback(PrinterCallback)
    with quiet():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    model.to("cpu").eval()
    return _rows(trainer.state.log_history, watch.seconds)


def _last_whole(folder) -> Path | None:
    """The last checkpoint of `folder`; those cut off while they were written are removed."""
    last = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name[11:])):
        if (checkpoint / "whole.json").is_file():
            last = checkpoint
        else:
            shutil.rmtree(checkpoint)
    return last


def _rows(log, seconds) -> list[dict]:
    """A row an epoch, see `fit`; `train_loss` is the mean of its steps."""
    rows, losses = {}, {}
    for entry in log:
        epoch = math.ceil(round(entry["epoch"], 6))  # a step's is a fraction
        row = rows.setdefault(epoch, {"epoch": epoch, "train_loss": 0.0})
        if "loss" in entry:
            losses.setdefault(epoch, []).append(entry["loss"])
        scores = {k: v for k, v in entry.items() if k.startswith("eval_") and k not in TIMINGS}
        row.update({k.removeprefix("eval_").replace("loss", "val_loss"): scores[k] for k in scores})
    for epoch, row in rows.items():
        row["train_loss"] = float(np.mean(losses[epoch]))
        row |= {"losses": losses[epoch], "seconds": seconds[epoch]}
    return [row for _, row in sorted(rows.items())]
