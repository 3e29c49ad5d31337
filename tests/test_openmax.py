"""OpenMax: hand examples, algorithm 1 in a loop, properties, and the printed form's failures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import CourseError
from helpers.openmax import BendaleOpenMax, OpenMax, PrintedOpenMax, fit_tails, fit_weibull

pytestmark = pytest.mark.filterwarnings("ignore:class .*tail:UserWarning")


def data(seed=0, counts=(40, 50, 60), size=8, spread=1.0):
    """Embeddings, labels and logits of classes that mostly tell themselves apart."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = np.random.default_rng(99).normal(size=(len(counts), size)) * 2
    rows = centres[labels] + spread * rng.normal(size=(len(labels), size))
    logits = rows @ centres.T / 2 - (centres**2).sum(axis=1) / 4
    return rows, labels, logits


def fitted(seed=0, **options):
    """Each form with what its predict_proba takes for new rows."""
    rows, labels, logits = data(seed, **options)
    held, held_labels, _ = data(seed + 1, **options)
    new, _, new_logits = data(seed + 2, **options)
    return {
        "printed": (PrintedOpenMax(tail=0.3).fit(rows, labels), (new, new_logits)),
        "bendale": (BendaleOpenMax(rank=2).fit(logits, labels), (new_logits,)),
        "advised": (OpenMax().fit(rows, labels, held, held_labels), (new, new_logits)),
    }


FORMS = ("printed", "bendale", "advised")


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


def test_printed_form_is_algorithm_1():
    model, (new, logits) = fitted()["printed"]
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
    model = BendaleOpenMax(tail=3, rank=2).fit(logits, labels)
    assert np.allclose(model.means_, [[4, 0], [0, 4]])
    assert np.allclose(model.weibull_[:, 2], 0.5 - 1)  # the smallest of the tail becomes 1
    model.weibull_ = np.array([[1.0, 2.0, 0.0], [1.0, 4.0, 0.0]])
    # v = [4, 3]: distance 3 to the first mean, √17 to the second; weights 2/2 and 1/2 by rank.
    w = 1 - np.exp([-3 / 2, -(17**0.5) / 4])
    omega = 1 - np.array([1, 0.5]) * w
    revised = np.array([4 * omega[0], 3 * omega[1], 4 * (1 - omega[0]) + 3 * (1 - omega[1])])
    wanted = np.exp(revised) / np.exp(revised).sum()
    assert np.allclose(model.predict_proba([[4.0, 3.0]]), [wanted])
    assert np.allclose(model.score_samples([[4.0, 3.0]]), wanted[2])


def test_bendale_leaves_out_what_was_misclassified():
    _, labels, logits = data()
    wrong = np.r_[logits, [[9, 0, 0]] * 5]  # five rows of class 1 that look like class 0
    model = BendaleOpenMax().fit(wrong, np.r_[labels, [1] * 5])
    assert np.allclose(model.means_, BendaleOpenMax().fit(logits, labels).means_)


def test_advised_form_by_hand():
    model, (new, _) = fitted(counts=(30, 30))["advised"]
    model.weibull_ = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    model.gaussians_.distances = lambda rows: np.array([[np.log(2), np.log(4)]])  # α = 1/2, 1/4
    logits = np.log([[0.8, 0.2]])
    assert np.allclose(model.predict_proba(new[:1], logits), [[0.4, 0.05, 0.55]])
    assert np.allclose(model.score_samples(new[:1], logits), -np.log(0.45))
    assert model.predict(new[:1], logits) == [-1]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 500), shift=st.floats(-50, 50))
def test_a_shift_of_the_logits_leaves_the_advised_form_alone(seed, shift):
    model, (new, logits) = fitted(seed)["advised"]
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
    assert set(model.predict(*inputs)) <= {-1, 0, 1, 2}
    if form == "advised":
        rank = np.argsort(np.argsort(model.score_samples(*inputs)))
        assert (np.diff(probs[np.argsort(rank), -1]) >= -1e-12).all()


@pytest.mark.parametrize("form", FORMS)
def test_single_precision_is_enough(form):
    model, inputs = fitted()[form]
    low = model.predict_proba(*[part.astype(np.float32) for part in inputs])
    assert np.allclose(model.predict_proba(*inputs), low, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0)])
def test_permuted_classes_permute_the_columns(form, order):
    rows, labels, logits = data()
    held, held_labels, _ = data(1)
    renamed, moved = np.argsort(order)[labels], logits[:, order]
    if form == "bendale":
        old = BendaleOpenMax(rank=2).fit(logits, labels).predict_proba(logits)
        new = BendaleOpenMax(rank=2).fit(moved, renamed).predict_proba(moved)
    elif form == "printed":
        old = PrintedOpenMax().fit(rows, labels).predict_proba(rows, logits)
        new = PrintedOpenMax().fit(rows, renamed).predict_proba(rows, moved)
    else:
        old = OpenMax().fit(rows, labels, held, held_labels).predict_proba(rows, logits)
        model = OpenMax().fit(rows, renamed, held, np.argsort(order)[held_labels])
        new = model.predict_proba(rows, moved)
    assert np.allclose(new, old[:, [*order, 3]], atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("thin", [{"counts": (9, 9)}, {"counts": (5, 6, 7), "size": 30}])
@pytest.mark.parametrize("repeat", [1, 4])
def test_thin_cases_give_probabilities(form, thin, repeat):
    # Two classes, fewer rows than dimensions, and every row repeated.
    rows, labels, logits = (np.repeat(part, repeat, axis=0) for part in data(**thin))
    held, held_labels, _ = data(1, **thin)
    if form == "bendale":
        probs = BendaleOpenMax(rank=2).fit(logits, labels).predict_proba(logits)
    elif form == "printed":
        probs = PrintedOpenMax(tail=0.5).fit(rows, labels).predict_proba(rows, logits)
    else:
        probs = OpenMax().fit(rows, labels, held, held_labels).predict_proba(rows, logits)
    assert np.isfinite(probs).all() and np.allclose(probs.sum(axis=1), 1)


def test_one_dimension_works_where_it_can():
    # Normalised, one dimension is only a sign, so every row of a class is the same.
    rows = np.linspace(1, 2, 10)[:, None] * np.repeat([-1, 1], 5)[:, None]
    labels = np.repeat([0, 1], 5)
    with pytest.raises(CourseError, match="no tail to fit"):
        PrintedOpenMax().fit(rows, labels)
    with pytest.raises(CourseError, match="singular"):
        OpenMax().fit(rows, labels, rows, labels)


def test_a_class_without_a_correct_row_takes_all_it_has():
    _, labels, logits = data()
    logits[labels == 1, 1] = -99
    with pytest.warns(UserWarning, match="class 1 has no correct row"):
        model = BendaleOpenMax().fit(logits, labels)
    assert np.allclose(model.means_[1], logits[labels == 1].mean(axis=0))


def test_a_class_of_one_row_borrows_the_tail_of_all():
    rows, labels, logits = data(counts=(30, 30, 1))
    with pytest.warns(UserWarning, match="class 2: fewer than 3 distances"):
        model = BendaleOpenMax().fit(logits, labels)
    assert np.isfinite(model.predict_proba(logits)).all()
    with pytest.warns(UserWarning, match="one row: its covariance"):
        model = PrintedOpenMax().fit(rows, labels)
    assert np.isfinite(model.predict_proba(rows, logits)).all()
    with pytest.warns(UserWarning, match="class 2: fewer than 3"):
        OpenMax().fit(rows, labels, rows[:60], labels[:60])  # no held-out row of class 2 at all


def test_short_and_equal_tails():
    labels = np.zeros(10, dtype=int)
    with pytest.warns(UserWarning, match="tail of 1 points"):
        fit_tails(np.arange(1.0, 11), labels, 1, lambda n: 1)
    with pytest.warns(UserWarning, match="all equal"):
        fits = fit_tails(np.full(10, 2.0), labels, 1, lambda n: n)
    assert np.allclose(fits, [[1000, 2, 0]])


def test_bad_input_is_one_clear_line():
    rows, labels, logits = data()
    with pytest.raises(CourseError, match="rank: expected 1 to 3"):
        BendaleOpenMax(rank=4).fit(logits, labels)
    with pytest.raises(CourseError, match="tail: expected a fraction"):
        PrintedOpenMax(tail=0).fit(rows, labels)
    with pytest.raises(CourseError, match="class 1 has no row"):
        BendaleOpenMax().fit(logits[labels != 1], labels[labels != 1])
    with pytest.raises(CourseError, match="from 0 up"):
        PrintedOpenMax().fit(rows, np.full(len(rows), -1))
    with pytest.raises(CourseError, match="held_out_y: class 3 was not fitted"):
        OpenMax().fit(rows, labels, rows[:3], np.array([3, 3, 3]))
    model = OpenMax().fit(rows, labels, rows, labels)
    with pytest.raises(CourseError, match="expected shape"):
        model.predict_proba(rows, logits[:, :2])
    with pytest.raises(CourseError, match="150 rows"):
        model.predict_proba(rows[:9], logits)


def test_parameters_are_those_of_scikit_learn():
    from sklearn.base import clone

    for model in (PrintedOpenMax(tail=0.2), BendaleOpenMax(rank=2), OpenMax(tail=0.7)):
        assert clone(model).get_params() == model.get_params()
