"""Scores for "unknown": hand-computed values, properties, degenerate input."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import arrays as checks
from helpers import clustering, metrics, pad, probe
from helpers.detectors import (
    OF_LOGITS,
    OF_PROBABILITIES,
    Confidence,
    Oracle,
    TripletThresholds,
    energy,
    entropy,
    margin,
    max_logit,
    mean_probabilities,
    msp,
)
from helpers.distances import (
    Mahalanobis,
    MinMinusStd,
    NearestNeighbours,
    RelativeMahalanobis,
    ViM,
)
from helpers.emotions import PAD
from helpers.errors import CourseError
from helpers.odin import ODIN, ReAct
from helpers.openmax import BendaleOpenMax, OpenMax, PrintedOpenMax

LOGITS = arrays(np.float64, (6, 4), elements=st.floats(-20, 20))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def groups(rng, counts=(30, 40, 50), size=6):
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.normal(size=(len(counts), size)) * 2
    return centres[labels] + rng.normal(size=(len(labels), size)), labels


def test_segments_are_averaged_after_the_softmax():
    # Row 0 has two segments that contradict each other, row 1 a single one.
    segments = np.log([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]])
    probs = mean_probabilities(segments, [0, 1, 0])
    assert np.allclose(probs, [[0.5, 0.5], [0.5, 0.5]])
    hot = mean_probabilities(segments[:1], [0], temperature=2.0)
    assert np.allclose(hot, [[0.75, 0.25]])  # square roots of 0.9 and 0.1 are as 3 to 1


def test_scores_by_hand():
    probs = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert np.allclose(entropy(probs), [np.log(2), 0])
    assert np.allclose(msp(probs), [0.5, 0])
    assert np.allclose(margin(probs), [1, 0])
    logits = np.log([[1.0, 2.0, 5.0]])
    assert np.allclose(max_logit(logits), -np.log(5))
    assert np.allclose(energy(logits), -np.log(8))
    assert np.allclose(energy(logits, 2.0), -2 * np.log(1 + 2**0.5 + 5**0.5))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_confidence_is_its_score_at_the_temperature(temperature):
    logits = np.random.default_rng(0).normal(size=(20, 4))
    for name, score in (OF_PROBABILITIES | OF_LOGITS).items():
        found = Confidence(name, temperature).score_samples(None, logits)
        z = logits / temperature
        assert np.allclose(found, score(softmax(z) if name in OF_PROBABILITIES else z))


def test_react_by_hand():
    # Half of the training values are 0, half 1: the 90th percentile is 1, the 10th is 0.
    rows = np.tile([0.0, 1.0], (10, 1))
    head = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([0.0, 0.5])
    new = np.array([[0.5, 0.5], [3.0, 0.5], [-2.0, 0.5]])
    model = ReAct().fit(rows, None, None, head=head)
    wanted = [energy([[x, 1.5]])[0] for x in (0.5, 1.0, -2.0)]
    assert np.allclose(model.score_samples(new), wanted)
    both = ReAct(two_sided=True).fit(rows, None, None, head=head)
    assert np.allclose(both.score_samples(new), [*wanted[:2], energy([[0.0, 1.5]])[0]])
    hot = ReAct(temperature=2.0).fit(rows, None, None, head=head)
    assert np.allclose(hot.score_samples(new[:1]), energy([[0.25, 0.75]]))
    with pytest.raises(CourseError, match="head="):
        ReAct().fit(rows, None, None)
    with pytest.raises(CourseError, match="percentile"):
        ReAct(10).fit(rows, None, None, head=head)


def test_react_of_everything_in_range_is_energy():
    rng = np.random.default_rng(0)
    rows, labels = groups(rng)
    weight, bias = probe.fit(rows, labels)
    model = ReAct(100, two_sided=True).fit(rows, None, labels, head=(weight, bias))
    assert np.allclose(model.score_samples(rows), energy(rows @ weight.T + bias))


@pytest.mark.parametrize("epsilon", [0.0, 0.05, -0.05])
@pytest.mark.parametrize("odds", [1.0, 50.0])
def test_odin_follows_the_gradient_that_torch_finds(epsilon, odds):
    import torch

    rng = np.random.default_rng(2)
    rows, labels = groups(rng)
    weight, bias = probe.fit(rows, labels)
    new = rng.normal(size=(9, 6)) * 2
    x = torch.tensor(new, requires_grad=True)
    W, b = torch.tensor(weight), torch.tensor(bias)
    log_p = torch.log_softmax((x @ W.T + b) / odds, dim=1)
    (slope,) = torch.autograd.grad(log_p.max(dim=1).values.sum(), x)
    moved = x.detach() + epsilon * torch.tensor(rows.std(axis=0)) * slope.sign()
    wanted = 1 - torch.softmax((moved @ W.T + b) / odds, dim=1).max(dim=1).values
    model = ODIN(epsilon, odds).fit(rows, None, labels, head=(weight, bias))
    assert np.allclose(model.score_samples(new), wanted.numpy())


def test_odin_makes_surer_and_rodin_less_sure():
    rows, labels = groups(np.random.default_rng(3))
    head = probe.fit(rows, labels)
    steps = (-0.1, 0.0, 0.1)
    models = [ODIN(e, 1.0).fit(rows, None, labels, head=head) for e in steps]
    less, plain, surer = (model.score_samples(rows) for model in models)
    assert np.allclose(plain, msp(softmax(rows @ head[0].T + head[1])))
    assert np.mean(surer < plain) > 0.99 and np.mean(less > plain) > 0.99
    with pytest.raises(CourseError, match="ODIN: give head="):
        ODIN().fit(rows, None, labels)


def test_the_oracle_is_a_logistic_regression_that_was_told():
    rows, labels = groups(np.random.default_rng(1))
    told = labels - 1  # class 0 is the unknown
    model = Oracle(0.1).fit(rows, None, told)
    wanted = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(rows, told < 0)
    assert np.allclose(model.score_samples(rows), wanted.decision_function(rows), atol=0.02)
    with pytest.raises(CourseError, match="two classes"):
        Oracle().fit(rows, None, labels)


@given(LOGITS, st.permutations(range(4)))
def test_the_order_of_classes_does_not_matter(logits, order):
    probs = softmax(logits)
    for score, values in ((entropy, probs), (msp, probs), (margin, probs), (energy, logits)):
        assert np.allclose(score(values), score(values[:, order]))
    assert entropy(probs).min() >= 0 and entropy(probs).max() <= np.log(4) + 1e-12


@given(LOGITS)
def test_single_precision_is_enough(logits):
    for score in (max_logit, energy):
        assert np.allclose(score(logits), score(logits.astype(np.float32)), atol=1e-4)
    probs = softmax(logits)
    assert np.allclose(entropy(probs), entropy(probs.astype(np.float32)), atol=1e-4)


def test_bad_input_is_one_clear_line():
    rows, labels = groups(np.random.default_rng(3))
    with pytest.raises(CourseError, match="NaN"):
        entropy(np.array([[np.nan, 1.0]]))
    with pytest.raises(CourseError, match="softmax first"):
        entropy(np.array([[3.0, -1.0]]))
    with pytest.raises(CourseError, match="row 1 has no segment"):
        mean_probabilities(np.zeros((2, 3)), [0, 2])
    with pytest.raises(CourseError, match="temperature"):
        energy(np.zeros((1, 2)), 0)
    with pytest.raises(CourseError, match="score: one of entropy"):
        Confidence("doubt").score_samples(rows, rows)


N, K, H = 200_000, 5, 32  # rows, classes, dimensions of the embeddings


@pytest.fixture(scope="module")
def many():
    """Models of K classes, and N rows in single precision: embeddings, logits, probs, points."""
    rng = np.random.default_rng(5)
    rows, labels = groups(rng, (40,) * K, H)
    logits = rows[:, :K]
    fitted = {
        "printed": PrintedOpenMax(tail=0.5),
        "bendale": BendaleOpenMax(),
        "advised": OpenMax(),
        "tied": Mahalanobis(space="unit"),
        "full": Mahalanobis("full", space="unit"),
        "triplet": TripletThresholds(),
        "scaled": Mahalanobis(),
        "relative": RelativeMahalanobis(),
        "min_minus_std": MinMinusStd(),
        "vim": ViM(8),
        "knn": NearestNeighbours(),
        "react": ReAct(two_sided=True),
        "odin": ODIN(),
        "oracle": Oracle(),
    }
    fitted |= {score: Confidence(score) for score in (*OF_PROBABILITIES, *OF_LOGITS)}
    seen = rows, logits, logits.argmax(axis=1)
    head = probe.fit(rows, labels)
    models = {}
    for name, model in fitted.items():
        told = labels - 1 if name == "oracle" else seen[-1]
        models[name] = model.fit(rows, logits, told, head=head).fit_held(*seen)
    models["clusters"] = clustering.OnlineClustering().fit(rows[: 4 * K])
    z = rng.normal(size=(N, K)).astype(np.float32)
    embeddings = rng.standard_normal(size=(N, H), dtype=np.float32)
    return models, {"f": embeddings, "z": z, "p": softmax(z), "x": embeddings[:, :3].copy()}


# What it may hold at its peak, in tables of N rows, K + 1 columns and double precision (its result
# is one of them or less), beside three chunks. A score keeps up to three intermediate tables (the
# log-sum-exp of SciPy does); OpenMax has distances, α, what α took away, all together, and then the
# copies of the softmax. The embeddings in double precision would be 5 tables more, their
# differences from each class 27, and those of points from each candidate 18.
SIMPLE, SEVERAL = 4, 8
SCORES = {
    "mean_probabilities": (lambda z: mean_probabilities(z, np.arange(N)), "z", SIMPLE),
    "entropy": ("entropy.score_samples", "fz", SIMPLE),
    "msp": ("msp.score_samples", "fz", SIMPLE),
    "margin": ("margin.score_samples", "fz", SIMPLE),
    "maxlogit": ("maxlogit.score_samples", "fz", SIMPLE),
    "energy": ("energy.score_samples", "fz", SIMPLE),
    "tied distances": ("tied.score_samples", "fz", SIMPLE),
    "full distances": ("full.score_samples", "fz", SIMPLE),
    "triplet score": ("triplet.score_samples", "fz", SIMPLE),
    "triplet": ("triplet.predict", "fz", SIMPLE),
    "scaled": ("scaled.score_samples", "fz", SIMPLE),
    "relative": ("relative.score_samples", "fz", SEVERAL),
    "min_minus_std": ("min_minus_std.score_samples", "fz", SEVERAL),
    "vim": ("vim.score_samples", "fz", SIMPLE),
    "knn": ("knn.score_samples", "fz", SIMPLE),
    "react": ("react.score_samples", "fz", SIMPLE),
    "odin": ("odin.score_samples", "fz", SIMPLE),
    "oracle": ("oracle.score_samples", "fz", SIMPLE),
    "points": (lambda p: pad.pad_points(p, list(PAD.values())[:K]), "p", SIMPLE),
    "names": (lambda x: pad.name_points(x, PAD), "x", SIMPLE),  # N × 10 letters of 4 bytes
    "cluster": ("clusters.predict", "f", SIMPLE),
    "printed": ("printed.predict_proba", "fz", SEVERAL),
    "printed score": ("printed.score_samples", "fz", SEVERAL),
    "bendale": ("bendale.predict_proba", "fz", SEVERAL),
    "bendale score": ("bendale.score_samples", "fz", SEVERAL),
    "advised": ("advised.predict_proba", "fz", SEVERAL),
    "advised score": ("advised.score_samples", "fz", SEVERAL),
}


@pytest.mark.parametrize("name", SCORES)
def test_many_rows_take_the_memory_of_a_few_results(name, many, monkeypatch):
    chunk = 200_000  # small beside the N × H numbers that come in
    monkeypatch.setattr(checks, "CHUNK", chunk)
    score, inputs, tables = SCORES[name]
    models, values = many
    if isinstance(score, str):
        model, method = score.split(".")
        score = getattr(models[model], method)
    tracemalloc.start()
    result = score(*(values[key] for key in inputs))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(result) == N
    assert peak < tables * N * (K + 1) * 8 + 3 * chunk * 8


@pytest.mark.parametrize("side", [True, False])
def test_ranking_needs_known_and_unknown_clips(side):
    one_side = np.full(4, side)  # only unknown clips, or only known ones
    scores, right = np.arange(4.0), np.array([True, False, True, True])
    for measure in (metrics.auroc, metrics.aupr, metrics.fpr95, metrics.f1_unknown):
        with pytest.raises(ValueError, match="one side is empty"):
            measure(scores > 1 if measure is metrics.f1_unknown else scores, one_side)
    with pytest.raises(ValueError, match="one side is empty"):
        metrics.oscr(scores, one_side, right)
    # A turn of one side only is left out of the mean over turns.
    turns, unknown = np.repeat([0, 1], 4), np.r_[one_side, [False, True, False, True]]
    scores = np.r_[scores, [0, 1, 2, 3.0]]
    assert metrics.within_turns(metrics.auroc, turns, scores, unknown) == 0.75
