"""Score encoders on the public EmoBox folds (arXiv 2406.07162): a linear probe, nothing tuned.

    python -m tools.benchmark_folds --folds DIR --encoder embedded --out data/reference/folds.json

`DIR` holds one `<corpus>.csv` a corpus, `utterance,test_fold`: a row an utterance, the fold in
which it is tested, empty when it is only ever trained on. Corpora are found as the lessons find
them. Every scoring is kept: a second one of the same encoder is appended, with its number.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, recall_score
from sklearn.model_selection import GroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from helpers import corpora, encoders, probe
from helpers.embed import embed
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.intervals import interval
from helpers.metrics import uar

# UA in % of EmoBox, table 4: wav2vec2-base (95 M parameters), and the best of ten encoders.
PUBLISHED = {
    "emodb": (82.06, 92.58),
    "ravdess": (54.33, 75.32),
    "savee": (44.89, 75.75),
    "emovo": (31.07, 57.82),
    "tess": (97.92, 99.96),
}
SHARED_SPEAKERS = ("emodb", "tess")  # speakers of the test folds are also trained on
COSTS = (0.01, 0.03, 0.1, 0.3)


def probed(features, y, train, test, cost) -> np.ndarray:
    """What a probe that learns from rows `train` says of rows `test`."""
    linear = probe.fit(features[train], y[train], cost)
    return probe.predict(features[test], *linear, np.unique(y[train]))


def read_folds(folder: Path, corpus: str) -> pd.DataFrame:
    """The corpus' table with a column `test_fold` (NaN: only ever trained on)."""
    path = folder / f"{corpus}.csv"
    if not path.exists():
        raise CourseError(f"--folds {folder}: no {path.name} in it; give the folder of fold tables")
    folds = pd.read_csv(path, dtype={"utterance": str})
    frame = corpora.frame(corpus)
    # One file of TESS is misspelt, and the folds name it as it should be.
    frame["stem"] = [Path(p).stem.replace("OA_bite", "OAF_bite") for p in frame["path"]]
    joined = frame.merge(folds, left_on="stem", right_on="utterance", suffixes=("", "_fold"))
    if len(joined) != len(folds):
        raise CourseError(
            f"{path}: {len(folds) - len(joined)} of its utterances are not in the "
            f"corpus '{corpus}'; is the corpus complete?"
        )
    return joined


def candidates(states: np.ndarray) -> dict[str, np.ndarray]:
    """Features a layer, and of all transformer layers side by side. states: `(n, L + 1, 2 H)`."""
    out = {str(k): states[:, k] for k in range(states.shape[1])}
    return out | {"all": states[:, 1:].reshape(len(states), -1)}


def choose(features: dict, y, speakers) -> tuple[str, float]:
    """Layer, then C, by UA inside the training part: unseen speakers where there are enough."""
    grouped = len(set(speakers)) >= 3
    kind = GroupKFold(min(4, len(set(speakers)))) if grouped else StratifiedKFold(4)
    parts = list(kind.split(y, y, speakers))

    def score(name, cost):
        X = features[name]
        return np.mean(
            [
                recall_score(
                    y[b],
                    probed(X, y, a, b, cost),
                    average="macro",
                    zero_division=0,
                )
                for a, b in parts
            ]
        )

    layer = max(features, key=lambda name: score(name, 0.1))
    return layer, max(COSTS, key=lambda cost: score(layer, cost))


def one_fold(fold, features, y, speakers, folds):
    """Predictions of one test fold, and what was chosen for it without looking at it."""
    train, test = folds != fold, folds == fold
    with threadpool_limits(1):  # folds run side by side: more threads would only wait on each other
        layer, cost = choose({k: v[train] for k, v in features.items()}, y[train], speakers[train])
        return np.flatnonzero(test), probed(features[layer], y, train, test, cost), layer, cost


def fold_mean(y, predicted, folds) -> float:
    """UA a fold, averaged over folds, as the published rows are."""
    parts = [folds == fold for fold in np.unique(folds)]
    return float(np.mean([uar(y[part], predicted[part]) for part in parts]))


def score(corpus, folder, encoder, cache, workers) -> dict:
    """UA, WA and macro-F1 of one encoder on one corpus, with what each fold chose."""
    frame = read_folds(folder, corpus)
    start = time.perf_counter()
    states = embed(frame["path"], encoder, layer="all", pooling="mean+std", cache=cache)
    seconds = time.perf_counter() - start
    y, speakers = frame["emotion"].to_numpy(str), frame["speaker"].to_numpy(str)
    folds = frame["test_fold"].fillna(0).to_numpy(int)  # 0: only ever trained on
    job = partial(one_fold, features=candidates(states), y=y, speakers=speakers, folds=folds)
    with ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(job, [f for f in np.unique(folds) if f]))
    rows = np.concatenate([d[0] for d in done])
    predicted = np.concatenate([d[1] for d in done])
    y, speakers, folds = y[rows], speakers[rows], folds[rows]
    # Over all folds at once: where folds share speakers, one counts once all the same.
    value, low, high = interval(fold_mean, y, predicted, folds, speakers=speakers, limits=(0, 1))
    return {
        "ua": {"value": value, "low": low, "high": high, "n": len(rows)},
        "wa": accuracy_score(y, predicted),
        "macro_f1": f1_score(y, predicted, average="macro"),
        "speakers": len(np.unique(speakers)),
        "shared_speakers": corpus in SHARED_SPEAKERS,
        "layers": [d[2] for d in done],
        "costs": [d[3] for d in done],
        "embed_seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=Path, required=True, help="folder of <corpus>.csv")
    parser.add_argument("--encoder", nargs="+", default=["embedded"])
    parser.add_argument("--corpus", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--out", type=Path, default=Path("data/reference/folds.json"))
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    kept = json.loads(options.out.read_text()) if options.out.exists() else []
    for name in options.encoder:
        encoder = encoders.load(name)
        label = Path(name).name
        row = {
            "encoder": label,
            "key": encoder.key[:16],
            "parameters": sum(p.numel() for p in encoder.model.parameters()),
            "scoring": 1 + sum(r["encoder"] == label for r in kept),
            "corpora": {},
        }
        begun = [
            r
            for r in kept
            if r["key"] == row["key"] and not set(r["corpora"]) & set(options.corpus)
        ]
        if begun:  # the same weights on further corpora are the same scoring
            row = begun[-1]
        else:
            kept.append(row)
        for corpus in options.corpus:
            found = score(corpus, options.folds, encoder, options.cache, options.workers)
            row["corpora"][corpus] = found
            write_json(options.out, kept)
            ours, base, best = found["ua"]["value"] * 100, *PUBLISHED[corpus]
            print(
                f"{label:24s} {corpus:8s} UA {ours:5.1f}  WA {found['wa'] * 100:5.1f}  "
                f"published: wav2vec2-base {base}, best {best}  layers {found['layers']}",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        sys.exit(str(error))
