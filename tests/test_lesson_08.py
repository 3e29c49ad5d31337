"""The checks of lesson 08 against plausible wrong answers."""

from types import SimpleNamespace

import numpy as np
from audmetric import concordance_cc
from wrong_answers import catalogue

from helpers import pad
from helpers.emotions import PAD
from helpers.exercises import unaided


def decide(
    accept="p[b] >= eta[b]", reject="p[b] < mu[b]", lead="p[b] - np.sort(p)[-2] >= delta[b]",
    out="b if {} else -1", b="int(np.argmax(p))",
):  # fmt: skip
    return (
        f"def decide_strictly(p, eta, mu, delta):\n    b = {b}\n    if {accept}: return b\n"
        f"    if {reject}:\n        return -1\n    return {out.format(lead)}"
    )


def between(body, w="np.linspace(0, 1, 1001)", candidates="candidates", line="(1 - w) * a + w * b"):
    return (
        "def names_between(a, b, candidates):\n    a, b = np.array(a), np.array(b)\n"
        f"    w = {w}[:, None]\n"
        f"    names = [str(x) for x in pad.name_points({line}, {candidates})[:, 0]]\n"
        f"    {body}"
    )


def ccc(body, cov="np.mean((t - t.mean()) * (g - g.mean()))", ddof=0):
    return (
        f"def my_ccc(t, g):\n    cov = {cov}\n"
        f"    vt, vg = t.var(ddof={ddof}), g.var(ddof={ddof})\n"
        f"    gap = (t.mean() - g.mean()) ** 2\n    {body}"
    )


MET, AGREES = "return list(dict.fromkeys(names))", "return 2 * cov / (vt + vg + gap)"
WRONG = [
    (1, "def decide_strictly(p, eta, mu, delta): pass", "ends without `return`"),
    (1, "def decide_strictly(p, eta, mu, delta): return np.where(p >= eta, 1, -1)",
     "number of one class"),
    (1, decide(out="-1", accept="False"), "accept class 0"),
    (1, decide(accept="p[b] > eta[b]", lead="p[b] - np.sort(p)[-2] > 0.9"), "0.8 reaches η ="),
    (1, decide(reject="p[b] <= mu[b]"), "not below μ"),
    (1, decide(lead="p[b] - np.sort(p)[-2] > delta[b]"), "of 0.25 reaches δ"),
    (1, decide(lead="p[b] - p.min() >= delta[b]"), "over the second"),
    (1, decide(out="b"), "over the second"),
    (1, decide(reject="(p < mu).all()"), "unknown, however large"),
    (1, "decide_strictly = my_decision", "unknown, however large"),
    (1, decide(lead="p[b] - np.sort(p)[-2] >= delta[0]"), "each class has its own"),
    (1, decide(reject="p[b] < mu[0]", lead="p[b] - np.sort(p)[-2] >= delta[b]"),
     "200 random clips"),
    (2, between("pass"), "ends without `return`"),
    (2, between("return ', '.join(dict.fromkeys(names))"), "return a list"),
    (2, between("return names"), "each name once"),
    (2, between("return sorted(set(names))"), "from a to b"),
    (2, between(MET, line="(1 - w) * b + w * a"), "from neutral to sad"),
    (2, between("return [names[0], names[-1]]"), "sliver of calm"),
    (2, between(MET, w="np.linspace(0, 1, 5)"), "sliver of calm"),
    (2, between(MET, candidates="PAD"), "only with the candidates"),
    (2, between(MET, w="np.linspace(0, 1, 500)"), "a thin sliver"),
    (2, between(MET, w="np.linspace(0, 1, 501)"), "a thin sliver"),
    (2, between("return [n for n in dict.fromkeys(names) if n in PAD or n in "
                "('left', 'right')]"), "six random vectors"),
    (3, ccc("pass"), "ends without `return`"),
    (3, ccc("return np.array([cov, vt])"), "return one number"),
    (3, ccc("return cov / np.sqrt(vt * vg)"), "this is a correlation"),
    (3, ccc("return 2 * cov / (vt + vg)"), "this is a correlation"),
    (3, ccc("return np.corrcoef(t, g)[0, 1]"), "this is a correlation"),
    (3, ccc("return cov / (vt + vg + gap)"), "factor 2 is missing"),
    (3, ccc("return 2 * cov / (vt + vg + gap**0.5)"), "the means is squared"),
    (3, ccc(AGREES, cov="np.cov(t, g)[0, 1]", ddof=1), "divide by n"),
    (3, ccc(AGREES, cov="np.cov(t, g)[0, 1]"), "2.5 / 6.5"),
    (3, ccc(AGREES, cov="np.sum((t - t.mean()) * (g - g.mean()))"), "2.5 / 6.5"),
    (3, ccc("return 2 * vt / (vt + vg + gap)"), "three times x"),
    (3, ccc("return 2 * np.sqrt(vt * vg) / (vt + vg + gap)"), "60 random pairs"),
    (3, ccc("return concordance_cc(t, g)"), "concordance_cc would solve"),
]  # fmt: skip
RIGHT = [
    (1, decide().replace("int(np.argmax(p))", "max(range(len(p)), key=lambda c: p[c])")),
    (2, between("return np.array(list(dict.fromkeys(names)))")),
    (2, between(MET, w="np.linspace(0, 1, 1000)")),
    (3, ccc("return 1 - np.mean((t - g) ** 2) / (vt + vg + gap)")),
]  # fmt: skip


def my_decision(p, eta, mu, delta):
    best, lead = p.argmax(), np.diff(np.sort(p))[-1]
    if p[best] >= eta[best]:
        return best
    if (p < mu).all():
        return -1
    return best if lead >= delta[best] else -1


def space():
    rng = np.random.default_rng(0)
    return {
        "np": np, "pad": pad, "PAD": PAD, "unaided": unaided, "concordance_cc": concordance_cc,
        "my_decision": my_decision, "p_0": rng.dirichlet(np.ones(3), 20), "mine": np.zeros(20),
        "rule": SimpleNamespace(eta_=np.full(3, 0.8), mu_=np.full(3, 0.5), delta_=np.full(3, 0.2)),
    }  # fmt: skip


test_wrong, test_right, test_solution = catalogue("08_pad_labelling", space, WRONG, RIGHT)
