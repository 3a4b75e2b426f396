"""The pipeline behind recover: explore, fit exactly or choose by held-out error, refit, certify."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from leanrank._arrays import Array, to_numpy
from leanrank.evidence import Certificate, certify, rescaled
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.operators import Measurement
from leanrank.penalties import GroupLasso, Penalty, Ridge
from leanrank.problem import Problem, exact_tolerance
from leanrank.research.deep import RidgeLadder
from leanrank.research.deep._strategy import climb
from leanrank.results import Result, Status
from leanrank.search.growing import (
    Monitor,
    Stage,
    StopRun,
    append_leading,
    fit,
    fit_core_first,
    grow,
    penalise,
    prune_recorded,
    retreat,
    widest,
)
from leanrank.search.holding_out import Split, choose_width, joined, of_width, split, watch
from leanrank.search.shrinking import Tools, better_ridge, shrink
from leanrank.solvers import GaussNewton, Solver

__all__ = ["Pipeline"]


@dataclass
class Pipeline:
    """One call of recover.

    Attributes
    ----------
    problem : Problem
        With y divided by ``scale``, so that the zero matrix has loss 1.
    scale : float
    symmetric : bool
    rank : int or None
        If it is known.
    width : int
        Largest one to consider.
    penalty : Penalty or None
        The user's own, in the units of y.
    solver : Solver
    ladder : RidgeLadder or None
        Finds the widths to choose from instead of growing, where it is given.
    validation : float, pair (Measurement, array in the units of y), or None
    max_iter : int
        Of the last refit.
    rng : Generator
    monitor : Monitor
    """

    problem: Problem
    scale: float
    symmetric: bool
    rank: int | None
    width: int
    penalty: Penalty | None
    solver: Solver
    ladder: RidgeLadder | None
    validation: float | tuple[Measurement, Array] | None
    max_iter: int
    rng: np.random.Generator
    monitor: Monitor

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
            result = self._certified(self.problem, self._least_rank(exact), error)
            return result if result.success else self._of_lower_rank(result, stages)
        return self._by_held_out(data, stages)

    def _of_lower_rank(self, result: Result, grown: list[Stage]) -> Result:
        """An exact fit of lower rank than one that is not determined, if penalising finds it.

        Where growing is trapped at the right rank, the next column may fit what is left in many
        ways.
        """
        if self.ladder is not None or result.rank < 2:
            return result
        whole = [Stage(self.problem.evaluate(stage.factors), False) for stage in grown]
        stages = self._by_penalising(whole, below=result.rank)
        if stages and stages[-1].exact and stages[-1].width < result.rank:
            lower = self._certified(self.problem, self._least_rank(stages[-1].factors), None)
            return lower if lower.success else result
        return result

    @property
    def _tools(self) -> Tools:
        return Tools(self.solver, self.monitor, self.rng)

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
        """Follow a path on the training share for as long as that pays on the rest."""
        top = max(1, widest(data.train.op, self.symmetric))
        return watch(self._path(data.train, top, "explore"), data)

    def _path(
        self, problem: Problem, width: int, phase: str, *, greedy: bool = False
    ) -> Iterator[Stage]:
        """Stages of rising width from nothing: by growing, or from a deep network."""
        if self.ladder is None:
            return self._grow(problem, self._empty(), width, phase=phase, greedy=greedy)
        most = min(width, self.width)
        return climb(
            problem,
            self.ladder,
            self.solver,
            self.monitor,
            self.rng,
            phase,
            max_width=most,
            greedy=greedy,
        )

    def _retreat(self, problem: Problem, stages: list[Stage], phase: str) -> list[Stage]:
        """The path walked back from penalised factors, where growing may have been trapped."""
        if self.ladder is not None or not self._are_few(stages[-1].width):
            return stages
        wide = self._penalise(problem, stages[0], 0.004)
        return retreat(problem, stages, wide, self.solver, self.monitor, phase)

    def _exact(self, factors: Factors) -> Factors | None:
        """Factors that fit all measurements exactly, from ones that fit the training share."""
        point = fit_core_first(self.problem, factors, self.solver, self.monitor, "refit")
        return point.factors if self.problem.is_exact(point) else None

    def _is_scarce(self, best: Stage, data: Split) -> bool:
        """Whether measurements are so few that growing may have been misled."""
        return self._are_few(best.width) or best.held_out > 0.25 * data.y_square

    def _are_few(self, width: int) -> bool:
        """Whether the measurements hardly determine a matrix of twice the width."""
        op = self.problem.op
        return op.size < 1.5 * degrees_of_freedom(op.shape, 2 * width, self.symmetric)

    def _all_measurements(self, width: int) -> Factors | None:
        """An exact fit to all measurements, none held out: along a path, or by penalising."""
        stages = list(self._path(self.problem, 2 * width + 10, "grow"))
        if not stages[-1].exact and self.ladder is None:
            stages = self._by_penalising(stages)
        return stages[-1].factors if stages and stages[-1].exact else None

    def _by_penalising(self, grown: list[Stage], below: int | None = None) -> list[Stage]:
        """Penalise, prune, grow on, until a fit is exact, and of rank ``below`` that if given.

        From nothing, which suits singular values that are close, and from the last stage that
        growing did well, which suits those that are far apart; strong penalties first.
        """
        nothing, last = grown[0], grown[max(len(grown) - 2, 0)]
        attempts = [(nothing, 0.02), (nothing, 0.004), (nothing, 0.0008)]
        if len(grown) > 3:
            attempts = [(last, 0.06), attempts[0], (last, 0.02), *attempts[1:]]
        found: list[Stage] = []
        for base, strength in attempts:
            factors = self._penalise(self.problem, base, strength)
            most = self.width if below is None else below - 1
            if factors.width <= most:
                found += self._grow(self.problem, factors, most)
                if found[-1].exact:
                    break
        return found

    def _penalise(self, problem: Problem, base: Stage, strength: float) -> Factors:
        """Penalised and pruned factors; the width doubles until pruning finds enough to prune."""
        top = min(math.ceil(1.4 * self.width), min(problem.op.shape))
        width = min(top, max(10, 2 * base.width))
        while True:
            factors = penalise(
                problem, base.point, self.rng, self.monitor, width=width, strength=strength
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
        """A fit of the given rank: grown column by column, or, where scarce, an exact one."""
        stages = list(self._grow(self.problem, self._empty(), rank, greedy=True))
        if self._are_few(rank) and not stages[-1].exact:
            found = self._by_penalising(stages)
            if found and found[-1].exact and found[-1].width <= rank:
                return found[-1].factors
            stages = self._retreat(self.problem, stages, "grow")
        return stages[-1].factors

    def _least_rank(self, factors: Factors) -> Factors:
        """Drop the weakest singular direction for as long as the fit stays exact."""
        while factors.width > 1:
            s = to_numpy(factors.singular_values())
            if s[-1] > 1e-3 * s[0]:
                break
            keep = np.arange(factors.width) < factors.width - 1
            fewer = factors.balance().keep(keep)
            state = fit(self.problem, fewer, self.solver, self.monitor, "prune")
            if not self.problem.is_exact(state.point):
                break
            factors = state.factors
        return factors

    def _by_held_out(self, data: Split, stages: list[Stage]) -> Result:
        """Take the width that predicts held-out measurements best, and refit to all of them.

        With few held-out measurements the path is followed again, others held out in turn. Where
        the matrix is of low rank only approximately, or measurements are few, a ridge on wide
        factors may predict better than any width without: then it is taken.
        """
        stages = [data.assess(s) for s in self._retreat(data.train, stages, "explore")]
        paths = [(data, stages)]
        if not isinstance(self.validation, tuple) and data.held.size < 1000:
            paths = self._again(stages[-1].width + 1)
        common = set.intersection(*({s.width for s in path} for _, path in paths))
        errors = {k: joined([of_width(path, k) for _, path in paths]) for k in sorted(common)}
        width = choose_width(errors)
        y_square = float(np.mean([part.y_square for part, _ in paths]))
        shrunk = better_ridge(paths, width, errors[width], self._tools, most=self.width)
        wide = [stages[-1].factors] + ([shrunk.factors] if shrunk else [])
        self._note_pruning(max(wide, key=lambda factors: factors.width))
        if shrunk is not None:
            error = _relative(shrunk.errors, y_square)
            return self._refit(shrunk.pruned, error, shrunk.ridge)
        known = [stage for stage in stages if stage.width == width]
        factors = known[0].factors if known else self._of_rank(width)
        return self._refit(factors, _relative(errors[width], y_square))

    def _again(self, width: int) -> list[tuple[Split, list[Stage]]]:
        """Paths to a width, each with other measurements held out."""
        rounds = 5 if self.problem.op.size < 2000 else 2
        paths = []
        for part in split(self.problem, 0.5 / rounds, self.rng, rounds):
            top = min(width, widest(part.train.op, self.symmetric))
            path = list(self._path(part.train, top, "validate", greedy=True))
            path = self._retreat(part.train, path, "validate")
            paths.append((part, [part.assess(stage) for stage in path]))
        return paths

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
            factors = shrink(problem, factors, factors.width, self._tools, "penalise").factors
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
            factors = state.factors
        return self._certified(problem, factors, held_out_error)

    def _certified(
        self, problem: Problem, factors: Factors, held_out_error: float | None
    ) -> Result:
        factors = factors.compress()  # a ridge may have emptied them all
        self._note_pruning(factors)
        certificate = certify(problem, factors, self.rng, held_out_error=held_out_error)
        return self._finish(factors, certificate=rescaled(certificate, self.scale))

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
                found = "exact fit of rank" if exact else "fitted to the level of the noise, rank"
                message = (
                    f"{found} {certificate.rank}; estimated relative error "
                    f"{certificate.error_estimate:.1e}"
                )
        else:
            status = Status.STALLED
            message = "; ".join(certificate.reasons)
        if self.ladder is not None and self.scale > 0:
            message += f"; {self._whose_rank(certificate.rank)}"
        return Result(
            factors.scaled(self.scale) if self.scale > 0 else factors,
            status,
            message,
            certificate,
            self.monitor.history,
            self.monitor.column_norms,
        )

    def _whose_rank(self, rank: int) -> str:
        """Whether a deep network came down to the rank, or the fits that followed found it."""
        had = sorted(self.monitor.descended, reverse=True)
        if rank in had:
            return "the deep network came down to this rank by itself"
        ranks = ", ".join(str(k) for k in had) or "none but zero"
        return f"not the deep network found this rank (it had {ranks}), but the fits that followed"


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
