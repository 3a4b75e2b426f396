"""A trajectory in blocks of updates, and its records."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from leanrank.research.deep._engines import Engine
from leanrank.research.deep._factors import DeepFactors
from leanrank.research.deep._jumps import JumpWatch, sane
from leanrank.research.deep._narrow import FADING, narrowed, widened
from leanrank.research.deep._schedule import Phase
from leanrank.research.deep._trajectories import Training
from leanrank.results import Status

__all__ = ["Block", "Run", "gathered", "plan"]

_BLOCK_STEPS, _BLOCK_NUMBERS = 4096, 1 << 20
"""Updates and numbers in recorded products of what compiled code does in one go, at most."""


@dataclass(frozen=True)
class Block:
    """Updates of one phase that are done in one go, with records after some of them.

    ``fading`` says that the ridge has had time since a block before that this is said of.
    """

    start: int
    end: int
    number: int
    phase: Phase
    records: np.ndarray
    fading: bool


def plan(
    schedule: Sequence[Phase], every: int, keep: Collection[int], shape: tuple[int, int]
) -> list[Block]:
    """Blocks end where a phase does, where a network is kept, and before they get long."""
    unit = min(every, _BLOCK_STEPS)
    most = unit * max(1, min(_BLOCK_STEPS // unit, _BLOCK_NUMBERS // (shape[0] * shape[1])))
    total = sum(phase.steps for phase in schedule)
    blocks = []
    at, left = 0, FADING
    for number, phase in enumerate(schedule):
        end = at + phase.steps
        decay = -math.log1p(-phase.learning_rate * phase.ridge)
        while at < end:
            upto = min(end, at // unit * unit + most, *(k for k in keep if k > at))
            if decay * (upto - at) > left:
                upto = min(upto, math.ceil((at + left / decay) / unit) * unit)
            left -= decay * (upto - at)
            records = np.arange((at // every + 1) * every, upto + 1, every)
            if upto == total and upto % every:
                records = np.append(records, upto)
            blocks.append(Block(at, upto, number, phase, records, left <= 0.0))
            left = left if left > 0.0 else FADING
            at = upto
    return blocks


class Run:
    """One trajectory and its records."""

    def __init__(
        self,
        start: DeepFactors,
        engine: Engine,
        until_rank: int | None,
        largest_square: float,
        with_products: bool = False,
    ) -> None:
        self.engine, self.steps = engine, 0
        self.products = [start.product()[None]] if with_products else []
        self.values = [start.singular_values()[None]]
        self.losses = [np.array([np.nan])]
        self.kept: dict[int, DeepFactors] = {}
        self.ended: Status | None = None
        self.message = ""
        self._watch = None if until_rank is None else JumpWatch(until_rank)
        self._largest_square = largest_square
        self._carried = 0.0, 0
        self._bases: list[np.ndarray] = []
        self._look(np.zeros(1, int), self.values[0], self.losses[0])
        self.narrow()

    @property
    def network(self) -> DeepFactors:
        """Where it is."""
        return DeepFactors(widened(self.engine.layers(), self._bases))

    def narrow(self) -> None:
        """Go on without what has faded; of two layers it could grow back under a weaker ridge."""
        layers = self.engine.layers()
        found = narrowed(layers) if len(layers) > 2 else None
        if found is not None:
            layers, bases = found
            before = self._bases or [np.eye(Q.shape[0]) for Q in bases]
            self._bases = [Q @ new for Q, new in zip(before, bases, strict=True)]
            self.engine.restart(layers)

    def keep(self, steps: Collection[int]) -> None:
        """Keep the network if it is at one of these, and going on."""
        if self.steps in steps and self.ended is None:
            self.kept[self.steps] = self.network

    def advance(self, block: Block, picks: np.ndarray) -> None:
        """Do the updates of a block, and take its records as far as they are finite."""
        before = [W.copy() for W in self.engine.layers()]
        ends = block.records - block.start
        with np.errstate(over="ignore", invalid="ignore"):
            squares, products = self.engine.advance(picks, block.phase, ends)
        finite = np.isfinite(products).all(axis=(1, 2))
        good = finite.size if finite.all() else int(np.argmin(finite))
        values = np.linalg.svd(products[:good], compute_uv=False)
        losses = self._means(squares, ends[:good])
        seen = self._look(block.records[:good], values, losses)
        self.values.append(values[:seen])
        if self.products:
            self.products.append(products[:seen])
        self.losses.append(losses[:seen])
        failed = squares.size < picks.shape[0] or good < ends.size
        if self.ended is None and (failed or not _all_finite(self.engine.layers())):
            self.ended = Status.DIVERGED
            step = block.start + min([squares.size, *ends[good : good + 1]])
            self.message = (
                f"the weights stopped being finite in phase {block.number}, after {step} steps; "
                "warm up with a smaller learning rate, or lower it throughout"
            )
        self.steps = block.end
        if self.ended is None and block.fading:
            self.narrow()
        elif self.ended is not None:  # once more, up to the last record that counts
            self.engine.restart(before)
            self.engine.advance(picks[: ends[seen - 1] if seen else 0], block.phase, ends[:0])

    def _means(self, squares: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Means of squared residuals from record to record; what is left is carried over."""
        total, count = self._carried
        if not ends.size:
            self._carried = total + float(np.sum(squares)), count + squares.size
            return np.zeros(0)
        sums = np.add.reduceat(squares[: ends[-1]], np.concatenate([[0], ends[:-1]]))
        sums[0] += total
        counts = np.diff(ends, prepend=-count)
        self._carried = float(np.sum(squares[ends[-1] :])), squares.size - int(ends[-1])
        return sums / counts

    def _look(self, steps: np.ndarray, values: np.ndarray, losses: np.ndarray) -> int:
        """Look for a jump; the number of records that count, which is up to its decision."""
        if self._watch is None:
            return steps.size
        seen = sane(values, losses, self._largest_square)
        for number, (step, row) in enumerate(zip(steps, seen, strict=True), start=1):
            if self._watch.see(int(step), row):
                self.ended = Status.STOPPED
                self.message = f"jumped to rank {self._watch.rank} at step {self._watch.jumped}"
                return number
        return steps.size


def _all_finite(layers: Sequence[np.ndarray]) -> bool:
    return all(np.isfinite(W).all() for W in layers)


def gathered(
    runs: list[Run], blocks: list[Block], keep: Sequence[int], largest_square: float
) -> Training:
    """What runs leave behind, over the same records."""
    steps = np.concatenate([[0], *(block.records for block in blocks)]).astype(np.int64)
    values = np.full((steps.size, len(runs), min(runs[0].network.shape)), np.nan)
    losses = np.full((steps.size, len(runs)), np.nan)
    products = None
    if runs[0].products:
        products = np.full((*losses.shape, *runs[0].network.shape), np.nan)
    for i, run in enumerate(runs):
        count = sum(part.size for part in run.losses)
        values[:count, i] = np.concatenate(run.values)
        losses[:count, i] = np.concatenate(run.losses)
        if products is not None:
            products[:count, i] = np.concatenate(run.products)
        if run.ended is None and run.steps == steps[-1]:
            run.ended, run.message = Status.MAX_ITER, f"the schedule of {run.steps} steps is done"
        elif run.ended is None:
            run.ended, run.message = Status.STOPPED, f"stopped on request after {run.steps} steps"
    return Training(
        steps,
        values,
        losses,
        tuple(run.network for run in runs),
        {step: tuple(run.kept.get(step) for run in runs) for step in keep},
        tuple(run.ended for run in runs if run.ended is not None),
        tuple(run.message for run in runs),
        largest_square,
        products,
    )
