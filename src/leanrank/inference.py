"""posterior(): what measurements say of every entry of a matrix, and how surely."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from leanrank import _checks
from leanrank._arrays import ArrayLike
from leanrank._guidance import explains_arguments
from leanrank._threads import one_blas_thread
from leanrank.losses import Loss
from leanrank.operators import Measurement
from leanrank.policy import Policy
from leanrank.posterior import Posterior
from leanrank.problem import (
    Problem,
    check_loss,
    check_measurements,
    counted,
)
from leanrank.recover import recover
from leanrank.results import RecoveryError, Result, Status
from leanrank.search import Fitter, Monitor, StopRun
from leanrank.search.arguments import check_recoverable, number_of_columns
from leanrank.search.drawing import Perturbation
from leanrank.search.holding_out import Split, split
from leanrank.search.predicting import predicted, splits_by_rows
from leanrank.solvers import Callback, GaussNewton

__all__ = ["posterior"]

_WIDTH = 10
"""Columns to begin with where none are asked for; doubled as long as the data empty none."""
_STOPPED = "stopped by a callback before there was a posterior"


@explains_arguments
@one_blas_thread()
def posterior(
    op: Measurement,
    y: ArrayLike,
    *,
    symmetric: bool = False,
    intercepts: bool = False,
    noise: str = "common",
    loss: Loss | None = None,
    rank: int | None = None,
    width: int | None = None,
    draws: int | None = None,
    calibration: float | None = None,
    callbacks: Iterable[Callback] = (),
    policy: Policy | None = None,
    random_state: int | np.random.Generator | None = 0,
) -> Posterior:
    r"""A sample of the posterior distribution of a low-rank matrix, given noisy measurements.

    For observed entries columns have priors whose variances are learnt, so that the data empty
    those that they do not need (variational inference with automatic relevance determination);
    from there factors are drawn by Gibbs sampling. For other operators, and symmetric matrices,
    :func:`~leanrank.recover` finds the factors, and draws are what noise makes of them: solutions
    of the linearised problem with perturbed measurements.

    Parameters
    ----------
    op : Measurement
        What was measured.
    y : array, shape (m,)
        The measurements, of any scale.
    symmetric : bool
        Whether :math:`X = U U^\top`.
    intercepts : bool
        Whether rows and columns have intercepts of their own besides the low rank, as ratings
        have; for observed entries.
    noise : {"common", "columns"}
        One noise level, or one for each column, as in tables; the second for observed entries.
    loss : Loss, optional
        :class:`~leanrank.losses.Squared` with weights, inverse variances up to a constant, or one
        that resists outliers. In the units of y.
    rank : int, optional
        The number of columns, if it is known. Otherwise the data empty those they do not need.
    width : int, optional
        Largest number of columns to consider.
    draws : int, optional
        How many to keep. By default 60, which predict ratings within a thousandth as well as 100
        do; 100 where many columns of one variance are sampled, as of photographs; and 50 where
        each is the solution of a problem of its own.
    calibration : float, optional
        Share of the measurements, in (0, 1), that the posterior does not see: intervals for
        readings are then as long as these ask for, and cover others like them whatever the
        noise (split conformal prediction). For observed entries.
    callbacks : iterable of callables
        As in :func:`~leanrank.recover`.
    policy : Policy, optional
    random_state : int, Generator or None
        The same seed gives the same draws, whatever the number of threads.

    Returns
    -------
    Posterior
        In the units of y.

    Raises
    ------
    ValueError, TypeError
        On input that cannot be right, as :func:`~leanrank.recover`, and where what is asked for
        needs observed entries.
    RecoveryError
        If a callback stops it.

    See Also
    --------
    leanrank.Result.posterior : The same from what ``recover`` found.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((60, 40), 2, oversampling=4, random_state=0)
    >>> y = inst.y + 0.1 * np.random.default_rng(0).standard_normal(inst.y.size)
    >>> post = posterior(inst.op, y)
    >>> low, high = post.interval(np.arange(60)[:, None], np.arange(40), level=0.95)
    >>> X = inst.truth.to_dense()
    >>> bool(0.9 < np.mean((low <= X) & (X <= high)) < 0.99)
    True
    """
    y = check_measurements(op, y, copy=False)
    op, y, loss = counted(op, y, check_loss(op, y, loss), False)
    check_recoverable(op, symmetric)
    rank, width = (number_of_columns(op, k, name) for k, name in ((rank, "rank"), (width, "width")))
    draws = None if draws is None else _checks.whole_number(draws, "draws", least=2)
    for value, name in ((intercepts, "intercepts"), (symmetric, "symmetric")):
        _checks.flag(value, name)
    if noise not in ("common", "columns"):
        raise ValueError(f"noise must be 'common' or 'columns', got {noise!r}")
    if calibration is not None:
        calibration = _checks.real_number(calibration, "calibration", above=0)
        if calibration >= 1:
            raise ValueError(f"calibration must be a share below 1, got {calibration:g}")
    callbacks = _checks.functions(callbacks, "callbacks")
    rng, policy = _checks.generator(random_state), Policy() if policy is None else policy
    loss = loss.normalised()
    problem, scale = Problem.in_unit_scale(op, y, loss)
    by_rows = splits_by_rows(problem, symmetric)
    if not by_rows or problem.zero_loss == 0:
        if not by_rows and (intercepts or noise != "common" or calibration is not None):
            raise ValueError(
                "intercepts, noise='columns' and calibration are for observed entries of a matrix "
                f"that is not symmetric, got {op!r}"
            )
        found = recover(
            op, y, symmetric=symmetric, rank=rank, width=width, loss=loss, callbacks=callbacks,
            policy=policy, random_state=rng,
        )  # fmt: skip
        return _drawn(found, draws)
    monitor = Monitor(callbacks, scale, unheard=not callbacks)
    fitter = Fitter(GaussNewton(), rng, monitor, policy)
    part = split(problem, calibration or policy.held_out_share, rng)[0]
    whole = problem if calibration is None else part.train
    parts = [part] if calibration is None else split(part.train, policy.held_out_share, rng)
    most = rank or width or min(op.shape)
    try:
        state = predicted(
            whole,
            parts,
            fitter,
            width=rank or min(_WIDTH, most),
            most=most,
            prune=rank is None,
            intercepts=intercepts,
            column_noise=noise == "columns",
        )
    except StopRun:
        raise RecoveryError(_STOPPED) from None
    sample = state.sample(rng, draws)
    if calibration is not None:
        sample = _calibrated(sample, part)
    return sample.scaled(scale)


def _drawn(found: Result, size: int | None) -> Posterior:
    """So many draws of the posterior of what ``recover`` found."""
    if found.status is Status.STOPPED:
        raise RecoveryError(_STOPPED)
    sampler = found.sampler
    if size is None or not isinstance(sampler, Perturbation):
        return found.posterior
    return replace(sampler, size=size)()


def _calibrated(sample: Posterior, part: Split) -> Posterior:
    """Calibrated on what was held out."""
    held = part.held
    rows, cols, unit = held.op.entries() or (np.empty(0),) * 3
    return sample.calibrated(rows, cols, np.asarray(held.y) / unit)
