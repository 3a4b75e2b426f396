r"""Imperfect measurements as perturbations of descent that sees all of Y.

A step on measurements :math:`\mathcal A` is one on the population, perturbed by the dilation of
:math:`E^{\mathcal A} = \mathcal A^*\mathcal A(\bar R) - \bar R`, with :math:`\bar R = Y - UV^\top`:
the reduction of Wind (2025), Section 5. What an experiment adds to it, and what it measures of it,
is then one matrix for every kind of measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, device_of, norm
from leanrank.factors import Factors, check_factors
from leanrank.linalg import singular_value
from leanrank.operators import Measurement
from leanrank.research.solvers._perturbed import Perturbation
from leanrank.research.solvers._sgd import fresh_gaussian_average
from leanrank.research.theory import dilation

__all__ = [
    "adversarial_measurements",
    "fresh_measurements",
    "imperfect_measurements",
    "sum_of_perturbations",
    "worst_isometry",
]


def imperfect_measurements(op: Measurement, target: Factors) -> Perturbation:
    """What measuring by an operator in place of seeing Y amounts to.

    Parameters
    ----------
    op : Measurement
        Times the square root of its weight it is Wind's.
    target : Factors
        Y.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> target = Factors(np.ones((2, 1)), np.ones((3, 1)))
    >>> E = imperfect_measurements(FullObservation((2, 3)), target)
    >>> float(abs(E(0, Factors(np.zeros((2, 1)), np.zeros((3, 1))))).max())
    0.0
    """
    _fits(op, target, "op")
    return lambda k, factors: dilation(_error(op, target, factors))


def adversarial_measurements(ops: Sequence[Measurement], target: Factors) -> Perturbation:
    r"""Measurements changed in every step by an adversary, to those of the largest error.

    Of several operators it takes the one whose :math:`E^{\mathcal A}` pushes most along what should
    not grow: the largest singular value of the block of :math:`E^{\mathcal A}` outside the singular
    subspaces of Y. Theorem 2.8 of Wind (2025) lets the operator change arbitrarily.

    Parameters
    ----------
    ops : sequence of Measurement
    target : Factors

    Raises
    ------
    ValueError
        If there is no operator, or a shape differs.
    """
    if not ops:
        raise ValueError("ops must have at least one operator, got none")
    for i, op in enumerate(ops):
        _fits(op, target, f"ops[{i}]")
    P, _, Q = target.svd()

    def push(E: Array) -> float:
        rows = E - P @ (P.T @ E)
        return singular_value(rows - (rows @ Q) @ Q.T)

    return lambda k, factors: dilation(max((_error(op, target, factors) for op in ops), key=push))


def worst_isometry(target: Factors, rho: float) -> Perturbation:
    r"""The operators of an isometry constant that push hardest where nothing should grow.

    .. math:: \mathcal A_k^*\mathcal A_k(X) = X + \rho\,\big(\langle\hat R, X\rangle\, ab^\top
        + \langle ab^\top, X\rangle\,\hat R\big),\qquad \hat R = \bar R/|\bar R|_F

    with fixed unit vectors a and b outside the singular subspaces of Y. Where :math:`ab^\top` and
    :math:`\hat R` are orthogonal its eigenvalues are :math:`1 \pm \rho` and 1, so that rho is its
    constant at every rank, and Lemma G.2 of Wind (2025) is an equality: the adversary of Theorem
    2.8, which lets operators change in every step.

    Parameters
    ----------
    target : Factors
        Of a rank below n1 and n2.
    rho : float
        From 0 to 1. The residual's small part along :math:`ab^\top` is left as it is.

    Raises
    ------
    ValueError, TypeError
        If the target has full rank, or rho is out of range.

    Examples
    --------
    >>> target = Factors(np.eye(2, 1), np.eye(2, 1))
    >>> worst_isometry(target, 0.5)(0, Factors(np.zeros((2, 1)), np.zeros((2, 1))))[:2, 2:]
    array([[0. , 0. ],
           [0. , 0.5]])
    """
    rho = _checks.real_number(rho, "rho", least=0.0, most=1.0)
    a, b = (_outside(X, "target") for X in (target.U, target.V))
    direction = a[:, None] * b[None, :]
    xp = array_namespace(direction)

    def error(factors: Factors) -> Array:
        R = target.to_dense() - factors.to_dense()
        across = R - direction * xp.sum(direction * R)
        return rho * norm(across) * direction

    return lambda k, factors: dilation(error(factors))


def _outside(U: Array, name: str) -> Array:
    """A unit vector orthogonal to the columns."""
    xp, n = array_namespace(U), U.shape[0]
    P, s, _ = xp.linalg.svd(U, full_matrices=True)
    if n <= s.shape[0]:
        raise ValueError(f"{name} must have a rank below its size, got {s.shape[0]} columns")
    first = P[:, -1]
    return first * xp.sign(first[xp.argmax(xp.abs(first))])


def fresh_measurements(target: Factors, m: int, random_state: Any = None) -> Perturbation:
    """What m fresh Gaussian measurements in each step amount to.

    The steps are those of :class:`~leanrank.research.solvers.FreshGaussianDescent` in distribution.

    Parameters
    ----------
    target : Factors
    m : int
    random_state : int, Generator or None
        A seed is drawn from it; draws follow from that and the number of the step.

    Raises
    ------
    ValueError, TypeError
        If m is not a positive integer or the random state is none.
    """
    m = _checks.whole_number(m, "m", least=1)
    seed = _checks.seed(random_state)
    check_factors(target, "target")

    def perturbation(k: int, factors: Factors) -> Array:
        R = target.to_dense() - factors.to_dense()
        return dilation(fresh_gaussian_average(R, m, np.random.default_rng((seed, k))) - R)

    return perturbation


def sum_of_perturbations(*perturbations: Perturbation) -> Perturbation:
    """Several perturbations at once."""
    return lambda k, factors: reduce(add, (E(k, factors) for E in perturbations))


def _fits(op: Measurement, target: Factors, name: str) -> None:
    if op.shape != check_factors(target, "target").shape:
        raise ValueError(f"{name} must measure matrices of shape {target.shape}, got {op.shape}")


def _error(op: Measurement, target: Factors, factors: Factors) -> Array:
    """A*A(R) - R at some factors."""
    xp, W = array_namespace(factors.W), factors.W
    R = target.to_dense() - factors.to_dense()
    # Minus the residual, through factors of width n1, as an operator takes them.
    eye = xp.eye(op.shape[1], dtype=W.dtype, device=device_of(W))
    seen = op.forward(Factors(R, eye))
    return op.weight * (op.adjoint(seen) @ eye) - R
