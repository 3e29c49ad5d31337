"""Make the head that `ser-course predict` ships: python -m tools.make_head [--corpus embedded].

Frozen states of several layers; once as they are, once with each voice taken out: a linear layer
over the known emotions, and their Gaussians. Temperature, quantiles of strangeness and δ come from
clips whose speakers that view never met. Statistics alone are written, no clip.
"""

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from course.predict import HEAD, VIEWS
from helpers import corpora, emotions, encoders, probe
from helpers.calibration import TemperatureScaling
from helpers.clustering import arrive, unit
from helpers.embed import embed
from helpers.files import write_json
from helpers.listener import Listener, View
from helpers.voice import SIZE, Voice, draw

CACHE = "runs/head"


def view(X, y, C: float, size: int = SIZE) -> View:
    """A `View` of clips X (n, H), each as it is heard; not calibrated yet."""
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    pca = PCA(min(size, len(X) // 2, X.shape[1]), random_state=0).fit(Z)
    u = Z @ pca.components_.T
    centres = np.stack([u[y == c].mean(axis=0) for c in np.unique(y)])
    covariance = ledoit_wolf(u - centres[y], assume_centered=True)[0]
    whitener = np.linalg.inv(np.linalg.cholesky(covariance))
    weight, bias = probe.fit(Z, y, C)
    return View(scaler.mean_, scaler.scale_, weight, bias, pca.components_, centres, whitener,
                np.array(1.0), np.zeros(1))  # fmt: skip


def unmet(X, y, speakers, voiced: bool, C: float, neutral: int) -> dict[str, np.ndarray]:
    """What views say of clips of speakers they never met (-1 in y: of emotions never taught).

    With voices, the speakers are enrolled as a user would be, and enrolled clips are left out.
    """
    found = []
    for train, test in GroupKFold(5).split(X, y, speakers):
        train, voice = train[y[train] >= 0], Voice()
        heard = voice.fit_transform(X[train], speakers[train]) if voiced else X[train]
        seen = view(heard, y[train], C)
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
        found.append((y[test], speakers[test], logits, strange, directions))
    names = ("y", "speakers", "logits", "strange", "directions")
    return dict(zip(names, map(np.concatenate, zip(*found, strict=True)), strict=True))


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


def fit(X, y, speakers, classes) -> tuple[Listener, dict]:
    """A listener from clips X (n, H) of K classes (-1: never taught), and what it reaches."""
    known, neutral = y >= 0, list(classes).index("neutral") if "neutral" in classes else -1
    voice, views, about, deltas = Voice().fit(X[known], speakers[known]), [], {}, []
    for voiced, name in enumerate(("anybody", "enrolled")):
        heard = voice.transform(X[known], speakers[known]) if voiced else X[known]
        Z = StandardScaler().fit_transform(heard)
        C = probe.choose(Z[:, None], y[known], speakers[known]).C
        new = unmet(X, y, speakers, bool(voiced), C, neutral)
        taught = new["y"] >= 0
        logits, truth = new["logits"][taught], new["y"][taught]
        temperature = TemperatureScaling().fit(logits, truth, new["speakers"][taught]).temperature_
        quantiles = np.quantile(new["strange"][taught], np.linspace(0, 1, 201)[1:-1])
        views.append(view(heard, y[known], C)._replace(
            temperature=np.array(temperature), quantiles=quantiles))  # fmt: skip
        deltas.append(join_at(new["directions"][taught], truth))
        about[name] = {"uar_unseen_speakers": balanced_accuracy_score(truth, logits.argmax(1))}
        if not taught.all():
            about[name]["auroc_unknown"] = roc_auc_score(~taught, new["strange"])
    about = {k: {n: round(float(v), 4) for n, v in found.items()} for k, found in about.items()}
    return Listener(classes, views, voice, emotions.PAD, float(np.mean(deltas))), about


def make(corpus: str = "embedded") -> tuple[Listener, dict]:
    """The listener of a corpus, and what ``head.json`` says of it."""
    frame = corpora.frame(corpus)
    classes, _ = emotions.partition(corpus, set(frame.emotion))
    encoder = encoders.load("embedded")
    X = encoder.several(embed(frame.path, encoder, "all", "mean+std", cache=CACHE))
    usable = np.isfinite(X).all(axis=1)
    frame, X = frame[usable], X[usable]
    y = frame.emotion.map({name: i for i, name in enumerate(classes)}).fillna(-1).to_numpy(int)
    listener, reached = fit(X, y, frame.speaker.to_numpy(str), classes)
    licences = [
        corpora.CORPORA[part].licence for part in corpus.split("+") if part in corpora.CORPORA
    ]
    about = {
        "schema": 2,
        "encoder": "embedded",
        "encoder_key": encoder.key,
        "corpus": corpus,
        "licence": "; ".join(licences) or "your own",
        "clips": int((y >= 0).sum()),
        "speakers": int(frame.speaker.nunique()),
    }
    return listener, about | reached


def write_head(listener: Listener, about: dict, folder: Path = HEAD) -> None:
    """Save a listener that nobody has taught yet as safetensors and JSON."""
    voice, folder = listener.voice, Path(folder)
    arrays = {"voice.mean": voice.mean_, "voice.deviation": voice.deviation_}
    for name, view in zip(VIEWS, listener.views, strict=True):
        arrays |= {f"{name}.{part}": array for part, array in view._asdict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():  # most of the size are components
        half = name.endswith("components")
        arrays[name] = np.ascontiguousarray(array, np.float16 if half else np.float32)
    save_file(arrays, folder / "head.safetensors")
    about = {"classes": listener.classes, "tau": voice.tau_, "delta": listener.delta} | about
    write_json(folder / "head.json", about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", default="embedded")
    listener, about = make(parser.parse_args().corpus)
    write_head(listener, about)
    print(about)
