"""The linear probe: multinomial logistic regression on standardised rows, as one linear map.

Built in lesson 02; heads of frozen encoders and of pseudo-unknowns are such probes. Plain arrays:
`X (n, H)`, `y (n,)` labels of any kind, `speakers (n,)`.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from helpers.errors import CourseError

STRENGTHS = (1e-3, 1e-2, 1e-1)


class Choice(NamedTuple):
    """What unseen speakers chose: `layer`, `C`, and the UAR `(L, strengths)` of each pair."""

    layer: int
    C: float
    scores: np.ndarray


def fit(X, y, C: float = 0.1, weights=None) -> tuple[np.ndarray, np.ndarray]:
    """Weight (K, H) and bias (K,) of `logits = X @ weight.T + bias`, classes as in `np.unique`.

    `C` is scikit-learn's: the smaller, the stronger the pull to zero. `weights (n,)` of the
    rows: None, all alike. Two classes share what scikit-learn gives as one logit, half each.

    >>> weight, bias = fit(np.array([[0.0], [1.0], [2.0], [3.0]]), ["low", "low", "top", "top"])
    >>> round(float(-bias[1] / weight[1, 0]), 3)  # the logits are equal halfway
    1.5
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(y)) < 2:
        raise CourseError("a probe needs rows of two classes or more")
    scaler = StandardScaler().fit(X)
    model = LogisticRegression(C=C, max_iter=300).fit(scaler.transform(X), y, weights)
    weight = model.coef_ / scaler.scale_
    bias = model.intercept_ - weight @ scaler.mean_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias


def predict(X, weight, bias, classes) -> np.ndarray:
    """The label of `classes (K,)` with the largest logit: (n,).

    >>> weight, bias = np.array([[-1.0], [1.0]]), np.array([3.0, 0.0])  # logits 3 - x and x
    >>> predict(np.array([[1.0], [2.0]]), weight, bias, ["low", "top"]).tolist()  # 2 > 1 and 1 < 2
    ['low', 'top']
    """
    return np.asarray(classes)[(X @ weight.T + bias).argmax(axis=1)]


@threadpool_limits.wrap(limits=1, user_api="blas")  # many small fits: threads only wait
def choose(features, y, speakers, strengths=STRENGTHS, folds: int = 3) -> Choice:
    """Layer and C with the best UAR on speakers left out, by cross-validation over `speakers`.

    `features (n, L, H)`: give the training clips and nothing else. CourseError for one speaker.

    >>> y, who = np.array([0, 1] * 6), np.repeat([*"abc"], 4)
    >>> layers = np.stack([0 * y, y], axis=1)[:, :, None]  # the first layer says nothing
    >>> choose(layers, y, who).layer
    1
    """
    from sklearn.metrics import recall_score
    from sklearn.model_selection import GroupKFold

    folds = min(folds, len(np.unique(speakers)))
    if folds < 2:
        raise CourseError("a probe needs two training speakers to choose its layer by")
    scores = np.zeros((features.shape[1], len(strengths)))
    for inner, outer in GroupKFold(folds).split(y, groups=speakers):
        present, wanted = np.unique(y[inner]), np.unique(y[outer])
        for layer, s in np.ndindex(*scores.shape):
            linear = fit(features[inner, layer], y[inner], strengths[s])
            found = predict(features[outer, layer], *linear, present)
            each = recall_score(y[outer], found, average="macro", labels=wanted, zero_division=0)
            scores[layer, s] += each / folds
    layer, s = np.unravel_index(scores.argmax(), scores.shape)
    return Choice(int(layer), strengths[s], scores)
