"""The strength of the group Lasso by cross-validation, where rank and sigma_r are not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import ArrayLike, array_namespace
from leanrank.operators import Measurement
from leanrank.problem import Problem
from leanrank.research.greedy import greedy_prune

__all__ = ["CrossValidation", "cross_validated_strength"]


@dataclass(frozen=True)
class CrossValidation:
    """How well strengths predict measurements that were left out.

    Attributes
    ----------
    strengths : ndarray, shape (s,)
    errors : ndarray, shape (folds, s)
        Mean squared residuals of the measurements left out.
    ranks : ndarray, shape (folds, s)
        Columns that were kept.
    """

    strengths: np.ndarray
    errors: np.ndarray
    ranks: np.ndarray

    @property
    def best(self) -> float:
        """The strength of least mean error."""
        return float(self.strengths[np.argmin(self.errors.mean(axis=0))])


def cross_validated_strength(
    op: Measurement,
    y: ArrayLike,
    strengths: Sequence[float],
    *,
    beta: float,
    folds: int = 5,
    random_state: Any = None,
    **options: Any,
) -> CrossValidation:
    """Choose lambda of Algorithm 1 by K-fold cross-validation over the measurements.

    The footnote to Theorem 3 of Rajaraman et al. (2023): in practice lambda is chosen so, since
    eq. (10) takes r and sigma_r. Each fold is left out once; under every strength
    :func:`~leanrank.research.greedy_prune` runs on the rest, and predicts it.

    Parameters
    ----------
    op : Measurement
    y : array, shape (m,)
    strengths : sequence of float
        Values of lambda, in the units of :class:`~leanrank.penalties.GroupLasso`.
    beta : float
        Smoothing of the penalty.
    folds : int
        K, from 2 to m.
    random_state : int, Generator or None
        For the folds and the runs.
    **options
        Further arguments of :func:`~leanrank.research.greedy_prune`.

    Raises
    ------
    ValueError, TypeError
        If there is no strength, or an argument is out of its range.

    Examples
    --------
    >>> from leanrank import simulate
    >>> from leanrank.solvers import LBFGS
    >>> seen = simulate.dense_sensing(8, 1, oversampling=4.0, symmetric=True, random_state=0)
    >>> found = cross_validated_strength(
    ...     seen.op, seen.y, [0.1, 3.0], beta=0.01, folds=3, solver=LBFGS(), random_state=0
    ... )
    >>> found.best, found.ranks[:, 0]
    (0.1, array([1, 1, 1]))
    """
    problem = Problem(op, y)
    lams = [
        _checks.real_number(lam, f"strengths[{i}]", least=0.0) for i, lam in enumerate(strengths)
    ]
    if not lams:
        raise ValueError("strengths must have at least one value, got none")
    folds = _checks.whole_number(folds, "folds", least=2, most=op.size)
    rng = _checks.generator(random_state)
    parts = np.array_split(rng.permutation(op.size), folds)
    errors, ranks = np.empty((folds, len(lams))), np.empty((folds, len(lams)), dtype=int)
    for i, part in enumerate(parts):
        rest = problem.subset(np.sort(np.concatenate([*parts[:i], *parts[i + 1 :]])))
        out = problem.subset(np.sort(part))
        seed = int(rng.integers(2**31))
        for j, lam in enumerate(lams):
            found = greedy_prune(
                rest.op, rest.y, lam=lam, beta=beta, random_state=seed, **options
            ).factors
            residual = out.op.forward(found) - out.y
            errors[i, j] = float(array_namespace(residual).mean(residual * residual))
            ranks[i, j] = found.width
    return CrossValidation(np.array(lams), errors, ranks)
