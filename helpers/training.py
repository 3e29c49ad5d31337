"""The loop that trains every network of the course (lessons 02 and 09), by transformers' Trainer.

Apart from `finetune`, because the Trainer takes seconds to import and most lessons train nothing.
"""

import json
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


COLUMNS = {
    "loss": "train_loss",
    "eval_loss": "val_loss",
    **{f"eval_{name}": name for name in ("accuracy", "precision", "recall", "f1")},
}


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
        logging_strategy="epoch",
        save_strategy="epoch",
        eval_strategy="epoch" if staged else "no",
        save_total_limit=2,
        load_best_model_at_end=staged,
        metric_for_best_model="recall" if staged else None,
        greater_is_better=True if staged else None,
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
        compute_metrics=epoch_metrics,
        callbacks=[watch, *([EarlyStoppingCallback(settings.patience)] if stopping else [])],
    )
    trainer.remove_callback(PrinterCallback)
    with quiet():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    model.to("cpu").eval()
    rows = {}
    for entry in trainer.state.log_history:
        row = rows.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        row.update({COLUMNS[name]: entry[name] for name in entry if name in COLUMNS})
    return [{**row, "seconds": watch.seconds[epoch]} for epoch, row in sorted(rows.items())]
