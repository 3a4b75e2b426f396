"""Perturbations as large as Theorem 4.3 of Wind allows, and the size of those that descent has."""

from __future__ import annotations

import numpy as np

from leanrank.factors import Factors
from leanrank.research.solvers import (
    Perturbation,
    constant_perturbation,
    sum_of_perturbations,
    unbalancing_perturbation,
)
from leanrank.research.theory import FlowAssumption, TargetFrame, dilation, imbalance_drive

__all__ = ["KINDS", "admissible"]

KINDS = ("none", "constant", "measurements", "unbalancing", "all")


def admissible(
    kind: str, truth: Factors, allowed: FlowAssumption, rng: np.random.Generator, times: float = 1.0
) -> Perturbation:
    """A perturbation at the bounds of Assumption 4.1, or so many times beyond.

    ``constant`` tilts the first direction of Y and feeds one that should not grow, with all of mu;
    ``measurements`` is proportional to the residual, as imperfect measurements are, with all of
    beta; ``unbalancing`` feeds the imbalance with all of nu. ``all`` is the three together, within
    the same bounds.
    """
    frame, (n1, n2) = TargetFrame.of(truth), truth.shape
    norm = frame.norm
    if kind == "none":
        return constant_perturbation(np.zeros((n1 + n2, n1 + n2)))
    fed = np.asarray(unbalancing_perturbation(truth, 1.0)(0, truth))
    fed = fed * (times * allowed.nu * norm / imbalance_drive(fed, n1))
    if kind == "unbalancing":
        return constant_perturbation(fed)
    left, right = truth.U, truth.V
    a, b = rng.standard_normal(n1), rng.standard_normal(n2)
    a -= left @ np.linalg.lstsq(left, a)[0]
    b -= right @ np.linalg.lstsq(right, b)[0]
    # Of norm 1, as the two pairs of vectors are orthogonal.
    tilt = np.outer(frame.left[:, 0], frame.right[:, 0])
    steady = dilation(tilt + np.outer(a / np.linalg.norm(a), b / np.linalg.norm(b)))
    G = rng.standard_normal((n1, n2))
    seen = dilation(G / np.linalg.norm(G, 2))

    def of_residual(factors: Factors) -> np.ndarray:
        pull: np.ndarray = (allowed.bounds(factors, frame)[0] - allowed.mu * norm) * seen
        return times * pull

    if kind == "constant":
        return constant_perturbation(steady * (times * allowed.mu * norm))
    if kind == "measurements":
        return lambda k, factors: of_residual(factors)
    left_over = times * allowed.mu * norm - float(np.linalg.norm(fed, 2))
    rest = constant_perturbation(steady * max(left_over, 0.0))
    return sum_of_perturbations(
        constant_perturbation(fed), lambda k, factors: of_residual(factors), rest
    )
