"""Paths to the right rank: grow columns where the certificate asks, or penalise and prune.

Complementary ways, all without knowing the rank. *Growing* starts from nothing and adds the leading
virtual column of the certificate whenever progress stalls; it is the better one where singular
values are far apart. *Penalising* starts wide and lets the group Lasso empty the columns that are
not needed; it is the better one where singular values are close and measurements few; a path that
was grown is *walked back* from what it leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from leanrank._arrays import array_namespace, gaussian, like, norm, to_numpy
from leanrank.evidence import virtual_columns
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import Measurement
from leanrank.penalties import GroupLasso
from leanrank.problem import Point, Problem
from leanrank.results import History
from leanrank.solvers import Callback, GaussNewton, Solver, State, iterate, record

__all__ = [
    "Monitor",
    "Stage",
    "StopRun",
    "append_leading",
    "fit",
    "fit_core_first",
    "grow",
    "paid",
    "penalise",
    "prune_recorded",
    "retreat",
    "widest",
]


class StopRun(Exception):  # noqa: N818 - a request, not an error
    """A callback asked to stop; the monitor holds the best factors."""


@dataclass
class Monitor:
    """Keeps the history, asks the callbacks, and remembers the best factors so far.

    Attributes
    ----------
    scale : float
        What y was divided by.
    best : Factors or None
        What to return if the run is stopped: the latest of exploring or refitting, or what the
        pipeline has found to be better.
    descended : set of int
        Ranks of deep networks on their way down.
    """

    callbacks: tuple[Callback, ...] = ()
    scale: float = 1.0
    history: History = field(default_factory=History)
    best: Factors | None = None
    descended: set[int] = field(default_factory=set)
    column_norms: dict[str, Any] = field(default_factory=dict)

    def __call__(self, state: State) -> None:
        """Record a state; raises :class:`StopRun` if a callback says so."""
        state = replace(state, iteration=len(self.history), scale=self.scale)
        self.history.records.append(record(state))
        if self.best is None or state.phase in ("explore", "refit"):
            self.best = state.factors
        if any([callback(state) for callback in self.callbacks]):
            raise StopRun


@dataclass(frozen=True)
class Stage:
    """Factors that were fitted at one width, and how well they predict.

    Attributes
    ----------
    point : Point
    exact : bool
        Whether the measurements are fitted to rounding.
    errors : ndarray or None
        Squared residuals on measurements that were held out.
    """

    point: Point
    exact: bool
    errors: np.ndarray | None = None

    @property
    def factors(self) -> Factors:
        return self.point.factors

    @property
    def width(self) -> int:
        return self.point.factors.width

    @property
    def held_out(self) -> float:
        """Mean squared error on the held-out measurements; infinite if there are none."""
        return math.inf if self.errors is None else float(self.errors.mean())


def widest(op: Measurement, symmetric: bool, fill: float = 0.9) -> int:
    """Largest width whose degrees of freedom are at most ``fill`` of the measurements."""
    k, top = 0, min(op.shape)
    while k < top and degrees_of_freedom(op.shape, k + 1, symmetric) <= fill * op.size:
        k += 1
    return k


def fit(
    problem: Problem,
    factors: Factors,
    solver: Solver,
    monitor: Monitor,
    phase: str,
    *,
    progress: float = 0.7,
    patience: int = 3,
    max_iter: int = 60,
    gradient_tol: float = 1e-9,
) -> State:
    """Run a solver while it makes progress.

    Stops when the fit is exact, the gradient vanishes, or the square root of the objective fell
    by less than ``progress`` over ``patience`` steps.
    """
    values: list[float] = []
    zero_loss = problem.zero_loss
    state: State | None = None
    for new in iterate(solver, problem, factors, phase):
        if state is not None and not new.point.is_finite:
            break
        state = new
        monitor(state)
        values.append(state.point.value)
        stuck = len(values) > patience and values[-1] > progress**2 * values[-1 - patience]
        flat = gradient_tol * math.sqrt(state.point.loss * zero_loss)
        small = state.point.gradient_norm * norm(state.factors.W) <= flat
        if problem.is_exact(state.point) or small or stuck or state.iteration >= max_iter:
            break
    assert state is not None
    return state


def fit_core_first(
    problem: Problem,
    factors: Factors,
    solver: Solver,
    monitor: Monitor,
    phase: str,
    *,
    slack: int = 2,
    **options: Any,
) -> Point:
    """Fit to the measurements of well-observed rows and columns, then estimate the other rows.

    Rows with fewer than ``slack`` measurements more than factors are left out of the fit, as they
    can trap it; see :meth:`leanrank.operators.Measurement.well_observed`.
    """
    if factors.width == 0:
        return problem.evaluate(factors)
    index = problem.op.well_observed(factors.width + slack, factors.symmetric)
    if index is None:
        return fit(problem, factors, solver, monitor, phase, **options).point
    inner = problem.subset(index)
    point = fit(inner, factors, solver, monitor, phase, **options).point
    noise = norm(point.residual) / math.sqrt(index.size)
    extended = problem.op.estimate_rest(point.factors, problem.y, index, noise)
    if inner.is_exact(point):
        return fit(problem, extended, solver, monitor, phase, **options).point
    return problem.evaluate(extended)


def grow(
    problem: Problem,
    factors: Factors,
    solver: Solver,
    monitor: Monitor,
    rng: np.random.Generator,
    *,
    max_width: int,
    phase: str = "grow",
    greedy: bool = False,
) -> Iterator[Stage]:
    """Fit, add the leading virtual columns, fit again: a stage for each width.

    Ends with an exact fit, at ``max_width``, where no virtual column descends, or (unless
    ``greedy``) with the first column that lowers the loss no more than a fit to noise would. Wide
    factors grow by several columns at once.
    """
    before: Point | None = None
    while True:
        point = fit_core_first(problem, factors, solver, monitor, phase)
        exact = problem.is_exact(point)
        yield Stage(point, exact)
        room = max_width - point.factors.width
        worth = greedy or before is None or paid(before, point, problem.op.size)
        if exact or room <= 0 or not worth:
            return
        before = point
        factors = append_leading(problem, point, rng, min(room, 1 + point.factors.width // 8))
        if factors.width == point.factors.width:
            return


def retreat(
    problem: Problem,
    stages: list[Stage],
    wide: Factors,
    solver: Solver,
    monitor: Monitor,
    phase: str,
) -> list[Stage]:
    """A path walked back from wide factors: each width also pruned from above, the better one kept.

    A fit that grew to its width may be trapped where one of more columns is not, and its weakest
    directions can then be spared.
    """
    back = []
    for stage in reversed(stages):
        if wide.width >= stage.width:
            fewer = wide.balance().keep(np.arange(wide.width) < stage.width)
            point = fit_core_first(problem, fewer, solver, monitor, phase)
            if point.loss < stage.point.loss:
                stage = Stage(point, problem.is_exact(point))
            wide = stage.factors
        back.append(stage)
    return back[::-1]


def paid(before: Point, after: Point, m: int) -> bool:
    """Whether new columns lowered the loss by more than fitting noise would.

    A column that fits noise lowers the residual sum of squares by up to twice its share of the
    degrees of freedom, since its direction is the best of all (the edge of the noise's spectrum);
    a third is added for chance. Beyond a share of 0.6 no fit to noise goes.
    """
    dof = before.factors.degrees_of_freedom()
    share = (after.factors.degrees_of_freedom() - dof) / max(m - dof, 1)
    return before.loss - after.loss > min(2.6 * share, 0.6) * before.loss


def append_leading(
    problem: Problem, point: Point, rng: np.random.Generator, k: int, *, least: float = 0.0
) -> Factors:
    """The factors with up to k leading virtual columns, scaled to where the loss is least.

    Only columns of negative curvature above ``least`` are taken.
    """
    if k <= 0:
        return point.factors
    G = problem.gradient_matrix(point.residual)
    columns, strength = virtual_columns(G, point.factors, rng, k)
    mask = strength > max(1e-3 * strength[0], least)
    if not mask.any():
        return point.factors
    weights = np.sqrt(strength[mask] / strength[0])
    columns = columns.keep(np.asarray(mask))
    columns = columns.with_stacked(columns.W * like(weights, columns.W))
    # Along t times these columns the residual is r + t a, and the loss least at -<r, a> / <a, a>.
    problem.passes += 1.0
    image = problem.op.forward(columns)
    xp = array_namespace(image)
    t = -float(xp.sum(point.residual * image)) / float(xp.sum(image * image))
    return point.factors.append(columns.scaled(t)) if t > 0 else point.factors


def _typical_size(problem: Problem, point: Point, rng: np.random.Generator) -> float:
    """Frobenius norm of a matrix that would give measurements of the size of the residual.

    From how a random matrix of low rank is measured; one pass.
    """
    n1, n2 = problem.op.shape
    k = min(4, n1, n2)
    reference = problem.op.reference
    U = gaussian(rng, (n1, k), reference)
    probe = Factors(U, None if point.factors.symmetric else gaussian(rng, (n2, k), reference))
    problem.passes += 1.0
    image = norm(problem.op.forward(probe))
    return norm(point.residual) * probe.norm() / image if image > 0 else 1.0


def penalise(
    problem: Problem,
    base: Point,
    rng: np.random.Generator,
    monitor: Monitor,
    *,
    width: int,
    strength: float,
    smoothing: float = 0.05,
    max_iter: int = 150,
    tol: float = 1e-3,
) -> Factors:
    """Over-parameterise what a fit has left: widen, minimise with group Lasso, prune.

    Columns are dropped as they vanish, and those of norm at most 2 sqrt(beta) in the end. From
    the zero matrix this is the pruning phase of Algorithm 1.

    Parameters
    ----------
    base : Point
        Where to start; virtual columns widen it.
    width : int
        Columns to start with.
    strength : float
        Lambda relative to the loss at ``base``, for columns of the typical norm that the residual
        there stands for.
    smoothing : float
        sqrt(beta) relative to that norm.
    """
    size = _typical_size(problem, base, rng)
    typical = math.sqrt(size if base.factors.symmetric else 2.0 * size)
    penalty = GroupLasso(strength * base.loss / typical, (smoothing * typical) ** 2)
    penalised = problem.with_penalty(penalty)
    solver = GaussNewton(damping=0.1, forcing=0.1, max_inner=100, balance=False)
    vanishing = 0.1 * penalty.prune_threshold
    values: list[float] = []
    start = append_leading(problem, base, rng, width - base.factors.width)
    state = solver.init(penalised, start)
    for _ in range(max_iter):
        monitor(replace(state, phase="penalise"))
        values.append(state.point.value)
        settled = len(values) > 3 and values[-4] - values[-1] < tol * values[-1]
        if state.stalled or settled:
            break
        state = solver.step(penalised, state)
        alive = state.factors.column_norms() > vanishing
        if not bool(array_namespace(alive).all(alive)):
            kept = state.factors.keep(alive)
            state = replace(solver, damping=state.memory.damping).init(penalised, kept)
    return prune_recorded(state.factors, penalty.prune_threshold, monitor)


def prune_recorded(factors: Factors, threshold: float, monitor: Monitor) -> Factors:
    """The columns above a threshold; norms before and after go to the monitor."""
    norms = factors.column_norms()
    kept = factors.keep(norms > threshold)
    root = math.sqrt(monitor.scale)
    monitor.column_norms["before pruning"] = root * to_numpy(norms)
    monitor.column_norms["after pruning"] = root * to_numpy(kept.column_norms())
    return kept
