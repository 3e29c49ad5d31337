"""PAD points, names, and what can be named at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import arrays
from helpers.emotions import PAD, PAD_SOURCE
from helpers.pad import name_points, pad_points, reach

KNOWN = ("neutral", "happy", "sad", "angry", "surprised")
# Source 2, table 1, and neutral: the candidates without the course's own assumptions.
TABLE_1 = {
    name: PAD[name]
    for name in (*KNOWN, "optimistic", "relaxed", "mild", "bored", "fearful", "anxious")
    + ("disgust", "hostile")
}


def test_points_and_names_by_hand():
    vectors = [PAD["happy"], PAD["sad"]]
    points = pad_points([[0.5, 0.5], [0.0, 1.0]], vectors)
    assert np.allclose(points, [[0.94, 0.69, 0.36], PAD["sad"]])
    # From (0.94, 0.69, 0.36): surprised 1.29, neutral 1.22, happy 2.18.
    candidates = {name: PAD[name] for name in ("happy", "surprised", "neutral")}
    assert name_points(points[:1], candidates, top=3).tolist() == [
        ["neutral", "surprised", "happy"]
    ]
    assert name_points(points, PAD).tolist()[1] == ["sad"]
    twins = {"first": (0, 0, 0), "second": (0, 0, 0)}
    assert name_points([[1, 1, 1]], twins).tolist() == [["first"]]


def test_reachable_set_against_a_grid_of_mixtures():
    # Every mixture of five known vectors in steps of 1/24 (20,475 points), named by brute force.
    steps = 24
    bars = np.array(np.meshgrid(*[np.arange(steps + 1)] * 4, indexing="ij")).reshape(4, -1).T
    bars = bars[bars.sum(axis=1) <= steps]
    mixtures = np.column_stack([bars, steps - bars.sum(axis=1)]) / steps
    vectors = np.array([PAD[name] for name in KNOWN])
    named = set(name_points(mixtures @ vectors, TABLE_1)[:, 0])
    depths = reach(vectors, TABLE_1)
    assert {name for name, depth in depths.items() if depth > 0.05} <= named
    assert named <= {name for name, depth in depths.items() if depth >= 0}
    # What the course says of table 1: these two are never named, mild only in a sliver.
    assert depths["bored"] < 0 and depths["relaxed"] < 0
    assert 0 < depths["mild"] < 0.2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_name_that_was_given_can_be_given(seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(3, 3))
    candidates = {str(i): tuple(row) for i, row in enumerate(rng.normal(size=(6, 3)))}
    depths = reach(vectors, candidates)
    points = rng.dirichlet(np.ones(3), 2000) @ vectors
    assert all(depths[name] >= -1e-9 for name in np.unique(name_points(points, candidates)))


def test_reach_by_hand():
    # The hull is the segment from (0,0,0) to (2,0,0); the border to (4,0,0) lies at x = 2: it just
    # touches. (9,0,0) begins at 4.5, which is 2.5 short, seen from its own side.
    depths = reach([(0, 0, 0), (2, 0, 0)], {"a": (0, 0, 0), "b": (4, 0, 0)})
    assert np.isclose(depths["a"], 2) and np.isclose(depths["b"], 0, atol=1e-9)
    depths = reach([(0, 0, 0), (2, 0, 0)], {"a": (0, 0, 0), "c": (9, 0, 0)})
    assert np.isclose(depths["c"], -2.5)
    assert reach([(0, 0, 0)], {"alone": (1, 1, 1)}) == {"alone": np.inf}


def reachable_share(candidates, known, unknown):
    """Share of the unknown names that a mixture of the known may get, as in lesson 08."""
    depths = reach([candidates[name] for name in known], candidates)
    return np.mean([depths[name] >= -1e-9 for name in unknown])


def test_share_of_the_unknown_that_can_be_named():
    assert reachable_share(TABLE_1, KNOWN, ["bored", "relaxed"]) == 0
    # Half: bored begins at negative arousal, 0.56 away from every mixture of the known (none of the
    # five lies below 0); into the cell of fearful those mixtures reach 0.26 deep.
    assert reachable_share(TABLE_1, KNOWN, ["bored", "fearful"]) == 0.5
    assert reachable_share(TABLE_1, KNOWN, KNOWN) == 1


def test_what_can_be_named_from_table_1():
    # Bored and relaxed have negative arousal, no known one has; hostile lies beyond angry.
    depths = reach([PAD[name] for name in KNOWN], TABLE_1)
    never = {name: round(depth, 3) for name, depth in depths.items() if depth < 0}
    assert never == {"bored": -0.561, "relaxed": -0.154, "hostile": -0.269}
    assert round(depths["mild"], 3) == 0.007  # a sliver
    assert min(depths[name] for name in depths if name not in never | {"mild": 0}) > 0.15


def test_what_can_be_named_from_the_full_list():
    # The vectors that the course assumes take cells away and give none of table 1 a new one.
    vectors = [PAD[name] for name in KNOWN]
    depths, before = reach(vectors, PAD), reach(vectors, TABLE_1)
    never = {name for name, depth in depths.items() if depth < 0}
    assert never == {"bored", "relaxed", "hostile", "contempt", "disgust"}
    assert all(depths[name] <= before[name] + 1e-9 for name in TABLE_1)
    assert depths["calm"] == pytest.approx(depths["mild"])  # assumed equal: the same sliver


def mixtures(known, steps=20):
    """All mixtures of the known vectors in steps of 1/20: (n, 3)."""
    bars = np.indices([steps + 1] * (len(known) - 1)).reshape(len(known) - 1, -1).T
    bars = bars[bars.sum(axis=1) <= steps]
    return np.column_stack([bars, steps - bars.sum(axis=1)]) / steps @ [PAD[n] for n in known]


@pytest.mark.parametrize(
    ("known", "unknown", "with_it", "without"),
    [
        (KNOWN, ("calm", "fearful", "disgust"), 2 / 3, 1),  # RAVDESS
        (KNOWN[:4], ("fearful", "disgust", "bored"), 0, 2 / 3),  # EMO-DB
    ],
)
def test_one_assumed_vector_decides_what_can_be_named(known, unknown, with_it, without):
    """That disgust is out of reach rests on an assumption of the course, not on source 2.

    Table 1 has no frustrated. The course puts it midway between angry and sad, and there it takes
    every mixture that would be named disgust (of EMO-DB's known ones also every fearful one). No
    other assumed vector has a say.
    """
    assert PAD_SOURCE["frustrated"].startswith("assumption")
    assert np.allclose(PAD["frustrated"], np.add(PAD["angry"], PAD["sad"]) / 2, atol=0.006)
    assert reachable_share(PAD, known, unknown) == pytest.approx(with_it)
    assumed = [name for name in PAD if PAD_SOURCE[name].startswith("assumption")]
    assert len(assumed) == 5
    for left_out in assumed:
        if left_out not in unknown:
            fewer = {name: vector for name, vector in PAD.items() if name != left_out}
            wanted = without if left_out == "frustrated" else with_it
            assert reachable_share(fewer, known, unknown) == pytest.approx(wanted), left_out
    # The depths, and brute force over mixtures of the known, say the same of disgust.
    fewer = {name: vector for name, vector in PAD.items() if name != "frustrated"}
    vectors, points = [PAD[name] for name in known], mixtures(known)
    assert round(reach(vectors, PAD)["disgust"], 4) == -0.0105
    assert round(reach(vectors, fewer)["disgust"], 4) == 0.2167
    taken = name_points(points, fewer)[:, 0] == "disgust"
    assert taken.any() and set(name_points(points[taken], PAD)[:, 0]) == {"frustrated"}


def test_names_come_in_chunks_that_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    points = np.r_[rng.uniform(-3, 3, (100, 3)), [(a, a, a) for a in (-1, 0, 1)]]
    table = np.array(list(PAD.values()))
    apart = np.sqrt(((points[:, None] - table) ** 2).sum(axis=2))
    wanted = np.array(list(PAD))[np.argsort(apart, axis=1, kind="stable")]
    for chunk in (1, 40, 4_000_000):
        monkeypatch.setattr(arrays, "CHUNK", chunk)
        for top in (1, 3, len(PAD)):
            assert (name_points(points, PAD, top) == wanted[:, :top]).all()
            assert (name_points(points.astype(np.float32), PAD, top)[:, 0] == wanted[:, 0]).all()
