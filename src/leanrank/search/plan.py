"""The plan of recover: explore, fit exactly or choose by held-out error, refit, certify."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from leanrank._arrays import Array
from leanrank.evidence import (
    certify,
    leaves_noise,
    of_shrunk,
    rescaled,
)
from leanrank.factors import Factors
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.problem import Problem
from leanrank.results import Result, Status
from leanrank.search.assessing import held_out_prediction
from leanrank.search.choosing import Choice, best_predicting, of_rank
from leanrank.search.denoising import Denoised, denoised
from leanrank.search.ending import Ending
from leanrank.search.exact import exact_fit, is_missed, least_rank, lower_exact_fit
from leanrank.search.fitting import SOLVER, Fitter, Stage
from leanrank.search.growing import append_leading
from leanrank.search.holding_out import Split, rounds_of, split, while_better
from leanrank.search.monitor import StopRun
from leanrank.search.paths import Paths
from leanrank.search.penalising import PENALISED
from leanrank.search.predicting import LOOKS, Predicted, Sampler, predicted, splits_by_rows
from leanrank.search.strategy import GrowAndPenalise

__all__ = ["Plan"]

_PINNED_DOWN = 0.15
"""Relative error that a posterior expects, up to which a certificate is worth trying."""
_MORE = 6
"""Columns to begin with beyond those that predicted best, or twice those where entries are few."""
_UNSEEN = 8
"""Columns that exploring may have missed."""
_STEPS = 3
"""Of Gauss-Newton from posterior means to where the prior does not count."""
_NOISY = 0.1
"""Noise over the size of y, as columns with a prior see it, beyond which no fit is exact."""
_BY_CHANCE = 2
"""Directions of noise that pass for columns; photographs show ten and more at its edge."""
_BETTER = 0.99
"""Held-out error of a ridge over that of priors of their own from which on it is taken."""
_AS_GOOD = 1.02
"""Mean squared error on held-out measurements, without a prior over that with one."""


@dataclass(frozen=True)
class Plan:
    """One call of recover.

    Attributes
    ----------
    paths : Paths
        Its problem has y divided by ``scale``, so that the zero matrix has loss 1.
    scale : float
    rank : int or None
        If it is known.
    penalty : Penalty or None
        The user's own, in the units of y.
    validation : float, pair (Measurement, array in the units of y), or None
    max_iter : int
        Of the last refit.
    intercepts : bool
        Whether rows and columns have intercepts of their own under noise.
    """

    paths: Paths
    scale: float
    rank: int | None
    penalty: Penalty | None
    validation: float | tuple[Measurement, Array] | None
    max_iter: int
    intercepts: bool = False

    @property
    def problem(self) -> Problem:
        return self.paths.problem

    @property
    def fitter(self) -> Fitter:
        return self.paths.fitter

    @property
    def ending(self) -> Ending:
        """What is done to factors that were chosen."""
        return Ending(self.problem, self.fitter, self.paths.strategy, self.scale, self.max_iter)

    def result(self) -> Result:
        """What the plan leads to, whatever happens on the way."""
        monitor = self.fitter.monitor
        try:
            return self._result()
        except (StopRun, KeyboardInterrupt) as reason:
            why = "a callback or the time limit" if isinstance(reason, StopRun) else "Ctrl-C"
            best = monitor.best if monitor.best is not None else self.paths.nothing()
            return Result(
                best.scaled(self.scale),
                Status.STOPPED,
                f"stopped by {why}; these are the best factors so far, not certified",
                None,
                monitor.history,
                monitor.column_norms,
                self.fitter.policy,
            )

    def _result(self) -> Result:
        """The steps, one after another."""
        if self.problem.zero_loss == 0:
            return self.ending.certified(self.problem, self.paths.nothing(), None)
        if self.penalty is not None:
            return self.ending.refitted(Choice(self._penalised(self.penalty)))
        if self.rank is not None:
            return self._told(self.rank)
        seen = self._denoised()
        if seen is not None:
            return self.ending.denoised(seen)
        data = self._held_out()
        stages = self._explored(data)
        best = min(stages, key=lambda stage: stage.held_out)
        self.fitter.monitor.best = best.factors
        found = None
        by_rows = splits_by_rows(self.problem, self.paths.symmetric)
        # A prior tells noise from an exact fit that is hard to find where measurements abound.
        few = self.paths.are_few(best.width + _UNSEEN)
        width = (2 if few else 1) * best.width + _MORE
        if by_rows and is_missed(self.paths, data, best) and not few:
            found = self._with_prior(data, width)
            if found.noise > _NOISY and not found.prediction.reasons(self.fitter.policy.evidence):
                return self._predicting(found, [stage.factors for stage in stages])
        exact = exact_fit(self.paths, data, stages, best)
        if exact is not None:
            return self._of_least_rank(*exact, stages, data if by_rows else None)
        if by_rows:
            path = [stage.factors for stage in stages]
            del stages, best  # with residuals of millions, which are hardly ever asked for again
            found = found or self._with_prior(data, width)
            return self._predicting(found, path)
        return self.ending.refitted(
            best_predicting(self.paths, data, stages, may_split=self._may_split)
        )

    def _denoised(self) -> Denoised | None:
        """The answer in closed form, unless the search is to be another one than ours."""
        own = (self.paths.strategy, self.fitter.solver) == (GrowAndPenalise(), SOLVER)
        if not own or self.validation is not None:
            return None
        return denoised(
            self.problem,
            self.fitter,
            symmetric=self.paths.symmetric,
            most=self.paths.max_width,
        )

    def _told(self, rank: int) -> Result:
        """The fit of a known rank; shrunk, where noise keeps that from being certified."""
        result = self.ending.refitted(Choice(of_rank(self.paths, rank)))
        if result.status is Status.CONVERGED or not splits_by_rows(
            self.problem, self.paths.symmetric
        ):
            return result
        return self._predicting(self._with_prior(self._held_out(), rank))

    @property
    def _may_split(self) -> bool:
        """Whether measurements may be held out as we like."""
        return not isinstance(self.validation, tuple)

    def _with_prior(self, data: Split, width: int) -> Predicted:
        """Columns with a prior that the data can empty, unless their number is known."""
        problem, fitter = self.problem, self.fitter
        return predicted(
            problem,
            rounds_of(problem, data, fitter) if self._may_split else [data],
            fitter,
            width=width,
            most=self.rank or min(self.paths.limit, *problem.op.shape),
            prune=self.rank is None,
            intercepts=self.intercepts,
        )

    def _predicting(self, found: Predicted, path: Sequence[Factors] = ()) -> Result:
        """What columns with a prior lead to; draws are of their posterior, whatever is returned."""
        result = self._best_of(found, path)
        seed = int(self.fitter.rng.integers(2**63))
        return replace(result, sampler=Sampler(found, seed, self.scale))

    def _best_of(self, found: Predicted, path: Sequence[Factors]) -> Result:
        """Columns with a prior; without one, where that predicts as well and is certified.

        Or with a ridge for all alike, where the matrix is not what the prior takes it for, and
        that predicts better.
        """
        problem, fitter, limits = self.problem, self.fitter, self.fitter.policy.evidence
        factors, plain = found.factors(problem), None
        if found.doubtful > _BY_CHANCE or not leaves_noise(
            problem, problem.evaluate(factors), fitter.rng, limits, LOOKS
        ):
            alike = self._shrunk_alike(found, path)
            if alike is not None:
                return alike
        elif found.state.uncertainty <= _PINNED_DOWN:
            plain = self._unshrunk(found)
            if plain is not None and self._predicts_as_well(found):
                return plain
        fitter.monitor.note_pruned(factors)
        certificate = certify(
            problem,
            factors,
            fitter.rng,
            held_out_error=found.held_out_error,
            prediction=found.prediction,
            change=found.state.change,
            policy=limits,
        )
        if plain is None:
            certificate = of_shrunk(certificate)
        return self.ending.finished(factors, rescaled(certificate, self.scale))

    def _unshrunk(self, found: Predicted) -> Result | None:
        """The fit of the same rank without a prior, if its certificate holds."""
        result = self.ending.refitted(Choice(found.factors(self.problem), found.held_out_error))
        return result if result.status is Status.CONVERGED else None

    def _shrunk_alike(self, found: Predicted, path: Sequence[Factors]) -> Result | None:
        """Wide factors under a ridge, if these predict what was held out better."""
        if not path or self.intercepts or len(found.rounds) > 1:
            return None
        data = found.rounds[0][0]
        stages = [data.assess(Stage(data.train.evaluate(factors), False)) for factors in path]
        choice = best_predicting(self.paths, data, stages, may_split=False)
        missed = choice.held_out_error
        if choice.penalty is None or missed is None or missed >= _BETTER * found.held_out_error:
            return None
        # Means are missed by as much as they were, and intervals are those of the posterior.
        return self.ending.refitted(choice, replace(found.prediction, error=missed))

    def _predicts_as_well(self, found: Predicted) -> bool:
        """Whether what was held out is predicted as well without a prior."""
        part, state = found.rounds[0]
        plain = self.fitter.fit(part.train, state.factors, "validate", max_iter=_STEPS).factors
        return bool(part.errors(plain).mean() <= _AS_GOOD * part.errors(state.factors).mean())

    def _held_out(self) -> Split:
        """The user's own held-out measurements, or a share of all."""
        problem, fitter = self.problem, self.fitter
        if isinstance(self.validation, tuple):
            op, y = self.validation
            return Split(problem, Problem(op, y / self.scale, loss=problem.loss.unweighted()))
        share = fitter.policy.held_out_share if self.validation is None else self.validation
        return split(problem, share, fitter.rng)[0]

    def _explored(self, data: Split) -> list[Stage]:
        """A path on what is not held out, for as long as that pays on the rest."""
        widest = max(1, self.paths.widest(data.train))
        stages = self.paths.stages(data.train, "explore", widest)
        monitor, zero = self.fitter.monitor, data.zero_error

        def watch(stage: Stage) -> None:
            monitor.held_out_error = math.sqrt(stage.held_out / zero) if zero > 0 else 0.0

        return while_better(stages, data, self.fitter.policy.patience, watch)

    def _of_least_rank(
        self,
        exact: Factors,
        missed: float | None,
        stages: list[Stage],
        data: Split | None = None,
    ) -> Result:
        """An exact fit less the directions that it can spare; one of lower rank if it is loose.

        Where a few rows have too few entries, it may predict the others exactly.
        """
        exact = least_rank(self.problem, exact, self.fitter)
        result = self.ending.certified(self.problem, exact, missed)
        if result.status is Status.CONVERGED:
            return result
        lower = lower_exact_fit(self.paths, stages, result.rank)
        if lower is not None:
            other = self.ending.certified(self.problem, lower, None)
            if other.status is Status.CONVERGED:
                return other
        last = stages[-1]
        if data is None or not last.exact or last.width != exact.width:
            return result
        told = held_out_prediction([(data, last.factors, data.held.loss)])
        predicting = self.ending.certified(self.problem, exact, missed, told)
        return predicting if predicting.status is Status.APPROXIMATE else result

    def _penalised(self, penalty: Penalty) -> Factors:
        """The stationary point of the user's own penalised problem, pruned."""
        fitter, width = self.fitter, self.paths.max_width
        unit = self.problem.with_penalty(penalty.scaled(1.0 / self.scale))
        begin = self.paths.nothing() if self.paths.start is None else self.paths.start
        start = append_leading(unit, unit.evaluate(begin), fitter, width - begin.width)
        own = fitter.with_gauss_newton(
            damping=PENALISED.damping, forcing=PENALISED.forcing, balance=PENALISED.balance
        )
        settled = fitter.policy.settled
        state = own.fit(unit, start, "penalise", progress=settled, max_iter=self.max_iter)
        norms = state.factors.column_norms()
        threshold = getattr(unit.penalty, "prune_threshold", 1e-6 * float(max(norms)))
        return fitter.monitor.prune(state.factors, threshold)
