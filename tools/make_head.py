"""Make the head that `ser-course predict` ships: python -m tools.make_head.

Frozen states of several layers; once as they are, once with each voice taken out: a linear layer
over the known emotions, and their Gaussians. It hears RAVDESS, nEMO and CREMA-D (CREMA-D by what
its listeners said; every emotion of every corpus weighs the same). Strength, temperature, quantiles
of strangeness and δ come from clips of a corpus that the view never met: whoever uses the head has
another microphone too. Statistics alone are written, no clip. What it is worth is measured by
`tools.measure_head`.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from course.predict import HEAD, VIEWS
from helpers import corpora, emotions, encoders, probe
from helpers.calibration import TemperatureScaling
from helpers.clustering import arrive, unit
from helpers.embed import embed
from helpers.files import write_json
from helpers.listener import Channel, Listener, View
from helpers.metrics import uar
from helpers.voice import SIZE, Voice, draw
from tools import nemo

CACHE = "runs/head"
TAUGHT = ("ravdess", "nemo", "crema_d")
CLASSES = ("neutral", "happy", "sad", "angry", "surprised")
STRENGTHS = (1e-4, 1e-3, 1e-2)
FEWEST = 20  # clips of an emotion in a corpus, or they are left out: each would weigh too much
NOTICE = (
    "taught on RAVDESS (Livingstone & Russo 2018, CC BY-NC-SA 4.0), nEMO (Christop 2024, CC "
    "BY-NC-SA 4.0) and CREMA-D (Cao et al. 2014; made from its database, which is under ODbL 1.0)"
)

WORTH = "Percentages and unknown are off for voices never met, enrolled or not (docs/figures.md)."


def clips(corpus: str, encoder) -> tuple:
    """Embeddings (n, H), emotions, speakers and names of the corpora (n,) of all usable clips."""
    frame = nemo.frame() if corpus == "nemo" else corpora.frame(corpus)
    if corpus == "crema_d":  # what an actor was asked for is not what listeners hear
        frame["emotion"] = frame["votes"].map(majority)
        frame = frame[frame["emotion"].notna()]
    X = embed(frame.path, encoder, "all", "mean+std", cache=CACHE)
    X = encoder.several(X)
    usable = np.isfinite(X).all(axis=1)
    frame, X = frame[usable], X[usable]
    own = frame.emotion.to_numpy(str), frame.speaker.to_numpy(str)
    return X, *own, np.full(len(X), corpus)


def majority(votes: dict[str, int] | None) -> str | None:
    """What most raters heard; None at a tie, and where nobody was asked.

    >>> majority({"sad": 4, "neutral": 5}), majority({"sad": 4, "neutral": 4})
    ('neutral', None)
    """
    ranked = Counter(votes or {}).most_common(2)
    tied = len(ranked) == 2 and ranked[0][1] == ranked[1][1]
    return ranked[0][0] if ranked and not tied else None


def balanced(y, corpus) -> np.ndarray:
    """Weights (n,), 1 on average: corpora weigh the same, and in each of them its classes.

    A class with fewer than `FEWEST` clips in a corpus has no weight there, if another has more.
    """
    weights = np.zeros(len(y))
    names, classes = np.unique(corpus), np.unique(y)
    counts = np.array([[np.sum((corpus == n) & (y == c)) for c in classes] for n in names])
    enough = (counts >= FEWEST) | ((counts == counts.max(axis=0)) & (counts > 0))
    for n, c in np.argwhere(enough):
        cell = (corpus == names[n]) & (y == classes[c])
        weights[cell] = 1 / (cell.sum() * enough[n].sum())
    return weights / weights.mean()


def view(X, y, corpus, C: float, size: int = SIZE) -> View:
    """A `View` of clips X (n, H), each as it is heard; not calibrated yet."""
    weights = balanced(y, corpus)
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    pca = PCA(min(size, len(X) // 2, X.shape[1]), random_state=0).fit(Z)
    u = Z @ pca.components_.T
    centres = np.stack([np.average(u[y == c], 0, weights[y == c]) for c in np.unique(y)])
    apart = (u - centres[y]) * np.sqrt(weights)[:, None]
    covariance = ledoit_wolf(apart, assume_centered=True)[0]
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    weight, bias = probe.fit(Z, y, C, weights)
    return View(scaler.mean_, scaler.scale_, weight, bias, pca.components_, centres, whitener,
                np.array(1.0), np.zeros(1))  # fmt: skip


def unmet(X, y, speakers, corpus, voiced: bool, C: float, neutral: int) -> dict[str, np.ndarray]:
    """What views say of clips that they never met (-1 in y: of emotions never taught).

    A corpus is left out in turn, if the others teach every emotion; of a single corpus, a fifth of
    its speakers. With voices, the speakers are enrolled as a user would be, and enrolled clips are
    left out.
    """
    found, several = [], len(np.unique(corpus)) > 1
    folds = GroupKFold(len(np.unique(corpus)) if several else 5)
    for train, test in folds.split(X, y, corpus if several else speakers):
        train, voice = train[y[train] >= 0], Voice()
        if len(np.unique(y[train])) <= y.max():
            continue
        heard = voice.fit_transform(X[train], speakers[train]) if voiced else X[train]
        seen = view(heard, y[train], corpus[train], C)
        if voiced:
            drawn = draw("skewed", y[test], speakers[test], neutral)
            mine, test = test[drawn.clips[-1]], test[drawn.scored]
            voice = voice.enrol(X[mine], speakers[mine])
        heard = voice.transform(X[test], speakers[test]) if voiced else X[test]
        Z = (heard - seen.mean) / seen.scale
        u = Z @ seen.components.T
        directions = unit((u - seen.centres.mean(axis=0)) @ seen.whitener.T)
        strange = seen.strangeness(u, seen.centres[:0])
        logits = Z @ seen.weight.T + seen.bias
        found.append((y[test], speakers[test], corpus[test], logits, strange, directions))
    names = ("y", "speakers", "corpus", "logits", "strange", "directions")
    return dict(zip(names, map(np.concatenate, zip(*found, strict=True)), strict=True))


def evenly(corpus, seed: int = 0) -> np.ndarray:
    """Rows, drawn at random, that hold equally many of every corpus."""
    rng = np.random.default_rng(seed)
    each = [rng.permutation(np.flatnonzero(corpus == name)) for name in np.unique(corpus)]
    return np.concatenate([rows[: min(map(len, each))] for rows in each])


def join_at(x, y, seed: int = 0) -> float:
    """The cosine that best tells taught emotions apart (lesson 10), of 500 directions at most."""
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(x))[:500]
    x, y = x[some], y[some]
    cosines = (x @ x.T)[np.triu_indices(len(x), 1)]
    grid = np.unique(np.quantile(cosines, np.linspace(0.02, 0.98, 20)))
    orders = [rng.permutation(len(x)) for _ in range(3)]
    reached = [np.mean([adjusted_rand_score(y, arrive(x, g, o)) for o in orders]) for g in grid]
    return float(grid[int(np.argmax(reached))])


def fit(X, y, speakers, classes, corpus=None) -> tuple[Listener, dict]:
    """A listener from clips X (n, H) of K classes (-1: never taught), and what it reaches."""
    corpus = np.zeros(len(y)) if corpus is None else corpus
    known, neutral = y >= 0, list(classes).index("neutral") if "neutral" in classes else -1
    voice, views, about, deltas = Voice().fit(X[known], speakers[known]), [], {}, []
    for voiced, name in enumerate(("anybody", "enrolled")):
        heard = voice.transform(X[known], speakers[known]) if voiced else X[known]
        tried = {C: unmet(X, y, speakers, corpus, bool(voiced), C, neutral) for C in STRENGTHS}
        reached = {C: _reached(new) for C, new in tried.items()}
        C = max(reached, key=lambda C: reached[C]["uar_unmet"])
        new, about[name] = tried[C], reached[C] | {"C": C}
        taught = {part: array[new["y"] >= 0] for part, array in new.items()}
        even = {part: array[evenly(taught["corpus"])] for part, array in taught.items()}
        scaling = TemperatureScaling().fit(even["logits"], even["y"], even["speakers"])
        quantiles = np.quantile(even["strange"], np.linspace(0, 1, 201)[1:-1])
        views.append(view(heard, y[known], corpus[known], C)._replace(
            temperature=np.array(scaling.temperature_), quantiles=quantiles))  # fmt: skip
        deltas.append(join_at(even["directions"], even["y"]))
    return Listener(classes, views, voice, emotions.PAD, float(np.mean(deltas))), about


def channel(X, y, speakers, corpus, view: View, seed: int = 0) -> Channel:
    """The `Channel` of taught clips. A fifth of each corpus' speakers gives the quantiles."""
    u = (X - view.mean) / view.scale @ view.components.T
    rng, apart = np.random.default_rng(seed), np.zeros(len(u), bool)
    for name in np.unique(corpus):
        own = np.unique(speakers[corpus == name])
        apart |= np.isin(speakers, rng.choice(own, max(1, len(own) // 5), replace=False))
    names, known = np.unique(corpus), ~apart & (y >= 0)
    centres = np.stack([u[known & (corpus == name)].mean(axis=0) for name in names])
    rest = u[known] - centres[np.searchsorted(names, corpus[known])]
    whitener = np.linalg.inv(np.linalg.cholesky(ledoit_wolf(rest, assume_centered=True)[0]))
    made = Channel(centres, whitener, np.zeros(1))
    far = cdist(u[apart] @ whitener.T, centres @ whitener.T).min(axis=1) ** 2
    return made._replace(quantiles=np.quantile(far, np.linspace(0, 1, 201)[1:-1]))


def _reached(new: dict) -> dict[str, float]:
    """Mean over the corpora, each unmet in its turn: what is optimistic only by the choice of C."""
    known, said = new["y"] >= 0, new["logits"].argmax(axis=1)
    found = {"uar_unmet": [], "auroc_unknown": []}
    for name in np.unique(new["corpus"]):
        own = new["corpus"] == name
        found["uar_unmet"].append(uar(new["y"][own & known], said[own & known]))
        if (own & ~known).any():
            found["auroc_unknown"].append(roc_auc_score(~known[own], new["strange"][own]))
    return {name: round(float(np.mean(each)), 4) for name, each in found.items() if each}


def make(names=TAUGHT) -> tuple[Listener, Channel, dict]:
    """The listener that these corpora teach, how they sound, and what `head.json` says of it."""
    encoder = encoders.load("embedded")
    parts = zip(*(clips(name, encoder) for name in names), strict=True)
    X, emotion, speakers, corpus = map(np.concatenate, parts)
    y = numbered(emotion)
    listener, reached = fit(X, y, speakers, CLASSES, corpus)
    near = channel(X, y, speakers, corpus, listener.views[0])
    about = {
        "schema": 2,
        "encoder": "embedded",
        "encoder_key": encoder.key,
        "corpus": "+".join(names),
        "licence": "CC BY-NC-SA 4.0",
        "notice": NOTICE,
        "worth": WORTH,
        "clips": int((y >= 0).sum()),
        "speakers": len(np.unique(speakers)),
    }
    return listener, near, about | reached


def numbered(emotion) -> np.ndarray:
    """Class numbers (n,), -1 for an emotion that the head does not know."""
    return np.array([CLASSES.index(e) if e in CLASSES else -1 for e in emotion])


def write_head(listener: Listener, near: Channel, about: dict, folder: Path = HEAD) -> None:
    """Save a listener that nobody has taught yet as safetensors and JSON."""
    voice, folder = listener.voice, Path(folder)
    arrays = {"voice.mean": voice.mean_, "voice.deviation": voice.deviation_}
    for name, view in zip(VIEWS, listener.views, strict=True):
        arrays |= {f"{name}.{part}": array for part, array in view._asdict().items()}
    arrays |= {f"channel.{part}": array for part, array in near._asdict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():  # most of the size are components
        half = name.endswith("components")
        arrays[name] = np.ascontiguousarray(array, np.float16 if half else np.float32)
    save_file(arrays, folder / "head.safetensors")
    about = {"classes": listener.classes, "tau": voice.tau_, "delta": listener.delta} | about
    write_json(folder / "head.json", about)


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    listener, near, about = make()
    write_head(listener, near, about)
    print(about)
