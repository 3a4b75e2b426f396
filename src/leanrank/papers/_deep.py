r"""What experiments on deep linear networks share: the 2 x 2 problem of Wang and Jacot (2024).

.. math:: \begin{pmatrix} 1 & x \\ \epsilon & 1 \end{pmatrix}

is of rank one for :math:`x = 1 / \epsilon` alone, and x is not observed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leanrank.deep import DeepFactors, initial_layers
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem

__all__ = ["observed", "starts", "test_losses"]


def observed(epsilon: float) -> Problem:
    """The three entries that are seen."""
    rows, cols = np.array([[0, 1, 1], [0, 0, 1]])
    return Problem(ObservedEntries(rows, cols, (2, 2)), np.array([1.0, epsilon, 1.0]))


def test_losses(networks: Sequence[DeepFactors], epsilon: float) -> np.ndarray:
    r"""Squared relative error of the entry that is not seen: 1 where it is taken to be zero."""
    return np.array([(epsilon * network.product()[0, 1] - 1.0) ** 2 for network in networks])


def starts(
    count: int,
    depth: int,
    width: int,
    rng: np.random.Generator,
    *,
    distribution: str = "linear",
) -> list[DeepFactors]:
    """Independent random networks."""
    return [
        initial_layers((2, 2), depth, width, distribution=distribution, random_state=rng)
        for _ in range(count)
    ]
