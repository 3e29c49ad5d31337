"""The checks of lesson 01 against plausible wrong answers: each is told its own mistake."""

import librosa
import numpy as np
import pandas as pd
from sklearn.metrics import recall_score
from wrong_answers import catalogue

from helpers import metrics, splits
from helpers.exercises import unaided

PITCH, UAR, LEAK, VOICE = (
    f"def {head}:\n    " + "{}"
    for head in ("semitones(track, reference)", "my_uar(labels, predicted)",
                 "leaking_speakers(frame, turn)", "standardise_by_speaker(X, speakers)")
)  # fmt: skip
RIGHT_MEAN = "np.mean([np.mean(predicted[labels == k] == k) for k in np.unique({})])"
PARTS = "set(frame.speaker.iloc[turn.test]) & set(frame.speaker.iloc[np.r_[{}]])"
EACH = "pd.DataFrame(X).groupby(speakers).transform(lambda x: {}).to_numpy()"
OWN = "(x - x.mean()) / (x.std(ddof=0) or 1)"
# (exercise, answer, part of the message)
WRONG = [
    (1, PITCH.format("pass"), "ends without `return`"),
    (1, PITCH.format("return 12 * np.log2(np.nanmean(track) / reference)"), "one number a frame"),
    (1, PITCH.format("return np.nan_to_num(12 * np.log2(track / reference))"),
     "is NaN and stays NaN"),
    (1, PITCH.format("return 12 * np.log2(track)"), "0 semitones up"),
    (1, PITCH.format("return 12 * np.log(track / reference)"), "an octave is 12"),
    (1, PITCH.format("return 12 * (track / reference - 1)"), "up and down"),
    (1, PITCH.format("return np.round(12 * np.log2(track / reference))"), "on random pitches"),
    (2, UAR.format("pass"), "ends without `return`"),
    (2, UAR.format("return [np.mean(predicted[labels == k] == k) for k in np.unique(labels)]"),
     "return one number"),
    (2, UAR.format("return np.mean(labels == predicted)"), "this is accuracy: average"),
    (2, UAR.format("return recall_score(labels, predicted, average='weighted')"),
     "this is accuracy: average"),
    (2, UAR.format("return recall_score(labels, predicted, average='macro')"),
     "happy was never meant"),
    (2, UAR.format("return np.mean([np.mean(labels[predicted == k] == k) for k in np.unique("
                   "predicted)])"), "this is precision: of"),
    (2, UAR.format("return np.mean([np.mean(labels[predicted == k] == k) for k in np.unique("
                   "labels)])"), "this is precision: of"),
    (2, UAR.format("return 5 / 6"), "every clip right"),
    (2, UAR.format(f"return {RIGHT_MEAN.format('np.intersect1d(labels, predicted)')}"),
     "scikit-learn on random names"),
    (2, UAR.format(f"return {RIGHT_MEAN.format('np.union1d(labels, predicted)')}"),
     "has no recall"),
    (2, UAR.format("return metrics.uar(labels, predicted)"), "uar would solve"),
    (2, UAR.format(f"return {RIGHT_MEAN.format('labels')} ** (len(labels) < 9)"),
     "scikit-learn on random names"),
    (3, LEAK.format("pass"), "ends without `return`"),
    (3, LEAK.format("return len(" + PARTS.format("turn.train, turn.tune") + ")"),
     "return a sorted list"),
    (3, LEAK.format("return sorted(set(turn.test) & set(np.r_[turn.train, turn.stop, turn.tune]))"),
     "look up the speakers"),
    (3, LEAK.format("return sorted(turn.test)"), "not the numbers of rows"),
    (3, LEAK.format("return sorted(" + PARTS.format("turn.train, turn.stop") + ")"),
     "b tunes the threshold"),
    (3, LEAK.format("return sorted(set(frame.speaker.iloc[turn.test]))"), "nobody is in two"),
    (3, LEAK.format("return sorted(set(frame.speaker))"), "both are tested; you found"),
    (3, LEAK.format("s = frame.speaker.to_numpy(); rest = np.delete(s, turn.test)\n"
                    "    return sorted(set(s[turn.test]) & set(rest))"), "nobody is in two"),
    (3, LEAK.format("return sorted(" + PARTS.format("turn.train, turn.tune") + ")"),
     "with all three other parts"),
    (4, VOICE.format("pass"), "ends without `return`"),
    (4, VOICE.format("return X.mean(axis=0)"), "the shape stays"),
    (4, VOICE.format("return (X - X.mean(axis=0)) / X.std(axis=0)"), "their own mean"),
    (4, VOICE.format("return " + EACH.format("(x - x.mean()) / x.std(ddof=0)")), "divide by 1"),
    (4, VOICE.format("return " + EACH.format("x - x.mean()")), "their own mean"),
    (4, VOICE.format("return " + EACH.format("(x - x.mean()) / (x.std() or 1)")),
     "divides by n - 1"),
    (4, VOICE.format("r = " + EACH.format(OWN) + "; X[:] = r"
                     "; return r"), "work on a copy"),
    (4, VOICE.format("order = np.argsort(speakers, kind='stable'); X, speakers = X[order], "
                     "speakers[order]; return " + EACH.format(OWN)),
     "keep its place"),
]  # fmt: skip
RIGHT = [
    (1, PITCH.format("return librosa.hz_to_midi(track) - librosa.hz_to_midi(reference)")),
    (2, UAR.format("return recall_score(labels, predicted, average='macro', "
                   "labels=np.unique(labels))")),
    (3, LEAK.format("return np.array(sorted(" + PARTS.format("turn.tune, turn.train, turn.stop")
                    + "))")),
    (4, VOICE.format("return " + EACH.format(OWN))),
    (4, VOICE.format("return " + EACH.format(OWN).removesuffix(".to_numpy()"))),
]  # fmt: skip


def space():
    """A table like the lesson's, its rotation, and stand-ins for what exercise 4 prints."""
    n = 120
    frame = pd.DataFrame({
        "utterance": [f"u{i:03}" for i in range(n)], "speaker": [f"v{i % 10}" for i in range(n)],
        "emotion": [("happy", "sad", "angry")[i % 3] for i in range(n)],
    })  # fmt: skip
    rng = np.random.default_rng(0)
    return {
        "np": np, "pd": pd, "librosa": librosa, "splits": splits, "recall_score": recall_score,
        "metrics": metrics, "unaided": unaided,
        "frame": frame, "turns": splits.rotation(frame), "X": rng.normal(size=(n, 4)),
        "speakers": frame["speaker"].to_numpy(str), "labels": frame["emotion"].to_numpy(str),
        "uar": 0.5, "out_of_fold": lambda X, turns: frame["emotion"].to_numpy(str),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("01_data", space, WRONG, RIGHT)
