"""Success is never claimed while the answer is wrong, on easy problems and hopeless ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from leanrank import Factors, Result, Status, recover
from leanrank.factors import degrees_of_freedom
from leanrank.operators import (
    DenseSensing,
    FullObservation,
    Measurement,
    ObservedEntries,
    RankOneSensing,
)


@dataclass(frozen=True)
class Trial:
    op: Measurement
    y: np.ndarray
    truth: Factors
    symmetric: bool
    noisy: bool
    scale: float = 1.0

    def claim(self, seed: int) -> tuple[bool, bool]:
        """Whether success is claimed, and whether the answer is right."""
        result = recover(self.op, self.y, symmetric=self.symmetric, random_state=seed)
        holds = result.certificate is not None and result.certificate.holds
        size = self.truth.norm()
        error = result.factors.scaled(1.0 / self.scale).distance(self.truth)
        right = error <= 1e-6 * size
        if self.noisy:
            estimate = result.certificate.error_estimate
            right = error <= size * min(0.5, 5.0 * estimate + 1e-6)
        claims = holds or result.status is Status.CONVERGED
        return claims, right and self._filled_as_claimed(result)

    def _filled_as_claimed(self, result: Result) -> bool:
        """Whether the entries that nobody observed are as close as the certificate says."""
        if not isinstance(self.op, ObservedEntries) or not result.certificate.filled_error:
            return True
        hidden = np.ones(self.op.shape, dtype=bool)
        hidden[self.op.rows, self.op.cols] = False
        X = self.truth.to_dense()[hidden]
        error = np.linalg.norm(result.factors.scaled(1.0 / self.scale).to_dense()[hidden] - X)
        return error <= (5.0 * result.certificate.filled_error + 1e-6) * np.linalg.norm(X)


def draw(kind: str, difficulty: str, seed: int) -> Trial:
    """A random problem: sizes, ranks and numbers of measurements at random, too."""
    rng = np.random.default_rng([seed, *map(ord, kind + difficulty)])
    symmetric = kind.endswith("symmetric")
    n1, n2 = (int(n) for n in rng.integers(7, 18, 2))
    n2 = n1 if symmetric else n2
    rank = int(rng.integers(1, 4))
    kappa = 10.0 ** rng.uniform(2, 12) if difficulty == "ill-conditioned" else 3.0
    root = np.sqrt(np.geomspace(n1, n1 / kappa, rank) if rank > 1 else [n1])
    P, Q = (np.linalg.qr(rng.standard_normal((n, rank)))[0] * root for n in (n1, n2))
    truth = Factors(P) if symmetric else Factors(P, Q)
    if difficulty == "heavy tails":
        truth = Factors(
            *(rng.standard_t(2.0, (n, rank)) for n in ((n1,) if symmetric else (n1, n2)))
        )
    if difficulty == "units":
        V = rng.standard_normal((n2, rank)) * 10.0 ** rng.uniform(-1.0, 1.0, (n2, 1))
        truth = Factors(V) if symmetric else Factors(truth.U, V)
    if difficulty == "indefinite":
        truth = Factors(P, P * np.where(np.arange(rank) == rng.integers(rank), -1.0, 1.0))
    if difficulty == "noise only":
        truth = Factors.empty((n1, n2), symmetric)
    dof = degrees_of_freedom((n1, n2), rank, symmetric)
    low, high = {"few": (0.3, 0.99), "borderline": (1.0, 1.6)}.get(difficulty, (2.5, 6.0))
    m = int(np.ceil(dof * rng.uniform(low, high)))
    op = operator(rng, kind, difficulty, (n1, n2), m)
    y = op.forward(truth)
    noise = {"noisy": 0.2, "buried": 30.0} | dict.fromkeys(("heavy tails", "units"), 0.02)
    noise |= dict.fromkeys(("bridged", "hole"), 0.01)
    noise = noise.get(difficulty, 0.0) * float(np.std(y))
    noise = 1.0 if difficulty == "noise only" else noise
    scale = {"tiny": 1e-150, "huge": 1e150}.get(difficulty, 1.0)
    y = (y + noise * rng.standard_normal(y.size)) * scale
    return Trial(op, y, truth, symmetric, noise > 0, scale)


def operator(
    rng: np.random.Generator, kind: str, difficulty: str, shape: tuple[int, int], m: int
) -> Measurement:
    n1, n2 = shape
    if kind.startswith("dense"):
        return DenseSensing(rng.standard_normal((m, n1, n2)), symmetric=kind.endswith("symmetric"))
    if kind.startswith("rank one"):
        z = None if kind.endswith("symmetric") else rng.standard_normal((m, n2))
        return RankOneSensing(rng.standard_normal((m, n1)), z)
    if kind == "full":
        return FullObservation(shape)
    allowed = np.ones(shape, dtype=bool)
    if difficulty == "disconnected":
        allowed[: n1 // 2, n2 // 2 :] = allowed[n1 // 2 :, : n2 // 2] = False
        m = allowed.sum()
    if difficulty == "hinged":
        allowed[: n1 // 2, n2 // 2 + 1 :] = allowed[n1 // 2 + 1 :, : n2 // 2] = False
        m = allowed.sum()
    if difficulty == "bridged":
        allowed[: n1 // 2, n2 // 2 :] = allowed[n1 // 2 :, : n2 // 2] = False
        allowed[0, n2 // 2 : n2 // 2 + 2] = True
        m = allowed.sum()
    if difficulty == "hole":
        allowed[: n1 // 3, : n2 // 3] = False
        m = allowed.sum()
    if difficulty == "starved":
        allowed[0] = allowed[:, -1] = False
        allowed[0, 0] = True
    free = np.flatnonzero(allowed)
    flat = rng.choice(free, min(m, free.size), replace=False)
    if difficulty == "duplicates":
        flat = rng.choice(flat[: flat.size // 3], flat.size)
    return ObservedEntries(*np.divmod(flat, n2), shape)


COMMON = (
    "easy",
    "ill-conditioned",
    "noisy",
    "buried",
    "noise only",
    "tiny",
    "huge",
    "heavy tails",
    "units",
)
SAMPLED = (*COMMON, "few", "borderline")
PATTERNS = (*SAMPLED, "disconnected", "hinged", "starved", "duplicates", "bridged", "hole")
KINDS = {
    "dense": SAMPLED,
    "dense symmetric": (*SAMPLED, "indefinite"),
    "rank one": SAMPLED,
    "rank one symmetric": (*SAMPLED, "indefinite"),
    "entries": PATTERNS,
    "entries symmetric": (*PATTERNS, "indefinite"),
    "full": COMMON,
}
CASES = [(kind, difficulty) for kind in KINDS for difficulty in KINDS[kind]]


@pytest.mark.parametrize(("kind", "difficulty"), CASES)
def test_no_wrong_claim(kind, difficulty):
    trial = draw(kind, difficulty, 0)
    if trial.op.size < degrees_of_freedom(trial.op.shape, 1, trial.symmetric):
        with pytest.raises(ValueError, match="fewer than"):
            trial.claim(0)
        return
    claimed, right = trial.claim(0)
    assert right or not claimed
    if difficulty == "easy" and kind in ("dense", "dense symmetric", "full"):
        assert claimed
    if difficulty in ("noise only", "indefinite"):
        assert not claimed


@pytest.mark.parametrize("seed", range(4))
def test_two_blocks_that_share_a_row_can_be_reflected(seed):
    """Fitted exactly by many matrices of rank two; the row with most entries is the hinge."""
    rng = np.random.default_rng(seed)
    mask = np.ones((16, 16), dtype=bool)
    mask[:7, 8:] = mask[8:, :7] = False
    op = ObservedEntries(*np.nonzero(mask), (16, 16))
    truth = Factors(rng.standard_normal((16, 2)))
    claimed, _ = Trial(op, op.forward(truth), truth, symmetric=True, noisy=False).claim(seed)
    assert not claimed
