"""recover(): from measurements to a certified low-rank matrix, nothing to tune."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import ArrayLike
from leanrank._guidance import check_penalty, check_solver, explains_arguments
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.policy import Policy
from leanrank.problem import (
    Problem,
    check_loss,
    check_measurements,
    counted,
)
from leanrank.results import Result
from leanrank.search import Fitter, Monitor, Paths, Plan, Strategy
from leanrank.search.arguments import (
    check_recoverable,
    checked_start,
    checked_strategy,
    checked_validation,
    described,
    number_of_columns,
)
from leanrank.search.fitting import SOLVER
from leanrank.search.growing import widest
from leanrank.search.predicting import splits_by_rows
from leanrank.search.saved import FinishedFits, SavedRun, fingerprint
from leanrank.solvers import Callback, Deadline, Solver

__all__ = ["recover"]


@explains_arguments
@one_blas_thread()
def recover(
    op: Measurement,
    y: ArrayLike,
    *,
    symmetric: bool = False,
    rank: int | None = None,
    width: int | None = None,
    intercepts: bool = False,
    penalty: Penalty | None = None,
    loss: Loss | None = None,
    solver: Solver | None = None,
    strategy: Strategy | None = None,
    validation: float | tuple[Measurement, ArrayLike] | None = None,
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
    answer is the exact fit of least rank, with noise the rank, or a prior on the factors, is
    chosen by how measurements are predicted that are left out or held out, and the factors are
    refitted to all. Neither rank nor penalty nor step size is needed.

    Where all of X was seen (:class:`~leanrank.operators.FullObservation`) with white noise, the
    answer has a closed form: the singular values above the noise, shrunk as is best in Frobenius
    norm (Gavish and Donoho, 2017). Nothing is held out then, and nothing needed to start from. A
    ``rank``, ``validation``, ``solver`` or ``strategy`` that is passed asks for the search.

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
    intercepts : bool
        Whether, under noise, rows and columns have intercepts of their own besides the low rank,
        as ratings have. They are then among the columns of the factors, up to two more of them.
        For observed entries; :meth:`leanrank.operators.Projected.intercepts` eliminates those of
        other operators.
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
        CONVERGED only if the certificate holds; APPROXIMATE if it does not, but entries that were
        held out are predicted clearly better than by means. After Ctrl-C, a callback or the time
        limit: STOPPED with the best factors so far.

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
    y = check_measurements(op, y, copy=False)
    op, y, loss = counted(op, y, check_loss(op, y, loss), penalty is not None)
    callbacks = _checks.functions(callbacks, "callbacks")
    if time_limit is not None:
        callbacks += (Deadline(_checks.real_number(time_limit, "time_limit", above=0)),)
    check_recoverable(op, symmetric)
    rank, width = (number_of_columns(op, k, name) for k, name in ((rank, "rank"), (width, "width")))
    loss = loss.normalised()
    problem, scale = Problem.in_unit_scale(op, y, loss)
    if _checks.flag(intercepts, "intercepts") and not splits_by_rows(problem, symmetric):
        raise ValueError(
            "intercepts are for observed entries of a matrix that is not symmetric; use "
            "Projected.intercepts(op) with other operators"
        )
    strategy = checked_strategy(strategy, problem, symmetric, rank, penalty)
    validation = checked_validation(validation, op)
    max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
    check_penalty(penalty)
    policy = Policy() if policy is None else policy
    solver = SOLVER if solver is None else check_solver(solver)
    rng = _checks.generator(random_state)
    most = width or max(1, widest(problem, symmetric, policy.widest_share))
    settings = {
        "shape": op.shape,
        "symmetric": symmetric,
        "rank": rank,
        "width": most,
        "intercepts": intercepts,
        "penalty": penalty,
        "loss": (loss, None if loss.weights is None else fingerprint(loss.weights, {})),
        "solver": solver,
        "strategy": strategy,
        "validation": described(validation),
        "max_iter": max_iter,
        "policy": policy,
        "random_state": rng.bit_generator.state,
    }
    # Only a run that is shown to somebody, or goes on from another, need be told from others.
    run = fingerprint(y, settings) if callbacks or isinstance(start, SavedRun) else ""
    start, known = checked_start(start, op, symmetric, run)
    monitor = Monitor(callbacks, scale, finished=FinishedFits(known), fingerprint=run, start=start)
    begin = None if start is None else start.scaled(1.0 / scale)
    paths = Paths(problem, symmetric, most, strategy, Fitter(solver, rng, monitor, policy), begin)
    if width is not None:
        paths = replace(paths, limit=width)
    monitor.begin()
    result = Plan(paths, scale, rank, penalty, validation, max_iter, intercepts).result()
    monitor.end(result)
    return result
