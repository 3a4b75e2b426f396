"""A trajectory in blocks of updates, and its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leanrank.deep._engines import Engine
from leanrank.deep._factors import DeepFactors
from leanrank.deep._jumps import JumpWatch
from leanrank.deep._schedule import Phase
from leanrank.deep._training import Training
from leanrank.results import Status

__all__ = ["Block", "Run", "gathered", "plan"]

_BLOCK_STEPS, _BLOCK_NUMBERS = 4096, 1 << 20
"""Updates and numbers in recorded products of what compiled code does in one go, at most."""


@dataclass(frozen=True)
class Block:
    """Updates of one phase that are done in one go, with records after some of them."""

    start: int
    end: int
    number: int
    phase: Phase
    records: np.ndarray


def plan(
    schedule: Sequence[Phase],
    every: int,
    keep: frozenset[int],
    shape: tuple[int, int],
    until_rank: int | None,
) -> list[Block]:
    """Blocks end where a phase does, where a network is kept, and where a jump is looked for."""
    most = max(1, min(_BLOCK_STEPS // every, _BLOCK_NUMBERS // (shape[0] * shape[1])))
    most = every * (most if until_rank is None else 1)
    total = sum(phase.steps for phase in schedule)
    blocks = []
    at = 0
    for number, phase in enumerate(schedule):
        end = at + phase.steps
        while at < end:
            upto = min(end, (at // every) * every + most, *(k for k in keep if k > at))
            records = np.arange((at // every + 1) * every, upto + 1, every)
            if upto == total and upto % every:
                records = np.append(records, upto)
            blocks.append(Block(at, upto, number, phase, records))
            at = upto
    return blocks


class Run:
    """One trajectory and its records."""

    def __init__(self, start: DeepFactors, engine: Engine, until_rank: int | None) -> None:
        self.engine, self.until_rank = engine, until_rank
        self.values = [start.singular_values()[None]]
        self.losses = [np.array([np.nan])]
        self.kept: dict[int, DeepFactors] = {}
        self.network = start
        self.ended: Status | None = None
        self.message = ""
        self._watch = JumpWatch()
        self._carried = np.zeros(0)

    @property
    def count(self) -> int:
        """Records so far."""
        return sum(losses.size for losses in self.losses)

    def advance(self, block: Block, picks: np.ndarray) -> None:
        """Do the updates of a block, and take its records as far as they are finite."""
        ends = block.records - block.start
        with np.errstate(over="ignore", invalid="ignore"):
            squares, products = self.engine.advance(picks, block.phase, ends)
        finite = np.isfinite(products).all(axis=(1, 2))
        good = int(np.argmin(finite)) if not finite.all() else finite.size
        self._record(block.end, squares, ends[:good], products[:good])
        if squares.size < picks.shape[0] or good < ends.size:
            self._diverged(block, block.start + min(squares.size, *ends[good : good + 1]))
        elif not all(np.isfinite(W).all() for W in self.engine.layers()):
            self._diverged(block, block.end)
        else:
            self.network = DeepFactors(self.engine.layers())

    def _record(
        self, step: int, squares: np.ndarray, ends: np.ndarray, products: np.ndarray
    ) -> None:
        squares = np.concatenate([self._carried, squares])
        parts = np.split(squares, ends + self._carried.size)
        self._carried = parts.pop()
        if not ends.size:
            return
        self.values.append(np.linalg.svd(products, compute_uv=False))
        self.losses.append(np.array([part.mean() for part in parts]))
        s = self.values[-1][-1]
        if (
            self.until_rank is not None
            and s[0] > 0
            and self._watch.see(step, s[self.until_rank] / s[0])
        ):
            self.ended = Status.STOPPED
            self.message = f"jumped to rank {self.until_rank} at step {self._watch.jumped}"

    def _diverged(self, block: Block, step: int) -> None:
        self.ended = Status.DIVERGED
        self.message = (
            f"the weights stopped being finite in phase {block.number}, after {step} steps; warm "
            "up with a smaller learning rate, or lower it throughout"
        )


def gathered(runs: list[Run], blocks: list[Block], keep: Sequence[int]) -> Training:
    steps = np.concatenate([[0], *(block.records for block in blocks)]).astype(np.int64)
    values = np.full((steps.size, len(runs), min(runs[0].network.shape)), np.nan)
    losses = np.full((steps.size, len(runs)), np.nan)
    for i, run in enumerate(runs):
        values[: run.count, i] = np.concatenate(run.values)
        losses[: run.count, i] = np.concatenate(run.losses)
        if run.ended is None and run.count == steps.size:
            run.ended, run.message = Status.MAX_ITER, f"the schedule of {steps[-1]} steps is done"
        elif run.ended is None:
            last = steps[run.count - 1]
            run.ended, run.message = Status.STOPPED, f"stopped on request after {last} steps"
    return Training(
        steps,
        values,
        losses,
        tuple(run.network for run in runs),
        {step: tuple(run.kept.get(step) for run in runs) for step in keep},
        tuple(run.ended for run in runs if run.ended is not None),
        tuple(run.message for run in runs),
    )
