"""Assessing: what held-out measurements say of columns with a prior, looked at when asked.

Draws take longer than fits. A fit that is certified without a prior needs none of them until
someone asks for its posterior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from leanrank._arrays import to_numpy
from leanrank.evidence import Prediction
from leanrank.factors import Factors
from leanrank.losses import Loss
from leanrank.posterior import SPARE, Layout, State, entries_of, fit, start
from leanrank.problem import Problem
from leanrank.search.drawing import Chain, HeldOutDraws, draws_of_held_out, wide_chain
from leanrank.search.holding_out import Split

__all__ = ["Assessment", "held_out_prediction"]


@dataclass(frozen=True)
class Assessment:
    """How states predict what they have not seen; computed once, when it is first asked for.

    Attributes
    ----------
    rounds : list of (Split, State)
    column_noise, prune : bool
        Of the fits.
    most : int
        Columns at most.
    approximate : bool
        Whether the matrix may be of low rank only approximately.
    seed : int
        Of the draws.
    drawn : pair, optional
        The chain and its draws, if they are known already.
    """

    rounds: list[tuple[Split, State]]
    column_noise: bool
    prune: bool
    most: int
    approximate: bool
    seed: int
    drawn: tuple[Chain, HeldOutDraws | None] | None = None

    def tried_out(self, watch: Callable[[State], None]) -> Assessment:
        """The same, drawn while a run lasts: ``watch`` sees what is tried, and may stop it."""
        return replace(self, drawn=self._draw(watch))

    @property
    def chain(self) -> Chain:
        """What is sampled."""
        return self._drawn[0]

    @property
    def draws(self) -> HeldOutDraws | None:
        """What that makes of the measurements that the first round held out."""
        return self._drawn[1]

    @cached_property
    def prediction(self) -> Prediction:
        """How all held-out measurements are predicted, and by the better of means and zero."""
        rounds = [(part, state.factors, _loss(part, state)) for part, state in self.rounds]
        return held_out_prediction(rounds, None if self.draws is None else self.draws.inside)

    @cached_property
    def _drawn(self) -> tuple[Chain, HeldOutDraws | None]:
        return self.drawn or self._draw(lambda state: None)

    def _draw(self, watch: Callable[[State], None]) -> tuple[Chain, HeldOutDraws | None]:
        part, state = self.rounds[0]
        held, loss = part.held, _loss(part, state)
        residual = to_numpy(held.op.forward(state.factors) - held.y)
        rng = np.random.default_rng(self.seed)

        def drawn(chain: Chain) -> HeldOutDraws | None:
            return draws_of_held_out(held, state, residual, loss, rng, chain)

        def try_out(chain: Chain) -> HeldOutDraws | None:
            watch(state)
            return drawn(chain)

        chain = Chain(self.column_noise, SPARE if self.prune else 0)
        seen = drawn(chain)
        if seen is None or not (self.prune and self.approximate):
            return chain, seen
        return wide_chain(state, chain, seen, try_out, self.most)


def held_out_prediction(
    rounds: list[tuple[Split, Factors, Loss]], inside: np.ndarray | None = None
) -> Prediction:
    """How held-out entries are predicted by factors that have not seen them, and by means."""
    missed: list[np.ndarray] = []
    means: list[np.ndarray] = []
    zero: list[np.ndarray] = []
    for part, factors, loss in rounds:
        held = part.held
        residual = held.op.forward(factors) - held.y
        of_means = held.op.forward(_means(part.train)) - held.y
        for costs, r in ((missed, residual), (means, of_means), (zero, -held.y)):
            costs.append(to_numpy(loss.value(r)))
    whole = np.concatenate(zero)
    of_means = min(np.concatenate(means), whole, key=np.mean)
    return Prediction.of_costs(np.concatenate(missed), of_means, whole, inside)


def _means(problem: Problem) -> Factors:
    """Intercepts of rows and columns, alone."""
    entries, loss = entries_of(problem)
    nothing = start(entries, Layout(0, True, True), np.random.default_rng(0), loss)
    return fit(nothing).factors


def _loss(part: Split, state: State) -> Loss:
    """What missing held-out measurements costs; the scale, where it is learnt, is the state's."""
    held = part.held.loss
    return held if state.loss is None else state.loss.weighted_as(held)
