"""Operators that workers of a Dask cluster hold, as one operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter, matmul
from typing import Any

import numpy as np
from distributed import Client

from leanrank._arrays import Array, MatrixLike
from leanrank.factors import Factors
from leanrank.operators import Measurement, Stacked, Tangent

__all__ = ["stacked"]


def stacked(parts: Sequence[Any], client: Client) -> Stacked:
    """Operators held by the workers of a Dask cluster, as one :class:`~leanrank.operators.Stacked`.

    What travels is factors, gradients in them, and measurements: m numbers a pass, where dense
    sensing matrices have n1 n2 times as many. All workers compute at once; sums are taken in the
    order of the parts, so that the answer does not depend on how many workers there are.

    Parameters
    ----------
    parts : sequence of Future
        Of measurement operators of NumPy arrays, such as ``client.submit(load, path)`` gives. What
        a worker that dies has held is made again from these; so they had better not be scattered.
    client : distributed.Client

    Raises
    ------
    TypeError
        If a part is not a future, or not of an operator.
    ValueError
        If there are none, or they do not fit together.

    Examples
    --------
    >>> from distributed import Client  # doctest: +SKIP
    >>> client = Client(n_workers=2)  # doctest: +SKIP
    >>> parts = [client.submit(load, path) for path in paths]  # doctest: +SKIP
    >>> result = leanrank.recover(stacked(parts, client), y)  # doctest: +SKIP
    """
    for i, part in enumerate(parts):
        if not hasattr(part, "result"):
            raise TypeError(f"parts[{i}] must be a future, got {type(part).__name__}")
    pool = ThreadPoolExecutor(max(1, len(parts)), thread_name_prefix="leanrank-cluster")
    return Stacked(list(pool.map(lambda part: _Remote(client, part), parts)), pool.map)


@dataclass(frozen=True)
class _Held:
    """Something that a worker holds."""

    client: Client
    future: Any

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function of it returns, here."""
        return self.kept(function, *args).future.result()

    def kept(self, function: Callable[..., Any], *args: Any) -> _Held:
        """What a function of it returns, left with the workers."""
        # Keys of their own: what was computed from other arguments is never looked up, and
        # arguments need not be hashed.
        return replace(self, future=self.client.submit(function, self.future, *args, pure=False))


class _Remote(Measurement):
    """An operator that a worker holds."""

    def __init__(self, client: Client, future: Any) -> None:
        self.held = _Held(client, future)
        self.shape, self.size, self.symmetric, self.eliminated, dtype = self.held.ask(_described)
        self._reference, self._entries = np.zeros(0, dtype), _UNKNOWN

    @property
    def reference(self) -> Array:
        return self._reference

    def forward(self, factors: Factors) -> Array:
        return self.held.ask(_method, "forward", factors)

    def adjoint(self, residual: Array) -> MatrixLike:
        return _RemoteMatrix(self.held.kept(_method, "adjoint", residual), self.shape)

    def residual_and_adjoint(
        self, factors: Factors, y: Array, weights: Array | None = None
    ) -> tuple[Array, MatrixLike, float]:
        all_of_it = self.held.kept(_method, "residual_and_adjoint", factors, y, weights)
        matrix = _RemoteMatrix(all_of_it.kept(itemgetter(1)), self.shape)
        residual, cost = all_of_it.ask(itemgetter(0, 2))
        return residual, matrix, cost

    def subset(self, index: np.ndarray) -> Measurement:
        index = self._indices(index)
        return _Remote(self.held.client, self.held.kept(_method, "subset", index).future)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        if self._entries is _UNKNOWN:
            self._entries = self.held.ask(_method, "entries")
        return self._entries

    def gains(self) -> Array:
        return self.held.ask(_method, "gains")

    def gauges(self, factors: Factors) -> Array:
        return self.held.ask(_method, "gauges", factors)

    def tangent(self, factors: Factors) -> Tangent:
        return _RemoteTangent(self, factors, self.held.kept(_method, "tangent", factors))


_UNKNOWN: Any = object()


_OF_TANGENT = ("value", "exact_blocks", "build_cost", "apply_cost", "normal_cost")


class _RemoteTangent(Tangent):
    """A tangent that a worker holds."""

    def __init__(self, op: _Remote, factors: Factors, held: _Held) -> None:
        value, self.exact_blocks, *costs = held.ask(attrgetter(*_OF_TANGENT))
        super().__init__(op, factors, value)
        self.build_cost, self.apply_cost, self._normal_cost = costs
        self.held = held

    @property
    def normal_cost(self) -> float:
        return self._normal_cost

    def matvec(self, Z: Array) -> Array:
        return self.held.ask(_method, "matvec", Z)

    def rmatvec(self, t: Array) -> Array:
        return self.held.ask(_method, "rmatvec", t)

    def normal(self, Z: Array, weights: Array | None = None) -> Array:
        return self.held.ask(_method, "normal", Z, weights)

    def column_curvature(self, weights: Array | None = None) -> Array:
        return self.held.ask(_method, "column_curvature", weights)

    def blocks(self, weights: Array | None = None) -> Array:
        return self.held.ask(_method, "blocks", weights)


@dataclass(frozen=True)
class _RemoteMatrix:
    """A matrix that a worker holds, and multiplies."""

    held: _Held
    shape: tuple[int, int]

    @property
    def T(self) -> _RemoteMatrix:
        return _RemoteMatrix(self.held.kept(attrgetter("T")), self.shape[::-1])

    def __matmul__(self, other: Array) -> Array:
        return self.held.ask(matmul, other)


def _method(held: Any, name: str, *args: Any) -> Any:
    """On a worker: call a method of what it holds."""
    return getattr(held, name)(*args)


def _described(op: Any) -> tuple[tuple[int, int], int, bool, int, Any]:
    """On a worker: what is known of an operator without its data."""
    if not isinstance(op, Measurement):
        raise TypeError(f"parts must be measurement operators, got {type(op).__name__}")
    return op.shape, op.size, op.symmetric, op.eliminated, np.asarray(op.reference).dtype
