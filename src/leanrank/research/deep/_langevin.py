r"""Descent with Gaussian noise: what SGD on observed entries is often approximated by.

.. math:: \theta \leftarrow (1 - \eta\lambda)\,\theta - \eta\,(\nabla_\theta L + \xi), \qquad
    \xi \sim N(0, S),

L being the mean squared residual of all entries. The noise is of the size that SGD has at the same
weights: with :math:`\Sigma` for the covariance of the gradient of one entry, drawn at random, S is

- :math:`\Sigma` itself (``"sampling"``), or
- :math:`(\operatorname{tr} \Sigma / P)\,I` for P weights (``"isotropic"``): Langevin dynamics.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep._engines import products
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._schedule import Phase
from leanrank.research.deep._train import check_problem
from leanrank.research.deep._trajectories import Training
from leanrank.results import Status

__all__ = ["COVARIANCES", "langevin"]

COVARIANCES = ("isotropic", "sampling")


def langevin(
    problem: Problem,
    starts: DeepFactors | Sequence[DeepFactors],
    phase: Phase,
    *,
    covariance: str = "isotropic",
    every: int | None = None,
    random_state: Any = None,
) -> Training:
    r"""Descend on all entries with Gaussian noise as large as that of SGD, all runs at a time.

    Parameters
    ----------
    problem : Problem
        Of observed entries, without a penalty.
    starts : DeepFactors or sequence of DeepFactors
        Of the same widths; a run each.
    phase : Phase
        Steps, learning rate and ridge.
    covariance : str
        ``"isotropic"`` or ``"sampling"``.
    every : int, optional
        Updates between records; 10 min(n1, n2) if left out.
    random_state : int, Generator or None

    Returns
    -------
    Training
        A run that diverges stays at its last finite record.

    Raises
    ------
    ValueError, TypeError
        If the problem is of another kind, a start does not fit, or an argument is not valid.

    Notes
    -----
    Wang and Jacot (2024), Remark 2.1. With :math:`\bar g` for the mean of the gradients
    :math:`g_i` of m entries, :math:`\Sigma = \frac1m \sum_i g_i g_i^\top - \bar g \bar g^\top` and
    :math:`\operatorname{tr} \Sigma = \frac1m \sum_i |g_i|^2 - |\bar g|^2`. A draw of
    :math:`N(0, \Sigma)` is :math:`\frac{1}{\sqrt m} \sum_i (c_i - \bar c)\, g_i` for standard
    normal c, the gradient of a loss with other weights: it changes layers by what they span alone,
    as SGD does.

    Examples
    --------
    >>> from leanrank.operators import ObservedEntries
    >>> from leanrank.research.deep import DeepFactors, Phase, langevin
    >>> problem = Problem(ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2)), [1.0, 0.25, 1.0])
    >>> one = DeepFactors.balanced(np.outer([0.8, 0.5], [1.0, 1.6]), 3, width=5)
    >>> noisy = Phase(200, 0.1, 0.1)
    >>> for covariance in ("sampling", "isotropic"):
    ...     run = langevin(problem, one, noisy, covariance=covariance, random_state=0)
    ...     print(bool(run.ratios()[-1, 0] < 1e-12))
    True
    False
    """
    check_problem(problem)
    if not isinstance(problem.op, ObservedEntries):
        raise TypeError(f"problem must be of ObservedEntries, got {type(problem.op).__name__}")
    if covariance not in COVARIANCES:
        raise ValueError(f"covariance must be one of {', '.join(COVARIANCES)}, got {covariance!r}")
    runs = [starts] if isinstance(starts, DeepFactors) else list(starts)
    _check_starts(problem, runs)
    usual = 10 * min(problem.op.shape)
    every = usual if every is None else _checks.whole_number(every, "every", least=1)
    rng = _checks.generator(random_state)
    layers = [np.stack(parts) for parts in zip(*(run.layers for run in runs), strict=True)]
    dynamics = _Dynamics(problem.op, np.asarray(problem.y, float).ravel(), covariance, rng)
    return _recorded(dynamics, layers, phase, every)


def _check_starts(problem: Problem, runs: list[DeepFactors]) -> None:
    if not runs:
        raise ValueError("starts must hold at least one network, got none")
    for i, run in enumerate(runs):
        if run.shape != problem.op.shape:
            raise ValueError(
                f"starts[{i}] must be of shape {problem.op.shape}, as the problem, got {run.shape}"
            )
    for i, (one, other) in enumerate(pairwise(runs), start=1):
        if one.widths != other.widths:
            raise ValueError(
                f"starts must be of the same widths, got {one.widths} and, in starts[{i}], "
                f"{other.widths}"
            )


class _Dynamics:
    """One update of all runs; layers of shape (runs, w_l, w_{l-1})."""

    def __init__(
        self, op: ObservedEntries, y: np.ndarray, covariance: str, rng: np.random.Generator
    ) -> None:
        self.rows, self.cols = np.asarray(op.rows), np.asarray(op.cols)
        self.shape, self.y, self.covariance, self.rng = op.shape, y, covariance, rng
        self.largest_square = float(np.max(y * y))

    def step(self, layers: list[np.ndarray], phase: Phase) -> np.ndarray:
        """Update in place; mean squared residuals before, shape (runs,)."""
        below = products(layers)
        above = [W.mT for W in products([W.mT for W in layers[::-1]])][-2::-1]  # W_L..W_2, ...
        residual = below[-1][:, self.rows, self.cols] - self.y
        weights = 2.0 / self.y.size * residual
        noise: list[np.ndarray] | None = None
        if self.covariance == "sampling":
            c = self.rng.standard_normal(residual.shape)
            weights *= 1.0 + self.y.size**0.5 * (c - c.mean(axis=1, keepdims=True))
            gradients = self._gradients(weights, above, below)
        else:
            gradients = self._gradients(weights, above, below)
            size = self._deviation(residual, gradients, above, below)
            noise = [size * self.rng.standard_normal(W.shape) for W in layers]
        for number, (W, gradient) in enumerate(zip(layers, gradients, strict=True)):
            W *= 1.0 - phase.learning_rate * phase.ridge
            W -= phase.learning_rate * (gradient if noise is None else gradient + noise[number])
        return np.asarray(np.mean(residual**2, axis=1))

    def _gradients(
        self, weights: np.ndarray, above: list[np.ndarray], below: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Of sum_i weights_i A_i in each layer."""
        S = np.zeros((len(weights), *self.shape))
        S[:, self.rows, self.cols] = weights
        left = [*(A.mT @ S for A in above), S]
        return [left[0], *(G @ B.mT for G, B in zip(left[1:], below[:-1], strict=True))]

    def _deviation(
        self,
        residual: np.ndarray,
        gradients: list[np.ndarray],
        above: list[np.ndarray],
        below: list[np.ndarray],
    ) -> np.ndarray:
        """Standard deviation of each weight, if all are to have the same, (runs, 1, 1)."""
        rows = [*(np.sum(A**2, axis=2) for A in above), np.ones((len(residual), self.shape[0]))]
        cols = [
            np.ones((len(residual), self.shape[1])),
            *(np.sum(B**2, axis=1) for B in below[:-1]),
        ]
        sharpness = sum(a[:, self.rows] * b[:, self.cols] for a, b in zip(rows, cols, strict=True))
        mean_square = np.mean(4.0 * residual**2 * sharpness, axis=1)
        square_mean = sum(np.sum(G**2, axis=(1, 2)) for G in gradients)
        count = sum(G[0].size for G in gradients)
        return np.sqrt(np.maximum(mean_square - square_mean, 0.0) / count)[:, None, None]


def _recorded(dynamics: _Dynamics, layers: list[np.ndarray], phase: Phase, every: int) -> Training:
    """All updates, and records on the way."""
    ends = [*range(every, phase.steps, every), phase.steps]
    A = products(layers)[-1]
    values, losses = [np.linalg.svd(A, compute_uv=False)], [np.full(len(A), np.nan)]
    good, died = [W.copy() for W in layers], np.full(len(A), -1)
    done = 0
    for end in ends:
        total = np.zeros(len(A))
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(end - done):
                total += dynamics.step(layers, phase)
            A = products(layers)[-1]
        died[(died < 0) & ~np.isfinite(A).all(axis=(1, 2))] = end
        alive = died < 0
        for W, kept in zip(layers, good, strict=True):
            kept[alive] = W[alive]
            W[~alive] = 0.0
        s = np.linalg.svd(products(good)[-1], compute_uv=False)
        values.append(np.where(alive[:, None], s, np.nan))
        losses.append(np.where(alive, total / (end - done), np.nan))
        done = end
    messages = [
        f"the schedule of {phase.steps} steps is done"
        if step < 0
        else f"the weights stopped being finite after {step} steps at most"
        for step in died
    ]
    return Training(
        np.array([0, *ends]),
        np.array(values),
        np.array(losses),
        tuple(DeepFactors([W[i] for W in good]) for i in range(len(A))),
        {},
        tuple(Status.MAX_ITER if step < 0 else Status.DIVERGED for step in died),
        tuple(messages),
        dynamics.largest_square,
    )
