"""Measure what the course's 95 % intervals hold where speakers are few.

    python -m tools.simulate_intervals --estimate    # effects of speakers, from real speech
    python -m tools.simulate_intervals               # coverage and width at 4, 6, 10, 24 speakers

The logits of a clip of emotion e by speaker s are normal: `mean[e] + turn + speaker[s] +
interaction[s, e] + clip`. Means, the four covariances and the speakers' clip counts are estimated
by moments on the test clips of EMO-DB and RAVDESS, heads on the frozen encoder; they stand in
`data/reference/speaker_effects.json`. A draw makes n new speakers, dealt to at most five turns
whose models stay the same. The truth is the mean of a figure over all draws, what is needed twice
t(n - 1) times its standard deviation. The table: `data/reference/intervals.json`.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import t as student

from helpers import metrics
from helpers.encoders import load
from helpers.errors import CourseError
from helpers.files import write_json
from helpers.intervals import interval, paired

REFERENCE = Path(__file__).resolve().parents[1] / "data" / "reference"
EFFECTS, TABLE = REFERENCE / "speaker_effects.json", REFERENCE / "intervals.json"
CORPORA = ("emodb", "ravdess")
SPEAKERS = (4, 6, 10, 24)
FOLDS = 5
PARTS = ("turn", "speaker", "interaction", "clip")


# --- effects of speakers ----------------------------------------------------------------------


def _covariance(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix without a negative eigenvalue: a difference of moments may have one."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def moments(logits, tuned, emotion, speaker, turn) -> dict:
    """Effects from logits (m, K) of test clips, and `tuned`: by the model that tuned on them.

    `emotion`, `speaker`, `turn (m,)`: numbers from 0 up. The same clips under two models tell
    turns apart from the speakers that are tested in them.
    """
    K, cells = logits.shape[1], np.stack([speaker, emotion], axis=1)
    S, E = cells.max(axis=0) + 1
    counts = np.zeros((S, E), dtype=int)
    np.add.at(counts, (speaker, emotion), 1)
    sums = np.zeros((S, E, K))
    np.add.at(sums, (speaker, emotion), logits)
    means = np.where(counts[:, :, None] > 0, sums / np.maximum(counts, 1)[:, :, None], np.nan)
    inside = logits - means[speaker, emotion]
    clip = inside.T @ inside / (len(logits) - np.sum(counts > 0))
    steps = np.stack([(logits - tuned)[turn == t].mean(axis=0) for t in np.unique(turn)])
    between_turns = steps.T @ steps / len(steps) / 2
    mean = np.nanmean(means, axis=0)
    off = means - mean
    of_speaker = np.nanmean(off, axis=1)
    rest = (off - of_speaker[:, None])[counts > 0]
    share = 1 / counts[counts > 0]
    interaction = rest.T @ rest / (np.sum(counts > 0) - S - E + 1) - clip * share.mean()
    interaction = _covariance(interaction)
    noise = (interaction + clip * share.mean()) / E + between_turns
    found = {
        "turn": between_turns,
        "speaker": _covariance(np.cov(of_speaker.T) - noise),
        "interaction": interaction,
        "clip": clip,
    }
    tables = {name: matrix.round(4).tolist() for name, matrix in found.items()}
    return {"mean": mean.round(3).tolist()} | tables | {"clips": counts.tolist()}


def estimate(corpus: str) -> dict:
    """Embed a corpus, fit a head a turn on the training speakers, take the moments."""
    from helpers import corpora, embed, emotions, probe, splits

    frame = corpora.frame(corpus)
    known, unknown = emotions.partition(corpus, set(frame["emotion"]))
    names = [*known, *unknown]
    X = embed.embed(frame["path"], load("embedded"))
    emotion = np.array([names.index(e) for e in frame["emotion"]])
    turns = splits.rotation(frame, FOLDS, seed=0)
    logits = np.full((len(turns), len(frame), len(known)), np.nan)
    for turn in turns:
        train = np.concatenate([turn.train, turn.stop])
        train = train[emotion[train] < len(known)]
        weight, bias = probe.fit(X[train], emotion[train])
        logits[turn.index] = X @ weight.T + bias
    test = np.concatenate([turn.test for turn in turns])
    at = np.repeat([turn.index for turn in turns], [len(turn.test) for turn in turns])
    speaker = np.unique(frame["speaker"], return_inverse=True)[1]
    effects = moments(logits[at, test], logits[at - 1, test], emotion[test], speaker[test], at)
    return {"emotions": names, "known": len(known)} | effects


# --- one sample of new speakers ---------------------------------------------------------------


def draw(effects: dict, n: int, rng, models):
    """Clips of n new speakers: logits (m, K), labels (m,), -1 unknown, speakers and turns (m,)."""
    mean = np.array(effects["mean"])
    (E, K), turns = mean.shape, min(FOLDS, n)
    root = {
        part: np.linalg.cholesky(np.array(effects[part]) + 1e-3 * np.eye(K)).T for part in PARTS
    }
    clips = np.array(effects["clips"])[rng.integers(len(effects["clips"]), size=n)]
    of_model = models.standard_normal((turns, 1, K)) @ root["turn"]
    at = mean + of_model[np.arange(n) % turns]
    at = at + rng.standard_normal((n, 1, K)) @ root["speaker"]
    at = at + rng.standard_normal((n, E, K)) @ root["interaction"]
    cell = np.repeat(np.arange(n * E), clips.ravel())
    logits = at.reshape(-1, K)[cell] + rng.standard_normal((len(cell), K)) @ root["clip"]
    speakers, emotion = np.divmod(cell, E)
    return logits, np.where(emotion < K, emotion, -1), speakers, speakers % turns


def figures(logits, labels, speakers, turns) -> dict[str, tuple]:
    """`(value, low, high)` of the figures that the table is about, and of no others."""
    unknown = labels < 0
    z, y, known = logits[~unknown], labels[~unknown], {"speakers": speakers[~unknown]}
    sharp, soft = softmax(z, axis=1), softmax(z / 1.5, axis=1)
    said, other = z.argmax(axis=1), (z + np.arange(z.shape[1]) / 3).argmax(axis=1)
    second = np.argsort(z, axis=1)[:, -2:]
    p = softmax(logits, axis=1)
    entropy, largest = -(p * np.log(p + 1e-12)).sum(axis=1), -logits.max(axis=1)
    ranked, share = {"speakers": speakers, "turns": turns}, {"limits": (0, 1)}

    def recall(predicted, truth):
        return metrics.uar(truth, predicted)

    def f1(flagged, truth):
        return metrics.f1_unknown(flagged, truth, 1 / 3)

    return {
        "UAR": interval(recall, said, y, **known, **share),
        "a share near 1": interval(np.mean, (second == y[:, None]).any(axis=1), **known, **share),
        "ECE": interval(metrics.ece, sharp, y, **known, **share),
        "NLL": interval(metrics.nll, sharp, y, **known, limits=(0, np.inf)),
        "Brier": interval(metrics.brier, sharp, y, **known, limits=(0, 2)),
        "AURC": interval(
            metrics.aurc, sharp.max(axis=1), said == y, **known, turns=turns[~unknown], **share
        ),
        "AUROC": interval(metrics.auroc, entropy, unknown, **ranked, **share),
        "FPR95": interval(metrics.fpr95, entropy, unknown, **ranked, **share),
        "F1 of unknown": interval(f1, entropy > 0.7, unknown, speakers=speakers, **share),
        "UAR, paired": paired(recall, said, other, y, **known),
        "ECE, paired": paired(metrics.ece, sharp, soft, y, **known),
        "NLL, paired": paired(metrics.nll, sharp, soft, y, **known),
        "Brier, paired": paired(metrics.brier, sharp, soft, y, **known),
        "AUROC, paired": paired(metrics.auroc, entropy, largest, unknown, **ranked),
        "F1, paired": paired(f1, entropy > 0.7, largest > -3, unknown, speakers=speakers),
    }


def simulate(effects: dict, n: int, draws: int, seed: int = 0) -> dict[str, dict]:
    """Coverage, and mean width over what is needed, of every figure at n speakers."""
    rng, found = np.random.default_rng([seed, n]), {}
    for _ in range(draws):
        sample = draw(effects, n, rng, np.random.default_rng([seed, n, 1]))
        for name, ends in figures(*sample).items():
            found.setdefault(name, []).append(ends)
    table = {}
    for name, ends in found.items():
        value, low, high = np.array(ends, dtype=float).T
        truth, needed = value.mean(), 2 * student.ppf(0.975, n - 1) * value.std(ddof=1)
        entry = {
            "value": truth,
            "coverage": np.mean((low <= truth) & (truth <= high)),
            "width": np.mean(high - low),
            "width_over_needed": np.mean(high - low) / needed,
        }
        table[name] = {key: round(float(number), 4) for key, number in entry.items()}
    return table


def main() -> None:
    import json

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--estimate", action="store_true", help="estimate the effects anew")
    parser.add_argument("--draws", type=int, default=2000, help="samples of each size (2000)")
    args = parser.parse_args()
    if args.estimate:
        try:
            effects = {corpus: estimate(corpus) for corpus in CORPORA}
            write_json(EFFECTS, {"encoder_key": load("embedded").key} | effects)
        except CourseError as error:
            raise SystemExit(str(error)) from error
        return
    effects = json.loads(EFFECTS.read_text(encoding="utf-8"))
    tables = {
        corpus: {str(n): simulate(effects[corpus], n, args.draws) for n in SPEAKERS}
        for corpus in CORPORA
    }
    of = {"encoder_key": effects["encoder_key"], "draws": args.draws}
    write_json(TABLE, of | {"corpora": tables})


if __name__ == "__main__":
    main()
