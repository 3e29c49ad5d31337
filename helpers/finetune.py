"""Fine-tuning turn by turn, and the artefact that it leaves behind (lesson 02)."""

import json
import re
import shutil
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits

from helpers import artefact as kept
from helpers import audio, emotions, encoders, networks, probe, splits
from helpers.cache import key
from helpers.embed import WINDOW, embed
from helpers.errors import CourseError, nearest
from helpers.files import replacing
from helpers.profiles import PROFILES, dtype_for, settings_for

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


def artefact(
    frame,
    encoder="embedded",
    seed=0,
    profile="quick",
    folder="runs/course",
    split="rotation",
    progress=True,
) -> kept.Artefact:
    """The artefact of this corpus, encoder, seed and profile below `folder`: read it, or make it.

    `frame`: `corpora.frame(...)`. `split`: "rotation" over speakers or "random" (the sources'
    way). Only known emotions are fitted on. A turn that is done is kept; a rerun goes on there.
    Errors: CourseError when a fold lacks a class, a file is damaged, or another run is at it.
    """
    if profile not in PROFILES:
        raise CourseError(
            f"profile '{profile}': use {', '.join(PROFILES)}{nearest(profile, PROFILES)}"
        )
    if isinstance(encoder, str):
        encoder = encoders.load(encoder, dtype_for(profile))
    settings = settings_for(profile, encoder)
    how = {
        "corpus": corpus_of(frame),
        "encoder": encoder.name,
        "encoder_key": encoder.key,
        "dtype": encoder.dtype,
        "seed": seed,
        "profile": profile,
        "split": split,
        "settings": asdict(settings),
        "segment_s": kept.SEGMENT_S,
        "hop_s": kept.HOP_S,
        "clips": _digest(frame),
    }
    name = "-".join(
        [
            how["corpus"],
            Path(encoder.name).name,
            split,
            profile,
            str(seed),
            key(json.dumps(how, sort_keys=True))[:8],
        ]
    )
    place = Path(folder) / "artefacts" / re.sub(r"[^\w+.-]", "_", name)
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0):
            if (place / "arrays.npz").is_file():
                return kept.read(place)
            frame = frame.reset_index(drop=True)
            return _make(frame, encoder, seed, settings, place, how, progress)
    except Timeout:
        raise CourseError(
            f"{place}: another run is writing here; wait for it, or choose another --out"
        ) from None


def _digest(frame) -> str:
    """What clips an artefact was made from: who says what with which emotion, and file sizes."""
    told = frame[["utterance", "emotion", "speaker", "gender"]].astype(str).to_numpy()
    sizes = [str(Path(p).stat().st_size) if Path(p).exists() else "" for p in frame["path"]]
    return key(*told.ravel(), *sizes)


def features(paths, encoder, settings, folder, progress=True) -> np.ndarray:
    """Frozen features `(n, layers + 1, H)`, mean over frames, as `artefact` caches them."""
    return embed(
        paths,
        encoder,
        layer="all",
        length=_length(encoder, settings),
        cache=Path(folder) / "cache",
        progress=progress,
    )


def frozen(art, frame, encoder="embedded", folder="runs/course", progress=True) -> np.ndarray:
    """Embeddings `(n, H)` of the clips of `art` by its encoder *before* fine-tuning, cached.

    `frame`, `encoder`, `folder`: as given to `artefact`. Pseudo-unknowns need them: no label has
    gone into these.
    """
    settings = PROFILES[art.how["profile"]]
    if isinstance(encoder, str):
        encoder = encoders.load(encoder, art.how["dtype"])
    paths = frame.set_index("utterance").loc[art.utterances, "path"]
    return features(paths, encoder, settings, folder, progress)[:, -1]


def _length(encoder, settings):
    return settings.samples if settings.fixed or not encoder.masked else None


def plan(frame, settings, seed, split="rotation"):
    """Turns that `settings` run, labels `(n,)` (-1: an unknown emotion) and known emotions.

    Errors: CourseError when a training part lacks a known emotion.
    """
    known, _ = emotions.partition(corpus_of(frame), set(frame["emotion"]))
    labels = np.array([known.index(e) if e in known else -1 for e in frame["emotion"]])
    by_chance = split == "random"
    turns = (splits.random_split if by_chance else splits.rotation)(frame, seed=seed)
    turns = turns[: settings.random_turns if by_chance else settings.turns]
    splits.require(frame, turns, known)
    return turns, labels, known


def corpus_of(frame) -> str:
    """ "a", or "a+b" for corpora joined in one table."""
    return "+".join(sorted(frame["corpus"].unique()))


def _make(frame, encoder, seed, settings, place, how, progress) -> kept.Artefact:
    before = features(frame["path"], encoder, settings, place.parents[1], progress)[:, -1]
    usable = np.isfinite(before).all(1)
    frame, before = frame[usable].reset_index(drop=True), before[usable]
    turns, labels, known = plan(frame, settings, seed, how["split"])
    if progress:
        print(f"{how['split']}: {len(turns)} turn(s), {len(frame)} clips, known {', '.join(known)}")
    split = np.full((len(turns), len(frame)), "train", dtype="<U5")
    fold, outputs = np.full(len(frame), -1), []
    for turn in turns:
        done = place / f"turn-{turn.index}" / "outputs.npz"
        if not done.is_file():
            if progress:
                print(f"turn {turn.index + 1} of {len(turns)}", flush=True)
            _run_turn(
                frame,
                labels,
                known,
                before,
                encoder,
                turn,
                seed,
                settings,
                done.parent,
                how["split"] == "rotation",
                progress,
            )
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
    art = kept.Artefact(
        classes=np.array(known),
        labels=labels,
        fold=fold,
        split=split,
        how=how,
        folder=place,
        **{
            f"{name}s": frame[name].to_numpy().astype(str)
            for name in ("utterance", "emotion", "speaker", "gender")
        },
        **{
            name: np.stack([o[name] for o in outputs])
            for name in ("logits", "embeddings", "head_weight", "head_bias")
        },
        **{name: [o[name] for o in outputs] for name in ("segment_logits", "segment_owner")},
    )
    kept.write(art, place)
    for turn in turns:
        (place / f"turn-{turn.index}" / "outputs.npz").unlink()
    return art


def _run_turn(frame, labels, known, before, encoder, turn, seed, settings, place, whole, progress):
    """Fine-tune one turn and leave `model.safetensors`, `config.json` and `outputs.npz`.

    Scored are all clips that the turn tests, and known emotions elsewhere. Without `whole` only the
    parts that it tunes and tests on, and no segments: what a split for comparison needs.
    """
    from safetensors.torch import save
    from transformers import set_seed

    from helpers import training  # its import takes seconds, and only this function trains

    seed, length = seed * 1000 + turn.index, _length(encoder, settings)
    set_seed(seed)
    train, stop = (part[labels[part] >= 0] for part in (turn.train, turn.stop))
    paths, model = frame["path"].to_numpy(), networks.build(encoder, known)
    if settings.probe_head:
        start_as_probe(model, before, labels, frame["speaker"].to_numpy(), train)
    if settings.freeze_front and hasattr(model, "freeze_feature_encoder"):
        model.freeze_feature_encoder()

    def clips(rows, crop):
        return Clips(paths[rows], labels[rows], settings.samples, crop, fixed=length is not None)

    def collate(items):
        waves, targets = zip(*items, strict=True)
        return {**encoder.batch(waves), "labels": torch.tensor(targets)}

    history = []
    if settings.epochs:
        history = training.fit(
            model,
            clips(train, not settings.fixed),
            clips(stop, False),
            collate,
            settings,
            place / "checkpoints",
            seed,
            progress,
        )
    tuned = replace(encoder, model=model.eval().base_model)
    scored = np.concatenate([turn.tune[labels[turn.tune] >= 0], turn.test])
    rows = np.concatenate([scored, train, stop]) if whole else scored
    embeddings = np.full((len(frame), encoder.hidden_size), np.nan, np.float32)
    embeddings[rows] = (
        embed(paths[rows], tuned, length=length, progress=progress)
        if settings.epochs
        else before[rows]
    )
    weight, bias = networks.effective_head(model)
    owner, cut = _segments(scored if whole else scored[:0], paths, tuned)
    with replacing(place / "model.safetensors") as temporary:
        temporary.write_bytes(save({n: v.contiguous() for n, v in model.state_dict().items()}))
    with replacing(place / "config.json") as temporary:
        temporary.write_text(model.config.to_json_string())
    kept.save_arrays(
        place / "outputs.npz",
        {
            "embeddings": embeddings,
            "logits": embeddings @ weight.T + bias,
            "head_weight": weight,
            "head_bias": bias,
            "segment_logits": cut @ weight.T + bias,
            "segment_owner": owner,
            "history": json.dumps(history),
        },
    )
    shutil.rmtree(place / "checkpoints", ignore_errors=True)


@threadpool_limits.wrap(limits=1, user_api="blas")
def start_as_probe(model, before, labels, speakers, train):
    """Give `model` the head that fine-tuning begins with: a probe on last states `before (n, H)`.

    Fitted on rows `train`, with the C that their speakers choose. Returns `model`.
    """
    X, y = before[train], labels[train]
    networks.start_head(model, *probe.fit(X, y, probe.choose(X[:, None], y, speakers[train]).C))
    return model


def _segments(rows, paths, encoder):
    """The clip `(S,)` that each segment of clips `rows` was cut from, and its embedding `(S, H)`.

    Window by window, so that the waves of a large corpus are never all in memory.
    """
    owner, cut = [np.empty(0, int)], [np.empty((0, encoder.hidden_size), np.float32)]
    for some in np.array_split(rows, len(rows) // WINDOW + 1) if len(rows) else ():
        pieces = [audio.segments(read(p), kept.SEGMENT_S, kept.HOP_S) for p in paths[some]]
        owner.append(np.repeat(some, [len(p) for p in pieces]))
        cut.append(embed([s for p in pieces for s in p], encoder, progress=False))
    return np.concatenate(owner), np.concatenate(cut)


def load_model(art: kept.Artefact, turn: int, encoder):
    """The fine-tuned network of `turn` (evaluation mode). `encoder`: what it was made from."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = networks.build(encoder, list(art.classes))
    try:
        model.load_state_dict(load_file(art.folder / f"turn-{turn}" / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise kept.damaged(art.folder, str(error).splitlines()[0][:120]) from error
    return model.eval()
