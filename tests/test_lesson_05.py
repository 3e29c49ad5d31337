"""The checks of lesson 05 against plausible wrong answers."""

import numpy as np
from scipy import stats
from scipy.special import logsumexp, softmax
from wrong_answers import catalogue

from helpers import detectors
from helpers.exercises import unaided


def relative(body, log="np.log(np.where(probs > 0, probs, 1))", axis=1):
    return (
        "def relative_entropy(probs):\n"
        f"    K = probs.shape[1]\n    H = -(probs * {log}).sum(axis={axis})\n    {body}"
    )


def energy(body, scaled="z / temperature"):
    return (
        "def my_energy(z, temperature=1.0):\n"
        f"    x = {scaled}\n    top = x.max(axis=1)\n"
        f"    total = np.exp(x - top[:, None]).sum(axis=1)\n    {body}"
    )


def most(body):
    return f"def keep_most(scores, rate):\n    s = np.sort(scores)\n    {body}"


TRIED = "next(float(t) for t in {} if np.mean({}) <= rate)"
ALL = "np.append(s, np.inf)"
WRONG = [
    (1, relative("pass"), "ends without `return`"),
    (1, relative("return H.mean() / np.log(K)"), "one number a row"),
    (1, relative("return H / np.log(K)", axis=0), "one number a row"),
    (1, relative("return H / np.log(K)", log="np.log(probs)"), "0 log 0"),
    (1, relative("return -H / np.log(K)"), "is the minus sign"),
    (1, relative("return H"), "divide by it"),
    (1, relative("return H / np.log2(K)"), "most uncertain: 1, not"),
    (1, relative("return H / K"), "most uncertain: 1, not"),
    (1, relative("return H / np.log(K)", log="np.log(np.where(probs > 0, probs, 0.5)) - (probs == "
                 "1)"), "a sure clip has entropy 0"),
    (1, relative("return (1 - (probs**2).sum(axis=1)) * K / (K - 1)"), "half of log 4"),
    (1, relative("return H / np.log(4)"), "number of columns"),
    (1, relative("return detectors.entropy(probs) / np.log(K)"), "entropy would solve"),
    (2, energy("pass"), "ends without `return`"),
    (2, energy("return -float((top + np.log(total))[0])"), "one number a row"),
    (2, energy("return temperature * (top + np.log(total))"), "the sign: higher is more unknown"),
    (2, energy("return -temperature * (top + np.log(total / z.shape[1]))"), "log of the \\*sum\\*"),
    (2, energy("return -temperature * np.log(np.exp(x).sum(axis=1))"), "1,000 overflows: subtract"),
    (2, energy("return -temperature * np.log(total)"), "put the maximum back"),
    (2, energy("return -(top + np.log(total))"), "stands in front"),
    (2, energy("return -temperature * (top + np.log(total))", "z"), "T divides the logits"),
    (2, energy("return -(top + np.log(total)) / temperature"), "stands in front"),
    (2, energy("m = x.max(); return -temperature * (m + np.log(np.exp(x - m).sum(axis=1)))"),
     "has its own maximum"),
    (2, energy("return detectors.energy(z, temperature)"), "energy would solve"),
    (3, most("pass"), "ends without `return`"),
    (3, most("return s[s >= np.quantile(s, 1 - rate)]"), "return one threshold"),
    (3, most("return s[int(rate * len(s))]"), "high scores are flagged"),
    (3, most("return " + TRIED.format(ALL, "s <= t")), "high scores are flagged"),
    (3, most("return " + TRIED.format(ALL, "s > t")), "the threshold itself is"),
    (3, most("return float(np.quantile(s, rate))"), "high scores are flagged"),
    (3, most("return np.inf"), "inf flags nobody"),
    (3, most("return next((t for t in s if np.mean(s >= t) <= rate), None)"),
     "infinity too; not None"),
    (3, most("return s[-1]"), "take the \\*lowest\\* threshold"),
    (3, most("return float(np.quantile(s, 1 - rate))"), "lets three of ten be flagged"),
    (3, most("return s[len(s) - int(rate * len(s))]"), "all is too many"),
    (3, most("return s[-1] + 1 if s[0] == s[-1] else s[len(s) - int(rate * len(s))]"),
     "random scores, some equal"),
]  # fmt: skip
RIGHT = [
    (1, relative("return stats.entropy(probs, base=K, axis=1)")),
    (1, relative("return H / np.log(K)", log="np.log(probs + 1e-12)")),
    (2, energy("return -temperature * logsumexp(z / temperature, axis=1)")),
    (2, energy("return list(-temperature * (top + np.log(total)))")),
    (3, most("return " + TRIED.format(ALL, "s >= t"))),
    (3, most("return " + TRIED.format("np.append(s, s[-1] + 1)", "s >= t"))),
]  # fmt: skip


def space():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3, size=(80, 5))
    return {
        "np": np, "stats": stats, "logsumexp": logsumexp, "detectors": detectors,
        "unaided": unaided, "logits": logits, "p_mean": softmax(logits, axis=1),
        "tune": [slice(40)],
        "averaged": lambda t, rows: (softmax(logits[rows], axis=1), logits[rows]),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("05_entropy_ood", space, WRONG, RIGHT)
