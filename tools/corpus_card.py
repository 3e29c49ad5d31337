"""Write data/corpus/README.md: no figure in it is typed by hand.

    python -m tools.corpus_card

Needs the finished corpus. Computing MFCC statistics takes about half a minute the first time.
"""

import argparse
import string
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

from helpers import features, metrics, probe, splits
from helpers.intervals import interval
from tools import corpus_rules as rules

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "data" / "corpus"
CACHE = ROOT / "data" / "cache" / "mfcc"
SEEDS = (0, 1, 2)


def predictions(table: pd.DataFrame, x: np.ndarray, folds: list[np.ndarray]) -> np.ndarray:
    """Logistic regression on standardised `x`: each fold predicted from all the others."""
    predicted = np.empty(len(table), dtype=object)
    for test in folds:
        train = np.setdiff1d(np.arange(len(table)), test)
        names = table.emotion.iloc[train]
        predicted[test] = probe.predict(x[test], *probe.fit(x[train], names, 0.1), np.unique(names))
    return predicted


def unseen_speakers(table: pd.DataFrame, x: np.ndarray, seed: int) -> np.ndarray:
    """Predictions for every clip by a model that never met its speaker (5 folds)."""
    return predictions(table, x, [turn.test for turn in splits.rotation(table, 5, seed)])


def random_split(table: pd.DataFrame, x: np.ndarray, seed: int) -> np.ndarray:
    """Predictions of 5 folds of clips in random order: speakers leak."""
    order = np.random.default_rng(seed).permutation(len(table))
    return predictions(table, x, np.array_split(order, 5))


def grid(header: list[str], lines: list[list]) -> str:
    """A Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def rule_lines() -> list[list]:
    return [
        [emotion, p, f"{value:+g}", rules.PARAMETERS[p][0], source]
        for emotion, wanted in rules.RULES.items()
        for p, (value, source) in wanted.items()
    ]


def count_lines(table: pd.DataFrame) -> list[list]:
    votes = table[[f"votes_{e}" for e in rules.EMOTIONS]].to_numpy()
    table = table.assign(agreed=np.array(rules.EMOTIONS)[votes.argmax(1)] == table.emotion)
    lines = []
    for emotion in rules.EMOTIONS:
        part = table[table.emotion == emotion]
        pad = part[["pleasure", "arousal", "dominance"]].mean()
        lines.append(
            [emotion, len(part), f"{part.seconds.mean():.2f}", f"{part.agreed.mean():.2f}"]
            + [f"{value:.2f}" for value in pad]
        )
    return lines


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()  # no option but --help
    table = pd.read_csv(CORPUS / "table.csv")
    paths = [CORPUS / path for path in table.path]
    table["seconds"] = [sf.info(str(path)).duration for path in paths]
    x, _, _ = features.mfcc_statistics(paths, cache=CACHE)
    measured = []
    for seed in SEEDS:
        unseen, leaked = unseen_speakers(table, x, seed), random_split(table, x, seed)
        known = {"speakers": table.speaker, "limits": (0, 1)}
        value, low, high = interval(metrics.uar, table.emotion, unseen, **known)
        flattered = metrics.uar(table.emotion, leaked)
        measured.append([seed, f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"{flattered:.3f}"])
        print(measured[-1])
    size = sum(path.stat().st_size for path in paths) / 1e6
    text = string.Template((ROOT / "tools" / "corpus_card.md").read_text(encoding="utf-8"))
    card = text.substitute(
        clips=len(table),
        speakers=table.speaker.nunique(),
        women=table[table.gender == "female"].speaker.nunique(),
        languages=", ".join(sorted(table.language.unique())),
        minutes=f"{table.seconds.sum() / 60:.0f}",
        shortest=f"{table.seconds.min():.1f}",
        longest=f"{table.seconds.max():.1f}",
        size=f"{size:.1f}",
        raters=rules.RATERS,
        pad_noise=rules.PAD_NOISE,
        normal=rules.INTENSITIES["normal"],
        strong=rules.INTENSITIES["strong"],
        weakest=min(s[5] for s in rules.SPEAKERS),
        strongest=max(s[5] for s in rules.SPEAKERS),
        counts=grid(
            "emotion,clips,mean seconds,votes agree,pleasure,arousal,dominance".split(","),
            count_lines(table),
        ),
        measured=grid(["seed", "UAR, unseen speakers", "95 %", "UAR, random split"], measured),
        rules=grid(["emotion", "parameter", "value", "unit", "rule"], rule_lines()),
        spread=grid(
            ["parameter", "unit", "between clips", "between speakers"],
            [[p, *cells] for p, cells in rules.PARAMETERS.items()],
        ),
        confusion=grid(
            ["played", *rules.EMOTIONS],
            [[e, *row] for e, row in rules.CONFUSION.items()] + [["(weak)", *rules.WEAK]],
        ),
        speakers_table=grid(
            ["speaker", "gender", "voice", "pitch", "vocal tract", "strength"],
            [list(speaker) for speaker in rules.SPEAKERS],
        ),
    )
    (CORPUS / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
