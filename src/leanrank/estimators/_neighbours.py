r"""What rows have in common beyond a covariance: the misses of rows that are alike.

.. math:: \hat r_{ij} = \frac{\sum_k w_k r_{kj}}{\sum_k w_k + \lambda}, \qquad
    w_k = \exp(-2 d_{ik}^2 / d_{i(K)}^2)

over the K nearest rows k whose entry in column j was observed (Nadaraya 1964 and Watson 1964, on
residuals). r are residuals, each given the other entries of its row; :math:`d_{i(K)}` is the
distance of the farthest of them. In distances a column counts by the inverse of the variance that
the others leave of it. Clusters of rows and relations that are not linear leave such residuals,
and noise does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leanrank._compile import compiled
from leanrank.posterior import Covariance

__all__ = ["Neighbours"]

_NEAREST = 5
"""Rows that are asked."""

_AS_SURE = 0.5
"""Weight at which residuals count as zero: half of a row that is the same."""

_RIDGE = 0.01
"""Least variance that others leave of a column, over its own: one that is there twice is not all
that counts."""

_MOST = 2000
"""Rows of the table that may be asked, evenly spread: the work for each row is of that size."""


@compiled(fastmath=True)
def _correct(X, wanted, columns, spread, residual, seen, nearest, as_sure, out):  # type: ignore[no-untyped-def]
    """Write what the nearest rows miss, at the entries that are wanted.

    Rows that are asked stand in ``columns``, ``residual`` and ``seen`` column after column.
    """
    n, (p, m) = X.shape[0], columns.shape
    whole, far, miss = np.empty(m), np.empty(nearest), np.empty(nearest)
    for i in range(n):
        if not wanted[i].any():
            continue
        whole[:] = spread
        for c in range(p):
            for k in range(m):
                apart = X[i, c] - columns[c, k]
                whole[k] += apart * apart
        for j in range(p):
            if not wanted[i, j]:
                continue
            found = 0
            for k in range(m):
                # Without column j itself, which is what is asked for.
                apart = X[i, j] - columns[j, k]
                distance = whole[k] - apart * apart
                if not seen[j, k] or (found == nearest and distance >= far[nearest - 1]):
                    continue
                at = found if found < nearest else nearest - 1
                while at > 0 and far[at - 1] > distance:
                    far[at], miss[at] = far[at - 1], miss[at - 1]
                    at -= 1
                far[at], miss[at] = distance, residual[j, k]
                found = min(found + 1, nearest)
            if found == 0:
                continue
            unit = far[found - 1]
            above, below = 0.0, as_sure
            for at in range(found):
                weight = np.exp(-2.0 * max(far[at], 0.0) / unit) if unit > 0.0 else 1.0
                above += weight * miss[at]
                below += weight
            out[i, j] = above / below


@dataclass(frozen=True)
class Neighbours:
    """Rows of a table and what a covariance leaves of them.

    Attributes
    ----------
    unit : ndarray, shape (p,)
        What columns are multiplied by where distances are taken.
    columns : ndarray, shape (p, m)
        Of the rows, completed, in these units.
    spread : ndarray, shape (m,)
        Sum of the variances of what was completed of them: what is not known well is far away.
    residual : ndarray, shape (p, m)
        Zero where nothing was observed.
    seen : ndarray of bool, shape (p, m)
    """

    unit: np.ndarray
    columns: np.ndarray
    spread: np.ndarray
    residual: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, Z: np.ndarray, model: Covariance) -> Neighbours:
        """The rows of a table with NaN for gaps, by a covariance."""
        n = Z.shape[0]
        if n > _MOST:
            Z = Z[np.linspace(0, n - 1, _MOST).astype(int)]
        completed, variance, _ = model.complete(Z)
        residual = np.nan_to_num(model.residuals(Z))
        regular = model.matrix + _RIDGE * np.diag(np.diagonal(model.matrix))
        unit = np.sqrt(np.diagonal(np.linalg.inv(regular)))
        columns, residual, seen = (
            np.ascontiguousarray(x.T) for x in (unit * completed, residual, ~np.isnan(Z))
        )
        return cls(unit, columns, variance @ unit**2, residual, seen)

    def correction(self, completed: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """What to add to completed rows where entries are gone, shape (n, p); zero elsewhere.

        Rows without any entry are like no others.
        """
        wanted = gone & ~gone.all(axis=1, keepdims=True)
        out = np.zeros(completed.shape)
        _correct(
            np.ascontiguousarray(self.unit * completed), wanted, self.columns, self.spread,
            self.residual, self.seen, _NEAREST, _AS_SURE, out,
        )  # fmt: skip
        return out
