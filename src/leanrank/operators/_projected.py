"""Measurements with nuisances (constants, intercepts) eliminated exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from leanrank import _checks
from leanrank._arrays import Array, MatrixLike, array_namespace, like, to_numpy
from leanrank.factors import Factors
from leanrank.operators._base import Measurement
from leanrank.operators._row_wise import Selected, check_operator
from leanrank.operators._tangent import ExplicitTangent, Tangent

__all__ = ["Projected"]

_RIDGE = 1e-11
"""Added to the Gram matrix of a sparse basis, in units of its largest entry: dependent columns."""
_REFINEMENTS = 2
"""Solves that take the ridge out again, each but for a part of itself over an eigenvalue."""


class Projected(Measurement):
    r"""Measurements less their projection on nuisances: :math:`(I - P_B)\,\mathcal A(X)`.

    Where :math:`y = \mathcal A(X) + B c` with unknown c, fit :meth:`project` (y) with this
    operator: least squares over X and c is least squares over X alone here, and
    :meth:`coefficients` of y less the measurements of X are the c. No approximation is made.

    A product with the normal matrix is two passes of ``op`` and two products with B and its
    transpose; one sweep where the tangent of ``op`` holds its matrix, which is projected once.

    Parameters
    ----------
    op : Measurement
    basis : array, shape (m, q) or (m,), or scipy.sparse matrix
        B, column by column what a unit of each nuisance adds to y. Columns may depend on one
        another; sparse ones with NumPy arrays only.

    Raises
    ------
    TypeError
        If ``op`` is not a measurement operator, or the basis is not numeric.
    ValueError
        If the basis has not one finite row for each measurement, or is zero.

    Notes
    -----
    Least squares with weights w: ``Projected(Weighted(op, w), sqrt(w)[:, None] * basis)``. For
    other losses eliminating is not exact, and :class:`~leanrank.Problem` refuses them.

    The rank of the basis is ``eliminated``: it counts among the unknowns.

    A nuisance that is itself the measurement of a matrix cannot be told from X. With intercepts of
    rows :math:`(U, V)` and :math:`(U, V + 1 c^\top)` measure the same, whatever c: X is determined
    up to that gauge, and what is determined is :math:`X (I - 1 1^\top / n_2)`.
    :meth:`intercepts` knows such directions (``gauges``), so that they need not be taken for a
    lack of measurements.

    The measurements of ``subset`` keep the nuisances of all m of them, so that an exact fit to all
    is one to any of them.

    Examples
    --------
    Readings that drift linearly in time, whatever the drift:

    >>> import numpy as np
    >>> from leanrank.operators import RankOneSensing
    >>> x = np.random.default_rng(0).standard_normal((50, 4))
    >>> time = np.linspace(-1.0, 1.0, 50)
    >>> op = Projected(RankOneSensing(x), np.stack([np.ones(50), time], axis=1))
    >>> op.coefficients(7.0 - 2.0 * time).round(6), op.eliminated
    (array([ 7., -2.]), 2)
    """

    def __init__(self, op: Measurement, basis: Any) -> None:
        self.op = check_operator(op)
        self.shape, self.size, self.symmetric = op.shape, op.size, op.symmetric
        self.eliminated = op.eliminated
        self._sides: tuple[bool, bool] = (False, False)
        if sparse.issparse(basis):
            solver: Any = _SparseBasis(basis, op)
        else:
            solver = _DenseBasis(basis, op)
        self._basis = solver
        self.eliminated += solver.rank

    @classmethod
    def intercepts(cls, op: Measurement, *, rows: bool = True, columns: bool = True) -> Projected:
        r"""``op`` less what intercepts measure: of :math:`X + a 1^\top + 1 b^\top` X is fitted.

        Parameters
        ----------
        op : Measurement
            With NumPy arrays; observed entries give a sparse basis.
        rows, columns : bool
            Whether each row, each column has an intercept of its own.

        Raises
        ------
        ValueError
            If neither has.

        Examples
        --------
        >>> from leanrank.operators import ObservedEntries
        >>> op = Projected.intercepts(ObservedEntries([0, 0, 1, 1], [0, 1, 0, 1], (2, 2)))
        >>> op.eliminated, op.project(np.array([1.0, 2.0, 3.0, 4.0])).round(9) + 0.0
        (3, array([0., 0., 0., 0.]))
        """
        if not (rows or columns):
            raise ValueError("rows or columns must be True: there is no intercept to eliminate")
        parts = [_side(op, side) for side, wanted in enumerate((rows, columns)) if wanted]
        new = cls(op, sparse.hstack(parts, format="csr"))
        new._sides = (rows, columns)
        return new

    def coefficients(self, values: Array) -> Array:
        """Coefficients c, shape (q,), of least squares of values on the basis (the shortest)."""
        return self._basis.coefficients(values)

    def project(self, values: Array) -> Array:
        """Values less their projection on the basis, along the first axis."""
        return self._basis.project(values)

    def gauges(self, factors: Factors) -> Array:
        xp, f = array_namespace(factors.W), factors
        if f.symmetric or not any(self._sides) or not f.width:
            return super().gauges(factors)
        n1, n2 = f.shape
        rows, columns = self._sides
        found = []
        for on, start, n in ((columns, 0, n1), (rows, n1, n2)):
            for c in range(f.width if on else 0):
                Z = np.zeros(tuple(f.W.shape))
                Z[start : start + n, c] = 1.0
                found.append(like(Z, f.W))
        return xp.stack(found)

    @property
    def weight(self) -> float:
        return self.op.weight

    @property
    def reference(self) -> Array:
        return self.op.reference

    def subset(self, index: np.ndarray) -> Measurement:
        return Selected(self, index)

    def forward(self, factors: Factors) -> Array:
        return self.project(self.op.forward(factors))

    def adjoint(self, residual: Array) -> MatrixLike:
        return self.op.adjoint(self.project(residual))

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What is undetermined with the nuisances known stays so without them."""
        return self.op.undetermined(rank, symmetric)

    def tangent(self, factors: Factors) -> Tangent:
        inner = self.op.tangent(factors)
        value = self.project(inner.value)
        if isinstance(inner, ExplicitTangent):
            J = self.project(inner.jacobian)
            return ExplicitTangent(self, factors, J, value, inner.apply_cost)
        return _ProjectedTangent(self, inner, value)


class _ProjectedTangent(Tangent):
    op: Projected

    def __init__(self, op: Projected, inner: Tangent, value: Array) -> None:
        super().__init__(op, inner.factors, value)
        self.inner = inner
        self.build_cost, self.apply_cost = inner.build_cost, inner.apply_cost

    def matvec(self, Z: Array) -> Array:
        return self.op.project(self.inner.matvec(Z))

    def rmatvec(self, t: Array) -> Array:
        return self.inner.rmatvec(self.op.project(t))

    # Few nuisances change the blocks of rows little; a population's blocks are best scaled to
    # what is left of the measurements.
    def blocks(self, weights: Array | None = None) -> Array:
        if self.inner.exact_blocks:
            return self.inner.blocks(weights)
        return super().blocks(weights)

    def column_curvature(self, weights: Array | None = None) -> Array:
        if self.inner.exact_blocks:
            return self.inner.column_curvature(weights)
        return super().column_curvature(weights)

    def preconditioner(
        self, damping: Array, weights: Array | None = None
    ) -> Callable[[Array], Array]:
        if self.inner.exact_blocks:
            return self.inner.preconditioner(damping, weights)
        return super().preconditioner(damping, weights)


class _DenseBasis:
    """Orthonormal columns that span the basis."""

    def __init__(self, basis: Any, op: Measurement) -> None:
        B = basis if getattr(basis, "ndim", 0) == 2 else np.reshape(to_numpy(basis), (-1, 1))
        B = to_numpy(_checks.real_array(B, "basis", ndim=2)).astype(np.float64)
        if B.shape[0] != op.size or not B.any():
            raise ValueError(
                f"basis must have a row for each of the {op.size} measurements, not all of them "
                f"zero, got {B.shape[0]} with sum of squares {float(np.sum(B * B)):.3g}"
            )
        Q, s, Vt = np.linalg.svd(B, full_matrices=False)
        keep = s > max(B.shape) * np.finfo(np.float64).eps * s[0]
        self.rank = int(keep.sum())
        self._Q = like(np.ascontiguousarray(Q[:, keep]), op.reference)
        self._back = like(Vt[keep].T / s[keep], op.reference)

    def coefficients(self, values: Array) -> Array:
        return self._back @ (self._Q.T @ values)

    def project(self, values: Array) -> Array:
        return values - self._Q @ (self._Q.T @ values)


class _SparseBasis:
    """The Gram matrix of the basis, factorised with a small ridge that refinement takes out."""

    def __init__(self, basis: Any, op: Measurement) -> None:
        if basis.shape[0] != op.size or not basis.nnz or not np.all(np.isfinite(basis.data)):
            raise ValueError(
                f"basis must have a finite row for each of the {op.size} measurements, not all of "
                f"them zero, got shape {basis.shape} with {basis.nnz} entries"
            )
        to_numpy(op.reference)
        self._B = sparse.csr_array(basis).astype(np.float64)
        self._Bt = sparse.csr_array(self._B.T)
        gram = self._Bt @ self._B
        self._ridge = _RIDGE * float(gram.diagonal().max())
        shifted = sparse.csc_array(gram + self._ridge * sparse.eye_array(gram.shape[0]))
        options = {"SymmetricMode": True}
        self._lu = splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
        # Pivots of what depends on other columns are ridges, a few at the most.
        self.rank = int((np.abs(self._lu.U.diagonal()) > 1e5 * self._ridge).sum())

    def coefficients(self, values: Array) -> np.ndarray:
        rest = np.asarray(values, dtype=np.float64)
        c = np.zeros((self._B.shape[1], *rest.shape[1:]))
        for _ in range(1 + _REFINEMENTS):
            change = self._lu.solve(self._Bt @ rest)
            c += change
            rest = rest - self._B @ change
        return c

    def project(self, values: Array) -> np.ndarray:
        left = values - self._B @ self.coefficients(values)
        return left.astype(values.dtype, copy=False)


def _side(op: Measurement, side: int) -> Any:
    """What intercepts of rows (side 0) or columns (side 1) measure, shape (m, n)."""
    n = op.shape[side]
    entries = op.entries()
    if entries is not None:
        data = (entries[2], (np.arange(op.size), entries[side]))
        return sparse.csr_array(data, shape=(op.size, n))
    ones, columns = np.ones((op.shape[1 - side], 1)), []
    for i in range(n):
        pair = [np.eye(n)[:, i : i + 1], ones]
        left, right = (like(x, op.reference) for x in (pair if side == 0 else pair[::-1]))
        columns.append(to_numpy(op.forward(Factors(left, right))))
    return sparse.csr_array(np.stack(columns, axis=1))
