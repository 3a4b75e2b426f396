"""Two ways to do the same updates: entry by entry in compiled code, or by products of layers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Protocol

import numpy as np

from leanrank._arrays import MatrixLike
from leanrank.factors import Factors
from leanrank.operators import FullObservation, Measurement, ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._kernels import descend
from leanrank.research.deep._schedule import Phase

__all__ = [
    "Engine",
    "Sampling",
    "engine",
    "layer_gradients",
    "products",
    "sharpest_entry",
    "sharpness",
]


@dataclass(frozen=True)
class Sampling:
    """Which measurements each update takes.

    Parameters
    ----------
    size : int
        Measurements in all.
    batch : int or None
        In an update; None is all of them.
    replacement : bool
    """

    size: int
    batch: int | None
    replacement: bool

    def picks(self, seed: int, start: int, end: int) -> np.ndarray:
        """Positions, shape (end - start, batch): a function of seed and step alone."""
        if self.batch is None:
            return np.broadcast_to(np.arange(self.size), (end - start, self.size))
        first, last = start * self.batch, end * self.batch
        epoch = 1 if self.replacement else self.size  # numbers that are dealt out together
        begin, stop = first // epoch * epoch, -(-last // epoch) * epoch
        stream = np.random.Philox(key=seed)
        stream.advance(begin // 4)  # four numbers to a block of the counter
        raw = stream.random_raw(stop - begin + begin % 4)[begin % 4 :]
        if self.replacement:
            scaled = (raw >> np.uint64(32)) * np.uint64(self.size)
            picks = (scaled >> np.uint64(32)).astype(np.int64)
        else:
            picks = np.argsort(raw.reshape(-1, epoch), axis=1).ravel()
        return picks[first - begin : last - begin].reshape(-1, self.batch)


class Engine(Protocol):
    """Layers that descend."""

    def advance(
        self, picks: np.ndarray, phase: Phase, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Update once for each row of ``picks``.

        Gives the mean squared residuals before each update, fewer than rows if one was not
        finite, where updates end; and the products of the layers after the first ``ends[r]``
        updates, shape (len(ends), n1, n2).
        """

    def layers(self) -> list[np.ndarray]:
        """The weights as they are, W_1 first; not a copy."""

    def restart(self, layers: Sequence[np.ndarray]) -> None:
        """Go on from a copy of these."""


def engine(problem: Problem, start: DeepFactors, sampling: Sampling) -> Engine:
    """The faster of both: an entry costs w^2 per middle layer, a product about n1 + n2 entries."""
    op = problem.op
    batch = sampling.size if sampling.batch is None else sampling.batch
    if isinstance(op, ObservedEntries | FullObservation) and batch <= sum(op.shape):
        return _EntryEngine(op, np.asarray(problem.y, float).ravel(), start)
    return _ProductEngine(problem, start, sampling.batch is None)


@dataclass
class _EntryEngine:
    """Layers padded to one width: neurons without weights never get any."""

    op: ObservedEntries | FullObservation
    y: np.ndarray
    start: DeepFactors

    def __post_init__(self) -> None:
        self.rows, self.cols = _positions(self.op)
        self.restart(self.start.layers)

    def restart(self, layers: Sequence[np.ndarray]) -> None:
        widths = [W.shape[0] for W in layers[:-1]]
        width = max(widths)
        self.first = np.zeros((self.op.shape[1], width))
        self.middle = np.zeros((len(layers) - 2, width, width))
        self.last = np.zeros((self.op.shape[0], width))
        self._layers = [self.first[:, : widths[0]].T]
        for own, (into, out) in zip(self.middle, pairwise(widths), strict=True):
            self._layers.append(own[:out, :into])
        self._layers.append(self.last[:, : widths[-1]])
        for own, W in zip(self._layers, layers, strict=True):
            own[:] = W

    def layers(self) -> list[np.ndarray]:
        return self._layers

    def advance(
        self, picks: np.ndarray, phase: Phase, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        squares = np.empty(picks.shape[0])
        products = np.full((ends.size, *self.op.shape), np.nan)
        rate = phase.learning_rate
        done = descend(
            self.first,
            self.middle,
            self.last,
            self.rows,
            self.cols,
            self.y,
            np.ascontiguousarray(picks),
            rate,
            rate * phase.ridge,
            squares,
            ends,
            products,
        )
        return squares[:done], products


@dataclass
class _ProductEngine:
    """Any linear measurements: the gradient by the products of layers below and above each."""

    problem: Problem
    start: DeepFactors
    whole: bool
    _layers: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.restart(self.start.layers)

    def restart(self, layers: Sequence[np.ndarray]) -> None:
        self._layers = [W.copy() for W in layers]

    def layers(self) -> list[np.ndarray]:
        return self._layers

    def advance(
        self, picks: np.ndarray, phase: Phase, ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        squares, recorded, recording = [], [], set(ends.tolist())
        for done, measured in enumerate(self._batches(picks), start=1):
            square = self._update(measured, picks.shape[1], phase)
            if not math.isfinite(square):
                break
            squares.append(square)
            if done in recording:
                recorded.append(products(self._layers)[-1])
        missing = ends.size - len(recorded)
        recorded += [np.full(self.problem.op.shape, np.nan)] * missing
        return np.array(squares), np.array(recorded).reshape(-1, *self.problem.op.shape)

    def _batches(self, picks: np.ndarray) -> Iterator[_Measured]:
        op, y = self.problem.op, np.asarray(self.problem.y).ravel()
        numbers = picks.shape[1] * op.shape[0] * op.shape[1]
        if self.whole:
            yield from itertools.repeat(partial(_by_operator, op, y), len(picks))
        elif numbers > _FEW_NUMBERS:
            for index in picks:
                yield partial(_by_operator, op.subset(index), y[index])
        else:
            together = _FEW_NUMBERS // numbers
            for first in range(0, len(picks), together):
                part = picks[first : first + together]
                A = op.matrices(part.ravel()).reshape(*part.shape, -1)
                yield from map(partial, itertools.repeat(_by_matrices), A, y[part])

    def _update(self, measured: _Measured, count: int, phase: Phase) -> float:
        """One update; the mean squared residual before it, without one if that is not finite."""
        below = products(self._layers[:-1])
        residual, S = measured(self._layers[-1], below[-1])
        square = float(residual @ residual) / count
        if not math.isfinite(square):
            return square
        rate = phase.learning_rate
        for W, gradient in zip(self._layers, layer_gradients(S, self._layers, below), strict=True):
            W *= 1.0 - rate * phase.ridge
            W -= (2.0 * rate / count) * gradient
        return square


_Measured = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, MatrixLike]]
"""From the last layer and the product below it to residuals and their adjoint."""

_FEW_NUMBERS = 1 << 16
"""In sensing matrices that are laid out: for a few small ones an operator costs more."""


def _by_operator(
    op: Measurement, y: np.ndarray, last: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, MatrixLike]:
    return op.residual_and_adjoint(Factors(last, below.T), y)[:2]


def _by_matrices(
    A: np.ndarray, y: np.ndarray, last: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, MatrixLike]:
    X = last @ below
    residual = A @ X.ravel() - y
    return residual, (residual @ A).reshape(X.shape)


def _positions(op: ObservedEntries | FullObservation) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(op, ObservedEntries):
        rows, cols = op.rows, op.cols
    else:
        rows, cols = np.divmod(np.arange(op.size), op.shape[1])
    return np.asarray(rows, np.int64), np.asarray(cols, np.int64)


def products(layers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """W_1, W_2 W_1, W_3 W_2 W_1, and so on."""
    found = [layers[0]]
    for W in layers[1:]:
        found.append(W @ found[-1])
    return found


def layer_gradients(
    S: MatrixLike, layers: Sequence[np.ndarray], below: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Gradients of <S, W_L ... W_1> in each layer; ``below`` are products of all but the last."""
    gradients = [S @ below[-1].T]
    back = S.T @ layers[-1]  # S^T W_L ... W_{l+1}, shape (n2, w_l)
    for W, under in zip(layers[-2:0:-1], below[-2::-1], strict=True):
        gradients.append((under @ back).T)
        back = back @ W
    gradients.append(back.T)
    return gradients[::-1]


def sharpness(op: Measurement, network: DeepFactors, steps: int = 10) -> float:
    """Largest eigenvalue of J J^T, J being the derivative of all measurements in the weights.

    From below, by power iteration. Descent on their mean squared residual is stable near a fit
    for learning rates below op.size over this.
    """
    layers = network.layers
    below = products(layers[:-1])
    above = [W.T for W in products([W.T for W in layers[:0:-1]])]  # W_L, W_L W_{L-1}, ...
    t, value = np.ones(op.size) / op.size**0.5, 0.0
    for _ in range(steps if op.size > 1 else 1):
        gradients = layer_gradients(op.adjoint(t), layers, below)
        value = sum(float(np.sum(G * G)) for G in gradients)
        if op.size > 1 and value > 0:
            # J applied to J^T t, layer by layer.
            image = op.forward(Factors(above[-1] @ gradients[0], np.eye(gradients[0].shape[1])))
            for number in range(1, len(layers)):
                last = number == len(layers) - 1
                left = gradients[-1] if last else above[-1 - number] @ gradients[number]
                image = image + op.forward(Factors(left, below[number - 1].T))
            t = image / np.linalg.norm(image)
    return value


def sharpest_entry(op: ObservedEntries | FullObservation, network: DeepFactors) -> float:
    """The largest sharpness of a single observed entry.

    In W_l the derivative of entry (i, j) is row i of the product of the layers above times column
    j of that below.
    """
    layers = network.layers
    below = products(layers[:-1])
    above = [W.T for W in products([W.T for W in layers[:0:-1]])][::-1]  # W_L ... W_2, ..., W_L
    row_squares = [*(np.sum(A * A, axis=1) for A in above), np.ones(op.shape[0])]
    col_squares = [np.ones(op.shape[1]), *(np.sum(B * B, axis=0) for B in below)]
    rows, cols = _positions(op)
    return float(
        np.max(sum(a[rows] * b[cols] for a, b in zip(row_squares, col_squares, strict=True)))
    )
