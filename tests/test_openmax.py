"""OpenMax: hand examples, algorithm 1 in a loop, properties, and the printed form's failures."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gumbel_l, weibull_min
from sklearn.base import clone
from sklearn.covariance import LedoitWolf, ledoit_wolf

from helpers.distances import MinMinusStd
from helpers.errors import CourseError
from helpers.openmax import (
    BendaleOpenMax,
    OpenMax,
    PrintedOpenMax,
    fit_tails,
    fit_weibull,
    log_alpha,
    share,
)

pytestmark = pytest.mark.filterwarnings("ignore:class .*tail:UserWarning")


def data(seed=0, counts=(40, 50, 60), size=8, spread=1.0):
    """Embeddings, logits and labels of classes that mostly tell themselves apart."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(size=(len(counts), size)) * 2
    rows = centres[labels] + spread * rng.normal(size=(len(labels), size))
    logits = rows @ centres.T / 2 - (centres**2).sum(axis=1) / 4
    return rows, logits, labels


def fitted(seed=0, **options):
    """Each form, and new rows: (embeddings, logits)."""
    new = data(seed + 2, **options)[:2]
    return {name: (fit(name, data(seed, **options), data(seed + 1, **options)), new)
            for name in FORMS}  # fmt: skip


FORMS = {
    "printed": PrintedOpenMax(tail=0.3),
    "bendale": BendaleOpenMax(rank=2),
    "advised": OpenMax("mahalanobis", "unit"),
    "min_minus_std": OpenMax("min_minus_std"),
}


def fit(form, seen, held, **changed):
    """A form fitted on `seen` and `held`, each (embeddings, logits, labels)."""
    return clone(FORMS[form]).set_params(**changed).fit(*seen).fit_held(*held)


def algorithm_1(model, embeddings, logits):
    """Source 1, algorithm 1, one sample and one class at a time, with an explicit inverse."""
    out = []
    inverses = [root.T @ root for root in model.gaussians_.whiteners_]
    for f, z in zip(embeddings, logits, strict=True):
        f = f / np.linalg.norm(f)
        activations, unknown = [], 0.0
        for c, inverse in enumerate(inverses):
            away = f - model.gaussians_.means_[c]
            distance = np.sqrt(away @ inverse @ away)
            shape, scale, _ = model.weibull_[c]
            alpha = np.exp(-((distance / scale) ** shape))
            activations.append(alpha * z[c])
            unknown += (1 - alpha) * z[c]
        a = np.array([*activations, unknown]) / model.temperature
        out.append(np.exp(a - a.max()) / np.exp(a - a.max()).sum())
    return np.array(out)


def unit(rows):
    return np.array([row / np.linalg.norm(row) for row in rows])


def away(row, mean, inverse):
    return np.sqrt((row - mean) @ inverse @ (row - mean))


def gumbel_of(weibull):
    """μ and σ of a tail that was moved far away."""
    shape, scale, location = weibull
    return location + scale, scale / shape


def largest(distances, tail):
    """The largest γ fraction."""
    return sorted(distances)[len(distances) - ceil(tail * len(distances)) :]


def softmax(z):
    return np.exp(z - np.max(z)) / np.exp(z - np.max(z)).sum()


def from_scratch(form, data, held, new, tail, temperature, epsilon=1e-2):
    """Fit and scores with nothing of ours: inverses, SciPy's Weibull fit, one sample at a time."""
    (rows, _, labels), (held, _, held_labels), (new, logits, _) = data, held, new
    rows, held, new = unit(rows), unit(held), unit(new)
    classes = range(labels.max() + 1)
    means = [rows[labels == c].mean(axis=0) for c in classes]
    if form == "printed":  # each class its own covariance; tails of the training rows themselves
        ridge = epsilon * np.eye(rows.shape[1])
        inverses = [np.linalg.inv(np.cov(rows[labels == c].T) + ridge) for c in classes]
        held, held_labels = rows, labels
    else:  # one for all, shrunk; tails of rows that no fit met
        residuals = np.array([row - means[c] for row, c in zip(rows, labels, strict=True)])
        shrunk = LedoitWolf(assume_centered=True).fit(residuals).covariance_
        inverses = [np.linalg.inv(shrunk) for _ in classes]
    laws = []
    for c in classes:
        own = [away(row, means[c], inverses[c]) for row in held[held_labels == c]]
        if form == "printed":
            laws.append(weibull_min(*weibull_min.fit(largest(own, tail), floc=0)))
        else:
            laws.append(gumbel_l(*gumbel_l.fit(largest(own, tail))))
    out = []
    for row, z in zip(new, logits, strict=True):
        w = [law.cdf(away(row, means[c], inverses[c])) for c, law in enumerate(laws)]
        w = np.array(w)
        if form == "printed":
            out.append(softmax(np.append((1 - w) * z, (w * z).sum()) / temperature))
        else:
            p = softmax(z / temperature)
            out.append(np.append((1 - w) * p, (w * p).sum()))
    return np.array(out)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("form", ["printed", "advised"])
def test_fit_and_temperature_against_a_computation_from_scratch(form, temperature):
    parts = [data(seed, spread=2.0) for seed in range(3)]
    new, logits = parts[2][:2]
    model = fit(form, *parts[:2], tail=0.3, temperature=temperature)
    if form == "printed":
        model.set_params(epsilon=1e-2).fit(*parts[0])
    wanted = from_scratch(form, *parts, 0.3, temperature)
    assert np.allclose(model.predict_proba(new, logits), wanted, atol=1e-4)
    assert np.ptp(wanted, axis=0).min() > 0.3  # no column is flat: there is something to agree on
    # Another T is another answer, far beyond what SciPy's search leaves open.
    model.set_params(temperature=2 * temperature)
    assert np.abs(model.predict_proba(new, logits) - wanted).max() > 0.05


def test_tails_are_the_largest_distances_of_each_class():
    # γ = 0.3 of ten: 8, 9, 10 and 80, 90, 100; the smallest three would give scales near 2 and 20.
    distances = np.r_[np.arange(1.0, 11), 10 * np.arange(1.0, 11)]
    mixed = np.random.default_rng(0).permutation(20)
    fits = fit_tails(distances[mixed], np.repeat([0, 1], 10)[mixed], 2, share(0.3))
    shape, _, scale = weibull_min.fit([8, 9, 10], floc=0)
    assert np.allclose(fits, [[shape, scale, 0], [shape, 10 * scale, 0]], rtol=1e-3)
    # Moved to begin at 1: 8 becomes 1, 80 becomes 1.
    fits = fit_tails(distances[mixed], np.repeat([0, 1], 10)[mixed], 2, share(0.3), begin=1)
    assert fits[:, 2].tolist() == [7, 79]
    shape, _, scale = weibull_min.fit([1, 11, 21], floc=0)
    assert np.allclose(fits[1], [shape, scale, 79], rtol=1e-3)


def test_the_largest_fraction_is_rounded_up():
    assert [share(0.25)(n) for n in (8, 9, 11, 12)] == [2, 3, 3, 3]
    assert share(0.3)(10) == 3 and share(1.0)(7) == 7  # 0.3 * 10 is a little above 3


def test_tails_are_of_the_distance_to_the_own_class_though_another_is_nearer():
    held, _, held_labels = data(1, spread=6.0)
    model = fit("advised", data(spread=1.5), data(1, spread=6.0), tail=1.0)
    distances = model.gaussians_.distances(held)
    nearest = distances.argmin(axis=1)
    assert 0.2 < np.mean(nearest != held_labels) < 0.8
    for c in range(3):
        middle = gumbel_of(model.weibull_[c])[0]
        assert middle == pytest.approx(gumbel_l.fit(distances[held_labels == c, c])[0], rel=1e-3)
        # The distance to the nearest class is shorter, and so would its tail be.
        shorter = distances[held_labels == c].min(axis=1)
        assert gumbel_l.fit(shorter)[0] < 0.95 * middle


def test_the_weibull_is_the_maximum_of_the_likelihood():
    from scipy.optimize import brentq

    # The likelihood equation of the shape, solved by bisection; steep tails are the hard ones.
    for seed, steep in enumerate((1.5, 8, 60, 300)):
        tail = 5 * np.random.default_rng(seed).weibull(steep, 30)

        def slope(k, tail=tail):
            power = (tail / tail.max()) ** k
            return (power * np.log(tail)).sum() / power.sum() - 1 / k - np.log(tail).mean()

        shape = brentq(slope, 0.1, 5000)
        scale = tail.max() * np.mean((tail / tail.max()) ** shape) ** (1 / shape)
        assert np.allclose(fit_weibull(tail), (shape, scale), rtol=1e-2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_printed_form_is_algorithm_1(temperature):
    model, (new, logits) = fitted()["printed"]
    model.set_params(temperature=temperature)
    assert np.allclose(model.predict_proba(new, logits), algorithm_1(model, new, logits), atol=1e-9)


def test_printed_form_by_hand():
    model, (new, _) = fitted(counts=(30, 30))["printed"]
    model.weibull_ = np.array([[1.0, 1e-9, 0], [1.0, 1e12, 0]])  # w = 1 and 0 at any distance
    # a' = [0, -1], u = 2: the logits are [2, -1].
    wanted = np.exp([0, -1, 2]) / np.exp([0, -1, 2]).sum()
    assert np.allclose(model.predict_proba(new[:1], [[2.0, -1.0]]), [wanted])


def test_bendale_by_hand():
    # Means [4, 0] and [0, 4]; distances to them 1, 1, 2 and 1, 1, 2.
    logits = np.array([[4.5, 0], [4.5, 0], [3, 0], [0, 4.5], [0, 4.5], [0, 3]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    model = BendaleOpenMax(tail=3, rank=2).fit(None, logits, labels)
    assert np.allclose(model.means_, [[4, 0], [0, 4]])
    assert np.allclose(model.weibull_[:, 2], 0.5 - 10_000)  # the smallest of the tail: 10,000
    model.weibull_ = np.array([[1.0, 2.0, 0.0], [1.0, 4.0, 0.0]])
    # v = [4, 3]: distance 3 to the first mean, √17 to the second; weights 2/2 and 1/2 by rank.
    w = 1 - np.exp([-3 / 2, -(17**0.5) / 4])
    omega = 1 - np.array([1, 0.5]) * w
    revised = np.array([4 * omega[0], 3 * omega[1], 4 * (1 - omega[0]) + 3 * (1 - omega[1])])
    wanted = np.exp(revised) / np.exp(revised).sum()
    assert np.allclose(model.predict_proba(None, [[4.0, 3.0]]), [wanted])
    assert np.allclose(model.score_samples(None, [[4.0, 3.0]]), wanted[2])


def test_moved_to_ten_thousand_a_tail_is_a_gumbels():
    """libMR's translation: k = 10,000 / σ, and location + λ = μ, of SciPy's own Gumbel fit."""
    for seed, unit in enumerate((1e-3, 1, 20)):
        tail = unit * (5 + np.random.default_rng(seed).gamma(2, size=20))
        mu, sigma = gumbel_l.fit(tail)
        shape, scale, location = fit_tails(tail, np.zeros(20, int), 1, lambda n: n, begin=1e4)[0]
        assert location == pytest.approx(tail.min() - 1e4)
        assert shape == pytest.approx(1e4 / sigma, rel=0.02)
        assert location + scale == pytest.approx(mu, abs=0.02 * sigma)


def test_only_moved_to_one_the_tail_knows_the_unit_of_the_logits():
    rows, logits, labels = data(spread=3.0)
    new = data(2, spread=3.0)[1]
    moved = {}
    for translate in (10_000.0, 1.0):
        alphas = []
        for unit in (1, 10):
            model = BendaleOpenMax(rank=2, translate=translate).fit(rows, unit * logits, labels)
            alphas.append(np.exp(log_alpha(model.distances(unit * new), model.weibull_)))
        moved[translate] = np.abs(alphas[0] - alphas[1]).max()
    assert moved[10_000] < 0.005 and moved[1] > 0.05
    assert BendaleOpenMax().translate == 10_000  # MetaRecognition.h


def test_the_distance_that_can_be_negative_has_a_gumbel_for_its_tail():
    (rows, logits, labels), held, (new, new_logits, _) = (data(s, spread=2.0) for s in range(3))
    model = OpenMax("min_minus_std", "scaled", 0.5, 2.0).fit(rows, logits, labels).fit_held(*held)
    distance = MinMinusStd().fit(rows, logits, labels)
    own, scores = distance.class_scores(held[0]), distance.class_scores(new)
    assert scores.min() < 0
    wanted = np.empty((len(new), 4))
    p = np.array([softmax(z / 2) for z in new_logits])
    for c in range(3):
        mu, sigma = gumbel_l.fit(largest(own[held[2] == c, c], 0.5))
        wanted[:, c] = p[:, c] * np.exp(-np.exp((scores[:, c] - mu) / sigma))
    wanted[:, 3] = 1 - wanted[:, :3].sum(axis=1)
    assert np.allclose(model.predict_proba(new, new_logits), wanted, atol=1e-3)
    assert np.ptp(wanted[:, 3]) > 0.5


def test_bendale_leaves_out_what_was_misclassified():
    _, logits, labels = data()
    wrong = np.r_[logits, [[9, 0, 0]] * 5]  # five rows of class 1 that look like class 0
    model = BendaleOpenMax().fit(None, wrong, np.r_[labels, [1] * 5])
    assert np.allclose(model.means_, BendaleOpenMax().fit(None, logits, labels).means_)


def test_advised_form_by_hand():
    model, (new, _) = fitted(counts=(30, 30))["advised"]
    model.weibull_ = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    model.gaussians_.distances = lambda rows: np.array([[np.log(2), np.log(4)]])  # α = 1/2, 1/4
    logits = np.log([[0.8, 0.2]])
    assert np.allclose(model.predict_proba(new[:1], logits), [[0.4, 0.05, 0.55]])
    assert np.allclose(model.score_samples(new[:1], logits), -np.log(0.45))


# Two classes, fitted by hand: all distances of a tail are equal, so that the Weibull is a step and
# α is 1 within it, 1/e on it and 0 beyond.
STEP = pytest.mark.filterwarnings("ignore:the distances of a tail are all equal")
E = np.exp(-1)


@STEP
def test_advised_form_fitted_by_hand():
    cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    rows, labels = np.r_[cross, cross + [4, 0]], np.repeat([0, 1], 4)
    # Residuals are ± the axes, so Σ = I/2 (there is nothing to shrink) and d = √2 |x - μ|.
    held = np.r_[1.5 * cross, 1.5 * cross + [4, 0]]
    model = OpenMax("mahalanobis", "raw", temperature=2.0)
    model.fit(rows, None, labels).fit_held(held, None, labels)
    assert np.allclose(model.gaussians_.distances([[0, 3]]), 2**0.5 * np.array([[3, 5]]))
    logits = 2 * np.log([[0.8, 0.2]] * 3)  # softmax(z / 2) = (0.8, 0.2)
    found = model.predict_proba([[0, 1.5], [1, 0], [0, 9]], logits)
    assert np.allclose(found, [[0.8 * E, 0, 1 - 0.8 * E], [0.8, 0, 0.2], [0, 0, 1]])


@STEP
def test_printed_form_fitted_by_hand():
    # e1 and e2 against their opposites; with ε = 1, Σ = [[1.5, -.5], [-.5, 1.5]] for both, and
    # Σ⁻¹ = [[.75, .25], [.25, .75]]. From e1 to the means ±(½, ½): 0.5 and 1.5; all tails: 0.5.
    model = PrintedOpenMax(epsilon=1.0, tail=1.0, temperature=2.0)
    model.fit([[1, 0], [0, 2], [-3, 0], [0, -4]], None, np.array([0, 0, 1, 1]))
    assert np.allclose(model.gaussians_.distances([[5, 0]]), [[0.5, 1.5]])
    # z = (2, 1), α = (1/e, 0); "unknown" takes 2 (1 - 1/e) + 1.
    wanted = softmax(np.array([2 * E, 0, 2 * (1 - E) + 1]) / 2)
    assert np.allclose(model.predict_proba([[5, 0]], [[2.0, 1.0]]), [wanted])


@STEP
@pytest.mark.parametrize(("rank", "weights"), [(1, [1, 0]), (2, [1, 0.5])])
def test_bendale_fitted_by_hand(rank, weights):
    # All logits are one away from the means (4, 0) and (0, 4), and so is v from the first.
    first = np.array([[5.0, 0], [3, 0], [5, 0], [3, 0]])
    model = BendaleOpenMax(rank=rank).fit(None, np.r_[first, first[:, ::-1]], np.repeat([0, 1], 4))
    v, w = np.array([4.6, 0.8]), np.array(weights) * [1 - E, 1]
    wanted = softmax(np.append(v * (1 - w), (v * w).sum()))
    assert np.allclose(model.predict_proba(None, [v]), [wanted])


@pytest.mark.parametrize("form", ["advised", "min_minus_std"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 500), shift=st.floats(-50, 50))
def test_a_shift_of_the_logits_leaves_the_advised_form_alone(form, seed, shift):
    model, (new, logits) = fitted(seed)[form]
    assert np.allclose(
        model.predict_proba(new, logits), model.predict_proba(new, logits + shift), atol=1e-8
    )


def test_what_a_shift_does_to_the_printed_form():
    model, (new, logits) = fitted()["printed"]
    before = model.score_samples(new, logits)
    # +10 on every logit: softmax is unmoved, yet the mean P(unknown) swings by more than a third,
    up = model.score_samples(new, logits + 10)
    assert np.abs(up.mean() - before.mean()) > 0.3
    # negative logits make "unknown" negative: the far away is then the least unknown,
    far = -new
    down = model.score_samples(far, logits - 10 - logits.max())
    assert down.max() < 1e-6
    # and centring does not help: with every w = 1, P(unknown) = 1 / (K + 1).
    model.weibull_[:, 1] = 1e-9
    centred = logits - logits.mean(axis=1, keepdims=True)
    assert np.allclose(model.score_samples(new, centred), 1 / 4)


@pytest.mark.parametrize("form", FORMS)
def test_probabilities_sum_to_one_and_rank_the_far_away(form):
    model, inputs = fitted()[form]
    probs = model.predict_proba(*inputs)
    assert probs.shape == (150, 4) and probs.min() >= 0
    assert np.allclose(probs.sum(axis=1), 1)
    if form in ("advised", "min_minus_std"):
        rank = np.argsort(np.argsort(model.score_samples(*inputs)))
        assert (np.diff(probs[np.argsort(rank), -1]) >= -1e-12).all()


@pytest.mark.parametrize("form", FORMS)
def test_single_precision_is_enough(form):
    model, inputs = fitted()[form]
    low = model.predict_proba(*[part.astype(np.float32) for part in inputs])
    assert np.allclose(model.predict_proba(*inputs), low, atol=1e-4)


TAIL = {"printed": 0.3, "bendale": 20, "advised": 0.3, "min_minus_std": 0.3}


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_in_single_precision_is_enough(form):
    found = []
    for kind in (np.float32, np.float64):
        seen, held, (new, logits, _) = (
            [part.astype(kind) if part.dtype == float else part for part in data(seed, spread=2.0)]
            for seed in range(3)
        )
        found.append(fit(form, seen, held, tail=TAIL[form]).predict_proba(new, logits))
    assert np.allclose(*found, atol=1e-4)
    assert np.ptp(found[1], axis=0).min() > 0.3  # no column is flat


@pytest.mark.parametrize("form", FORMS)
def test_only_known_and_only_unknown_inputs_get_what_they_get_together(form):
    model, inputs = fitted()[form]
    inputs = [np.r_[part, -part] for part in inputs]  # the far side: what no class looks like
    unknown = np.arange(len(inputs[0])) >= len(inputs[0]) // 2
    for ask in (model.predict_proba, model.score_samples):
        together = ask(*inputs)
        for some in (unknown, ~unknown, np.arange(len(unknown)) == 0):
            assert np.allclose(ask(*[part[some] for part in inputs]), together[some])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_permuted_classes_permute_the_columns(form, order):
    seen, held = data(), data(1)
    old = fit(form, seen, held).predict_proba(*seen[:2])
    moved = [(e, z[:, order], np.argsort(order)[y]) for e, z, y in (seen, held)]
    new = fit(form, *moved).predict_proba(*moved[0][:2])
    assert np.allclose(new, old[:, [*order, 3]], atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("thin", [{"counts": (9, 9)}, {"counts": (5, 6, 7), "size": 30}])
@pytest.mark.parametrize("repeat", [1, 4])
def test_thin_cases_give_probabilities(form, thin, repeat):
    # Two classes, fewer rows than dimensions, and every row repeated.
    seen = [np.repeat(part, repeat, axis=0) for part in data(**thin)]
    probs = fit(form, seen, data(1, **thin)).predict_proba(*seen[:2])
    assert np.isfinite(probs).all() and np.allclose(probs.sum(axis=1), 1)


EVEN = {"counts": (40, 40, 40), "spread": 2.0}  # a tail of 0.3 is a whole number of rows


def covariance(root):
    """Σ of a whitener W: Σ⁻¹ = Wᵀ W."""
    return np.linalg.inv(root.T @ root)


@pytest.mark.parametrize("r", [2, 5])
def test_repeated_rows_change_the_printed_form_by_n_minus_one_only(r):
    rows, logits, labels = data(**EVEN)
    once = PrintedOpenMax(1e-2, 0.3).fit(rows, logits, labels)
    # Sums grow r-fold and N - 1 to rN - 1, so the covariance (without ε I) shrinks by this factor.
    factor = r * (40 - 1) / (r * 40 - 1)
    many = [np.repeat(part, r, axis=0) for part in (rows, logits, labels)]
    again = PrintedOpenMax(1e-2 * factor, 0.3).fit(*many)
    assert np.allclose(again.gaussians_.means_, once.gaussians_.means_)
    for new, old in zip(again.gaussians_.whiteners_, once.gaussians_.whiteners_, strict=True):
        assert np.allclose(covariance(new), factor * covariance(old))
    # With ε scaled alike every distance grows by one factor, the tails with them: α stays.
    assert np.allclose(again.weibull_[:, 0], once.weibull_[:, 0])
    assert np.allclose(again.weibull_[:, 1] * factor**0.5, once.weibull_[:, 1])
    assert np.allclose(again.predict_proba(rows, logits), once.predict_proba(rows, logits))
    # With the same ε it nearly stays, as the factor is 1 within 1/N.
    same = PrintedOpenMax(1e-2, 0.3).fit(*many).predict_proba(rows, logits)
    assert np.allclose(same, once.predict_proba(rows, logits), atol=0.01)


@pytest.mark.parametrize("r", [2, 5])
def test_repeated_rows_leave_bendale_alone_when_the_tail_counts_them(r):
    _, logits, labels = data(**EVEN)
    once = BendaleOpenMax(tail=12, rank=2).fit(None, logits, labels)
    again = BendaleOpenMax(tail=12 * r, rank=2)
    again.fit(None, np.repeat(logits, r, axis=0), np.repeat(labels, r))
    assert np.allclose(again.means_, once.means_) and np.allclose(again.weibull_, once.weibull_)
    assert np.allclose(again.predict_proba(None, logits), once.predict_proba(None, logits))


@pytest.mark.parametrize("r", [2, 5])
def test_repeated_rows_shrink_the_advised_covariance_r_times_less(r):
    (rows, logits, labels), held = data(**EVEN), data(1, **EVEN)
    once = OpenMax("mahalanobis", "unit", 0.3).fit(rows, logits, labels).fit_held(*held)
    # Repeated held-out rows: the same share of them is the tail, and the same curve fits it.
    again = OpenMax("mahalanobis", "unit", 0.3).fit(rows, logits, labels)
    again.fit_held(*(np.repeat(part, r, axis=0) for part in held))
    assert np.allclose(again.weibull_, once.weibull_)
    assert np.allclose(again.predict_proba(rows, logits), once.predict_proba(rows, logits))
    # Repeated training rows: the tied covariance S divides by N, so S stays; the Ledoit-Wolf weight
    # of the round part, a variance over N, falls to 1/r.
    again.fit(*(np.repeat(part, r, axis=0) for part in (rows, logits, labels)))
    assert np.allclose(again.gaussians_.means_, once.gaussians_.means_)
    residuals = unit(rows) - once.gaussians_.means_[labels]
    S, weight = residuals.T @ residuals / len(rows), ledoit_wolf(residuals, assume_centered=True)[1]
    around = np.trace(S) / len(S) * np.eye(len(S))
    assert 0 < weight < 1
    for model, part in ((once, weight), (again, weight / r)):
        found = covariance(model.gaussians_.whiteners_[0])
        assert np.allclose(found, (1 - part) * S + part * around)


def test_one_dimension_works_where_it_can():
    # Normalised, one dimension is only a sign, so every row of a class is the same.
    rows = np.linspace(1, 2, 10)[:, None] * np.repeat([-1, 1], 5)[:, None]
    labels = np.repeat([0, 1], 5)
    with pytest.raises(CourseError, match="no tail to fit"):
        PrintedOpenMax().fit(rows, None, labels)
    with pytest.raises(CourseError, match="singular"):
        OpenMax("mahalanobis", "unit").fit(rows, None, labels)


def test_a_class_without_a_correct_row_takes_all_it_has():
    _, logits, labels = data()
    logits[labels == 1, 1] = -99
    with pytest.warns(UserWarning, match="class 1 has no correct row"):
        model = BendaleOpenMax().fit(None, logits, labels)
    assert np.allclose(model.means_[1], logits[labels == 1].mean(axis=0))


def test_a_class_of_one_row_borrows_the_tail_of_all():
    seen = data(counts=(30, 30, 1))
    with pytest.warns(UserWarning, match="class 2: fewer than 3 distances"):
        model = BendaleOpenMax().fit(*seen)
    assert np.isfinite(model.predict_proba(*seen[:2])).all()
    with pytest.warns(UserWarning, match="one row: its covariance"):
        model = PrintedOpenMax().fit(*seen)
    assert np.isfinite(model.predict_proba(*seen[:2])).all()
    with pytest.warns(UserWarning, match="class 2: fewer than 3"):  # no held-out row of class 2
        OpenMax().fit(*seen).fit_held(*(part[:60] for part in seen))


def test_short_and_equal_tails():
    labels = np.zeros(10, dtype=int)
    with pytest.warns(UserWarning, match="tail of 1 points"):
        fit_tails(np.arange(1.0, 11), labels, 1, lambda n: 1)
    with pytest.warns(UserWarning, match="all equal"):
        fits = fit_tails(np.full(10, 2.0), labels, 1, lambda n: n)
    assert np.allclose(fits, [[1000, 2, 0]])
    with pytest.warns(UserWarning, match="all equal"):  # moved: a step as wide, and as sharp
        fits = fit_tails(np.full(10, 2.0), labels, 1, lambda n: n, begin=10_000)
    for d, alpha in ((1.9, 1), (2, 1 / np.e), (2.1, 0)):
        assert np.isclose(np.exp(log_alpha(np.array([[d]]), fits)), alpha, atol=1e-9)


def test_a_rank_beyond_the_classes_is_all_of_them():
    rows, logits, labels = data()
    found = [BendaleOpenMax(rank=rank).fit(rows, logits, labels).predict_proba(rows, logits)
             for rank in (2, 3, 9)]  # fmt: skip
    assert (found[1] == found[2]).all() and not np.allclose(found[0], found[1])


def test_bad_input_is_one_clear_line():
    rows, logits, labels = data()
    with pytest.raises(CourseError, match="expected rank >= 1"):
        BendaleOpenMax(rank=0).fit(rows, logits, labels)
    with pytest.raises(CourseError, match="translate"):
        BendaleOpenMax(translate=0).fit(rows, logits, labels)
    with pytest.raises(CourseError, match="tail: expected a fraction"):
        PrintedOpenMax(tail=0).fit(rows, logits, labels)
    with pytest.raises(CourseError, match="class 1 has no row"):
        BendaleOpenMax().fit(rows[labels != 1], logits[labels != 1], labels[labels != 1])
    with pytest.raises(CourseError, match="from 0 up"):
        PrintedOpenMax().fit(rows, logits, np.full(len(rows), -1))
    with pytest.raises(CourseError, match="distance: no 'cosine'"):
        OpenMax("cosine").fit(rows, logits, labels)
    model = OpenMax().fit(rows, logits, labels)
    with pytest.raises(CourseError, match="class 3 has no column among 3"):
        model.fit_held(rows[:3], logits[:3], np.array([3, 3, 3]))
    model.fit_held(rows, logits, labels)
    with pytest.raises(CourseError, match="expected shape"):
        model.predict_proba(rows, logits[:, :2])
    with pytest.raises(CourseError, match="150 rows"):
        model.predict_proba(rows[:9], logits)


def test_parameters_are_those_of_scikit_learn():
    for model in (PrintedOpenMax(tail=0.2), BendaleOpenMax(rank=2), OpenMax(tail=0.7)):
        assert clone(model).get_params() == model.get_params()
