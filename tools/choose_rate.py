"""Ask which rate `full` should fine-tune at (lesson 02), on tuning speakers alone.

    SER_CORPORA=FOLDER python -m tools.choose_rate

Two turns of RAVDESS, the embedded encoder, everything else as in `full`. UAR and NLL on the tuning
speakers, before scaling, of each rate and of the probe that fine-tuning begins with (`probe`: no
epoch). The figures, a value a turn, go to `data/reference/rate.json`; the choice itself stands in
`helpers.profiles`.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax
from sklearn.metrics import log_loss

from helpers import corpora, finetune, metrics, turns
from helpers.files import write_json

OUT = Path("data/reference/rate.json")
CORPUS, TURNS = "ravdess", 2
RATES = {"probe": {"epochs": 0}, "1e-4": {"learning_rate": 1e-4}, "2e-5": {"learning_rate": 2e-5}}


def tuning_scores(art) -> dict[str, list[float]]:
    """UAR and NLL on the tuning speakers of each turn."""
    found = {"uar": [], "nll": []}
    for turn in range(art.turns):
        rows = art.part(turn, "tune")
        logits, y = art.logits[turn][rows], art.labels[rows]
        found["uar"].append(round(metrics.uar(y, logits.argmax(1)), 3))
        loss = log_loss(y, softmax(logits, axis=1), labels=np.arange(logits.shape[1]))
        found["nll"].append(round(float(loss), 3))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default="runs/rate", help="artefacts and cache")
    asked = parser.parse_args()
    frame, found = corpora.frame(CORPUS), {}
    for name, change in RATES.items():
        maker = finetune.FineTuned("embedded", "full")
        maker.settings = replace(maker.settings, **change)
        maker.about["settings"] = asdict(maker.settings)
        maker.name += f"-{name}"
        art = turns.artefact(frame, maker, 0, asked.folder, "rotation", TURNS)
        found[name] = tuning_scores(art)
        print(name, json.dumps(found[name]), flush=True)
    key = maker.about["encoder_key"]
    write_json(OUT, {"corpus": CORPUS, "turns": TURNS, "seed": 0, "key": key, "scores": found})


if __name__ == "__main__":
    main()
