"""Checks of plain arrays that every method makes: finite tables, distributions, class numbers."""

import numpy as np

from helpers.errors import CourseError

CHUNK = 4_000_000  # numbers held at once where all rows together would not fit in memory


def matrix(values, name: str, columns: int | None = None) -> np.ndarray:
    """`values` as a finite float array (n, columns); CourseError naming `name` otherwise.

    >>> matrix([3.0, -1.0], "logits")  # a single row needs two brackets
    Traceback (most recent call last):
    helpers.errors.CourseError: logits: expected shape (n, any), got (2,)
    """
    array = np.asarray(values)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2 or 0 in array.shape or columns not in (None, array.shape[1]):
        raise CourseError(f"{name}: expected shape (n, {columns or 'any'}), got {array.shape}")
    # The sum is finite for nearly all good arrays, and needs no array of booleans.
    if not (np.isfinite(array.sum()) or np.isfinite(array).all()):
        raise CourseError(f"{name}: holds NaN or infinity; drop those rows first")
    return array


def blocks(rows: int, width: int):
    """Slices that cut `rows` rows of `width` numbers each into blocks of about `CHUNK`.

    >>> [(block.start, block.stop) for block in blocks(5, width=CHUNK // 2)]
    [(0, 2), (2, 4), (4, 6)]
    """
    step = max(1, CHUNK // width)
    return (slice(start, start + step) for start in range(0, rows, step))


def probabilities(values, name: str = "probs") -> np.ndarray:
    """Like `matrix`, and each row must be a distribution (so that logits are caught).

    >>> probabilities([[2.0, -1.0]])
    Traceback (most recent call last):
    helpers.errors.CourseError: probs: rows must be probabilities that sum to 1; apply softmax first
    """
    probs = matrix(values, name)
    if probs.min() < -1e-6 or np.abs(probs.sum(axis=1) - 1).max() > 1e-3:
        raise CourseError(f"{name}: rows must be probabilities that sum to 1; apply softmax first")
    return probs


def class_labels(y, rows: int, name: str = "labels", classes: int | None = None) -> np.ndarray:
    """`y` as integers (rows,), one a row, none negative, all below `classes` if given.

    >>> class_labels([0, 2], rows=2, classes=2)  # two columns: classes 0 and 1
    Traceback (most recent call last):
    helpers.errors.CourseError: labels: class 2 has no column among 2
    """
    labels = np.asarray(y)
    if labels.shape != (rows,) or labels.dtype.kind not in "iu" or (rows and labels.min() < 0):
        raise CourseError(f"{name}: expected {rows} class numbers from 0 up, one a row")
    if classes is not None and labels.max() >= classes:
        raise CourseError(f"{name}: class {labels.max()} has no column among {classes}")
    return labels


def pairs(labels, said) -> tuple[np.ndarray, np.ndarray]:
    """Names or numbers of classes (n,), true and said; no true number below 0 (known by none).

    >>> pairs([0, -1], [0, 1])  # -1 was never taught: no answer to it can be right
    Traceback (most recent call last):
    helpers.errors.CourseError: labels: below 0 they name no class; leave out what was never taught
    """
    labels, said = np.asarray(labels), np.asarray(said)
    if labels.ndim != 1 or labels.shape != said.shape or not labels.size:
        raise CourseError(f"labels, said: expected (n,) each, got {labels.shape}, {said.shape}")
    if labels.dtype.kind in "if" and not labels.min() >= 0:  # also of NaN
        raise CourseError("labels: below 0 they name no class; leave out what was never taught")
    return labels, said


def finite(values, name: str = "confidence") -> np.ndarray:
    """`values` as floats (n,), one or more, none NaN or infinite."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise CourseError(f"{name}: expected one finite number for each clip")
    return array


def flags(values, shape: tuple, name: str = "correct") -> np.ndarray:
    """`values` as booleans of `shape`: class numbers (-1 among them) are no yes or no.

    >>> flags([1, 0], (2,)).tolist()
    [True, False]
    >>> flags([1, -1], (2,), "unknown")  # as a boolean -1 would be a yes
    Traceback (most recent call last):
    helpers.errors.CourseError: unknown: expected yes or no (booleans), got int64
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise CourseError(f"{name}: expected a yes or no for each of {shape}, got {array.shape}")
    if array.dtype != bool and not (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all()):
        raise CourseError(f"{name}: expected yes or no (booleans), got {array.dtype}")
    return array.astype(bool)


def positive(value: float, name: str = "temperature") -> float:
    """`value` as a float above zero; CourseError naming `name` otherwise."""
    if not np.isfinite(value) or value <= 0:
        raise CourseError(f"{name}: expected a positive number, got {value}")
    return float(value)
