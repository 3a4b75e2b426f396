"""How a run of recover ends: the last fit, its certificate, and the result that they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from leanrank.evidence import Certificate, Prediction, certify, rescaled
from leanrank.evidence.denoised import certify_denoised
from leanrank.factors import Factors
from leanrank.problem import Problem, exact_tolerance
from leanrank.results import Record, Result, Status
from leanrank.search.choosing import Choice
from leanrank.search.consensus import agreed_rows
from leanrank.search.denoising import Denoised
from leanrank.search.drawing import Perturbation
from leanrank.search.fitting import Fitter
from leanrank.search.shrinking import shrink
from leanrank.search.strategy import Strategy
from leanrank.solvers import State

__all__ = ["Ending"]

_CONSENSUS_ROUNDS = 5


@dataclass(frozen=True)
class Ending:
    """What is done to factors that were chosen.

    Attributes
    ----------
    problem : Problem
        Of all measurements, y divided by ``scale``.
    fitter : Fitter
    strategy : Strategy
        May add a remark to the message.
    scale : float
    max_iter : int
        Of the last fit.
    """

    problem: Problem
    fitter: Fitter
    strategy: Strategy
    scale: float
    max_iter: int

    def refitted(self, choice: Choice, prediction: Prediction | None = None) -> Result:
        """Fit to rounding or stationarity, and certify."""
        problem, fitter, factors = self.problem, self.fitter, choice.factors
        if choice.penalty is not None:
            problem = problem.with_penalty(choice.penalty)
            factors = shrink(problem, factors, factors.width, fitter, "penalise").factors
        if problem.loss.estimated:
            problem = problem.refitted(problem.evaluate(factors))
        if factors.width:
            settled = fitter.policy.settled
            state = fitter.fit(problem, factors, "refit", progress=settled, max_iter=self.max_iter)
            factors = state.factors
        return self.certified(problem, factors, choice.held_out_error, prediction)

    def certified(
        self,
        problem: Problem,
        factors: Factors,
        held_out_error: float | None,
        prediction: Prediction | None = None,
    ) -> Result:
        """The result that these factors are."""
        factors = self._agreed(problem, factors).compress()  # a ridge may have emptied them all
        rng, limits = self.fitter.rng, self.fitter.policy.evidence
        self.fitter.monitor.note_pruned(factors)
        certificate = certify(
            problem,
            factors,
            rng,
            held_out_error=held_out_error,
            prediction=prediction,
            policy=limits,
        )
        result = self.finished(factors, rescaled(certificate, self.scale))
        sampler = Perturbation(problem, factors, int(rng.integers(2**63)), self.scale)
        return replace(result, sampler=sampler)

    def denoised(self, found: Denoised) -> Result:
        """The result that factors in closed form are."""
        problem, monitor, factors = self.problem, self.fitter.monitor, found.factors
        certificate = certify_denoised(
            problem, factors, found.spectrum, self.fitter.policy.evidence
        )
        if monitor.callbacks:
            point = problem.evaluate(factors)
            monitor(State(point, 0, problem.passes, phase="denoise"))
        else:
            loss, slope = found.spectrum.square(factors), found.spectrum.gradient_norm(factors)
            line = Record("denoise", 0, problem.passes, factors.width, loss, loss, slope)
            monitor.history.records.append(line)
        monitor.note_pruned(factors)
        result = self.finished(factors, rescaled(certificate, self.scale))
        seed = int(self.fitter.rng.integers(2**63))
        return replace(result, sampler=Perturbation(problem, factors, seed, self.scale))

    def _agreed(self, problem: Problem, factors: Factors) -> Factors:
        """The fit, continued from rows that no outlier misleads, if it comes out lower."""
        if problem.loss.quadratic or not factors.width:
            return factors
        settled = self.fitter.policy.settled
        for _ in range(_CONSENSUS_ROUNDS):
            point = problem.evaluate(factors)
            own = problem.refitted(point)
            start = agreed_rows(own, point, self.fitter.rng)
            state = self.fitter.fit(own, start, "refit", progress=settled, max_iter=self.max_iter)
            if not own.mean_loss(state.point.residual) < (1 - 1e-3) * own.mean_loss(point.residual):
                break
            factors = state.factors
        return factors

    def finished(self, factors: Factors, certificate: Certificate) -> Result:
        """Status and message that follow from a certificate, in the units of y."""
        monitor = self.fitter.monitor
        status = Status.CONVERGED if certificate.holds else Status.STALLED
        if status is Status.STALLED and certificate.predicts(self.fitter.policy.evidence):
            status = Status.APPROXIMATE
        return Result(
            factors.scaled(self.scale),
            status,
            self._message(certificate),
            certificate,
            monitor.history,
            monitor.column_norms,
            self.fitter.policy,
        )

    def _message(self, certificate: Certificate) -> str:
        """What came out, in a sentence."""
        if self.problem.zero_loss == 0:
            return "every measurement is zero, and so is the matrix"
        message = "; ".join(certificate.reasons)
        if certificate.prediction is not None:
            lacking = certificate.prediction.reasons(self.fitter.policy.evidence)
            message = "; ".join(
                [
                    str(certificate.prediction),
                    *lacking,
                    f"the matrix itself is not pinned down: {message}",
                ]
            )
        if certificate.holds:
            exact = certificate.relative_residual <= exact_tolerance(self.problem.y)
            found = "exact fit of rank" if exact else "fitted to the level of the noise, rank"
            message = (
                f"{found} {certificate.rank}; estimated relative error "
                f"{certificate.error_estimate:.1e}"
            )
        remark = self.strategy.remark(certificate.rank, self.fitter)
        return f"{message}; {remark}" if remark else message
