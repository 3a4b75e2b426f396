r"""White noise in a matrix all of whose entries were seen, and what it does to singular values.

Noise of deviation :math:`\sigma` in each entry of an n1 x n2 matrix has singular values up to an
edge, :math:`\sigma (\sqrt{n_1} + \sqrt{n_2})`. A singular value x of the matrix beyond
:math:`\sigma (n_1 n_2)^{1/4}` shows as one above the edge,

.. math:: s^2 = (x^2 + \sigma^2 n_1)(x^2 + \sigma^2 n_2) / x^2,

with singular vectors that are turned by a known angle, and smaller ones do not show at all
(Benaych-Georges and Nadakuditi 2012). The multiple of what shows that is nearest to what is there,
in Frobenius norm, has the singular value

.. math:: \eta(s) = \sqrt{(s^2 - \sigma^2 (n_1 + n_2))^2 - 4 \sigma^4 n_1 n_2} \,/\, s

and misses :math:`x^2 - \eta^2` (Gavish and Donoho 2017, eq. 7). Symmetric matrices are the same,
with the deviation of an entry of the symmetric part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["WhiteNoise"]

_BY_CHANCE = 3.2724
"""Of the Tracy-Widom law (real matrices) 0.999 lie below."""


@dataclass(frozen=True)
class WhiteNoise:
    """Independent noise of one size in all entries of a matrix, or of a symmetric one.

    Attributes
    ----------
    shape : tuple of int
    deviation : float
        Standard deviation of an entry; of a symmetric matrix, off the diagonal.
    symmetric : bool
    """

    shape: tuple[int, int]
    deviation: float
    symmetric: bool = False

    @classmethod
    def left_by(
        cls, square: float, rank: int, shape: tuple[int, int], symmetric: bool = False
    ) -> WhiteNoise:
        """The noise of which the sum of squares remains that a rank has not taken."""
        n1, n2 = shape
        spare = (n1 - rank) * (n2 - rank + (1 if symmetric else 0))
        return cls(shape, math.sqrt(max(square, 0.0) / spare), symmetric)

    @property
    def edge(self) -> float:
        """Largest singular value of noise alone, of large matrices."""
        return self.deviation * (math.sqrt(self.shape[0]) + math.sqrt(self.shape[1]))

    @property
    def threshold(self) -> float:
        """What the largest singular value of noise exceeds once in a thousand times.

        The law of Tracy and Widom, centred and scaled by Johnstone (2001).
        """
        root1, root2 = math.sqrt(self.shape[0]), math.sqrt(self.shape[1])
        if self.symmetric:
            return self.edge + self.deviation * _BY_CHANCE * root1 ** (-1 / 3)
        spread = (root1 + root2) * (1 / root1 + 1 / root2) ** (1 / 3)
        return self.deviation * math.sqrt((root1 + root2) ** 2 + _BY_CHANCE * spread)

    def standing_out(self, values: np.ndarray) -> int:
        """How many of the values, in decreasing order, are above the threshold."""
        return int(np.sum(values > self.threshold))

    def beneath(self, values: np.ndarray) -> np.ndarray:
        """The singular values x without noise that show as these, which are above the edge."""
        shifted, root = self._parts(values)
        return np.sqrt((shifted + root) / 2)

    def shrunk(self, values: np.ndarray) -> np.ndarray:
        r"""The singular values :math:`\eta` that are best, in Frobenius norm, for such vectors."""
        return self._parts(values)[1] / values

    def expected_error(self, values: np.ndarray, taken: np.ndarray) -> float:
        """Root of the expected squared error where singular values ``taken`` stand for these."""
        best = self.shrunk(values)
        missed = self.beneath(values) ** 2 - 2 * taken * best + taken**2
        return math.sqrt(float(np.sum(missed)))

    def _parts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sum of x^2 and what is left of it, and their difference."""
        n1, n2 = self.shape
        variance = self.deviation**2
        shifted = values**2 - variance * (n1 + n2)
        return shifted, np.sqrt(np.maximum(shifted**2 - 4 * variance**2 * n1 * n2, 0.0))
