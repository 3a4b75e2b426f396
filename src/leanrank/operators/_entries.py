"""Observed entries: matrix completion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, MatrixLike
from leanrank.factors import Factors
from leanrank.operators import _kernels
from leanrank.operators._base import Measurement
from leanrank.operators._tables import observed_in_sparse, observed_in_table
from leanrank.operators._tangent import Tangent, block_preconditioner

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
        rows: ArrayLike,
        cols: ArrayLike,
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

    @classmethod
    def from_dense(
        cls, table: Any, missing: float = math.nan
    ) -> tuple[ObservedEntries, np.ndarray]:
        """The operator and the values of a table's observed entries.

        Parameters
        ----------
        table : array, DataFrame, masked array or list of lists, shape (n1, n2)
            Real numbers. None counts as NaN; what is masked is missing.
        missing : float
            What stands for a missing entry: NaN, or a number such as 0 or -99. With a number, NaN
            is refused.

        Returns
        -------
        op : ObservedEntries
            Row after row, in float32 if the table is, in float64 otherwise.
        y : ndarray, shape (m,)
            Both go to :func:`leanrank.recover` as they are. A symmetric table gives each entry
            off the diagonal twice; say ``symmetric=True`` there.

        Raises
        ------
        ValueError
            If nothing is observed, what is observed is not finite, or ``table`` is no matrix.
        TypeError
            If something in it is not a real number, or it is not NumPy's.

        Examples
        --------
        >>> op, y = ObservedEntries.from_dense([[1.0, None], [3.0, 4.0]])
        >>> op, y
        (ObservedEntries(shape=(2, 2), size=3), array([1., 3., 4.]))
        """
        rows, cols, shape, y = observed_in_table(table, missing)
        return cls(rows, cols, shape, dtype=y.dtype), y

    @classmethod
    def from_sparse(cls, matrix: Any) -> tuple[ObservedEntries, np.ndarray]:
        """The operator and the values of the stored entries of a SciPy sparse matrix.

        Stored entries are the observed ones, zeros included; what is not stored is unknown, not
        zero.

        Parameters
        ----------
        matrix : sparse matrix or array, shape (n1, n2)
            In COO, CSR, CSC, LIL or DOK format.

        Returns
        -------
        op : ObservedEntries
            In the order of ``matrix.tocoo()``, in float32 if the matrix is, in float64 otherwise.
        y : ndarray, shape (m,)
            ``matrix.tocoo().data``.

        Raises
        ------
        ValueError
            If nothing is stored; if a position is stored twice, since SciPy would add the values
            up and a list of ratings would not; if a value is not finite; or if the format does
            not say which zeros are stored (DIA and BSR).
        TypeError
            If it is not a sparse matrix of real numbers.

        Examples
        --------
        >>> matrix = sparse.coo_array(([5.0, 0.0], ([0, 1], [2, 0])), shape=(2, 3))
        >>> ObservedEntries.from_sparse(matrix)
        (ObservedEntries(shape=(2, 3), size=2), array([5., 0.]))
        """
        rows, cols, shape, y = observed_in_sparse(matrix)
        return cls(rows, cols, shape, dtype=y.dtype), y

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
        # Of one kind with the columns, or these are copied.
        indptr = self._indptr.astype(np.int32) if self.size < 2**31 else self._indptr
        return sparse.csr_array((self._sort(residual), self._cols, indptr), shape=self.shape)

    def tangent(self, factors: Factors) -> Tangent:
        return _EntriesTangent(self, factors)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.rows, self.cols, np.ones(self.size)


class _EntriesTangent(Tangent):
    """Fused sweeps over the observed entries, with exact diagonal blocks as preconditioner."""

    op: ObservedEntries
    exact_blocks = True
    _blocks: tuple[np.ndarray | None, np.ndarray] | None = None

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

    def _sorted(self, weights: np.ndarray | None) -> np.ndarray:
        """Weights as kernels want them: rows after one another, nothing for ones."""
        dtype = self.factors.W.dtype
        if weights is None:
            return np.empty(0, dtype)
        return self.op._sort(np.asarray(weights, dtype=dtype))

    def normal(self, Z: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        op, (out, halves) = self.op, self._outputs()
        factors, moves = _pair(self.factors), self._split(Z)
        w = self._sorted(weights)
        _kernels.entries_normal(op._indptr, op._cols, w, *factors, *moves, *halves)
        return self._fold(out)

    def blocks(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Diagonal blocks of J^T diag(weights) J, one for each row of W; shape (rows, k, k)."""
        if self._blocks is None or self._blocks[0] is not weights:
            self._blocks = weights, self._new_blocks(weights)
        return self._blocks[1]

    def _new_blocks(self, weights: np.ndarray | None) -> np.ndarray:
        op, f = self.op, self.factors
        n1, k = f.shape[0], f.width
        out = np.empty((sum(f.shape), k, k), dtype=f.W.dtype)
        w = self._sorted(weights)
        _kernels.entries_blocks(op._indptr, op._cols, w, *_pair(f), out[:n1], out[n1:])
        blocks = self._fold(out)
        if f.symmetric:
            # An entry of the diagonal moves with both factors at once.
            on = op.rows == op.cols
            twice = np.zeros(n1, dtype=f.W.dtype)
            np.add.at(twice, op.rows[on], 2.0 if weights is None else 2.0 * weights[on])
            blocks += twice[:, None, None] * f.U[:, :, None] * f.U[:, None, :]
        return blocks

    def column_curvature(self, weights: np.ndarray | None = None) -> np.ndarray:
        return np.diagonal(self.blocks(weights), axis1=1, axis2=2).mean(axis=0)

    def preconditioner(
        self, damping: np.ndarray, weights: np.ndarray | None = None
    ) -> Callable[[np.ndarray], np.ndarray]:
        # Inverted in place: of long tables they are the largest arrays.
        blocks, self._blocks = self.blocks(weights), None
        return block_preconditioner(blocks, damping, overwrite=True)


def _pair(factors: Factors) -> tuple[np.ndarray, np.ndarray]:
    """The two factors as kernels want them."""
    return np.ascontiguousarray(factors.U), np.ascontiguousarray(factors.V)
