"""Fine-tuning and linear probes (lesson 02): from a table of clips to the model artefact."""

import json
import re
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support, recall_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from helpers import audio, cache, emotions, encoders, networks, splits
from helpers.artefact import (
    HOP_S,
    PARTS,
    SEGMENT_S,
    Artefact,
    damaged,
    load_arrays,
    read,
    replacing,
    save_arrays,
    write,
)
from helpers.errors import CourseError, nearest


@dataclass(frozen=True)
class Settings:
    """How to fine-tune. `samples` is the longest crop that is trained on (16 kHz)."""

    epochs: int
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
    "quick": Settings(epochs=4, learning_rate=3e-4, samples=32_000, fixed=False, probe_head=True,
                      freeze_front=True, bf16=True, patience=2, turns=2, random_turns=1,
                      warmup=0.1),
    "full": Settings(epochs=20, learning_rate=2e-4, samples=48_000, fixed=False, probe_head=True,
                     freeze_front=True, bf16=True, patience=5, turns=None, random_turns=2,
                     warmup=0.1),
    # Source 1, sections 2 and 4; what it leaves open is transformers' default (linear decay).
    "paper": Settings(epochs=3, learning_rate=2e-5, samples=45_000, fixed=True, probe_head=False,
                      freeze_front=False, bf16=False, patience=None, turns=None, random_turns=5),
}


def settings_for(profile: str) -> Settings:
    """The settings of a profile. Errors: CourseError when there is no such profile."""
    if profile not in PROFILES:
        raise CourseError(f"profile '{profile}': use {', '.join(PROFILES)}"
                          f"{nearest(profile, PROFILES)}")
    return PROFILES[profile]


def fast_bf16() -> bool:
    """Does this machine multiply bfloat16 matrices in hardware? Elsewhere autocast is slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class Clips(torch.utils.data.Dataset):
    """Waves and labels of `paths`; waves stay in memory once read, up to `room` bytes in all."""

    def __init__(self, paths, labels, store: dict | None = None, room: int = 600_000_000):
        self.paths, self.labels = list(paths), [int(y) for y in labels]
        self.store, self.room = {} if store is None else store, room

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        wave = self.store.get(self.paths[i])
        if wave is None:
            wave = audio.read(self.paths[i])
            if sum(w.nbytes for w in self.store.values()) < self.room:
                self.store[self.paths[i]] = wave
        return wave, self.labels[i]


def collate(encoder, settings: Settings, crop: bool):
    """Make batches for `fit`: crops of `settings.samples`, at random places when `crop`."""
    fixed = settings.fixed or not encoder.masked

    def cut(wave):
        spare = len(wave) - settings.samples
        if spare > 0 and crop and not settings.fixed:
            start = int(torch.randint(spare + 1, ()))
            wave = wave[start:start + settings.samples]
        return audio.fix_length(wave, settings.samples) if fixed else wave[:settings.samples]

    def batch(items):
        waves, labels = zip(*items, strict=True)
        return {**encoder.batch([cut(w) for w in waves]), "labels": torch.tensor(labels)}

    return batch


def epoch_metrics(output) -> dict:
    """Accuracy and macro precision, recall (= UAR) and F1: the columns of source 1's table 1."""
    logits = output.predictions[0] if isinstance(output.predictions, tuple) else output.predictions
    guess = logits.argmax(-1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        output.label_ids, guess, average="macro", labels=np.unique(output.label_ids),
        zero_division=0)
    return {"accuracy": float((guess == output.label_ids).mean()), "precision": float(precision),
            "recall": float(recall), "f1": float(f1)}


class _Watch(TrainerCallback):
    """A bar over steps, the seconds of each epoch, and a mark on a checkpoint that is whole."""

    def __init__(self, progress):
        self.seconds, self.began, self.progress = {}, 0.0, progress

    def on_train_begin(self, args, state, control, **_):
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="fine-tune",
                        unit="step", disable=not self.progress, leave=False)

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


class _Trainer(Trainer):
    """transformers' Trainer, with random crops in training batches only."""

    eval_collator = None

    def get_eval_dataloader(self, eval_dataset=None):
        train_collator, self.data_collator = self.data_collator, self.eval_collator
        try:
            return super().get_eval_dataloader(eval_dataset)
        finally:
            self.data_collator = train_collator


def fit(model, train, stop, settings, folder, seed, collators, progress=True) -> list[dict]:
    """Fine-tune `model` in place; return a row an epoch (source 1, table 1, and seconds).

    `model` is any module whose `forward(labels=…, **batch)` gives an output with `loss` and
    `logits`; `collators` are the (train, stop) functions that make its batches. Weights are those
    of the epoch with the best recall on `stop` (the last, if `stop` is empty). Checkpoints go to
    `folder` at each epoch's end; a rerun goes on from the last whole one, to the same result.
    """
    cpu = not torch.cuda.is_available()
    folder, watch, staged = Path(folder), _Watch(progress), len(stop) > 0
    resume = None
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name[11:])):
        if (checkpoint / "whole.json").is_file():
            resume = checkpoint
        else:
            shutil.rmtree(checkpoint)  # cut off while it was written
    if resume:
        stored = json.loads((resume / "whole.json").read_text())
        watch.seconds.update({int(k): v for k, v in stored.items()})
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
    callbacks = [watch]
    if staged and settings.patience is not None:
        callbacks.append(EarlyStoppingCallback(settings.patience))
    trainer = _Trainer(model=model, args=arguments, train_dataset=train,
                       eval_dataset=stop if staged else None, data_collator=collators[0],
                       compute_metrics=epoch_metrics, callbacks=callbacks)
    trainer.eval_collator = collators[1]
    trainer.remove_callback(PrinterCallback)
    with encoders.quiet():
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    model.to("cpu").eval()
    rows = {}
    for entry in trainer.state.log_history:
        row = rows.setdefault(round(entry["epoch"]), {"epoch": round(entry["epoch"])})
        row.update({"train_loss": entry["loss"]} if "loss" in entry else {})
        row.update({name.replace("eval_loss", "eval_val_loss")[5:]: value
                    for name, value in entry.items() if name.startswith("eval_")
                    and not name.endswith(("runtime", "per_second"))})
    return [{**row, "seconds": watch.seconds.get(epoch)} for epoch, row in sorted(rows.items())
            if "train_loss" in row]


def probe(features, labels, groups, train, test, strengths=(1e-3, 1e-2, 1e-1)) -> dict:
    """Linear probe on frozen features `(n, L, H)`: layer and C chosen on `train` speakers alone.

    Cross-validation over `groups` (speakers) inside `train` chooses by UAR. Returns `layer`, `C`,
    `scores (L, C)` of that choice, and `predicted` labels of `test`.
    """
    def model(strength):
        return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))

    folds = min(3, len(np.unique(groups[train])))
    if folds < 2:
        raise CourseError("a probe needs two training speakers to choose its layer by")
    scores = np.zeros((features.shape[1], len(strengths)))
    for inner, outer in GroupKFold(folds).split(train, groups=groups[train]):
        inner, outer = train[inner], train[outer]
        for layer, strength in np.ndindex(*scores.shape):
            fitted = model(strengths[strength]).fit(features[inner, layer], labels[inner])
            scores[layer, strength] += recall_score(
                labels[outer], fitted.predict(features[outer, layer]), average="macro",
                labels=np.unique(labels[outer])) / folds
    layer, strength = np.unravel_index(scores.argmax(), scores.shape)
    fitted = model(strengths[strength]).fit(features[train, layer], labels[train])
    return {"layer": int(layer), "C": strengths[strength], "scores": scores,
            "predicted": fitted.predict(features[test, layer])}


def artefact(frame, encoder="embedded", seed=0, profile="quick", folder="runs/course",
             split="rotation", progress=True) -> Artefact:
    """The artefact of this corpus, encoder, seed and profile below `folder`: read it, or make it.

    `frame`: `corpora.frame(...)`. `split`: "rotation" over speakers or "random" (the sources'
    way). Only known emotions are fitted on. A turn that is done is kept; a rerun goes on there.
    Errors: CourseError when a fold lacks a class, a file is damaged, or another run is at it.
    """
    settings = settings_for(profile)
    dtype = "bfloat16" if settings.bf16 and fast_bf16() else "float32"
    encoder = encoders.load(encoder, dtype) if isinstance(encoder, str) else encoder
    frame, how = frame.reset_index(drop=True), {
        "corpus": "+".join(sorted(frame["corpus"].unique())), "encoder": encoder.name,
        "encoder_key": encoder.key, "dtype": encoder.dtype, "seed": seed, "profile": profile,
        "split": split, "settings": asdict(settings), "segment_s": SEGMENT_S, "hop_s": HOP_S,
        "clips": cache.key(*frame["utterance"], *frame["emotion"], *frame["speaker"])}
    name = "-".join([how["corpus"], Path(encoder.name).name, split, profile, str(seed),
                     cache.key(json.dumps(how, sort_keys=True))[:8]])
    base = Path(folder) / "artefacts"
    folder = base / re.sub(r"[^\w+.-]", "_", name)
    if (folder / "arrays.npz").is_file():
        return read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            if (folder / "arrays.npz").is_file():
                return read(folder)
            return _make(frame, encoder, seed, settings, folder, how, progress)
    except Timeout:
        raise CourseError(f"{folder}: another run is writing here; wait for it, or choose another "
                          "--out") from None


def _make(frame, encoder, seed, settings, folder, how, progress) -> Artefact:
    frozen = encoders.embed(frame["path"], encoder, cache=folder.parents[1] / "cache", progress=progress,
                            length=settings.samples if settings.fixed else None)
    usable = np.isfinite(frozen).all(1)
    frame, frozen = frame[usable].reset_index(drop=True), frozen[usable]
    known, _ = emotions.partition(how["corpus"], set(frame["emotion"]))
    labels = frame["emotion"].map({name: k for k, name in enumerate(known)}).fillna(-1)
    labels = labels.to_numpy().astype(int)
    turns = (splits.random_split if how["split"] == "random" else splits.rotation)(frame, seed=seed)
    turns = turns[:settings.random_turns if how["split"] == "random" else settings.turns]
    splits.require(frame, turns, known)
    if progress:
        print(f"{how['split']}: {len(turns)} turn(s), {len(frame)} clips, {', '.join(known)}")
    outputs, store = [], {}
    for turn in tqdm(turns, desc="turns", disable=not progress):
        place = folder / f"turn-{turn.index}"
        if not (place / "outputs.npz").is_file():
            _run_turn(frame, labels, known, frozen, encoder, turn, seed, settings, place, store,
                      progress)
        outputs.append(load_arrays(place / "outputs.npz"))
    split = np.array([["train"] * len(frame)] * len(turns), dtype="<U5")
    fold = np.full(len(frame), -1)
    for i, turn in enumerate(turns):
        fold[turn.test] = i
        for part in PARTS:
            split[i, getattr(turn, part)] = part
    how = {**how, "versions": {"torch": torch.__version__}, "threads": torch.get_num_threads(),
           "skipped": int((~usable).sum()), "history": [json.loads(str(o["history"])) for o in outputs]}
    stack = {key: np.stack([o[key] for o in outputs])
             for key in ("logits", "embeddings", "head_weight", "head_bias")}
    text = {f"{key}s": frame[key].to_numpy().astype(str)
            for key in ("speaker", "gender", "emotion", "utterance")}
    art = Artefact(
        classes=np.array(known), labels=labels, fold=fold, split=split, **text,
        segment_logits=[o["segment_logits"] for o in outputs],
        segment_owner=[o["segment_owner"] for o in outputs], how=how, folder=folder, **stack)
    write(art, folder)
    for turn in turns:
        (folder / f"turn-{turn.index}" / "outputs.npz").unlink()
    return art


def _run_turn(frame, labels, known, frozen, encoder, turn, seed, settings, place, store, progress):
    """Fine-tune one turn and leave `model.safetensors`, `config.json` and `outputs.npz`."""
    from safetensors.torch import save_model
    from transformers import set_seed

    set_seed(seed * 1000 + turn.index)
    train, stop = (part[labels[part] >= 0] for part in (turn.train, turn.stop))
    model = networks.build(encoder, known)
    if settings.probe_head:
        best = probe(frozen[:, None], labels, frame["speaker"].to_numpy(), train, train)
        scaler, linear = make_pipeline(StandardScaler(), LogisticRegression(
            C=best["C"], max_iter=300)).fit(frozen[train], labels[train])
        weight = linear.coef_ / scaler.scale_
        networks.start_head(model, weight, linear.intercept_ - weight @ scaler.mean_)
    if settings.freeze_front and hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()
    paths = frame["path"].to_numpy()
    history = fit(model, Clips(paths[train], labels[train], store),
                  Clips(paths[stop], labels[stop], store), settings, place / "checkpoints",
                  seed * 1000 + turn.index,
                  [collate(encoder, settings, crop) for crop in (True, False)], progress)
    tuned = replace(encoder, model=model.base_model)
    length = settings.samples if settings.fixed or not encoder.masked else None
    embeddings = encoders.embed(paths, tuned, length=length, progress=progress)
    weight, bias = networks.effective_head(model)
    owner, parts = [], []
    scored = np.concatenate([turn.tune, turn.test])
    for rows in np.array_split(scored, max(1, len(scored) // encoders.WINDOW)):
        cut = [audio.segments(audio.read(p), SEGMENT_S, HOP_S) for p in paths[rows]]
        owner += [np.repeat(rows, [len(c) for c in cut])]
        parts += [encoders.embed([s for c in cut for s in c], tuned, progress=False)]
    with replacing(place / "model.safetensors") as temporary:
        save_model(model, str(temporary))
    with replacing(place / "config.json") as temporary:
        temporary.write_text(model.config.to_json_string())
    save_arrays(place / "outputs.npz", {
        "embeddings": embeddings, "logits": embeddings @ weight.T + bias, "head_weight": weight,
        "head_bias": bias, "segment_logits": np.concatenate(parts) @ weight.T + bias,
        "segment_owner": np.concatenate(owner), "history": json.dumps(history)})
    shutil.rmtree(place / "checkpoints")


def load_model(art: Artefact, turn: int, encoder):
    """The fine-tuned network of `turn` (evaluation mode). `encoder`: what it was made from."""
    from safetensors import SafetensorError
    from safetensors.torch import load_model as fill

    model = networks.build(encoder, list(art.classes))
    try:
        fill(model, str(art.folder / f"turn-{turn}" / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise damaged(art.folder, str(error).splitlines()[0][:120]) from error
    return model.eval()
