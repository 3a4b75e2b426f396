"""Measurements of several operators, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import numpy as np

from leanrank._arrays import Array, MatrixLike, array_namespace
from leanrank.factors import Factors
from leanrank.operators._base import Measurement
from leanrank.operators._row_wise import Selected, check_operator
from leanrank.operators._tangent import Tangent, block_preconditioner

__all__ = ["Stacked"]

Mapper = Callable[..., Iterable[Any]]


class Stacked(Measurement):
    r"""The measurements of several operators of one matrix, one after another.

    Entries beside random projections, sensors of two kinds, or data in blocks. y is the vectors
    of the parts, concatenated. The loss is the mean over all measurements, whichever part they
    are of and whatever the ``weight`` of the parts; where they differ in size or in noise, make
    them :class:`Weighted` or give the loss weights.

    A pass, also one product with the normal matrix, is one of each part.

    Parameters
    ----------
    ops : sequence of Measurement
        Of one shape, dtype and array library. ``symmetric`` only if all of them are: what one of
        them sees of the skew part of X, the fit has to explain. Entries that parts of single
        entries observe are counted together when rows are looked for that are seen too little;
        where any part measures something else, none is called undetermined.
    mapper : callable
        Applies a function to every part and yields what comes out in the order of the parts, as
        the built-in one does; that of a pool of threads asks all of them at once. Sums over parts
        are taken in their order: the answer does not depend on it.

    Raises
    ------
    ValueError, TypeError
        If there are none, or they do not fit together.

    Examples
    --------
    >>> from leanrank.operators import ObservedEntries, RankOneSensing
    >>> op = Stacked([ObservedEntries([0], [1], (2, 2)), RankOneSensing(np.array([[1.0, 1.0]]))])
    >>> op.forward(Factors(np.array([[1.0], [3.0]])))
    array([ 3., 16.])
    """

    def __init__(self, ops: Sequence[Measurement], mapper: Mapper = map) -> None:
        self.mapper = mapper
        self.ops = tuple(check_operator(op, f"ops[{i}]") for i, op in enumerate(ops))
        if not self.ops:
            raise ValueError("ops is empty: at least one operator must be stacked")
        first = self.ops[0]
        for i, op in enumerate(self.ops):
            if op.shape != first.shape or op.reference.dtype != first.reference.dtype:
                raise ValueError(
                    f"ops must be of one shape and dtype, got {first.shape} and "
                    f"{first.reference.dtype}, but {op.shape} and {op.reference.dtype} for ops[{i}]"
                )
            array_namespace(first.reference, op.reference)
        self.shape = first.shape
        self.symmetric = all(op.symmetric for op in self.ops)
        self.eliminated = sum(op.eliminated for op in self.ops)
        self._ends = np.cumsum([0, *(op.size for op in self.ops)])
        self.size = int(self._ends[-1])

    def split(self, values: Array) -> list[Array]:
        """Values of all measurements, shape (m,), as those of each part."""
        return [values[i:j] for i, j in pairwise(int(end) for end in self._ends)]

    def split_weights(self, weights: Array | None) -> list[Array | None]:
        """The same of weights, which may be None."""
        return [None] * len(self.ops) if weights is None else list(self.split(weights))

    @property
    def reference(self) -> Array:
        return self.ops[0].reference

    def forward(self, factors: Factors) -> Array:
        values = list(self.mapper(lambda op: op.forward(factors), self.ops))
        return array_namespace(self.reference).concat(values)

    def adjoint(self, residual: Array) -> MatrixLike:
        terms = self.mapper(lambda op, part: op.adjoint(part), self.ops, self.split(residual))
        return _Sum(tuple(terms), self.mapper)

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        found = list(
            self.mapper(
                lambda op, part, w: op.residual_and_adjoint(factors, part, w),
                self.ops,
                self.split(y),
                self.split_weights(weights),
            )
        )
        residual = array_namespace(self.reference).concat([r for r, _, _ in found])
        cost = sum(op.size * c for op, (_, _, c) in zip(self.ops, found, strict=True))
        terms = tuple(S for _, S, _ in found)
        return residual, _Sum(terms, self.mapper), cost / self.size

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        found = [parts for op in self.ops if (parts := op.entries()) is not None]
        if len(found) < len(self.ops):
            return None
        rows, cols, scale = (np.concatenate(each) for each in zip(*found, strict=True))
        return rows, cols, scale

    def gains(self) -> Array:
        return array_namespace(self.reference).concat([op.gains() for op in self.ops])

    def subset(self, index: np.ndarray) -> Measurement:
        index = self._indices(index)
        part = np.searchsorted(self._ends, index, side="right") - 1
        chosen = np.unique(part)
        ops = list(
            self.mapper(
                lambda i: self.ops[i].subset(index[part == i] - self._ends[i]), chosen.tolist()
            )
        )
        together = Stacked(ops, self.mapper) if len(ops) > 1 else ops[0]
        order = np.argsort(part, kind="stable")
        if np.array_equal(order, np.arange(order.size)):
            return together
        return Selected(together, np.argsort(order))

    def tangent(self, factors: Factors) -> Tangent:
        parts = list(self.mapper(lambda op: op.tangent(factors), self.ops))
        return _StackedTangent(self, factors, parts)


class _StackedTangent(Tangent):
    op: Stacked

    def __init__(self, op: Stacked, factors: Factors, parts: list[Tangent]) -> None:
        xp = array_namespace(op.reference)
        super().__init__(op, factors, xp.concat([part.value for part in parts]))
        self.parts, self.exact_blocks = parts, all(part.exact_blocks for part in parts)
        self.build_cost = self._share([part.build_cost for part in parts])
        self.apply_cost = self._share([part.apply_cost for part in parts])

    def _share(self, costs: list[float]) -> float:
        """Passes over all measurements that passes over the parts make."""
        each = zip(self.op.ops, costs, strict=True)
        return sum(op.size * cost for op, cost in each) / self.op.size

    @property
    def normal_cost(self) -> float:
        return self._share([part.normal_cost for part in self.parts])

    def matvec(self, Z: Array) -> Array:
        values = list(self.op.mapper(lambda part: part.matvec(Z), self.parts))
        return array_namespace(Z).concat(values)

    def rmatvec(self, t: Array) -> Array:
        values = self.op.split(t)
        return reduce(add, self.op.mapper(lambda part, own: part.rmatvec(own), self.parts, values))

    def _added(
        self, method: Callable[[Tangent, Array | None], Array], weights: Array | None
    ) -> Array:
        return reduce(add, self.op.mapper(method, self.parts, self.op.split_weights(weights)))

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        return self._added(lambda part, w: part.normal(Z, w), weights)

    def column_curvature(self, weights: Array | None = None) -> Array:
        return self._added(lambda part, w: part.column_curvature(w), weights)

    def blocks(self, weights: Array | None = None) -> Array:
        return self._added(lambda part, w: part.blocks(w), weights)

    def preconditioner(
        self, damping: Array, weights: Array | None = None
    ) -> Callable[[Array], Array]:
        return block_preconditioner(self.blocks(weights), damping)


@dataclass(frozen=True)
class _Sum:
    """A sum of things that multiply."""

    terms: tuple[MatrixLike, ...]
    mapper: Mapper

    @property
    def shape(self) -> tuple[int, int]:
        return self.terms[0].shape

    @property
    def T(self) -> _Sum:
        return _Sum(tuple(term.T for term in self.terms), self.mapper)

    def __matmul__(self, other: Array) -> Array:
        return reduce(add, self.mapper(lambda term: term @ other, self.terms))
