"""Ask the pseudo-unknowns of several corpora which detector is best, to be reported on others.

    SER_CORPORA=FOLDER python -m tools.fix_recommended --out runs/reference

The corpora are the two main ones and nEMO: for a main corpus one other alone would choose.
Enrolled spaces of a frozen encoder, nobody enrolled, all turns of the rotation. For each corpus:
the AUROC of every detector, by the settings that its pseudo-unknowns chose turn by turn, and the
F1 of "unknown" of every setting of the recommended form, both on pseudo-unknowns and a mean over
turns and seeds. They go to `data/reference/recommended.json`; `contest.elsewhere` reads them. No
clip of an unknown emotion and no test clip has a say.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np

from helpers import contest, finetune, pseudo
from helpers.files import write_json
from helpers.opening import enrolled, opened
from tools import nemo

ASKED = ("emodb", "ravdess", "nemo")


def listed(out: Path) -> str:
    """nEMO, which is no corpus of the course, as a list that `--corpus` could name."""
    out.mkdir(parents=True, exist_ok=True)
    nemo.frame().to_csv(out / "nemo.csv", index=False)
    return f"folder:{out / 'nemo.csv'}"


def found(corpus: str, encoder: str, seed: int, out: Path) -> dict[str, dict[str, float]]:
    """Mean over turns: `auroc` of each detector, `openmax`: F1 of each of its settings."""
    nobody = enrolled(opened(corpus, encoder, seed, "full", out, kind=finetune.Frozen), k=0)
    art = nobody.art
    options = {(n, i): d for n, grid in contest.GRIDS.items() for i, d in enumerate(grid)}
    auroc, f1 = [], []
    for turn in range(art.turns):
        here, space = contest.case(art, turn), partial(nobody.frozen, turn)
        trials = pseudo.trials(space, art.labels, art.speakers, here.fit, here.held, here.held)
        scored = pseudo.tune(options, trials.values())
        own = {n: [scored[n, i] for i in range(len(contest.GRIDS[n]))] for n in contest.GRIDS}
        auroc.append([max(every, key=lambda one: one.f1).auroc for every in own.values()])
        f1.append([one.f1 for one in own["openmax"]])
    settings = [contest.chosen("openmax", detector) for detector in contest.GRIDS["openmax"]]
    means = (np.mean(values, axis=0).round(4).tolist() for values in (auroc, f1))
    return {
        "auroc": dict(zip(contest.GRIDS, next(means), strict=True)),
        "openmax": dict(zip(settings, next(means), strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="embedded", help="as for `ser-course run`")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/reference"))
    asked = parser.parse_args()
    kept = json.loads(contest.FIXED.read_text(encoding="utf-8")) if contest.FIXED.is_file() else {}
    for corpus in ASKED:
        named = listed(asked.out) if corpus == "nemo" else corpus
        every = [found(named, asked.encoder, seed, asked.out) for seed in asked.seed]
        mean = {
            what: {n: float(np.mean([one[what][n] for one in every])) for n in every[0][what]}
            for what in every[0]
        }
        kept.setdefault(Path(asked.encoder).name, {})[corpus] = mean | {"seeds": asked.seed}
        for what, scores in mean.items():
            for name, value in sorted(scores.items(), key=lambda item: -item[1]):
                print(f"{corpus}, {what}, {name}: {value:.3f}")
    write_json(contest.FIXED, kept)


if __name__ == "__main__":
    main()
