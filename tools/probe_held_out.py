"""Probe encoders on the speakers that the distillation held back: for choosing between rounds.

    python tools/probe_held_out.py build/encoder data/encoders/embedded

A linear probe (mean and standard deviation over frames; layer and C chosen on the training
speakers) for the six emotions of nEMO and for happy against sad in CREMA-D, scored on the speakers
that `distil_encoder.py` held back. Labels serve this choice and nothing else; the corpora that the
encoder is measured on take no part. Figures are added to the last round in `training.json`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from helpers import corpora, encoders, metrics, results
from tools.benchmark_folds import candidates, choose, probe
from tools.distil_encoder import held_out

EVERY = 2  # of nEMO every other clip: its 9 speakers say the same sentences


def clips() -> dict[str, tuple[list, np.ndarray, np.ndarray]]:
    """Paths, emotions and speakers of each corpus, as its file names tell."""
    nemo = sorted((corpora.root() / "nemo" / "samples").iterdir())[::EVERY]
    crema = [p for p in sorted((corpora.root() / "crema_d" / "AudioWAV").iterdir())
             if p.stem.split("_")[2] in ("HAP", "SAD")]
    return {name: (paths, np.array([p.stem.split("_")[at] for p in paths]),
                   np.array([p.stem.split("_")[0] for p in paths]))
            for name, paths, at in (("nemo", nemo, 1), ("crema_d", crema, 2))}


def score(encoder, paths, y, speakers) -> float:
    """UAR on the speakers held back."""
    states = encoders.embed(paths, encoder, layer="all", pooling="mean+std", cache="data/cache")
    usable = np.isfinite(states).all(axis=(1, 2))  # CREMA-D has a silent clip
    test = np.array([held_out(str(p)) for p in paths]) & usable
    train = ~test & usable
    features = candidates(states)
    with threadpool_limits(1):
        layer, cost = choose({k: v[train] for k, v in features.items()}, y[train], speakers[train])
        model = probe(cost).fit(features[layer][train], y[train])
        return metrics.uar(y[test], model.predict(features[layer][test]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", type=Path, nargs="+", help="folders with a training.json")
    for folder in parser.parse_args().encoders:
        encoder = encoders.load(str(folder), "bfloat16")
        rounds = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        for name, found in clips().items():
            rounds[-1][f"held_out_uar_{name}"] = round(score(encoder, *found), 4)
            print(f"{folder}: {name}: UAR {rounds[-1][f'held_out_uar_{name}']:.3f}", flush=True)
        results.write_json(folder / "training.json", rounds)


if __name__ == "__main__":
    main()
