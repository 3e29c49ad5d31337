"""Probe encoders on the speakers that the distillation held back: for choosing between rounds.

    python -m tools.probe_held_out build/encoder data/encoders/embedded
    python -m tools.probe_held_out WHISPER --by-layer

A linear probe (mean and standard deviation over frames; layer and C chosen on the training
speakers) for the six emotions of nEMO and for happy against sad in CREMA-D, scored on the speakers
that `distil_encoder.py` held back. Labels serve this choice and nothing else; the corpora that the
encoder is measured on take no part. Figures are added to the last round in `training.json`.
With `--by-layer` the mean of every single layer is probed and printed instead: how deep to cut a
large encoder for lessons that read its last layer only (`tools/cut_encoder.py`).
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import corpora, encoders, metrics
from helpers.embed import embed
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.profiles import fast_bf16
from tools.benchmark_folds import candidates, choose, probed
from tools.teacher_targets import held_out

EVERY = 2  # of nEMO every other clip: its 9 speakers say the same sentences


def clips() -> dict[str, tuple[list, np.ndarray, np.ndarray]]:
    """Paths, emotions and speakers of each corpus, as its file names tell."""
    nemo = sorted((corpora.root() / "nemo" / "samples").iterdir())[::EVERY]
    crema = [
        p
        for p in sorted((corpora.root() / "crema_d" / "AudioWAV").iterdir())
        if p.stem.split("_")[2] in ("HAP", "SAD")
    ]
    return {
        name: (
            paths,
            np.array([p.stem.split("_")[at] for p in paths]),
            np.array([p.stem.split("_")[0] for p in paths]),
        )
        for name, paths, at in (("nemo", nemo, 1), ("crema_d", crema, 2))
    }


def score(encoder, paths, y, speakers, by_layer=False) -> dict[str, float]:
    """UAR on the speakers held back: of the layer chosen, or of each."""
    pooling = "mean" if by_layer else "mean+std"
    states = embed(paths, encoder, layer="all", pooling=pooling, cache="data/cache")
    usable = np.isfinite(states).all(axis=(1, 2))  # CREMA-D has a silent clip
    test = np.array([held_out(str(p)) for p in paths]) & usable
    train = ~test & usable

    def scored(features):
        inside = {k: v[train] for k, v in features.items()}
        layer, cost = choose(inside, y[train], speakers[train])
        return metrics.uar(y[test], probed(features[layer], y, train, test, cost))

    with threadpool_limits(1):
        if by_layer:
            return {str(k): scored({str(k): states[:, k]}) for k in range(states.shape[1])}
        return {"chosen": scored(candidates(states))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("encoders", type=Path, nargs="+", help="folders of encoders")
    parser.add_argument("--by-layer", action="store_true", help="print every layer, keep nothing")
    options = parser.parse_args()
    for folder in options.encoders:
        encoder = encoders.load(str(folder), "bfloat16" if fast_bf16() else "float32")
        found = {name: score(encoder, *each, options.by_layer) for name, each in clips().items()}
        for name, by in found.items():
            print(f"{folder.name}: {name}:", *(f"{k} {uar:.3f}" for k, uar in by.items()))
        if not options.by_layer:
            rounds = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            rounds[-1] |= {f"held_out_uar_{k}": round(v["chosen"], 4) for k, v in found.items()}
            write_json(folder / "training.json", rounds)


if __name__ == "__main__":
    try:
        main()
    except CourseError as error:
        sys.exit(str(error))
