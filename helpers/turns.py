"""Artefacts made turn by turn, whatever the network; a rerun goes on where the last one ended.

A *maker* knows one kind of network. `finetune.FineTuned` and `finetune.Frozen` are two; lesson 12
writes a third, and its artefacts are read by the same lessons. A maker has

- `name`; `about` and `code`: plain values and a digest of source that set its networks apart;
- `prepare(paths, folder, progress)`: what it needs of all clips, once. Gives bool `(n,)`: usable;
- `fit(task, place, seed, progress)`: a network for one turn, and a row an epoch;
- `embed(network, rows, progress)`: float32 `(m, H)`;
- `head(network)`: `W (K, H)`, `b (K,)` with logits = embedding @ W.T + b. Where logits are
  s cos(angle), embeddings have length 1 and so have the rows of W / s; a margin is the loss's;
- `hear(network, waves)`: embeddings of segments, or None where there are none;
- `tensors(network)`: what `turn-<i>/model.safetensors` keeps, and `config` beside it, or None.
"""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from helpers import artefact as kept
from helpers import audio, emotions, splits
from helpers.cache import code, key
from helpers.errors import CourseError
from helpers.files import replacing

USED = ("artefact", "audio", "emotions", "sniff", "splits", "turns")
CODE = code(*(Path(__file__).with_name(f"{name}.py") for name in USED))
WINDOW = 256  # clips whose segments are in memory at once


class Task(NamedTuple):
    """What a network learns in one turn: rows of `frame` and their `labels` (-1: not taught)."""

    frame: pd.DataFrame
    labels: np.ndarray  # (n,)
    classes: tuple  # names
    train: np.ndarray  # rows, of known emotions only
    stop: np.ndarray


def artefact(frame, maker, seed=0, folder="runs/course", split="rotation", turns=None, known=None,
             progress=True) -> kept.Artefact:  # fmt: skip
    """The artefact of this corpus, maker and seed below `folder`: read it, or make it.

    `frame`: `corpora.frame(...)`. `split`: "rotation" over speakers or "random" (the sources'
    way); `turns`: how many of its turns are run (None: all). `known`: emotions to teach, else those
    of `emotions.partition`; no other is fitted on. A turn that is done is kept.
    Errors: CourseError when a fold lacks a class, a file is damaged, or another run is at it.
    """
    how = {
        "corpus": corpus_of(frame), "seed": seed, "split": split, **maker.about, "turns": turns,
        "known": known and list(known), "segment_s": kept.SEGMENT_S, "hop_s": kept.HOP_S,
        "clips": _digest(frame), "code": key(CODE, maker.code),
    }  # fmt: skip
    digest = key(json.dumps(how, sort_keys=True))[:8]
    name = "-".join([how["corpus"], maker.name, split, str(seed), digest])
    place = Path(folder) / "artefacts" / re.sub(r"[^\w+.-]", "_", name)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0):
            if (place / "arrays.npz").is_file():
                return kept.read(place)
            return _make(frame.reset_index(drop=True), maker, place, how, progress)
    except Timeout:
        raise CourseError(
            f"{place}: another run is writing here; wait for it, or choose another --out"
        ) from None


def corpus_of(frame) -> str:
    """ "a", or "a+b" for corpora joined in one table."""
    return "+".join(sorted(frame["corpus"].unique()))


def plan(frame, seed=0, split="rotation", turns=None, known=None):
    """The turns that are run, labels `(n,)` (-1: not taught) and the known emotions.

    Errors: CourseError when a training part lacks a known emotion.
    """
    known, _ = emotions.partition(corpus_of(frame), set(frame["emotion"]), known)
    labels = np.array([known.index(e) if e in known else -1 for e in frame["emotion"]])
    deal = splits.random_split if split == "random" else splits.rotation
    chosen = deal(frame, seed=seed)[:turns]
    splits.require(frame, chosen, known)
    return chosen, labels, known


def _digest(frame) -> str:
    """What clips an artefact was made from: who says what with which emotion, and the bytes."""
    told = frame[["utterance", "emotion", "speaker", "gender", "language"]].astype(str).to_numpy()
    heard = (key(Path(p).read_bytes()) if Path(p).is_file() else "" for p in frame["path"])
    return key(*told.ravel(), *heard)


def _make(frame, maker, place, how, progress) -> kept.Artefact:
    usable = maker.prepare(frame["path"].to_numpy(), place.parents[1], progress)
    frame = frame[usable].reset_index(drop=True)
    turns, labels, known = plan(frame, how["seed"], how["split"], how["turns"], how["known"])
    if progress:
        print(f"{how['split']}: {len(turns)} turn(s), {len(frame)} clips, known {', '.join(known)}")
    split = np.full((len(turns), len(frame)), "train", dtype="<U5")
    fold, outputs = np.full(len(frame), -1), []
    for turn in turns:
        done = place / f"turn-{turn.index}" / "outputs.npz"
        if not done.is_file():
            if progress:
                print(f"turn {turn.index + 1} of {len(turns)}", flush=True)
            _run(turn, frame, labels, known, maker, how, done, progress)
        outputs.append(kept.load_arrays(done))
        fold[turn.test] = turn.index
        for part, rows in turn.parts().items():
            split[turn.index, rows] = part
    how = {
        **how,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "skipped": int((~usable).sum()),
        "history": [json.loads(str(o["history"])) for o in outputs],
    }
    clips = {
        f"{name}s": frame[name].to_numpy().astype(str)
        for name in ("utterance", "emotion", "speaker", "gender")
    }
    each = ("logits", "embeddings", "head_weight", "head_bias")
    stacked = {name: np.stack([o[name] for o in outputs]) for name in each}
    cut = {
        name: np.concatenate([o[name] for o in outputs])
        for name in ("segment_logits", "segment_owner", "segment_turn")
    }
    art = kept.Artefact(
        np.array(known), labels=labels, fold=fold, split=split, how=how, folder=place,
        **clips, **stacked, **cut,
    )  # fmt: skip
    kept.write(art, place)
    for turn in turns:
        (place / f"turn-{turn.index}" / "outputs.npz").unlink()
    return art


def _run(turn, frame, labels, known, maker, how, done, progress):
    """Fit one turn; leave `model.safetensors`, `config.json` and, when all is there, `outputs.npz`.

    Scored are all clips that the turn tests, and known emotions elsewhere. Of a random split, which
    serves comparison, only the parts that it tunes and tests on, and no segments.
    """
    from safetensors.torch import save

    train, stop, tune = (part[labels[part] >= 0] for part in (turn.train, turn.stop, turn.tune))
    task, seed = Task(frame, labels, known, train, stop), how["seed"] * 1000 + turn.index
    network, history = maker.fit(task, done.parent / "checkpoints", seed, progress)
    scored = np.concatenate([tune, turn.test])
    whole = how["split"] == "rotation"
    rows = np.concatenate([scored, train, stop]) if whole else scored
    weight, bias = maker.head(network)
    embeddings = np.full((len(frame), weight.shape[1]), np.nan, np.float32)
    embeddings[rows] = maker.embed(network, rows, progress)
    paths = frame["path"].to_numpy()
    owner, cut = _segments(maker, network, paths, scored if whole else scored[:0], weight.shape[1])
    done.parent.mkdir(exist_ok=True)
    if tensors := maker.tensors(network):
        with replacing(done.parent / "model.safetensors") as temporary:
            temporary.write_bytes(save({n: v.contiguous() for n, v in tensors.items()}))
    if config := getattr(network, "config", None):
        with replacing(done.parent / "config.json") as temporary:
            temporary.write_text(config.to_json_string())
    outputs = {
        "embeddings": embeddings,
        "logits": embeddings @ weight.T + bias,
        "head_weight": weight,
        "head_bias": bias,
        "segment_logits": cut @ weight.T + bias,
        "segment_owner": owner,
        "segment_turn": np.full(len(owner), turn.index),
        "history": json.dumps(history),
    }
    kept.save_arrays(done, outputs)
    shutil.rmtree(done.parent / "checkpoints", ignore_errors=True)


def _segments(maker, network, paths, rows, size):
    """The clip `(S,)` that each segment of clips `rows` was cut from, and its embedding `(S, H)`.

    Window by window, so that the waves of a large corpus are never all in memory.
    """
    owner, cut = [np.empty(0, int)], [np.empty((0, size), np.float32)]
    for some in np.array_split(rows, len(rows) // WINDOW + 1) if len(rows) else ():
        pieces = [audio.segments(audio.read(p), kept.SEGMENT_S, kept.HOP_S) for p in paths[some]]
        heard = maker.hear(network, [s for p in pieces for s in p])
        if heard is None:
            break
        owner.append(np.repeat(some, [len(p) for p in pieces]))
        cut.append(heard)
    return np.concatenate(owner), np.concatenate(cut)
