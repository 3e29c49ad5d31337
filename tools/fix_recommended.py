"""Fix the settings of the recommended OpenMax on one corpus, to be reported on the other.

    ser-course run 02 --corpus ravdess emodb --seed 0 1 2 --profile full --out runs/reference
    python -m tools.fix_recommended runs/reference

For each encoder and main corpus: the mean F1 of "unknown" on pseudo-unknowns, over all turns and
seeds, of every setting; the best goes to `data/reference/recommended.json`. No clip of an unknown
emotion and no test clip has a say. Lesson 06 then uses on each corpus what the *other* one chose.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from course.folders import runs
from helpers import contest, corpora, finetune, pseudo, results
from helpers.files import write_json

OPTIONS = contest.GRIDS["openmax"]


def found(run: Path, setting: dict) -> np.ndarray:
    """Mean F1 and AUROC of each option on the pseudo-unknowns of a run: `(options, 2)`."""
    frame = corpora.frame(setting["corpus"])
    art = finetune.artefact(frame, setting["encoder"], setting["seeds"][0], setting["profile"], run)
    frozen = finetune.frozen(art, frame, setting["encoder"], run)
    rows = []
    for turn in range(art.turns):
        case = contest.case(art, turn)
        trials = pseudo.trials(frozen, art.labels, art.speakers, case.fit, case.held, case.held)
        scored = pseudo.tune(dict(enumerate(OPTIONS)), trials.values())
        rows.append([[scored[i].f1, scored[i].auroc] for i in range(len(OPTIONS))])
    return np.mean(rows, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, help="folder of a sweep over both corpora")
    sweep = parser.parse_args().sweep
    scored: dict[tuple[str, str], list] = {}
    for path in runs(sweep).values():
        done = results.read_results(path / "results.json")
        about, corpus = done["run"], done["run"]["corpus"]
        if corpus not in contest.OTHER:
            continue
        if "02_fine_tune" not in done["notebooks"]:
            print(f"{path.name}: lesson 02 has not been run there; left out")
            continue
        once = found(path, about), about["seeds"]
        scored.setdefault((Path(about["encoder"]).name, corpus), []).append(once)
    if not scored:
        raise SystemExit(f"{sweep}: no run of {' or '.join(contest.OTHER)} in it")
    kept = json.loads(contest.FIXED.read_text(encoding="utf-8")) if contest.FIXED.is_file() else {}
    for (encoder, corpus), runs_of in sorted(scored.items()):
        mean = np.mean([figures for figures, _ in runs_of], axis=0)
        best = int(mean[:, 0].argmax())
        for option, (f1, auroc) in zip(OPTIONS, mean, strict=True):
            setting = contest.chosen("openmax", option)
            print(f"{encoder}, {corpus}: {setting}: F1 {f1:.3f}, AUROC {auroc:.3f}")
        kept.setdefault(encoder, {})[corpus] = {
            "distance": OPTIONS[best].distance,
            "tail": OPTIONS[best].tail,
            "pseudo_f1": round(float(mean[best, 0]), 4),
            "pseudo_auroc": round(float(mean[best, 1]), 4),
            "seeds": sorted(seed for _, seeds in runs_of for seed in seeds),
        }
    write_json(contest.FIXED, kept)


if __name__ == "__main__":
    main()
