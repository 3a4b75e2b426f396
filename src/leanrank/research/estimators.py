"""DeepLinearCompletion: tables completed by way of a deep linear network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leanrank.estimators._entries import Entries
from leanrank.estimators._imputer import LowRankImputer
from leanrank.research.deep import Phase, RidgeLadder
from leanrank.results import Result
from leanrank.solvers import Callback

__all__ = ["DeepLinearCompletion"]


class DeepLinearCompletion(LowRankImputer):
    r"""Complete a table by a deep linear network that loses rank under noise and a rising ridge.

    Stochastic gradient descent with weight decay takes directions from an over-parameterised
    network :math:`W_L \cdots W_1` for good (Wang and Jacot, 2024); what is left is pruned, fitted
    without a ridge, and certified, by :func:`leanrank.recover`. All else is as in
    :class:`~leanrank.LowRankImputer`, which finds the same matrices and takes far fewer passes
    over the entries: that is the one for work, this one is to study depth and noise.

    Parameters
    ----------
    depth : int
        Layers L, at least 2.
    hidden_width : int, optional
        Of all hidden layers; more than the entries can determine if left out.
    epochs : float
        Updates under one ridge, over the number of entries.
    learning_rate : float
        Relative to the largest stable one.
    batch_size : int, optional
        Entries in an update; one if left out.
    schedule : sequence of Phase, optional
        Learning rates and ridges of one's own, as :func:`leanrank.research.deep.annealing` makes
        them, for a table of spectral norm one, to which it is brought.
    **parameters
        All others as in :class:`~leanrank.LowRankImputer`, but that columns are neither centred
        nor scaled if not asked for.

    See Also
    --------
    leanrank.research.deep.RidgeLadder : How the rank is found.
    leanrank.research.deep.train : Trajectories to look at.

    Notes
    -----
    Attributes and errors are those of :class:`~leanrank.LowRankImputer`, but that weights must be
    zero or one and the same: networks are trained on plain squares. A singular value below
    0.03 of the largest is lost before the ridge has taken noise away, with more layers sooner; it
    is then found by growing.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> full = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 30))
    >>> X = np.where(rng.random(full.shape) < 0.5, np.nan, full)
    >>> imputer = DeepLinearCompletion()
    >>> bool(np.allclose(imputer.fit_transform(X), full)), imputer.rank_
    (True, 2)
    """

    def __init__(
        self,
        depth: int = 3,
        *,
        hidden_width: int | None = None,
        epochs: float = 50.0,
        learning_rate: float = 0.25,
        batch_size: int | None = None,
        schedule: Sequence[Phase] | None = None,
        width: int | None = None,
        center: bool = False,
        scale: bool = False,
        validation: float | None = None,
        keep_observed: bool = True,
        keep_empty_features: bool = False,
        max_iter: int = 200,
        time_limit: float | None = None,
        random_state: Any = 0,
        on_failure: str = "warn",
    ) -> None:
        super().__init__(
            width=width,
            center=center,
            scale=scale,
            validation=validation,
            keep_observed=keep_observed,
            keep_empty_features=keep_empty_features,
            max_iter=max_iter,
            time_limit=time_limit,
            random_state=random_state,
            on_failure=on_failure,
        )
        self.depth = depth
        self.hidden_width = hidden_width
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.schedule = schedule

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._strategy()

    def _run(self, entries: Entries, rank: int | None, callbacks: tuple[Callback, ...]) -> Result:
        if not entries.loss.plain:
            raise ValueError(
                "sample_weight must be zero or one and the same positive number, since deep "
                "networks are trained on plain squares; LowRankImputer takes any weights"
            )
        return super()._run(entries, rank, callbacks)

    def _strategy(self) -> RidgeLadder:
        return RidgeLadder(
            depth=self.depth,
            hidden_width=self.hidden_width,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            schedule=self.schedule,
        )
