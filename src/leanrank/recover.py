"""recover(): from measurements to a certified low-rank matrix, nothing to tune."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, ArrayLike, is_numpy_array
from leanrank._threads import one_blas_thread
from leanrank.factors import degrees_of_freedom
from leanrank.operators import Measurement
from leanrank.penalties import Penalty
from leanrank.problem import Problem, check_measurements, measurement_scale
from leanrank.research.deep import RidgeLadder
from leanrank.results import Result
from leanrank.search.growing import Monitor, widest
from leanrank.search.plan import Pipeline
from leanrank.solvers import Callback, GaussNewton, Solver

__all__ = ["recover"]


@one_blas_thread()
def recover(
    op: Measurement,
    y: ArrayLike,
    *,
    symmetric: bool = False,
    rank: int | None = None,
    width: int | None = None,
    penalty: Penalty | None = None,
    solver: Solver | RidgeLadder | str | None = None,
    validation: float | tuple[Measurement, ArrayLike] | None = None,
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
    solver : Solver, RidgeLadder or "deep", optional
        Fits factors of given width; damped Gauss-Newton by default. A
        :class:`~leanrank.research.deep.RidgeLadder`, or "deep" for the usual one, looks for the
        rank by stochastic descent of a deep network under a rising ridge instead of growing; what
        it leaves is pruned and refitted as ever. It takes many more passes.
    validation : float or pair (Measurement, array), optional
        Share of the measurements that is held out at random while the rank is searched, 0.05 by
        default, or measurements of one's own for that. The last refit is to all measurements.
        Measurements that come in correlated groups (the colours of a pixel, the readings of a
        patient) must be held out by whole groups, or every rank seems to predict well: pass your
        own.
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
    callbacks = _checks.functions(callbacks, "callbacks")
    pipeline = _pipeline(
        op, y, symmetric, rank, width, penalty, solver, validation, max_iter, random_state
    )
    if time_limit is not None:
        callbacks = (*callbacks, _deadline(_checks.real_number(time_limit, "time_limit", above=0)))
    pipeline.monitor.callbacks = callbacks
    return pipeline.result()


def _deadline(seconds: float) -> Callback:
    end = time.monotonic() + seconds
    return lambda state: time.monotonic() > end


def _pipeline(
    op: Measurement,
    y: Array,
    symmetric: bool,
    rank: int | None,
    width: int | None,
    penalty: Penalty | None,
    solver: Any,
    validation: Any,
    max_iter: int,
    random_state: Any,
) -> Pipeline:
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
    ladder = _ladder(solver, op, symmetric, rank, penalty)
    scale = measurement_scale(op, y)
    return Pipeline(
        problem=Problem(op, y / scale if scale > 0 else y),
        scale=scale,
        symmetric=symmetric,
        rank=rank,
        width=max(1, width if width is not None else widest(op, symmetric)),
        penalty=penalty,
        solver=GaussNewton() if solver is None or ladder is not None else solver,
        ladder=ladder,
        validation=validation,
        max_iter=max_iter,
        rng=_checks.generator(random_state),
        monitor=Monitor(scale=scale),
    )


def _ladder(
    solver: Any, op: Measurement, symmetric: bool, rank: int | None, penalty: Penalty | None
) -> RidgeLadder | None:
    """The deep network that is asked for, if any."""
    if isinstance(solver, str):
        if solver != "deep":
            raise ValueError(f'solver must be a Solver, a RidgeLadder or "deep", got {solver!r}')
        solver = RidgeLadder()
    if not isinstance(solver, RidgeLadder):
        return None
    for name, given in (("rank", rank), ("penalty", penalty)):
        if given is not None:
            raise ValueError(
                f"{name} must be left out: a deep network finds the rank by a ridge of its own, "
                f"got {given!r}"
            )
    if symmetric:
        raise ValueError("symmetric must be left out: a deep network recovers X = U V^T only")
    if not is_numpy_array(op.reference):
        raise TypeError("op must be of NumPy arrays: deep networks train on the CPU")
    return solver
