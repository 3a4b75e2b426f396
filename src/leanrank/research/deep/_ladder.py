"""RidgeLadder: a deep network that loses rank as its weight decay rises, rung by rung."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leanrank import _checks
from leanrank._arrays import is_numpy_array
from leanrank.factors import Factors
from leanrank.operators import FullObservation, Measurement, ObservedEntries
from leanrank.problem import Problem, check_squared
from leanrank.research.deep._engines import sharpest_entry, sharpness
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._initial import initial_layers
from leanrank.research.deep._schedule import Phase, check_schedule
from leanrank.research.deep._stages import stages_of_networks, whose_rank
from leanrank.research.deep._train import collapses, train
from leanrank.research.theory import largest_ridge
from leanrank.results import Status
from leanrank.search import Fitter, Stage, Strategy

__all__ = ["RidgeLadder"]

_PARTS, _LEAST = 8, 500
"""Parts of a rung, after each of which it can be watched and interrupted, and their least steps."""

_MOST_HALVINGS = 10


@dataclass(frozen=True)
class RidgeLadder(Strategy):
    r"""Descend with noise under one ridge after another, from weak to strong.

    A small start and a weak ridge leave a network of more directions than the matrix has; each
    rung takes some away for good, those of the matrix last. What is left is a network at the end
    of each rung, of falling rank, for :func:`leanrank.recover` to prune, to fit without a ridge
    and to choose from by measurements that were held out.

    Parameters
    ----------
    depth : int
        Layers L. With more, small singular values are lost sooner, and noise too.
    hidden_width : int, optional
        Of all hidden layers; four times the largest rank that the measurements can determine, at
        most min(n1, n2), if left out.
    epochs : float
        Updates on each rung, over those in which each measurement is drawn once.
    lowest, highest : float
        First and last ridge, relative to the one that leaves nothing but zero.
    factor : float
        From one ridge to the next.
    learning_rate : float
        Relative to the largest one that is stable on the sharpest of some batches. Divergence
        halves it.
    batch_size : int, optional
        1 on observed entries, and n1 + n2 on measurements that see the whole matrix, if left out.
    start : float
        What the weights of PyTorch's linear layers are multiplied with at the start.
    schedule : sequence of Phase, optional
        Phases of one's own instead of rungs, for measurements in whose units the matrix has
        spectral norm one: then there is one network, at its end.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    The annealing of Wang and Jacot (2024) turned around: there the ridge is strong until the rank
    has fallen enough, and it takes knowing when that is. On a fully observed matrix a singular
    value s, the largest being 1, lasts while the ridge is below :math:`s^{2 - 2/L}` of the ridge
    that leaves nothing: with the defaults, what is below 0.03 of the largest is not found.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion(40, 2, fraction=0.4, random_state=0)
    >>> result = lr.recover(inst.op, inst.y, strategy=RidgeLadder(depth=4))
    >>> result.rank, bool(inst.error(result.factors) < 1e-9)
    (2, True)
    """

    depth: int = 3
    hidden_width: int | None = None
    epochs: float = 50.0
    lowest: float = 0.01
    highest: float = 0.9
    factor: float = 2.0**0.5
    learning_rate: float = 0.25
    batch_size: int | None = None
    start: float = 0.3
    schedule: Sequence[Phase] | None = None

    def __post_init__(self) -> None:
        _checks.whole_number(self.depth, "depth", least=2)
        for name in ("hidden_width", "batch_size"):
            if getattr(self, name) is not None:
                _checks.whole_number(getattr(self, name), name, least=1)
        for name in ("epochs", "lowest", "learning_rate", "start"):
            _checks.real_number(getattr(self, name), name, above=0.0)
        _checks.real_number(self.highest, "highest", least=self.lowest)
        _checks.real_number(self.factor, "factor", above=1.0)
        if self.schedule is not None:
            check_schedule(self.schedule)

    def check(self, problem: Problem, symmetric: bool, rank: int | None) -> None:
        """See :meth:`leanrank.search.Strategy.check`."""
        if rank is not None:
            raise ValueError(
                "rank must be left out: a deep network finds it by a ridge of its own, got "
                f"{rank!r}"
            )
        if symmetric:
            raise ValueError("symmetric must be left out: a deep network recovers X = U V^T only")
        check_squared(problem)
        if not is_numpy_array(problem.op.reference):
            raise TypeError("op must be of NumPy arrays: deep networks train on the CPU")

    def stages(
        self,
        problem: Problem,
        symmetric: bool,
        fitter: Fitter,
        phase: str,
        *,
        max_width: int,
        greedy: bool,
    ) -> Iterator[Stage]:
        """What networks leave, pruned and fitted; see :meth:`leanrank.search.Strategy.stages`."""
        return stages_of_networks(
            problem, self.networks, fitter, phase, max_width=max_width, greedy=greedy
        )

    def remark(self, rank: int, fitter: Fitter) -> str:
        """Whether the rank was the network's own."""
        return whose_rank(rank, fitter.monitor.proposed_ranks)

    def networks(
        self,
        problem: Problem,
        leading: Factors,
        width: int,
        rng: np.random.Generator,
        show: Callable[[DeepFactors], None] = lambda network: None,
    ) -> Iterator[DeepFactors]:
        """The networks at the end of each rung, until one is about zero.

        Parameters
        ----------
        problem : Problem
            In units in which the matrix has spectral norm about one.
        leading : Factors
            Of rank one, about the leading part of the matrix.
        width : int
            Of hidden layers, where ``hidden_width`` is None.
        rng : Generator
        show : callable, optional
            Called with the network a few times on each rung.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C.
        """
        op, m = problem.op, problem.op.size
        of_entries = isinstance(op, ObservedEntries | FullObservation)
        batch = min(m, self.batch_size or (1 if of_entries else sum(op.shape)))
        network = initial_layers(op.shape, self.depth, self.hidden_width or width, random_state=rng)
        network = DeepFactors([self.start * W for W in network.layers])
        if self.schedule is not None:
            for phase in self.schedule:
                network = _descend(problem, network, phase, batch, rng, show)
            yield network
            return
        reference = DeepFactors.balanced(leading, self.depth)
        most = float(np.mean(op.forward(leading) ** 2)) * largest_ridge(1.0, self.depth)
        steps = max(1, round(self.epochs * m / batch))
        ridge = self.lowest * most
        while ridge <= self.highest * most and not collapses(problem, self.depth, ridge):
            sharpest = max(_sharpest(op, net, batch, rng) for net in (network, reference))
            rate = min(self.learning_rate * batch / sharpest, 0.5 / ridge)
            network = _descend(problem, network, Phase(steps, rate, ridge), batch, rng, show)
            if network.singular_values()[0] < 1e-2:
                return
            yield network
            ridge *= self.factor


def _descend(
    problem: Problem,
    network: DeepFactors,
    phase: Phase,
    batch: int,
    rng: np.random.Generator,
    show: Callable[[DeepFactors], None],
) -> DeepFactors:
    """The network after a phase, in parts; where one diverges, at half the rate from there."""
    halvings = 0
    parts = min(_PARTS, 1 + phase.steps // _LEAST)
    ends = np.linspace(0, phase.steps, parts + 1).round().astype(int)
    for steps in np.diff(ends):
        while True:
            rate = phase.learning_rate / 2**halvings
            slow = Phase(int(steps) << halvings, rate, phase.ridge)
            training = train(
                problem, network, [slow], batch_size=batch, every=slow.steps, random_state=rng
            )
            problem.passes += 2.0 * slow.steps * batch / problem.op.size
            if training.statuses[0] is Status.STOPPED:
                raise KeyboardInterrupt
            if training.statuses[0] is not Status.DIVERGED or halvings == _MOST_HALVINGS:
                break
            halvings += 1
        network = training.networks[0]
        show(network)
    return network


def _sharpest(op: Measurement, network: DeepFactors, batch: int, rng: np.random.Generator) -> float:
    """The largest sharpness of a batch: of single entries exactly, otherwise of a few batches."""
    if batch == 1 and isinstance(op, ObservedEntries | FullObservation):
        return sharpest_entry(op, network)
    return max(sharpness(op.subset(rng.integers(op.size, size=batch)), network) for _ in range(8))
