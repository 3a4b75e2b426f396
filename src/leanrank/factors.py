"""Factors: the one representation of a low-rank matrix in this library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, array_namespace, device_of
from leanrank._display import html_table, one_line
from leanrank._low_rank_matrix import LowRankMatrix

__all__ = [
    "Factors",
    "check_factors",
    "degrees_of_freedom",
    "take_columns",
]


@dataclass(frozen=True, init=False, eq=False)
class Factors(LowRankMatrix):
    r"""A matrix in factored form: :math:`X = U V^\top`, or :math:`X = U U^\top` when symmetric.

    Columns are the unit of everything: they are penalised, counted, pruned and grown. A general
    pair is held as the stacked matrix :math:`W = (U; V)`, a symmetric one as :math:`W = U`, so
    that penalties and solvers see one array and need not know which of the two it is.

    Factors are used as a matrix without forming it: ``factors @ v``, ``v @ factors`` (vectors and
    matrices), ``factors.T``, ``factors[i, j]`` (numbers and slices) and :meth:`entries`.
    ``np.asarray(factors)`` and :meth:`to_dense` do form it, all n1 x n2 entries; other arithmetic
    is refused rather than done on a dense copy.

    Parameters
    ----------
    U : array, shape (n1, k)
    V : array, shape (n2, k), optional
        Left out: the matrix is symmetric, :math:`X = U U^\top`.

    Raises
    ------
    ValueError
        If the factors are not matrices with the same number of columns.
    TypeError
        If they are not real numbers. (Integers become float64. Whether values are finite is not
        asked here: solvers make factors at every step.)

    Examples
    --------
    >>> import numpy as np
    >>> factors = Factors(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0], [5.0]]))
    >>> factors.shape, factors.width
    ((2, 3), 1)
    >>> factors.to_dense()
    array([[ 3.,  4.,  5.],
           [ 6.,  8., 10.]])
    >>> factors @ np.array([1.0, 0.0, 1.0]), float(factors[1, -1])
    (array([ 8., 16.]), 10.0)
    """

    W: Array
    shape: tuple[int, int]
    symmetric: bool

    def __init__(self, U: ArrayLike, V: ArrayLike | None = None) -> None:
        xp = array_namespace(U) if V is None else array_namespace(U, V)
        for name, factor in (("U", U), ("V", V)):
            if factor is not None and factor.ndim != 2:
                raise ValueError(
                    f"{name} must be a matrix of shape (n, k), got an array of shape "
                    f"{tuple(factor.shape)}"
                )
        U, V = _checks.floating(U, "U"), None if V is None else _checks.floating(V, "V")
        if V is not None and U.shape[1] != V.shape[1]:
            raise ValueError(
                f"U and V must have the same number of columns, got {U.shape[1]} and {V.shape[1]}"
            )
        W = U if V is None else xp.concat([U, V], axis=0)
        n1 = int(U.shape[0])
        self._set(W, (n1, n1 if V is None else int(V.shape[0])), V is None)

    def _set(self, W: Array, shape: tuple[int, int], symmetric: bool) -> None:
        object.__setattr__(self, "W", W)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "symmetric", symmetric)

    @classmethod
    def stacked(cls, W: Array, shape: tuple[int, int], symmetric: bool) -> Factors:
        """Factors over the stacked array ``W`` = (U; V), or U alone when symmetric; no copy."""
        self = cls.__new__(cls)
        self._set(W, shape, symmetric)
        return self

    @classmethod
    def empty(
        cls, shape: tuple[int, int], symmetric: bool = False, reference: Array | None = None
    ) -> Factors:
        """The zero matrix, with no columns at all, in the namespace of ``reference``."""
        rows = shape[0] if symmetric else sum(shape)
        reference = _checks.reference(reference)
        xp = array_namespace(reference)
        W = xp.zeros((rows, 0), dtype=reference.dtype, device=device_of(reference))
        return cls.stacked(W, shape, symmetric)

    @property
    def U(self) -> Array:
        """Left factor, shape (n1, k)."""
        return self.W[: self.shape[0], :]

    @property
    def V(self) -> Array:
        """Right factor, shape (n2, k); the left one when symmetric."""
        return self.W if self.symmetric else self.W[self.shape[0] :, :]

    @property
    def width(self) -> int:
        """Number of columns k, zero columns included."""
        return int(self.W.shape[1])

    def with_stacked(self, W: Array) -> Factors:
        """Factors of the same matrix shape over another stacked array."""
        return Factors.stacked(W, self.shape, self.symmetric)

    def astype(self, reference: Array) -> Factors:
        """The same factors in the dtype of ``reference``."""
        xp = array_namespace(self.W)
        return self.with_stacked(xp.astype(self.W, reference.dtype))

    def scaled(self, factor: float) -> Factors:
        """Factors of ``factor`` times the matrix, for a positive number."""
        return self.with_stacked(self.W * float(factor) ** 0.5)

    def column_norms(self) -> Array:
        """Euclidean norms of the columns of W, shape (k,)."""
        xp = array_namespace(self.W)
        return xp.linalg.vector_norm(self.W, axis=0)

    def keep(self, mask: Array) -> Factors:
        """Only the columns where ``mask`` (boolean, shape (k,)) is true."""
        return self.with_stacked(take_columns(self.W, mask))

    def append(self, other: Factors) -> Factors:
        """Columns of ``other`` after one's own: the sum of the two matrices."""
        xp = array_namespace(self.W)
        return self.with_stacked(xp.concat([self.W, other.W], axis=1))

    @property
    def T(self) -> Factors:
        """Factors of the transpose: U and V exchanged."""
        if self.symmetric:
            return self
        W = array_namespace(self.W).concat([self.V, self.U], axis=0)
        return Factors.stacked(W, self.shape[::-1], symmetric=False)

    def _thin_svd(self) -> tuple[Array, Array, Array, Array, Array]:
        """Thin QR factors of U and V, and the SVD of the small core between them."""
        xp = array_namespace(self.W)
        Q, R = xp.linalg.qr(self.U)
        if self.symmetric:
            left, s, right = xp.linalg.svd(R, full_matrices=False)
            return Q, Q, left, s * s, left.T
        P, S = xp.linalg.qr(self.V)
        left, s, right = xp.linalg.svd(R @ S.T, full_matrices=False)
        return Q, P, left, s, right

    def singular_values(self) -> Array:
        """Singular values of X in decreasing order, from two thin QRs; shape (min(n1, n2, k),)."""
        return self._thin_svd()[3]

    def svd(self) -> tuple[Array, Array, Array]:
        """Thin SVD X = P diag(s) Q^T: shapes (n1, j), (j,), (n2, j) with j = min(n1, n2, k)."""
        Q, P, left, s, right = self._thin_svd()
        return Q @ left, s, P @ right.T

    def balance(self) -> Factors:
        """The same matrix with U^T U = V^T V diagonal and decreasing: columns along the SVD."""
        xp = array_namespace(self.W)
        P, s, Q = self.svd()
        root = xp.sqrt(s)
        W = P * root if self.symmetric else xp.concat([P * root, Q * root], axis=0)
        return self.with_stacked(W)

    def compress(self) -> Factors:
        """The same matrix to rounding, balanced, without columns that add nothing to it."""
        if not self.width:
            return self
        balanced = self if self._is_balanced() else self.balance()
        xp = array_namespace(self.W)
        squares = balanced.column_norms() ** 2  # singular values, or twice those
        mask = squares > xp.finfo(self.W.dtype).eps * xp.max(squares)
        return balanced if bool(xp.all(mask)) else balanced.keep(mask)

    def _is_balanced(self) -> bool:
        """Whether U^T U and V^T V are, to rounding, the same decreasing diagonal."""
        xp = array_namespace(self.W)
        squares = xp.sum(self.U * self.U, axis=0)
        sizes = xp.sqrt(squares)
        limit = 100.0 * float(xp.finfo(self.W.dtype).eps) * sizes[:, None] * sizes[None, :]
        grams = [self.U.T @ self.U] + ([] if self.symmetric else [self.V.T @ self.V])
        diagonal = xp.eye(self.width, dtype=self.W.dtype, device=device_of(self.W)) * squares
        along = all(bool(xp.all(xp.abs(gram - diagonal) <= limit)) for gram in grams)
        return along and bool(xp.all(squares[1:] <= squares[:-1]))

    def distance(self, other: Factors) -> float:
        """Frobenius norm of the difference of two matrices, without forming either."""
        xp = array_namespace(self.W, other.W)
        U = xp.concat([self.U, -other.U], axis=1)
        V = xp.concat([self.V, other.V], axis=1)
        core = xp.linalg.qr(U)[1] @ xp.linalg.qr(V)[1].T
        return float(xp.linalg.vector_norm(core))

    def norm(self) -> float:
        """Frobenius norm of X."""
        xp = array_namespace(self.W)
        core = xp.linalg.qr(self.U)[1] @ xp.linalg.qr(self.V)[1].T
        return float(xp.linalg.vector_norm(core))

    def degrees_of_freedom(self) -> int:
        """Dimension of the manifold of matrices of rank k: see :func:`degrees_of_freedom`."""
        return degrees_of_freedom(self.shape, self.width, self.symmetric)

    @property
    def _form(self) -> str:
        return "U U^T" if self.symmetric else "U V^T"

    def __repr__(self) -> str:
        return one_line("Factors", self._form, shape=self.shape, width=self.width)

    def _repr_html_(self) -> str:
        n1, n2 = self.shape
        held = (n1 if self.symmetric else n1 + n2) * self.width
        return html_table(
            f"Factors {self._form}",
            {
                "shape": f"{n1} x {n2}",
                "width": self.width,
                "numbers": f"{held} for {n1 * n2} entries",
                "dtype": self.W.dtype,
            },
        )


def check_factors(factors: Any, name: str) -> Factors:
    """The factors, if that is what they are."""
    if not isinstance(factors, Factors):
        remedy = "wrap U and V as Factors(U, V), or U alone as Factors(U) for U U^T"
        if isinstance(getattr(factors, "factors", None), Factors):
            remedy = "pass its .factors"
        raise TypeError(f"{name} must be Factors, got {type(factors).__name__}: {remedy}")
    return factors


def take_columns(W: Array, mask: Array) -> Array:
    """Columns of ``W`` where ``mask`` is true, as a contiguous array."""
    xp = array_namespace(W)
    mask = xp.asarray(mask, device=device_of(W))
    return xp.take(W, xp.nonzero(mask)[0], axis=1)


def degrees_of_freedom(shape: tuple[int, int], rank: int, symmetric: bool = False) -> int:
    """Number of free parameters of a matrix of given rank.

    ``r (n1 + n2 - r)`` in general and ``r d - r (r - 1) / 2`` for a symmetric one: with fewer
    measurements no method can determine the matrix.

    Examples
    --------
    >>> degrees_of_freedom((1000, 1000), 5), degrees_of_freedom((20, 20), 3, symmetric=True)
    (9975, 57)
    """
    n1, n2 = shape
    rank = min(rank, n1, n2)
    if symmetric:
        return rank * n1 - rank * (rank - 1) // 2
    return rank * (n1 + n2 - rank)
