"""recover(): from measurements to a certified low-rank matrix, nothing to tune."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors, degrees_of_freedom
from leanrank.losses import Loss
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.policy import Policy
from leanrank.problem import (
    Problem,
    check_library,
    check_loss,
    check_measurements,
    measurement_scale,
)
from leanrank.results import Result
from leanrank.search import Fitter, GrowAndPenalise, Monitor, Paths, Plan, Strategy
from leanrank.search.growing import widest
from leanrank.search.saved import FinishedFits, SavedRun, fingerprint
from leanrank.solvers import Callback, Deadline, GaussNewton, Solver

__all__ = ["recover"]


def recover(
    op: Measurement,
    y: Array,
    *,
    symmetric: bool = False,
    rank: int | None = None,
    width: int | None = None,
    penalty: Penalty | None = None,
    loss: Loss | None = None,
    solver: Solver | None = None,
    strategy: Strategy | None = None,
    validation: float | tuple[Measurement, Array] | None = None,
    start: Factors | SavedRun | None = None,
    max_iter: int = 200,
    time_limit: float | None = None,
    callbacks: Iterable[Callback] = (),
    policy: Policy | None = None,
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
    loss : Loss, optional
        What residuals cost; squares by default. :class:`~leanrank.losses.Squared` takes weights,
        the inverse variances of the measurements; :class:`~leanrank.losses.StudentT` resists
        outliers, and estimates its scale. In the units of y.
    solver : Solver, optional
        Fits factors of given width; damped Gauss-Newton by default.
    strategy : Strategy, optional
        Proposes the factors to choose from;
        :class:`~leanrank.search.GrowAndPenalise` by default. A
        :class:`~leanrank.research.deep.RidgeLadder` looks for the rank by stochastic descent of a
        deep network under a rising ridge; it takes many more passes.
    validation : float or pair (Measurement, array), optional
        Share of the measurements that is held out at random while the rank is searched, 0.05 by
        default, or measurements of one's own for that. The last refit is to all measurements.
        Measurements that come in correlated groups (the colours of a pixel, the readings of a
        patient) must be held out by whole groups, or every rank seems to predict well: pass your
        own.
    start : Factors or SavedRun, optional
        Factors to start from instead of nothing, such as those of an earlier result for fewer
        measurements. Or what :func:`leanrank.io.load_checkpoint` returns: then the run goes on
        from there, to the same answer as if it had not been interrupted; it must be of the same
        measurements, settings and seed.
    max_iter : int
        Largest number of steps of the last refit.
    time_limit : float, optional
        Seconds after which the run stops with the best factors so far.
    callbacks : iterable of callables
        Called with every :class:`~leanrank.solvers.State`; True stops. Where one has methods
        ``begin`` and ``end``, they are called with a function that returns the run so far, as a
        SavedRun, and with the result.
    policy : Policy, optional
        The numbers that decisions are made by.
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
    callbacks = _checks.functions(callbacks, "callbacks")
    if time_limit is not None:
        callbacks += (Deadline(_checks.real_number(time_limit, "time_limit", above=0)),)
    _check_recoverable(op, symmetric)
    rank, width = (_columns(op, k, name) for k, name in ((rank, "rank"), (width, "width")))
    loss = check_loss(op, y, loss).normalised()
    scale = measurement_scale(op, y, loss)
    unit = 1.0 / scale if scale > 0 else 1.0
    problem = Problem(op, y * unit, loss=loss.scaled(unit))
    strategy = _checked_strategy(strategy, problem, symmetric, rank, penalty)
    validation = _checked_validation(validation, op)
    max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
    if penalty is not None and not callable(getattr(penalty, "scaled", None)):
        raise TypeError(f"penalty must be a Penalty, such as GroupLasso or Ridge, got {penalty!r}")
    policy = Policy() if policy is None else policy
    solver = GaussNewton() if solver is None else _checked_solver(solver)
    rng = _checks.generator(random_state)
    most = width or max(1, widest(op, symmetric, policy.widest_share))
    settings = {
        "shape": op.shape,
        "symmetric": symmetric,
        "rank": rank,
        "width": most,
        "penalty": penalty,
        "loss": (loss, None if loss.weights is None else fingerprint(loss.weights, {})),
        "solver": solver,
        "strategy": strategy,
        "validation": _described(validation),
        "max_iter": max_iter,
        "policy": policy,
        "random_state": rng.bit_generator.state,
    }
    run = fingerprint(y, settings)
    start, known = _checked_start(start, op, symmetric, run)
    monitor = Monitor(callbacks, scale, finished=FinishedFits(known), fingerprint=run, start=start)
    begin = None if start is None else start.scaled(unit)
    paths = Paths(problem, symmetric, most, strategy, Fitter(solver, rng, monitor, policy), begin)
    monitor.begin()
    with one_blas_thread():
        result = Plan(paths, scale, rank, penalty, validation, max_iter).result()
    monitor.end(result)
    return result


def _described(validation: Any) -> Any:
    """A share as it is, measurements of one's own by a digest."""
    return fingerprint(validation[1], {}) if isinstance(validation, tuple) else validation


def _checked_start(
    start: Any, op: Measurement, symmetric: bool, run: str
) -> tuple[Factors | None, tuple[tuple[str, np.ndarray], ...]]:
    """Factors to start from, if any, and the fits that an earlier run has finished."""
    if isinstance(start, SavedRun):
        if start.fingerprint != run:
            raise ValueError(
                "start is the checkpoint of another run: its measurements, settings or seed "
                "differ; pass start=start.factors to begin anew from its factors"
            )
        return start.start, start.fits
    if start is None:
        return None, ()
    if not isinstance(start, Factors):
        raise TypeError(
            "start must be Factors or what leanrank.io.load_checkpoint returns, got "
            f"{type(start).__name__}"
        )
    if tuple(start.shape) != tuple(op.shape) or start.symmetric != symmetric:
        raise ValueError(
            f"start must have shape {tuple(op.shape)} and symmetric={symmetric}, got {start!r}"
        )
    _checks.real_array(start.W, "start", ndim=2)
    check_library(start.W, op, "start")
    return start.astype(op.reference), ()


def _check_recoverable(op: Measurement, symmetric: bool) -> None:
    """Raise where no method could recover anything."""
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


def _columns(op: Measurement, k: int | None, name: str) -> int | None:
    """A number of columns that the matrix can have, or None."""
    return None if k is None else _checks.whole_number(k, name, least=1, most=min(op.shape))


def _checked_solver(solver: Any) -> Solver:
    """Something with the two verbs of a solver."""
    if not all(callable(getattr(solver, verb, None)) for verb in ("init", "step")):
        raise TypeError(
            f"solver must be a Solver, with methods init and step, got {solver!r}; how the rank is "
            "searched is the strategy, such as leanrank.research.deep.RidgeLadder()"
        )
    return solver


def _checked_strategy(
    strategy: Any, problem: Problem, symmetric: bool, rank: int | None, penalty: Penalty | None
) -> Strategy:
    """The strategy, if it can serve."""
    if strategy is None:
        return GrowAndPenalise()
    if not callable(getattr(strategy, "stages", None)):
        raise TypeError(
            f"strategy must be a Strategy, such as leanrank.research.deep.RidgeLadder(), got "
            f"{strategy!r}"
        )
    if penalty is not None:
        raise ValueError(
            f"penalty must be left out where a strategy searches for factors, got {penalty!r}"
        )
    strategy.check(problem, symmetric, rank)
    return strategy


def _checked_validation(validation: Any, op: Measurement) -> Any:
    """A share, or a pair of an operator and what it measured; None stays."""
    if validation is None:
        return None
    if not isinstance(validation, tuple):
        return _checks.real_number(validation, "validation", above=0, most=0.9)
    held, y_held = validation
    if held.shape != op.shape:
        raise ValueError(f"validation must measure matrices of shape {op.shape}, got {held.shape}")
    return held, check_measurements(held, y_held)
