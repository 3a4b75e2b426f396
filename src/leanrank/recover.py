"""recover(): from measurements to a certified low-rank matrix, nothing to tune."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, norm, to_numpy
from leanrank.certificates import (
    Certificate,
    certify,
    exact_tolerance,
    in_units,
    measurement_scale,
)
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import Measurement
from leanrank.path import (
    Monitor,
    Stage,
    StopRun,
    append_leading,
    fit,
    grow,
    penalise,
    prune_recorded,
    widest,
)
from leanrank.penalties import GroupLasso, Penalty
from leanrank.problem import Problem, check_measurements
from leanrank.results import Result, Status
from leanrank.solvers import Callback, GaussNewton, Solver

__all__ = ["recover"]

_STRENGTHS = (0.02, 0.004, 0.0008)
"""Penalties to try, relative to the loss of the zero matrix: strong ones empty columns quickly
but lose weak directions, which growing then brings back."""


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
        Share of the measurements that each round holds out to choose the rank, or measurements
        of one's own for that. By default 0.1 in one round where measurements abound, 0.2 in five
        rounds where they do not.
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
            return self._finish(self._empty(), None, "every measurement is zero: so is the matrix")
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
        stages = list(self._grow(self.problem, self._empty()))
        if not stages[-1].exact and self._is_scarce(stages[-1]):
            stages += self._by_penalising(stages)
        if stages[-1].exact:
            return self._refit(self._least_rank(stages[-1].factors))
        chosen, error = self._choose(stages)
        return self._refit(chosen, error)

    def _empty(self) -> Factors:
        return Factors.empty(self.problem.op.shape, self.symmetric, self.problem.op.reference)

    def _grow(self, problem: Problem, factors: Factors, phase: str = "grow") -> Iterable[Stage]:
        return grow(
            problem,
            factors,
            self.solver,
            self.monitor,
            self.rng,
            max_width=self.width,
            phase=phase,
        )

    def _is_scarce(self, stage: Stage) -> bool:
        """Whether measurements are so few that growing may have been misled."""
        op = self.problem.op
        unexplained = math.sqrt(stage.point.loss)
        few = op.size < 1.5 * degrees_of_freedom(op.shape, 2 * stage.width, self.symmetric)
        return few or unexplained > 0.5

    def _by_penalising(self, grown: list[Stage]) -> list[Stage]:
        """Penalise, prune, grow on, until a fit is exact.

        From nothing, which suits singular values that are close, and from the last stage that
        growing did well, which suits those that are far apart; strong penalties first.
        """
        top = min(math.ceil(1.4 * self.width), min(self.problem.op.shape))
        bases = [grown[0]] if len(grown) < 4 else [grown[0], grown[-2]]
        found: list[Stage] = []
        for strength in _STRENGTHS:
            for base in bases:
                factors = self._penalise(base, strength, top)
                if factors.width <= self.width:
                    found += self._grow(self.problem, factors)
                    if found[-1].exact:
                        return found
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
        self.width = rank
        factors = self._empty()
        for stage in grow(
            self.problem,
            factors,
            self.solver,
            self.monitor,
            self.rng,
            max_width=rank,
            greedy=True,
        ):
            factors = stage.factors
        return factors

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

    def _choose(self, stages: list[Stage]) -> tuple[Factors, float | None]:
        """The factors of the width that predicts held-out measurements best.

        The smallest width within one standard error of the best, differences taken measurement
        by measurement.
        """
        by_width: dict[int, Factors] = {}
        for stage in sorted(stages, key=lambda s: s.point.loss, reverse=True):
            by_width[stage.width] = stage.factors
        errors = self._held_out_errors(sorted(by_width))
        if not errors:
            return by_width[max(by_width)], None
        totals = {k: float(e.mean()) for k, e in errors.items()}
        best = min(totals, key=lambda k: (totals[k], k))
        chosen = best
        for k in sorted(totals):
            difference = errors[k] - errors[best]
            spread = float(difference.std()) / math.sqrt(difference.size)
            if k < best and float(difference.mean()) <= spread:
                chosen = k
                break
        size = errors[0].mean() if 0 in errors else totals[chosen]
        error = math.sqrt(totals[chosen] / float(size)) if size > 0 else 0.0
        if chosen not in by_width:
            return self._of_rank(chosen), error
        return by_width[chosen], error

    def _held_out_errors(self, widths: list[int]) -> dict[int, np.ndarray]:
        """Squared residuals on held-out measurements, for each width that a grown path visits."""
        op, y = self.problem.op, self.problem.y
        if isinstance(self.validation, tuple):
            held, y_held = self.validation
            return self._path_errors([(self.problem, held, y_held / self.scale)], widths)
        share, rounds = self._split_plan()
        order = self.rng.permutation(op.size)
        count = max(1, round(share * op.size))
        splits = []
        for i in range(rounds):
            out = np.sort(order[i * count : (i + 1) * count])
            inside = np.setdiff1d(np.arange(op.size), out, assume_unique=True)
            if out.size == 0 or inside.size <= degrees_of_freedom(op.shape, 1, self.symmetric):
                return {}
            train = Problem(op.subset(inside), y[inside])
            train.meter = self.problem.meter
            splits.append((train, op.subset(out), y[out]))
        return self._path_errors(splits, widths)

    def _split_plan(self) -> tuple[float, int]:
        if isinstance(self.validation, float):
            return self.validation, 1
        return (0.1, 1) if self.problem.op.size >= 2000 else (0.2, 5)

    def _path_errors(
        self, splits: list[tuple[Problem, Measurement, Array]], widths: list[int]
    ) -> dict[int, np.ndarray]:
        errors: dict[int, list[np.ndarray]] = {}
        for train, held, y_held in splits:
            top = min(max(widths) + 1, widest(train.op, self.symmetric), self.width)
            for stage in grow(
                train,
                self._empty(),
                self.solver,
                self.monitor,
                self.rng,
                max_width=top,
                phase="validate",
                greedy=True,
            ):
                residual = to_numpy(held.forward(stage.factors) - y_held)
                errors.setdefault(stage.width, []).append(residual**2)
        rounds = len(splits)
        return {k: np.concatenate(e) for k, e in errors.items() if len(e) == rounds}

    def _refit(self, factors: Factors, held_out_error: float | None = None) -> Result:
        """Fit without a penalty to rounding or stationarity, certify, and say what came out."""
        if factors.width:
            state = fit(
                self.problem,
                factors,
                self.solver,
                self.monitor,
                "refit",
                progress=1.0,
                max_iter=self.max_iter,
            )
            factors = state.factors.balance()
        norms = math.sqrt(self.scale) * to_numpy(factors.column_norms())
        self.monitor.column_norms.setdefault("before pruning", norms)
        self.monitor.column_norms["after pruning"] = norms
        certificate = certify(self.problem, factors, self.rng, held_out_error=held_out_error)
        return self._finish(factors, in_units(certificate, self.scale), "")

    def _finish(self, factors: Factors, certificate: Certificate | None, message: str) -> Result:
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


def _in_unit_scale(penalty: Penalty, scale: float) -> Penalty:
    """The penalty on W / sqrt(scale) that matches one on W when the loss is divided by scale^2."""
    from dataclasses import replace

    if isinstance(penalty, GroupLasso):
        return replace(
            penalty, strength=penalty.strength / scale**1.5, smoothing=penalty.smoothing / scale
        )
    if hasattr(penalty, "strength"):
        return replace(penalty, strength=penalty.strength / scale)
    raise TypeError(f"penalty must be GroupLasso or Ridge, got {penalty!r}")
