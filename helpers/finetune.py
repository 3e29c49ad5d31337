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

USED = "audio embed encoders finetune networks probe profiles training".split()
CODE = code(*(Path(__file__).with_name(f"{name}.py") for name in USED))
read = lru_cache(maxsize=2000)(audio.read)  # waves of 3 s: about 400 MB


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


class FineTuned:
    """Makes an encoder under a linear head, all of it trained (source 1)."""

    def __init__(self, encoder="embedded", profile="quick"):
        self.encoder, self.settings, self.about = _opened(encoder, profile)
        self.name, self.code = f"{Path(self.encoder.name).name}-{profile}", CODE
        self.length = _length(self.encoder, self.settings)

    def prepare(self, paths, folder, progress):
        """Last states of the frozen encoder, mean over frames: what the first head is fitted on."""
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
        if settings.freeze_front and hasattr(model, "freeze_feature_encoder"):
            model.freeze_feature_encoder()

        def clips(rows, crop):
            fixed, chosen = self.length is not None, (self.paths[rows], task.labels[rows])
            return Clips(*chosen, settings.samples, crop, fixed)

        def collate(items):
            waves, labels = zip(*items, strict=True)
            return {**self.encoder.batch(waves), "labels": torch.tensor(labels)}

        if not settings.epochs:
            return model.eval(), []
        parts = clips(task.train, not settings.fixed), clips(task.stop, False)
        return model, training.fit(model, *parts, collate, settings, place, seed, progress)

    def embed(self, model, rows, progress):
        """Last states of the tuned encoder, mean over frames."""
        if not self.settings.epochs:
            return self.before[rows]
        return embed(self.paths[rows], self._tuned(model), length=self.length, progress=progress)

    def hear(self, model, waves):
        """Any waves, as `embed`."""
        return embed(waves, self._tuned(model), progress=False)

    def _tuned(self, model):
        return replace(self.encoder, model=model.eval().base_model)

    head = staticmethod(networks.effective_head)
    tensors = staticmethod(torch.nn.Module.state_dict)


class Frozen:
    """Makes linear probes on the encoder as it is: mean and deviation of several layers.

    `layers`: `Encoder.thirds` if not given.
    """

    def __init__(self, encoder="embedded", profile="quick", layers=None):
        self.encoder, self.settings, self.about = _opened(encoder, profile)
        self.layers = list(layers or self.encoder.thirds)
        self.about |= {"layers": self.layers}
        self.name, self.code = f"{Path(self.encoder.name).name}-{profile}-frozen", CODE

    def prepare(self, paths, folder, progress):
        """Frozen states of all clips, `(n, layers x 2H)`."""
        every = states(paths, self.encoder, self.settings, folder, progress)
        usable = np.isfinite(every).all((1, 2))
        self.rows = every[usable][:, self.layers].reshape(usable.sum(), -1)
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
