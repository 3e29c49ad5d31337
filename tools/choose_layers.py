"""Ask whether training speakers should choose which layers heads on frozen states read.

    SER_CORPORA=FOLDER python -m tools.choose_layers [--encoder FOLDER]

Frozen heads on nEMO and on CREMA-D (happy, sad): no corpus that the course reports on. Candidates
are all subsets of `Encoder.head_layers`. In turn a fold of speakers is scored, by ten skewed clips
of each or with nobody enrolled; of the others, cross-validation over speakers chooses layers and C
together. UAR of the choice, and of each subset as if fixed beforehand, less the UAR of all three:
paired, over speakers. All goes to `data/reference/layers.json`.
"""

import argparse
import json
from itertools import combinations
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from helpers import encoders, metrics, probe
from helpers.embed import embed
from helpers.files import write_json
from helpers.intervals import interval, paired
from helpers.profiles import dtype_for
from helpers.voice import SIZE, VoicedProbe, draw
from tools.probe_held_out import clips

OUT = Path("data/reference/layers.json")
FOLDS, DRAWS, MOST = 3, 6, 700  # training clips at most: as in `quick`
CHOSEN = "chosen inside"


def subsets(layers) -> list[tuple[int, ...]]:
    """All layers first, then fewer and fewer."""
    return [c for k in range(len(layers), 0, -1) for c in combinations(layers, k)]


def heard(rows, y, speakers, train, drawn, voiced) -> tuple[dict[str, np.ndarray], str]:
    """What each subset says of all clips, (draws, n), and the subset that `train` chooses.

    `rows`: embeddings (n, d) by the subset's name.
    """
    size = min(SIZE, len(train) // 2, *(X.shape[1] for X in rows.values()))
    spaces = {name: VoicedProbe(size, voiced) for name in rows}
    points = [spaces[name].fit_space(X[train], speakers[train]) for name, X in rows.items()]
    found = probe.choose(np.stack(points, axis=1), y[train], speakers[train])
    said = {}
    for (name, X), here, scores in zip(rows.items(), points, found.scores, strict=True):
        space = spaces[name]
        space.head_ = probe.fit(here, y[train], probe.STRENGTHS[scores.argmax()])
        enrolled = [space.enrol(X[mine], speakers[mine]) for mine in drawn]
        said[name] = np.stack([e.decision_function(X, speakers).argmax(1) for e in enrolled])
    return said, list(rows)[found.layer]


def compare(states, layers, y, speakers, neutral: int, voiced: bool) -> dict:
    """Gains over all `layers`, in points of UAR with their intervals, of a corpus."""
    rows = {
        ", ".join(map(str, s)): states[:, list(s)].reshape(len(states), -1) for s in subsets(layers)
    }
    drawn = [draw("skewed", y, speakers, neutral, seed) for seed in range(DRAWS)]
    said = {name: np.full((len(y), DRAWS), -1) for name in (*rows, CHOSEN)}  # -1: not scored
    choices, rng = [], np.random.default_rng(0)
    for train, test in GroupKFold(FOLDS).split(y, groups=speakers):
        train = rng.permutation(train)[:MOST]
        mine = [np.intersect1d(d.clips[-1], test) for d in drawn]
        here, best = heard(rows, y, speakers, train, mine, voiced)
        choices.append(best)
        for i, d in enumerate(drawn):
            scored = np.intersect1d(d.scored, test)
            for name in said:
                said[name][scored, i] = here[best if name == CHOSEN else name][i, scored]

    def uar(predicted, y):
        by_draw = [metrics.uar(y[p >= 0], p[p >= 0]) for p in predicted.T]
        return 100 * np.mean(by_draw)

    everything = next(iter(rows))
    gains = {
        name: paired(uar, p, said[everything], y, speakers=speakers)
        for name, p in said.items()
        if name != everything
    }
    uar_all = interval(uar, said[everything], y, speakers=speakers)
    gains = {name: np.round(gain, 1).tolist() for name, gain in gains.items()}
    return {"chosen": choices, "uar": np.round(uar_all, 1).tolist(), "gain": gains}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="embedded", help="as for `ser-course run`")
    asked = parser.parse_args()
    encoder = encoders.load(asked.encoder, dtype_for("quick"))
    kept = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
    here = kept[Path(encoder.name).name] = {"layers": encoder.head_layers, "key": encoder.key}
    for corpus, (paths, emotions, speakers) in clips().items():
        states = embed(paths, encoder, layer="all", pooling="mean+std", cache="data/cache")
        usable = np.isfinite(states).all(axis=(1, 2))
        classes, y = np.unique(emotions[usable], return_inverse=True)
        neutral = list(classes).index("neutral") if "neutral" in classes else -1
        with threadpool_limits(1):
            here[corpus] = {
                name: compare(
                    states[usable], encoder.head_layers, y, speakers[usable], neutral, voiced
                )
                for name, voiced in (("enrolled", True), ("nobody", False))
            }
        print(corpus, json.dumps(here[corpus], indent=1), flush=True)
    write_json(OUT, kept)


if __name__ == "__main__":
    main()
