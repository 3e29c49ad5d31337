"""What is made of an encoder: fine-tuned networks, and probes on its frozen states (lesson 02).

Both are makers of artefacts (`helpers.turns`).
"""

from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from helpers import artefact as kept
from helpers import audio, encoders, networks, probe, turns
from helpers.cache import code
from helpers.embed import embed
from helpers.errors import CourseError, nearest
from helpers.profiles import PROFILES, dtype_for, settings_for

USED = "audio embed encoders finetune networks probe profiles sniff training".split()
CODE = code(*(Path(__file__).with_name(f"{name}.py") for name in USED))
KEPT = 2000  # clips in memory: waves of 3 s, about 400 MB; states of 512 numbers, 600 MB
read = lru_cache(maxsize=KEPT)(audio.read)


def artefact(frame, encoder="embedded", seed=0, profile="quick", folder="runs/course",
             split="rotation", progress=True, kind=None) -> kept.Artefact:  # fmt: skip
    """The artefact of this corpus, encoder, seed and profile below `folder`: read it, or make it.

    `frame`, `split`, errors: see `turns.artefact`. `kind`: `FineTuned` (the default) or `Frozen`.
    """
    if profile not in PROFILES:
        raise CourseError(
            f"profile '{profile}': use {', '.join(PROFILES)}{nearest(profile, PROFILES)}"
        )
    maker = (kind or FineTuned)(encoder, profile)
    number = maker.settings.random_turns if split == "random" else maker.settings.turns
    return turns.artefact(frame, maker, seed, folder, split, number, progress=progress)


class Clips(torch.utils.data.Dataset):
    """`(clip, label)` pairs: clips `get(path)`, waves or frames, of at most `longest`.

    `crop`: cut at a random place, which comes from torch's generator: checkpoints keep it.
    `fixed` zero-pads shorter ones.
    """

    def __init__(self, paths, labels, get, longest: int, crop=False, fixed=False):
        self.paths, self.labels, self.get = list(paths), [int(y) for y in labels], get
        self.longest, self.crop, self.fixed = longest, crop, fixed

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        clip = self.get(self.paths[i])
        spare = len(clip) - self.longest
        start = int(torch.randint(spare + 1, ())) if self.crop and spare > 0 else 0
        clip = clip[start : start + self.longest]
        return audio.fix_length(clip, self.longest) if self.fixed else clip, self.labels[i]


class FineTuned:
    """Makes an encoder under a linear head, all of it trained (source 1) or its upper blocks.

    Where a block needs the states below it alone, those below the trained ones are kept in memory.
    """

    def __init__(self, encoder="embedded", profile="quick"):
        self.encoder, self.settings, self.about = _opened(encoder, profile)
        self.name, self.code = f"{Path(self.encoder.name).name}-{profile}", CODE
        self.length = _length(self.encoder, self.settings)
        self.below = {}  # path: states (T, H)

    def prepare(self, paths, folder, progress):
        """Last states of the frozen encoder, mean over frames: what the first head is fitted on."""
        self.split = self.settings.blocks and self.encoder.divisible and len(paths) <= KEPT
        self.before = features(paths, self.encoder, self.settings, folder, progress)[:, -1]
        usable = np.isfinite(self.before).all(1)
        self.paths, self.before = paths[usable], self.before[usable]
        return usable

    def fit(self, task, place, seed, progress):
        """Begin as the probe, if the settings say so, and train."""
        from transformers import set_seed

        from helpers import training  # its import takes seconds, and only this function trains

        set_seed(seed)
        model, settings = networks.build(self.encoder, task.classes), self.settings
        if settings.probe_head:
            speakers = task.frame["speaker"].to_numpy()
            start_as_probe(model, self.before, task.labels, speakers, task.train)
        if not settings.epochs:
            return model.eval(), []
        if settings.freeze_front and hasattr(model, "freeze_feature_encoder"):
            model.freeze_feature_encoder()
        if settings.blocks:
            networks.freeze(model, settings.blocks)
        learner = self._top(model) if self.split else model
        heard = learner if self.split else self.encoder

        def collate(items):
            clips, labels = zip(*items, strict=True)
            return {**heard.batch(clips), "labels": torch.tensor(labels)}

        parts = self._clips(task, task.train, not settings.fixed), self._clips(task, task.stop)
        return model, training.fit(learner, *parts, collate, settings, place, seed, progress)

    def _clips(self, task, rows, crop=False):
        chosen, longest = (self.paths[rows], task.labels[rows]), self.settings.samples
        if not self.split:
            return Clips(*chosen, read, longest, crop, self.length is not None)
        self._below(rows)
        frames = int(longest / audio.SAMPLE_RATE / self.encoder.frame_s)
        return Clips(*chosen, self.below.get, frames, crop)

    def _below(self, rows) -> list:
        """States under the blocks that are trained; each clip is heard once."""
        new = [path for path in self.paths[rows] if path not in self.below]
        layer = self.encoder.layers - self.settings.blocks
        heard = embed(new, self.encoder, layer, pooling=None, progress=False)
        self.below.update(zip(new, heard, strict=True))
        return [self.below[path] for path in self.paths[rows]]

    def embed(self, model, rows, progress):
        """Last states of the tuned encoder, mean over frames."""
        if not self.settings.epochs:
            return self.before[rows]
        if self.split:
            return embed(self._below(rows), self._top(model), progress=progress)
        return embed(self.paths[rows], self._tuned(model), length=self.length, progress=progress)

    def hear(self, model, waves):
        """Any waves, as `embed`."""
        return embed(waves, self._tuned(model), progress=False)

    def _top(self, model):
        return networks.Top(model.eval(), self.settings.blocks, self.encoder)

    def _tuned(self, model):
        return replace(self.encoder, model=model.eval().base_model)

    head = staticmethod(networks.effective_head)
    tensors = staticmethod(torch.nn.Module.state_dict)


class Frozen:
    """Makes linear probes on the encoder as it is: mean and deviation of several layers."""

    def __init__(self, encoder="embedded", profile="quick"):
        self.encoder, self.settings, self.about = _opened(encoder, profile)
        self.about |= {"layers": list(self.encoder.head_layers)}
        self.name, self.code = f"{Path(self.encoder.name).name}-{profile}-frozen", CODE

    def prepare(self, paths, folder, progress):
        """Frozen states of all clips, `(n, layers x 2H)`."""
        every = states(paths, self.encoder, self.settings, folder, progress)
        usable = np.isfinite(every).all((1, 2))
        self.rows = self.encoder.several(every[usable])
        return usable

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def fit(self, task, place, seed, progress):
        """A probe, with the C that training speakers choose."""
        X, y = self.rows[task.train], task.labels[task.train]
        speakers = task.frame["speaker"].to_numpy()[task.train]
        return probe.fit(X, y, probe.choose(X[:, None], y, speakers).C), []

    def embed(self, linear, rows, progress):
        """What was prepared, the same in every turn."""
        return self.rows[rows]

    def hear(self, linear, waves):
        """No segments: lesson 05 cuts them for the fine-tuned network."""
        return None

    head = staticmethod(tuple)
    tensors = staticmethod(lambda linear: {})  # the head is all there is


def _opened(encoder, profile):
    """Encoder, settings, and what both say of themselves."""
    if isinstance(encoder, str):
        encoder = encoders.load(encoder, dtype_for(profile))
    settings = settings_for(profile, encoder)
    about = {"encoder": encoder.name, "encoder_key": encoder.key, "dtype": encoder.dtype}
    return encoder, settings, about | {"profile": profile, "settings": asdict(settings)}


def _length(encoder, settings):
    return settings.samples if settings.fixed or not encoder.masked else None


def states(paths, encoder, settings, folder, progress=True) -> np.ndarray:
    """Frozen states `(n, layers + 1, 2H)`, mean and deviation over frames, kept in `folder`."""
    cache, length = Path(folder) / "cache", _length(encoder, settings)
    return embed(paths, encoder, "all", "mean+std", length=length, cache=cache, progress=progress)


def features(paths, encoder, settings, folder, progress=True) -> np.ndarray:
    """Frozen states `(n, layers + 1, H)`, mean over frames: the first half of `states`."""
    return states(paths, encoder, settings, folder, progress)[..., : encoder.hidden_size]


@threadpool_limits.wrap(limits=1, user_api="blas")
def start_as_probe(model, before, labels, speakers, train):
    """Give `model` the head that fine-tuning begins with: a probe on last states `before (n, H)`.

    Fitted on rows `train`, with the C that their speakers choose. Returns `model`.
    """
    X, y = before[train], labels[train]
    networks.start_head(model, *probe.fit(X, y, probe.choose(X[:, None], y, speakers[train]).C))
    return model


def load_model(art: kept.Artefact, turn: int, encoder):
    """The fine-tuned network of `turn` (evaluation mode). `encoder`: what it was made from."""
    model = networks.build(encoder, list(art.classes))
    try:
        model.load_state_dict(art.tensors(turn))
    except RuntimeError as error:
        raise kept.damaged(art.folder, str(error).splitlines()[0][:120]) from error
    return model.eval()
