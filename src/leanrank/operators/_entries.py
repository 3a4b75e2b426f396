"""Observed entries: matrix completion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from leanrank import _checks
from leanrank._arrays import Array, MatrixLike
from leanrank.factors import Factors
from leanrank.operators import _kernels
from leanrank.operators._base import Measurement, Tangent
from leanrank.operators._pattern import Pattern

__all__ = ["ObservedEntries"]


class ObservedEntries(Measurement):
    r"""Measurements :math:`y_i = X_{\text{rows}_i, \text{cols}_i}`: matrix completion.

    Scale: :math:`\tfrac1m\sum_i\langle A_i,X\rangle^2` is the mean square of the observed
    entries, about :math:`|X|_F^2 / (n_1 n_2)`. NumPy arrays only.

    Parameters
    ----------
    rows, cols : array of int, shape (m,)
        Positions of the entries, in any order. A position given twice is two measurements.
    shape : tuple of int
        (n1, n2).
    dtype : dtype
        Precision of the computation, float64 or float32.

    Raises
    ------
    ValueError
        If positions differ in number, lie outside ``shape``, or there are none.
    TypeError
        If positions are not integers.

    Examples
    --------
    >>> op = ObservedEntries([0, 1], [1, 2], (2, 3))
    >>> op.forward(Factors(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0], [5.0]])))
    array([ 4., 10.])
    """

    def __init__(
        self,
        rows: np.ndarray,
        cols: np.ndarray,
        shape: tuple[int, int],
        *,
        dtype: np.typing.DTypeLike = np.float64,
    ) -> None:
        self.shape = _checks.matrix_shape(shape, "shape")
        if self.shape[1] >= 2**31:
            raise ValueError(f"shape must have fewer than 2**31 columns, got {self.shape[1]}")
        rows = _checks.positions(rows, "rows", self.shape[0])
        cols = _checks.positions(cols, "cols", self.shape[1])
        if rows.size != cols.size:
            raise ValueError(
                f"rows and cols must have the same length, got {rows.size} and {cols.size}"
            )
        if rows.size == 0:
            raise ValueError("rows and cols are empty: at least one entry must be observed")
        self.size = int(rows.size)
        self._reference = np.empty(0, dtype=_checks.float_dtype(dtype))
        flat = rows * np.int64(self.shape[1]) + cols
        self._order = None if np.all(flat[1:] >= flat[:-1]) else np.argsort(flat, kind="stable")
        self.rows, self.cols = rows, cols
        rows_sorted = self._sort(rows)
        self._cols = self._sort(cols).astype(np.int32)
        self._indptr = np.searchsorted(rows_sorted, np.arange(self.shape[0] + 1))

    def _sort(self, values: np.ndarray) -> np.ndarray:
        """From the user's order to rows after one another."""
        return values if self._order is None else values[self._order]

    def _unsort(self, values: np.ndarray) -> np.ndarray:
        if self._order is None:
            return values
        out = np.empty_like(values)
        out[self._order] = values
        return out

    @property
    def reference(self) -> Array:
        return self._reference

    def subset(self, index: np.ndarray) -> ObservedEntries:
        index = self._indices(index)
        return ObservedEntries(
            self.rows[index], self.cols[index], self.shape, dtype=self._reference.dtype
        )

    def matrices(self, index: np.ndarray) -> np.ndarray:
        index = self._indices(index)
        A = np.zeros((index.size, *self.shape), dtype=self._reference.dtype)
        A[np.arange(index.size), self.rows[index], self.cols[index]] = 1.0
        return A

    def _forward_sorted(self, factors: Factors) -> np.ndarray:
        out = np.empty(self.size, dtype=self._reference.dtype)
        _kernels.entries_forward(self._indptr, self._cols, *_pair(factors), out)
        return out

    def forward(self, factors: Factors) -> np.ndarray:
        return self._unsort(self._forward_sorted(factors))

    def adjoint(self, residual: np.ndarray) -> MatrixLike:
        return sparse.csr_array((self._sort(residual), self._cols, self._indptr), shape=self.shape)

    def tangent(self, factors: Factors) -> Tangent:
        return _EntriesTangent(self, factors)

    def _pattern(self, symmetric: bool) -> Pattern:
        return Pattern(self.rows, self.cols, self.shape, symmetric)

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        n1, n2 = self.shape
        # A second look at the same entry determines nothing new.
        rows, cols = np.divmod(np.unique(self.rows * np.int64(n2) + self.cols), n2)
        flags = Pattern(rows, cols, self.shape, symmetric).undetermined(max(rank, 1))
        return np.flatnonzero(flags[:n1]), np.flatnonzero(flags[0 if symmetric else n1 :])

    def core(self, least: int, symmetric: bool = False) -> np.ndarray | None:
        inside = self._pattern(symmetric).core(least)
        return None if inside.all() or not inside.any() else np.flatnonzero(inside)

    def extend(self, factors: Factors, y: np.ndarray, inside: np.ndarray, noise: float) -> Factors:
        """Ridge regression of each row outside on what is known of the others.

        From the core outwards, a row as soon as it has as many entries with known rows as there
        are factors, in the end from what there is. The ridge is the ratio of the variance of the
        noise to that of the known rows: with an exact core it vanishes.
        """
        pattern = self._pattern(factors.symmetric)
        W = np.array(factors.W)
        known = pattern.known_by(inside)
        ridge = noise**2 / (float(np.mean(W[known] ** 2)) or 1.0)
        for need in (factors.width, 1):
            for ready, links in pattern.outwards(known, need):
                mine, told = pattern.mine[links], W[pattern.others[links]]
                W[ready] = _ridge_rows(mine, told, y[pattern.entry[links]], ready, ridge)
        W[~known] = 0.0
        return factors.with_stacked(W)


def _ridge_rows(
    rows: np.ndarray, told: np.ndarray, y: np.ndarray, ready: np.ndarray, ridge: float
) -> np.ndarray:
    """Ridge regression of y on ``told``, one for each ready row; shape (ready rows, k)."""
    k = told.shape[1]
    gram = np.zeros((ready.size, k, k))
    right = np.zeros((ready.size, k))
    np.add.at(gram, rows, told[:, :, None] * told[:, None, :])
    np.add.at(right, rows, told * y[:, None])
    gram = gram[ready] + ridge * np.eye(k)
    inverse = np.linalg.pinv(gram, rcond=4 * np.finfo(gram.dtype).eps, hermitian=True)
    return (inverse @ right[ready][:, :, None])[:, :, 0]


class _EntriesTangent(Tangent):
    """Fused sweeps over the observed entries, with exact diagonal blocks as preconditioner."""

    op: ObservedEntries

    def __init__(self, op: ObservedEntries, factors: Factors) -> None:
        super().__init__(op, factors)
        self._blocks: np.ndarray | None = None

    @property
    def normal_cost(self) -> float:
        return 1.0

    def _split(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (Z, Z) if self.factors.symmetric else (Z[: self.op.shape[0]], Z[self.op.shape[0] :])

    def _gather(self, out_u: np.ndarray, out_v: np.ndarray) -> np.ndarray:
        return out_u + out_v if self.factors.symmetric else np.concatenate([out_u, out_v])

    def _outputs(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Room for a stacked result, and the two halves that kernels write to."""
        f = self.factors
        n1 = f.shape[0]
        out = np.empty((sum(f.shape), f.width), dtype=f.W.dtype)
        return out, (out[:n1], out[n1:])

    def _fold(self, out: np.ndarray) -> np.ndarray:
        n1 = self.op.shape[0]
        return out[:n1] + out[n1:] if self.factors.symmetric else out

    def rmatvec(self, t: np.ndarray) -> np.ndarray:
        op, (out, halves) = self.op, self._outputs()
        _kernels.entries_pull_back(op._indptr, op._cols, op._sort(t), *_pair(self.factors), *halves)
        return self._fold(out)

    def normal(self, Z: np.ndarray) -> np.ndarray:
        op, (out, halves) = self.op, self._outputs()
        _kernels.entries_normal(
            op._indptr, op._cols, *_pair(self.factors), *self._split(Z), *halves
        )
        return self._fold(out)

    def blocks(self) -> np.ndarray:
        """Diagonal blocks of J^T J, one for each row of W; shape (rows, k, k)."""
        if self._blocks is None:
            op, f = self.op, self.factors
            n1, k = f.shape[0], f.width
            out = np.empty((sum(f.shape), k, k), dtype=f.W.dtype)
            _kernels.entries_blocks(op._indptr, op._cols, *_pair(f), out[:n1], out[n1:])
            self._blocks = self._fold(out)
            if f.symmetric:
                # An entry of the diagonal moves with both factors at once.
                seen, count = np.unique(op.rows[op.rows == op.cols], return_counts=True)
                U = f.U[seen]
                twice = (2 * count).astype(U.dtype)[:, None, None]
                self._blocks[seen] += twice * U[:, :, None] * U[:, None, :]
        return self._blocks

    def column_curvature(self) -> np.ndarray:
        return np.diagonal(self.blocks(), axis1=1, axis2=2).mean(axis=0)

    def preconditioner(self, damping: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        k = self.factors.width
        shifted = self.blocks().copy()
        diagonal = np.diagonal(shifted, axis1=1, axis2=2)
        # A row seen in few entries has a singular block, an unseen one a zero block.
        floor = (
            100
            * np.finfo(shifted.dtype).eps
            * np.maximum(diagonal.max(axis=1), 1e-6 * diagonal.mean())
        )
        floor = np.maximum(floor, np.finfo(shifted.dtype).tiny)
        shifted[:, range(k), range(k)] += np.maximum(damping, floor[:, None])
        inverse = np.linalg.inv(shifted)

        def apply(R: np.ndarray) -> np.ndarray:
            out = np.empty_like(R)
            _kernels.rows_times_blocks(inverse, R, out)
            return out

        return apply


def _pair(factors: Factors) -> tuple[np.ndarray, np.ndarray]:
    """The two factors as kernels want them."""
    return np.ascontiguousarray(factors.U), np.ascontiguousarray(factors.V)
