"""95 % intervals over speakers: one kind for every figure (how it is made: lesson 01).

The question that an interval answers: what would *these* fitted models score, on average, on as
many **new speakers** recorded alike? Fitting them again is not covered. Where few clips raise a
figure (an ECE is never zero) the interval is about the raised figure. What it holds at 4, 6, 10 and
24 speakers: `tools/simulate_intervals.py`.
"""

import numpy as np

from helpers.errors import CourseError
from helpers.metrics import Undefined

LEVEL = 0.95


def interval(metric, *arrays, speakers, turns=None, limits=(-np.inf, np.inf)):
    """Return `(value, low, high)` of `metric(*arrays)` by a delete-one-speaker jackknife.

    `arrays`: what `metric` takes, a row a clip; `speakers (n,)` own the rows. With
    `turns (n,)` the metric is taken within each turn, whose scores one model made, and averaged;
    a turn where it is undefined is left out. Every speaker gives a pseudo-value (Tukey 1958): the
    figure of all m speakers of its turn times m, less the figure without that one times m - 1. All
    together they are one sample, and the interval is a t interval of their mean. A turn that is
    undefined without one of its speakers counts as one speaker.

    Two finite `limits` make it a score interval (Wilson 1927): a share near 0 or 1 varies less.
    One that is at its limit for every speaker shows no speaker who differs, and gets what so many
    units can tell. Two or three speakers are two or three units, whatever they differ in; from four
    on a speaker's clips are, up to 42: so far the simulation bears it out. One finite limit cuts.
    `metric` may return an array (a curve; NaN where undefined): so do all three. Below two
    speakers the ends are None, in an array NaN.

    >>> few = interval(np.mean, [0.2, 0.6, 0.4], speakers=[*"abc"])
    >>> many = interval(np.mean, [0.2, 0.6, 0.4] * 9, speakers=[*"abc"] * 9)
    >>> np.allclose(few, many)  # more clips of the same speakers say no more about new ones
    True
    """
    arrays, speakers = [np.asarray(a) for a in arrays], np.asarray(speakers)
    turns = np.zeros(len(speakers), dtype=int) if turns is None else np.asarray(turns)
    if any(len(a) != len(speakers) for a in (*arrays, turns)):
        sizes = ", ".join(str(len(a)) for a in (*arrays, speakers, turns))
        raise CourseError(f"interval: every array needs one row a clip, got {sizes} rows")
    parts = [
        _pseudo_values(metric, [a[turns == t] for a in arrays], speakers[turns == t])
        for t in np.unique(turns)
    ]
    parts = [(v.ravel(), p.reshape(len(p), -1), v.shape) for v, p in filter(None, parts)]
    if not parts:
        return float("nan"), None, None
    shape = parts[0][2]
    elements, clips = range(parts[0][0].size), len(speakers)
    found = [_of_mean([(v[i], p[:, i]) for v, p, _ in parts], limits, clips) for i in elements]
    if shape:
        return tuple(np.array(found).T.reshape(3, *shape))
    value, *ends = map(float, found[0])
    return value, *(ends if np.isfinite(ends).all() else (None, None))


def paired(metric, first, second, *shared, speakers, turns=None, most=np.inf):
    """Return `(difference, low, high)`: `metric(first, *shared) - metric(second, *shared)`.

    Both on the same clips, so what a speaker does to both cancels. No difference is larger than
    `most` (1 for two shares): from two or three speakers the ends could be, and are cut.

    >>> found = paired(np.mean, [0.9, 0.5, 0.1], [0.8, 0.4, 0.0], speakers=[*"abc"])
    >>> [round(x, 6) for x in found]  # the speakers differ, the difference does not
    [0.1, 0.1, 0.1]
    """

    def difference(a, b, *rest):
        return metric(a, *rest) - metric(b, *rest)

    value, *ends = interval(difference, first, second, *shared, speakers=speakers, turns=turns)
    return value, *(ends if ends[0] is None else np.clip(ends, -most, most).tolist())


def _pseudo_values(metric, arrays, speakers):
    """The figure of one turn and its pseudo-values (m, ...); None where it is undefined."""
    try:
        value = np.asarray(metric(*arrays), dtype=float)
    except Undefined:
        return None
    people = np.unique(speakers)
    pseudo = np.empty((len(people), *value.shape))
    for i, person in enumerate(people):
        others = speakers != person
        try:
            without = metric(*(a[others] for a in arrays)) if others.any() else np.nan
        except Undefined:
            without = np.nan
        pseudo[i] = len(people) * value - (len(people) - 1) * np.asarray(without, dtype=float)
    return value, pseudo


def _of_mean(turns, limits, clips):
    """`(value, low, high)` of the mean over `turns` of `(value, pseudo-values (m,))`."""
    from scipy.stats import t

    turns = [(v, p if np.isfinite(p).all() else np.array([v])) for v, p in turns if np.isfinite(v)]
    if not turns:
        return np.nan, np.nan, np.nan
    value = np.mean([v for v, _ in turns])
    units = np.concatenate([p for _, p in turns])
    n = len(units)
    if n < 2:
        return value, np.nan, np.nan
    # Turns are means of m units each: var = sigma^2 / T^2 * sum of 1 / m. Around their own mean:
    # the pseudo-values' mean is off the value by the figure's bias, which is not its error.
    error = np.sqrt(units.var(ddof=1) * np.mean([1 / len(p) for _, p in turns]) / len(turns))
    if np.isfinite(limits).all():
        return value, *_score_ends(value, t.ppf((1 + LEVEL) / 2, n - 1) * error, n, clips, *limits)
    # Losses lean to one side, which few speakers do not show, and t then falls short. Half a degree
    # less and 1 / 2n more, found by simulation, make up for it and change nothing at 24 speakers.
    reach = t.ppf((1 + LEVEL) / 2, n - 1.5) * (1 + 1 / (2 * n)) * error
    return value, *np.clip([value - reach, value + reach], *limits)


def _score_ends(value, reach, n, clips, lowest, highest):
    """Where (value - m)^2 = reach^2 V(m) / V(value), with V(m) = (m - lowest) (highest - m)."""
    span = highest - lowest
    p, reach = (value - lowest) / span, reach / span
    if reach > 0 and 0 < p < 1:
        spread = reach**2 / (p * (1 - p))
        middle, half = p + spread / 2, np.sqrt(spread * p * (1 - p) + spread**2 / 4)
        low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    else:
        # All of n at 1 have at most a chance of m^n: below 0.05^(1 / n) that is refuted. True of n
        # speakers; of clips only where speakers differ as little as those that were simulated.
        some = (1 - LEVEL) ** (1 / (n if n < 4 else min(clips, 42 * n)))
        low, high = some if p == 1 else p, 1 - some if p == 0 else p
    return lowest + span * low, lowest + span * high
