"""recover(): from measurements to a certified low-rank matrix, nothing to tune."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from leanrank import _checks
from leanrank._arrays import Array, to_numpy
from leanrank.certificates import (
    Certificate,
    certify,
    exact_tolerance,
    in_units,
    measurement_scale,
    noise_level,
    structure,
    virtual_columns,
)
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import Measurement
from leanrank.path import (
    Monitor,
    Stage,
    StopRun,
    append_leading,
    fit,
    fit_core_first,
    grow,
    penalise,
    prune_recorded,
    widest,
)
from leanrank.penalties import GroupLasso, Penalty, Ridge
from leanrank.problem import Point, Problem, check_measurements
from leanrank.results import Result, Status
from leanrank.solvers import Callback, GaussNewton, Solver
from leanrank.validation import Split, choose_width, clearly_better, split, watch

__all__ = ["recover"]


def recover(
    op: Measurement,
    y: Array,
    *,
    symmetric: bool = False,
    rank: int | None = None,
    width: int | None = None,
    penalty: Penalty | None = None,
    solver: Solver | None = None,
    validation: float | tuple[Measurement, Array] | None = None,
    max_iter: int = 200,
    time_limit: float | None = None,
    callbacks: Iterable[Callback] = (),
    random_state: int | np.random.Generator | None = 0,
) -> Result:
    r"""Recover a low-rank matrix of unknown rank from linear measurements.

    Grows the factors where the certificate asks for a column; where that does not lead to an
    exact fit, starts wide and lets a group Lasso empty columns (Algorithm 1 of Rajaraman et al.,
    2023, with second-order steps); prunes; and refits without a penalty. Without noise the
    answer is the exact fit of least rank, with noise the rank is chosen on measurements that are
    held out in turn, and the factors are refitted to all. Neither rank nor penalty nor step size
    is needed.

    Parameters
    ----------
    op : Measurement
        What was measured.
    y : array, shape (m,)
        The measurements, of any scale.
    symmetric : bool
        Recover :math:`X = U U^\top` instead of :math:`X = U V^\top`.
    rank : int, optional
        The rank, if it is known.
    width : int, optional
        Largest number of columns to consider. By default as many as the measurements can
        determine.
    penalty : Penalty, optional
        Solve the problem with this penalty at full ``width`` instead of following a path; then
        prune (group Lasso: at :math:`2\sqrt\beta`) and refit. In the units of y.
    solver : Solver, optional
        Fits factors of given width; damped Gauss-Newton by default.
    validation : float or pair (Measurement, array), optional
        Share of the measurements that is held out while the rank is searched, 0.05 by default, or
        measurements of one's own for that. The last refit is to all measurements.
    max_iter : int
        Largest number of steps of the last refit.
    time_limit : float, optional
        Seconds after which the run stops with the best factors so far.
    callbacks : iterable of callables
        Called with every :class:`~leanrank.solvers.State`; True stops.
    random_state : int, Generator or None
        Seed of starting vectors, signs and splits: the same seed gives the same answer.

    Returns
    -------
    Result
        CONVERGED only if the certificate holds. After Ctrl-C, a callback or the time limit:
        STOPPED with the best factors so far.

    Raises
    ------
    ValueError, TypeError
        On input that cannot be right: NaN, wrong shapes or counts, complex numbers, symmetric
        recovery of a matrix that is not square, and so on.

    Examples
    --------
    >>> import numpy as np
    >>> from leanrank.operators import DenseSensing
    >>> rng = np.random.default_rng(0)
    >>> A, U = rng.standard_normal((120, 10, 10)), rng.standard_normal((10, 2))
    >>> result = recover(DenseSensing(A), np.einsum("mij,ik,jk->m", A, U, U), symmetric=True)
    >>> result.rank, bool(np.allclose(result.factors.to_dense(), U @ U.T))
    (2, True)
    """
    y = check_measurements(op, y)
    run = _Run.checked(
        op, y, symmetric, rank, width, penalty, solver, validation, max_iter, random_state
    )
    if time_limit is not None:
        callbacks = (*callbacks, _deadline(_checks.real_number(time_limit, "time_limit", above=0)))
    run.monitor.callbacks = tuple(callbacks)
    # Factors are small: more threads than one cost more in waking up than they compute.
    with threadpool_limits(limits=1, user_api="blas"):
        return run.result()


def _deadline(seconds: float) -> Callback:
    end = time.monotonic() + seconds
    return lambda state: time.monotonic() > end


@dataclass
class _Run:
    """One call of recover: the problem in normalised units, and what is known so far."""

    problem: Problem
    scale: float
    symmetric: bool
    rank: int | None
    width: int
    penalty: Penalty | None
    solver: Solver
    validation: Any
    max_iter: int
    rng: np.random.Generator
    monitor: Monitor

    @classmethod
    def checked(
        cls,
        op: Measurement,
        y: Array,
        symmetric: bool,
        rank: int | None,
        width: int | None,
        penalty: Penalty | None,
        solver: Solver | None,
        validation: Any,
        max_iter: int,
        random_state: Any,
    ) -> _Run:
        """Check every argument, and bring y to unit scale."""
        n1, n2 = op.shape
        if symmetric and n1 != n2:
            raise ValueError(f"symmetric=True needs a square matrix, but op measures {n1} x {n2}")
        if op.symmetric and not symmetric:
            raise ValueError(
                "op sees only the symmetric part of a matrix: pass symmetric=True, or build it "
                "from general sensing matrices"
            )
        least = degrees_of_freedom(op.shape, 1, symmetric)
        if op.size < least:
            raise ValueError(
                f"{op.size} measurements are fewer than the {least} unknowns of a matrix of rank "
                f"one and shape {n1} x {n2}: nothing can be recovered"
            )
        top = min(n1, n2)
        if rank is not None:
            rank = _checks.whole_number(rank, "rank", least=1, most=top)
        if width is not None:
            width = _checks.whole_number(width, "width", least=1, most=top)
        if isinstance(validation, tuple):
            op_held, y_held = validation
            if op_held.shape != op.shape:
                raise ValueError(
                    f"validation must measure matrices of shape {op.shape}, got {op_held.shape}"
                )
            validation = (op_held, check_measurements(op_held, y_held))
        elif validation is not None:
            validation = _checks.real_number(validation, "validation", above=0, most=0.9)
        max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
        scale = measurement_scale(op, y)
        return cls(
            problem=Problem(op, y / scale if scale > 0 else y),
            scale=scale,
            symmetric=symmetric,
            rank=rank,
            width=max(1, width if width is not None else widest(op, symmetric)),
            penalty=penalty,
            solver=GaussNewton() if solver is None else solver,
            validation=validation,
            max_iter=max_iter,
            rng=_checks.generator(random_state),
            monitor=Monitor(scale=scale),
        )

    def result(self) -> Result:
        """Run the pipeline, whatever happens to it."""
        if self.scale == 0:
            return self._finish(self._empty(), "every measurement is zero, and so is the matrix")
        try:
            return self._pipeline()
        except (StopRun, KeyboardInterrupt) as reason:
            why = "a callback or the time limit" if isinstance(reason, StopRun) else "Ctrl-C"
            best = self.monitor.best if self.monitor.best is not None else self._empty()
            return Result(
                best.scaled(self.scale),
                Status.STOPPED,
                f"stopped by {why}; these are the best factors so far, not certified",
                None,
                self.monitor.history,
                self.monitor.column_norms,
            )

    def _pipeline(self) -> Result:
        if self.penalty is not None:
            return self._refit(self._penalised(self.penalty))
        if self.rank is not None:
            return self._refit(self._of_rank(self.rank))
        data = self._split()
        stages = self._explore(data)
        best = min(stages, key=lambda s: s.held_out)
        self.monitor.best = best.factors
        exact = self._exact(stages[-1].factors) if stages[-1].exact else None
        error = data.median_error(stages[-1]) if exact else None
        if exact is None and self._is_scarce(best, data):
            exact = self._all_measurements(best.width)
        if exact is not None:
            return self._refit(self._least_rank(exact), error)
        return self._by_held_out(data, stages)

    def _empty(self) -> Factors:
        return Factors.empty(self.problem.op.shape, self.symmetric, self.problem.op.reference)

    def _split(self) -> Split:
        if isinstance(self.validation, tuple):
            held, y_held = self.validation
            return Split(self.problem, held, y_held / self.scale)
        share = 0.05 if self.validation is None else self.validation
        return split(self.problem, share, self.rng)[0]

    def _grow(
        self,
        problem: Problem,
        factors: Factors,
        width: int,
        *,
        phase: str = "grow",
        greedy: bool = False,
    ) -> Iterator[Stage]:
        return grow(
            problem,
            factors,
            self.solver,
            self.monitor,
            self.rng,
            max_width=min(width, self.width),
            phase=phase,
            greedy=greedy,
        )

    def _explore(self, data: Split) -> list[Stage]:
        """Grow on the training share for as long as that pays on the rest."""
        top = max(1, widest(data.train.op, self.symmetric))
        return watch(self._grow(data.train, self._empty(), top, phase="explore"), data)

    def _exact(self, factors: Factors) -> Factors | None:
        """Factors that fit all measurements exactly, from ones that fit the training share."""
        point = fit_core_first(self.problem, factors, self.solver, self.monitor, "refit")
        return point.factors if math.sqrt(point.loss) <= exact_tolerance(point.residual) else None

    def _is_scarce(self, best: Stage, data: Split) -> bool:
        """Whether measurements are so few that growing may have been misled."""
        op = self.problem.op
        few = op.size < 1.5 * degrees_of_freedom(op.shape, 2 * best.width, self.symmetric)
        return few or best.held_out > 0.25 * data.y_square

    def _all_measurements(self, width: int) -> Factors | None:
        """An exact fit to all measurements, none held out: by growing, or by penalising."""
        stages = list(self._grow(self.problem, self._empty(), 2 * width + 10))
        if not stages[-1].exact:
            stages = self._by_penalising(stages)
        return stages[-1].factors if stages and stages[-1].exact else None

    def _by_penalising(self, grown: list[Stage]) -> list[Stage]:
        """Penalise, prune, grow on, until a fit is exact.

        From nothing, which suits singular values that are close, and from the last stage that
        growing did well, which suits those that are far apart; strong penalties first.
        """
        top = min(math.ceil(1.4 * self.width), min(self.problem.op.shape))
        nothing, last = grown[0], grown[max(len(grown) - 2, 0)]
        attempts = [(nothing, 0.02), (nothing, 0.004), (nothing, 0.0008)]
        if len(grown) > 3:
            attempts = [(last, 0.06), attempts[0], (last, 0.02), *attempts[1:]]
        found: list[Stage] = []
        for base, strength in attempts:
            factors = self._penalise(base, strength, top)
            if factors.width <= self.width:
                found += self._grow(self.problem, factors, self.width)
                if found[-1].exact:
                    break
        return found

    def _penalise(self, base: Stage, strength: float, top: int) -> Factors:
        """Penalised and pruned factors; the width doubles until pruning finds enough to prune."""
        width = min(top, max(10, 2 * base.width))
        while True:
            factors = penalise(
                self.problem, base.point, self.rng, self.monitor, width=width, strength=strength
            )
            if factors.width <= 0.8 * width or width == top:
                return factors
            width = min(2 * width, top)

    def _penalised(self, penalty: Penalty) -> Factors:
        """The stationary point of the user's own penalised problem, pruned."""
        unit = self.problem.with_penalty(_in_unit_scale(penalty, self.scale))
        solver = self.solver
        if isinstance(solver, GaussNewton):
            solver = GaussNewton(damping=0.1, forcing=0.1, balance=False)
        state = fit(
            unit,
            append_leading(unit, unit.evaluate(self._empty()), self.rng, self.width),
            solver,
            self.monitor,
            "penalise",
            progress=1 - 1e-6,
            max_iter=self.max_iter,
        )
        norms = state.factors.column_norms()
        threshold = getattr(unit.penalty, "prune_threshold", 1e-6 * float(max(norms)))
        return prune_recorded(state.factors, threshold, self.monitor)

    def _of_rank(self, rank: int) -> Factors:
        """The best fit of exactly the given rank, grown column by column."""
        stages = self._grow(self.problem, self._empty(), rank, greedy=True)
        return list(stages)[-1].factors

    def _least_rank(self, factors: Factors) -> Factors:
        """Drop the weakest singular direction for as long as the fit stays exact."""
        while factors.width > 1:
            s = to_numpy(factors.singular_values())
            if s[-1] > 1e-3 * s[0]:
                break
            keep = np.arange(factors.width) < factors.width - 1
            fewer = factors.balance().keep(keep)
            state = fit(self.problem, fewer, self.solver, self.monitor, "prune")
            if math.sqrt(state.point.loss) > exact_tolerance(self.problem.y):
                break
            factors = state.factors
        return factors

    def _by_held_out(self, data: Split, stages: list[Stage]) -> Result:
        """Take the width that predicts held-out measurements best, and refit to all of them.

        With few held-out measurements the path is followed again, others held out in turn. Where
        the matrix is of low rank only approximately, or measurements are few, a ridge on wide
        factors may predict better than any width without: then it is taken.
        """
        paths = [(data, stages)]
        if not isinstance(self.validation, tuple) and data.held.size < 1000:
            paths = self._again(stages[-1].width + 1)
        common = set.intersection(*({s.width for s in path} for _, path in paths))
        errors = {k: _joined([_of_width(path, k) for _, path in paths]) for k in sorted(common)}
        width = choose_width(errors)
        y_square = float(np.mean([part.y_square for part, _ in paths]))
        self._note_pruning(stages[-1].factors)
        ridge = self._better_ridge(paths, width, errors[width])
        if ridge is not None:
            strength, ridge_errors, start = ridge
            return self._refit(start, _relative(ridge_errors, y_square), strength)
        known = [stage for stage in stages if stage.width == width]
        factors = known[0].factors if known else self._of_rank(width)
        return self._refit(factors, _relative(errors[width], y_square))

    def _again(self, width: int) -> list[tuple[Split, list[Stage]]]:
        """Paths to a width, each with other measurements held out."""
        rounds = 5 if self.problem.op.size < 2000 else 2
        paths = []
        for part in split(self.problem, 0.5 / rounds, self.rng, rounds):
            top = min(width, widest(part.train.op, self.symmetric))
            path = self._grow(part.train, self._empty(), top, phase="validate", greedy=True)
            paths.append((part, [part.assess(stage) for stage in path]))
        return paths

    def _better_ridge(
        self, paths: list[tuple[Split, list[Stage]]], width: int, errors: np.ndarray
    ) -> tuple[Ridge, np.ndarray, Factors] | None:
        """A ridge that predicts clearly better than the best width, its errors, and factors.

        Twice the ridge is the curvature of a virtual column at zero, so the one that balances the
        strongest virtual column of the best width is the natural scale. Not tried where the
        residual is noise and measurements abound.
        """
        data, path = paths[0]
        stage = _of_width(path, width)
        G = data.train.gradient_matrix(stage.point.residual)
        strength = float(virtual_columns(G, stage.factors, self.rng)[1][0])
        dof = max(stage.factors.degrees_of_freedom(), 1)
        level = noise_level(data.train, stage.point, self.rng, draws=3)
        noisy = structure(G, stage.factors, self.rng) < 1.1 * level
        if strength <= 0 or (noisy and data.train.op.size >= 3 * dof):
            return None
        starts = [_of_width(path, width).factors for _, path in paths]
        best: tuple[Ridge, np.ndarray, Factors] | None = None
        lowest = math.inf
        top = 2 * path[-1].width + 2
        for ratio in (4.0, 2.0, 1.0, 0.5, 0.25):
            ridge = Ridge(0.5 * strength * ratio)
            tried = []
            for i, (part, _) in enumerate(paths):
                point = self._shrink(part.train.with_penalty(ridge), starts[i], top, "validate")
                starts[i] = point.factors
                tried.append(part.assess(Stage(point, exact=False)))
            joined = _joined(tried)
            if joined.mean() >= lowest:
                break
            best, lowest = (ridge, joined, starts[0]), float(joined.mean())
        return best if best is not None and clearly_better(best[1], errors) else None

    def _shrink(self, problem: Problem, factors: Factors, top: int, phase: str) -> Point:
        """The minimiser under a ridge, of all widths up to a top: columns come and go."""
        curvature = problem.penalty.curvature_at_zero
        while True:
            alive = factors
            if factors.width:
                state = fit(
                    problem,
                    factors,
                    self.solver,
                    self.monitor,
                    phase,
                    progress=0.9995,
                    max_iter=20,
                )
                s = to_numpy(state.factors.singular_values())
                kept = np.arange(s.size) < (s > 1e-3 * s[0]).sum()
                alive = state.factors.balance().keep(kept)
            point = problem.evaluate(alive)
            room = min(top, *problem.op.shape) - alive.width
            more = min(1 + alive.width // 4, room)
            asked = append_leading(problem, point, self.rng, more, least=1.02 * curvature)
            if asked.width <= max(alive.width, factors.width):
                return point
            factors = asked

    def _refit(
        self,
        factors: Factors,
        held_out_error: float | None = None,
        penalty: Ridge | None = None,
    ) -> Result:
        """Fit to rounding or stationarity, certify, and say what came out."""
        problem = self.problem
        if penalty is not None:
            problem = problem.with_penalty(penalty)
            factors = self._shrink(problem, factors, factors.width, "penalise").factors
        if factors.width:
            state = fit(
                problem,
                factors,
                self.solver,
                self.monitor,
                "refit",
                progress=1 - 1e-6,
                max_iter=self.max_iter,
            )
            factors = state.factors.balance()
        self._note_pruning(factors)
        certificate = certify(problem, factors, self.rng, held_out_error=held_out_error)
        return self._finish(factors, certificate=in_units(certificate, self.scale))

    def _note_pruning(self, factors: Factors) -> None:
        """Column norms of balanced factors as those after pruning, and before if none yet."""
        norms = math.sqrt(self.scale) * to_numpy(factors.balance().column_norms())
        self.monitor.column_norms.setdefault("before pruning", norms)
        self.monitor.column_norms["after pruning"] = norms

    def _finish(
        self, factors: Factors, message: str = "", certificate: Certificate | None = None
    ) -> Result:
        if certificate is None:
            certificate = certify(self.problem, factors, self.rng)
        exact = certificate.relative_residual <= exact_tolerance(self.problem.y)
        if certificate.holds:
            status = Status.CONVERGED
            if not message:
                message = (
                    f"exact fit of rank {certificate.rank}"
                    if exact
                    else f"rank {certificate.rank}, fitted to the level of the noise"
                ) + f"; estimated relative error {certificate.error_estimate:.1e}"
        else:
            status = Status.STALLED
            message = "; ".join(certificate.reasons)
        return Result(
            factors.scaled(self.scale) if self.scale > 0 else factors,
            status,
            message,
            certificate,
            self.monitor.history,
            self.monitor.column_norms,
        )


def _of_width(path: list[Stage], width: int) -> Stage:
    return next(stage for stage in path if stage.width == width)


def _joined(stages: list[Stage]) -> np.ndarray:
    """Squared held-out errors of the stages of several rounds, one after another."""
    return np.concatenate([stage.errors for stage in stages if stage.errors is not None])


def _relative(errors: np.ndarray, y_square: float) -> float:
    """Root of the mean squared error, relative to that of predicting zero."""
    return math.sqrt(float(errors.mean()) / y_square) if y_square > 0 else 0.0


def _in_unit_scale(penalty: Penalty, scale: float) -> Penalty:
    """The penalty on W / sqrt(scale) that matches one on W when the loss is divided by scale^2."""
    if isinstance(penalty, GroupLasso):
        return GroupLasso(penalty.strength / scale**1.5, penalty.smoothing / scale)
    if isinstance(penalty, Ridge):
        return Ridge(penalty.strength / scale)
    raise TypeError(f"penalty must be GroupLasso or Ridge, got {penalty!r}")
