"""Plain loops of descent on deep linear networks, as one would write them in NumPy and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, initial_layers

try:
    import torch
except ImportError:
    torch = None

WEAK = 1e-6
"""A ridge under which no layer loses a direction: all are updated at full width throughout."""


@dataclass(frozen=True)
class Setting:
    """What is updated, and by which rule; ``steps`` are leanrank's, loops make fewer."""

    name: str
    problem: Problem
    width: int
    steps: int
    runs: int = 1
    depth: int = 3
    batch: int = 1
    replacement: bool = True
    rate: float = 0.03
    ridge: float = WEAK
    every: int | None = None

    def starts(self) -> list[DeepFactors]:
        """Half of PyTorch's usual weights, which all rates here are stable from."""
        shape = self.problem.op.shape
        starts = [
            initial_layers(shape, self.depth, self.width, random_state=i) for i in range(self.runs)
        ]
        return [DeepFactors([0.5 * W for W in start.layers]) for start in starts]

    def picks(self, steps: int) -> Iterator[np.ndarray]:
        """Measurements of one run, step by step."""
        rng, m = np.random.default_rng(0), self.problem.op.size
        if self.replacement:
            yield from (rng.integers(m, size=self.batch) for _ in range(steps))
        else:
            dealt = (k for _ in range(steps * self.batch // m + 1) for k in rng.permutation(m))
            yield from (list(islice(dealt, self.batch)) for _ in range(steps))


def numpy_many(case: Setting, starts: list[DeepFactors], steps: int) -> None:
    """All runs of depth 3 at once, in arrays with an axis for them."""
    op, y = case.problem.op, case.problem.y
    first, middle, last = (np.stack([s.layers[i] for s in starts]) for i in range(3))
    rng, run = np.random.default_rng(0), np.arange(len(starts))
    for _ in range(steps):
        k = rng.integers(y.size, size=len(starts))
        i, j = op.rows[k], op.cols[k]
        low, high = first[run, :, j], last[run, i]
        inner, outer = np.einsum("rij,rj->ri", middle, low), np.einsum("rij,ri->rj", middle, high)
        slope = 2.0 * case.rate * (np.sum(high * inner, axis=1) - y[k])[:, None]
        for W in (first, middle, last):
            W *= 1.0 - case.rate * case.ridge
        first[run, :, j] -= slope * outer
        middle -= (slope * high)[:, :, None] * low[:, None, :]
        last[run, i] -= slope * inner


def numpy_single(case: Setting, starts: list[DeepFactors], steps: int) -> None:
    """One run on entries, no product of layers formed."""
    op, y = case.problem.op, case.problem.y
    layers = [W.copy() for W in starts[0].layers]
    for picks in case.picks(steps):
        chains = []
        for k in picks:
            ahead, behind = [layers[0][:, op.cols[k]].copy()], [layers[-1][op.rows[k]].copy()]
            for W in layers[1:-1]:
                ahead.append(W @ ahead[-1])
            for W in layers[-2:0:-1]:
                behind.append(W.T @ behind[-1])
            slope = 2.0 * case.rate / case.batch * (behind[0] @ ahead[-1] - y[k])
            chains.append((op.rows[k], op.cols[k], slope, ahead, behind[::-1]))
        for W in layers:
            W *= 1.0 - case.rate * case.ridge
        for i, j, slope, ahead, behind in chains:
            layers[0][:, j] -= slope * behind[0]
            layers[-1][i] -= slope * ahead[-1]
            for W, low, high in zip(layers[1:-1], ahead, behind[1:], strict=False):
                W -= np.outer(slope * high, low)


def numpy_sensing(case: Setting, starts: list[DeepFactors], steps: int) -> None:
    """One run of depth 3 on one dense measurement at a time, by products of layers."""
    A, y = case.problem.op.matrices(np.arange(case.problem.op.size)), case.problem.y
    W1, W2, W3 = (W.copy() for W in starts[0].layers)
    for (k,) in case.picks(steps):
        low = W2 @ W1
        slope = 2.0 * case.rate * (np.vdot(A[k], W3 @ low) - y[k])
        back = A[k].T @ W3
        gradients = (back @ W2).T, (W1 @ back).T, A[k] @ low.T
        for W, gradient in zip((W1, W2, W3), gradients, strict=True):
            W *= 1.0 - case.rate * case.ridge
            W -= slope * gradient


def torch_loop(case: Setting, starts: list[DeepFactors], steps: int) -> None:
    """As one would write it: autograd and SGD with weight decay; batched over runs."""
    op, y = case.problem.op, torch.as_tensor(case.problem.y)
    layers = [
        torch.tensor(np.stack([s.layers[i] for s in starts]), requires_grad=True)
        for i in range(case.depth)
    ]
    if isinstance(op, ObservedEntries):
        rows, cols, run = (torch.as_tensor(x) for x in (op.rows, op.cols, np.arange(case.runs)))
    else:
        A = torch.as_tensor(op.matrices(np.arange(op.size)))
    descent = torch.optim.SGD(layers, lr=case.rate, weight_decay=case.ridge)
    generator = torch.Generator().manual_seed(0)
    dealt = case.picks(steps)  # the same for all runs, where they are dealt out
    for _ in range(steps):
        if case.replacement:
            k = torch.randint(y.numel(), (case.runs, case.batch), generator=generator)
        else:
            k = torch.as_tensor(np.array(next(dealt))).expand(case.runs, -1)
        X = layers[0]
        for W in layers[1:]:
            X = W @ X
        if isinstance(op, ObservedEntries):
            seen = X[run[:, None], rows[k], cols[k]]
        else:
            seen = torch.sum(A[k] * X[:, None], dim=(-2, -1))
        loss = torch.sum(torch.mean((seen - y[k]) ** 2, dim=1))
        descent.zero_grad()
        loss.backward()
        descent.step()
