"""Step lengths along a direction: one search for plain backtracking and for Wolfe's conditions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from leanrank._arrays import Array, array_namespace, norm
from leanrank.factors import Factors
from leanrank.operators import Tangent
from leanrank.problem import Point, Problem

__all__ = ["first_step", "line_search", "measured", "moved"]


def measured(problem: Problem, factors: Factors) -> Point:
    """The point at factors; where anything overflows its value is infinite.

    A run that diverges says so by its status, not by warnings.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        new = problem.evaluate(factors)
        return new if new.is_finite else replace(new, value=math.inf)


def moved(problem: Problem, point: Point, direction: Array, step: float) -> Point:
    """The point at W + step * direction, infinite where anything overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        factors = point.factors.with_stacked(point.factors.W + step * direction)
    return measured(problem, factors)


def first_step(problem: Problem, point: Point) -> float:
    """The inverse curvature along the gradient, or a guess from the size of y where it has none.

    The guess is 1 / (8 s) with s the root mean square of y: 8 times the largest singular value
    of X is the largest curvature at the solution of the symmetric population loss.
    """
    gradient, size = point.gradient, norm(point.gradient)
    if size > 0:
        tangent = Tangent(problem.op, point.factors, value=point.residual + problem.y)
        direction = gradient / size
        image = problem.hessian(point, tangent)(direction)
        curvature = float(array_namespace(image).sum(direction * image))
        if curvature > 0:
            return 1.0 / curvature
    scale = problem.zero_loss**0.5
    return 1.0 / (8.0 * scale) if scale > 0 else 1.0


def _dot(x: Array, y: Array) -> float:
    return float(array_namespace(x, y).sum(x * y))


def _is_flat(new: Point, old: Point) -> bool:
    """Whether two values differ by rounding only, and the gradient says that new is better."""
    eps = float(array_namespace(old.gradient).finfo(old.gradient.dtype).eps)
    return (
        abs(new.value - old.value) <= 10.0 * eps * abs(old.value)
        and new.gradient_norm < old.gradient_norm
    )


def line_search(
    problem: Problem,
    point: Point,
    direction: Array,
    step: float,
    *,
    armijo: float,
    wolfe: float = math.inf,
    tries: int = 60,
) -> tuple[Point | None, float]:
    """A point along a direction that is low enough, and its step; no point if none descends.

    Low enough (Armijo): the value falls by the share ``armijo`` of what the slope promises; where
    the difference drowns in rounding, the gradient has to be shorter. A step with a slope still
    below ``wolfe`` times the first one is too short (weak Wolfe conditions), which by default
    none is. Steps are doubled and bisected (Lewis and Overton 2013), or halved if that is all
    there is to do. Where nothing meets both conditions, the last point that is low enough.
    """
    slope = _dot(point.gradient, direction)
    if not slope < 0:
        return None, step
    low, high = 0.0, math.inf
    best, best_step = None, step
    for _ in range(tries):
        new = moved(problem, point, direction, step)
        target = point.value + armijo * step * slope
        if wolfe < math.inf:  # a pair for L-BFGS must not come from a step that changes nothing
            target = min(target, math.nextafter(point.value, -math.inf))
        if not (new.is_finite and (new.value <= target or _is_flat(new, point))):
            high = step
        elif _dot(new.gradient, direction) < wolfe * slope:
            low, best, best_step = step, new, step
        else:
            return new, step
        step = 2.0 * low if high == math.inf else 0.5 * (low + high)
    return best, best_step
