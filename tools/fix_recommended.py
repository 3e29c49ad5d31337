"""Fix the settings of the recommended OpenMax on one corpus, to be reported on the other.

    ser-course run 02 --corpus ravdess emodb --seed 0 1 2 --profile full --out runs/reference
    python tools/fix_recommended.py runs/reference

For each main corpus: the mean F1 of "unknown" on pseudo-unknowns, over all turns and seeds, of
every setting; the best goes to `data/reference/recommended.json`. No clip of an unknown emotion
and no test clip has a say. Lesson 06 then uses on each corpus what the *other* one chose.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np

from helpers import corpora, pseudo, results, rivals, training

OPTIONS = rivals.GRIDS["recommended"]


def found(run: Path, setting: dict) -> np.ndarray:
    """Mean F1 and AUROC of each option on the pseudo-unknowns of a run: `(options, 2)`."""
    frame = corpora.frame(setting["corpus"])
    art = training.artefact(frame, setting["encoder"], setting["seeds"][0], setting["profile"], run)
    frozen = training.frozen(art, frame, setting["encoder"], run)
    rows = []
    for turn in range(art.turns):
        case = rivals.case(art, turn)
        trials = pseudo.trials(frozen, art.labels, art.speakers, case.fit, case.held, case.held)
        scored = pseudo.tune(dict(enumerate(OPTIONS)), trials.values())
        rows.append([[scored[i].f1, scored[i].auroc] for i in range(len(OPTIONS))])
    return np.mean(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of a sweep over both corpora")
    sweep = parser.parse_args().sweep
    kept = {}
    for corpus in sorted(rivals.OTHER):
        scored, seeds = [], []
        for path in sorted(sweep.glob(f"{corpus}-embedded-*/results.json")):
            done = results.read_results(path)
            if "02_fine_tune" not in done["notebooks"]:
                print(f"{path.parent.name}: lesson 02 has not been run there; left out")
                continue
            scored.append(found(path.parent, done["run"]))
            seeds += done["run"]["seeds"]
        if not scored:
            raise SystemExit(f"{sweep}: no run of {corpus} with the embedded encoder in it")
        mean = np.mean(scored, axis=0)
        best = int(mean[:, 0].argmax())
        for option, (f1, auroc) in zip(OPTIONS, mean, strict=True):
            print(f"{corpus}: {rivals.settings(option)}: F1 {f1:.3f}, AUROC {auroc:.3f}")
        kept[corpus] = {**asdict(OPTIONS[best]), "pseudo_f1": round(float(mean[best, 0]), 4),
                        "pseudo_auroc": round(float(mean[best, 1]), 4), "seeds": seeds}
    results.write_json(rivals.FIXED, kept)


if __name__ == "__main__":
    main()
