"""What a measurement operator is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from leanrank import _checks
from leanrank._arrays import (
    Array,
    MatrixLike,
    array_namespace,
    device_of,
    like,
    to_numpy,
)
from leanrank._display import one_line, operator_html
from leanrank.factors import Factors
from leanrank.operators._pattern import Pattern
from leanrank.operators._tangent import Tangent

__all__ = ["Measurement"]


class Measurement(ABC):
    r"""A linear map from n1 x n2 matrices to m measurements :math:`y_i = \langle A_i, X\rangle`.

    Attributes
    ----------
    shape : tuple of int
        (n1, n2) of the matrices that are measured.
    size : int
        Number of measurements m.
    symmetric : bool
        Whether only the symmetric part of X is seen (then only symmetric X can be recovered).
    weight : float
        The number that a squared residual is multiplied with in the loss; 1/m but for the
        population loss.
    eliminated : int
        Number of unknowns besides X that were eliminated, each at the price of a measurement.
    """

    shape: tuple[int, int]
    size: int
    symmetric: bool = False
    eliminated: int = 0

    @property
    def weight(self) -> float:
        return 1.0 / self.size

    @property
    @abstractmethod
    def reference(self) -> Array:
        """Some array of the operator's: its namespace, dtype and device are the operator's."""

    @abstractmethod
    def forward(self, factors: Factors) -> Array:
        """Measurements of the matrix, shape (m,). One pass."""

    @abstractmethod
    def adjoint(self, residual: Array) -> MatrixLike:
        r""":math:`\sum_i \text{residual}_i A_i`, something n1 x n2 that multiplies. One pass."""

    @abstractmethod
    def subset(self, index: np.ndarray) -> Measurement:
        """The operator of the measurements with the given indices, in that order.

        Raises
        ------
        ValueError
            If there are none, or some lie outside [0, m).
        TypeError
            If they are not integers.
        """

    def matrices(self, index: np.ndarray) -> Array:
        """The sensing matrices :math:`A_i` of some measurements, shape (len(index), n1, n2).

        For a few at a time, where no operator pays: solvers that take them one by one.

        Raises
        ------
        ValueError, TypeError
            As :meth:`subset`.
        """
        index, position = np.unique(self._indices(index), return_inverse=True)
        op, xp = self.subset(index), array_namespace(self.reference)
        units, columns = np.eye(op.size), like(np.eye(self.shape[1]), self.reference)
        each = [op.adjoint(like(unit, self.reference)) @ columns for unit in units]
        return xp.stack([each[i] for i in position])

    def _indices(self, index: np.ndarray) -> np.ndarray:
        """Indices of measurements, checked."""
        index = _checks.positions(index, "index", self.size)
        if index.size == 0:
            raise ValueError("index is empty: at least one measurement must be kept")
        return index

    def tangent(self, factors: Factors) -> Tangent:
        """The derivative of ``forward`` at ``factors``."""
        return Tangent(self, factors)

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        """Residual, the adjoint of it times ``weights`` (ones if None), and the passes they took.

        Fewer passes where one sweep does both.
        """
        residual = self.forward(factors) - y
        weighted = residual if weights is None else weights * residual
        return residual, self.adjoint(weighted), 2.0

    def residuals_and_adjoints(
        self, many: Sequence[Factors], y: Array, weights: Array | None = None
    ) -> tuple[list[Array], list[MatrixLike], float]:
        """As :meth:`residual_and_adjoint` for many factors at once, of the same measurements."""
        found = [self.residual_and_adjoint(factors, y, weights) for factors in many]
        return [r for r, _, _ in found], [S for _, S, _ in found], sum(cost for _, _, cost in found)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Rows, columns and factors s, if measurement i is the entry X[rows_i, cols_i] times s_i.

        None if the measurements are not of single entries. What follows is about which entries
        there are, and says nothing of other measurements.
        """
        return None

    def gains(self) -> Array:
        """What each measurement was multiplied by when it was composed, shape (m,).

        Zero where it is zero whatever X is, and so is no measurement.
        """
        xp, reference = array_namespace(self.reference), self.reference
        one = xp.ones(1, dtype=reference.dtype, device=device_of(reference))
        return xp.broadcast_to(one, (self.size,))

    def _pattern(self, symmetric: bool) -> tuple[Pattern, np.ndarray] | None:
        """The graph of the entries that count, and their positions among the measurements."""
        found = self.entries()
        if found is None:
            return None
        rows, cols, scale = found
        (seen,) = np.nonzero(scale)
        return Pattern(rows[seen], cols[seen], self.shape, symmetric), seen

    def undetermined(self, rank: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of X that the measurements cannot determine at this rank."""
        found = self._pattern(symmetric)
        if found is None:
            none = np.zeros(0, dtype=np.intp)
            return none, none
        n1 = self.shape[0]
        flags = found[0].distinct().undetermined(max(rank, 1))
        return np.flatnonzero(flags[:n1]), np.flatnonzero(flags[0 if symmetric else n1 :])

    def well_observed(
        self, least: int, symmetric: bool = False, without: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Indices of the measurements among rows and columns that have at least so many each.

        None where that is all of them, or none. Flagged rows of W, shape (rows,), are ``without``
        any. What lies outside adds unknowns and hardly constraints,
        and can trap a solver: a row seen in as few entries as the rank fits whatever the other
        factor is, if need be with huge values.
        """
        found = self._pattern(symmetric)
        if found is None:
            return None
        pattern, seen = found
        inside = pattern.core(least, without)
        return None if inside.all() or not inside.any() else seen[inside]

    def gauges(self, factors: Factors) -> Array:
        """Changes of W that no measurement can see, whatever they are; shape (g, rows, k).

        Those of unknowns that the operator eliminates and X could take over; rotations of the
        factors are not among them. None as a rule.
        """
        xp = array_namespace(factors.W)
        W = factors.W
        return xp.zeros((0, *W.shape), dtype=W.dtype, device=device_of(W))

    def estimate_rest(
        self,
        factors: Factors,
        y: Array,
        inside: np.ndarray,
        noise: float,
        weights: Array | None = None,
    ) -> Factors:
        """Factors fitted to well-observed rows, with the other rows estimated from those.

        Ridge regression of each row outside on what is known of the others: from the core
        outwards, a row as soon as it has as many entries with known rows as there are factors, in
        the end from what there is. The ridge is the ratio of the variance of the noise to that of
        the known rows: with an exact core it vanishes.

        Parameters
        ----------
        factors : Factors
            Fitted to the measurements ``inside``.
        y : array, shape (m,)
        inside : ndarray of int
            What :meth:`well_observed` gave.
        noise : float
            Standard deviation of a measurement, of one of weight one.
        weights : array, shape (m,), optional
            Inverse variances of the measurements, up to the noise.
        """
        found, entries = self._pattern(factors.symmetric), self.entries()
        if found is None or entries is None:
            return factors
        (pattern, seen), scale = found, entries[2]
        precision = scale**2 if weights is None else scale**2 * to_numpy(weights)
        values = to_numpy(y)[seen] / scale[seen]
        core = np.isin(seen, inside)
        W = pattern.regressed(to_numpy(factors.W), values, core, noise, precision[seen])
        return factors.with_stacked(like(W, factors.W))

    def __repr__(self) -> str:
        return one_line(type(self).__name__, shape=self.shape, size=self.size)

    def _repr_html_(self) -> str:
        return operator_html(self)
