"""The reference where all of X was seen: a randomised SVD told the rank, shrunk."""

from __future__ import annotations

import numpy as np
from reference import Answer
from sklearn.utils.extmath import randomized_svd

from leanrank import Factors, simulate

__all__ = ["shrunk_svd"]

POWERS = 7
"""Power iterations, scikit-learn's own choice for few components; each reads the matrix twice."""


def shrunk_svd(instance: simulate.Instance, seed: int, cap: float) -> Answer:
    """Singular vectors of scikit-learn, values shrunk to where the squared error is least.

    The shrinker is that of Gavish and Donoho (2017, eq. 7) for the Frobenius norm, with the level
    of noise from what the singular vectors of the true rank leave over.
    """
    del cap
    rank, Y = instance.truth.width, instance.y.reshape(instance.op.shape)
    P, s, Qt = randomized_svd(Y, rank, n_iter=POWERS, random_state=seed)
    n1, n2 = sorted(Y.shape, reverse=True)
    left = float(np.sum(Y * Y)) - float(s @ s)
    level = np.sqrt(n1 * max(left, 0.0) / ((n1 - rank) * (n2 - rank)))
    square = (s / level) ** 2
    inside = np.maximum((square - n2 / n1 - 1.0) ** 2 - 4.0 * n2 / n1, 0.0)
    clear = square > (1.0 + np.sqrt(n2 / n1)) ** 2
    root = np.sqrt(np.where(clear, level * np.sqrt(inside / square), 0.0))
    return Answer(Factors(P * root, Qt.T * root), 2.0 + 2.0 * POWERS)
