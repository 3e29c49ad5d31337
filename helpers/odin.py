"""What the head says of an embedding that was moved: ReAct, ODIN and rODIN (lesson 13).

Source 4 compares them. The interface is that of `detectors`; `fit` needs the `head`, for they
ask it for other logits than those given.
"""

import numpy as np
from scipy import special

from helpers.arrays import matrix, positive
from helpers.detectors import Detector, energy, in_blocks, msp, needed
from helpers.errors import CourseError


class ReAct(Detector):
    """Energy of the logits that clipped embeddings give (Sun et al. 2021, "ReAct").

    Values above the `percentile`-th of all training values are set to it; `two_sided`: those
    below its counterpart as well. The source clips after a ReLU, where nothing is negative; an
    encoder of speech has no ReLU there, so the two-sided form is the closer one in spirit.
    Fitted: `low_`, `high_`, `head_`. `fit` needs the `head`.

    >>> rows, head = np.arange(11.0)[:, None], (np.array([[1.0], [-1.0]]), np.zeros(2))
    >>> model = ReAct().fit(rows, None, None, head)  # 90 % of 0..10 is 9
    >>> model.score_samples([[9.0], [1000.0]]).round(3).tolist()  # a loud value is no evidence
    [-9.0, -9.0]
    """

    def __init__(self, percentile=90.0, two_sided=False, temperature=1.0):
        self.percentile = percentile
        self.two_sided = two_sided
        self.temperature = temperature

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)` and `head`; CourseError without one."""
        if not 50 < self.percentile <= 100:
            raise CourseError(f"percentile: expected above 50, up to 100, got {self.percentile}")
        self.head_, ends = needed(head, "ReAct"), [100 - self.percentile, self.percentile]
        self.low_, self.high_ = np.percentile(matrix(embeddings, "embeddings"), ends)
        return self

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """-log Σ exp(z / T) of the new logits z; those given are not looked at."""
        weight, bias = self.head_
        low = self.low_ if self.two_sided else None

        def score(rows):
            z = np.clip(rows, low, self.high_) @ weight.T + bias
            return energy(z / positive(self.temperature))

        return in_blocks(score, matrix(embeddings, "embeddings", weight.shape[1]))


class ODIN(Detector):
    """1 - maximum softmax probability after a small step of the embedding (Liang et al. 2018).

    arXiv 1706.02690, eq. 1 and 2: x + ε sign(∇ log p_ŷ), p = softmax(z / T), ŷ the likeliest class.
    The step raises p_ŷ, of the known more than of the unknown; a negative `epsilon` lowers it:
    rODIN (source 4). Theirs goes through the network to what it hears; this one starts at the
    embeddings, in training deviations, and under a linear head the gradient is
    (W_ŷ - Σ p_k W_k) / T. `odds`: T, chosen with ε and not fitted to the held rows.
    Fitted: `head_`, `deviation_ (H,)`. `fit` needs the `head`.

    >>> rows, head = np.array([[0.0], [2.0]]), (np.array([[1.0], [-1.0]]), np.zeros(2))
    >>> models = [ODIN(e, 1.0).fit(rows, None, None, head) for e in (-0.1, 0, 0.1)]  # 0 is MSP
    >>> [round(float(m.score_samples([[1.0]])[0]), 3) for m in models]
    [0.142, 0.119, 0.1]
    """

    def __init__(self, epsilon=0.01, odds=1000.0):
        self.epsilon = epsilon
        self.odds = odds

    def fit(self, embeddings, logits, y, head=None):
        """`embeddings (n, H)` and `head`; CourseError without one."""
        self.head_ = needed(head, "ODIN")
        self.deviation_ = matrix(embeddings, "embeddings").std(axis=0, dtype=np.float64)
        return self

    def score_samples(self, embeddings, logits=None) -> np.ndarray:
        """1 - max softmax(z' / T) of the logits z' after the step; those given are not used."""
        weight, bias = self.head_

        def score(rows):
            p = special.softmax((rows @ weight.T + bias) / positive(self.odds), axis=1)
            slope = weight[p.argmax(axis=1)] - p @ weight
            z = (rows + self.epsilon * self.deviation_ * np.sign(slope)) @ weight.T + bias
            return msp(special.softmax(z / self.odds, axis=1))

        return in_blocks(score, matrix(embeddings, "embeddings", weight.shape[1]))
