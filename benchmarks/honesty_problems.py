"""Small random problems for ``honesty.py``, easy and hopeless, each drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import leanrank as lr

OPERATORS = (
    "dense",
    "dense-symmetric",
    "entries",
    "entries-symmetric",
    "rank-one",
    "rank-one-symmetric",
    "full",
)
COMMON = (
    "easy",
    "ill-conditioned",
    "noisy",
    "buried",
    "noise-only",
    "full-rank",
    "tiny",
    "huge",
    "zero",
    "outliers",
    "heavy-tailed",
    "units",
)
SAMPLED = (*COMMON, "few", "borderline")
SCALED = (*SAMPLED, "operator-tiny", "operator-huge")
PATTERNS = (*SAMPLED, "disconnected", "starved-rows", "duplicates", "bridged", "hole", "picture")
INDEFINITE = ("indefinite", "indefinite-noisy")
HOLED = ("hole", "picture")
DIFFICULTIES = {
    "dense": SCALED,
    "dense-symmetric": (*SCALED, *INDEFINITE),
    "entries": PATTERNS,
    "entries-symmetric": (*PATTERNS, *INDEFINITE),
    "rank-one": SCALED,
    "rank-one-symmetric": (*SCALED, *INDEFINITE),
    "full": COMMON,
}
NOISY = {
    "noisy",
    "buried",
    "noise-only",
    "outliers",
    "heavy-tailed",
    "units",
    "bridged",
    "hole",
    "picture",
    "indefinite-noisy",
}


@dataclass(frozen=True)
class Trial:
    """One random problem.

    ``scale`` is the size of the truth, taken out before comparing; ``hole`` flags the entries of a
    block of which none was observed, if there is one.
    """

    seed: int
    operator: str
    difficulty: str
    op: lr.operators.Measurement
    y: np.ndarray
    truth: lr.Factors
    symmetric: bool
    scale: float
    hole: np.ndarray | None = None

    @property
    def noisy(self) -> bool:
        """Whether an exact answer is out of reach."""
        return self.difficulty in NOISY


def make_trial(seed: int, operator: str = "", difficulty: str = "") -> Trial:
    """Draw the problem of a seed: operators and difficulties in turn, everything else at random."""
    operator = operator or OPERATORS[seed % len(OPERATORS)]
    choices = DIFFICULTIES[operator]
    difficulty = difficulty or choices[seed // len(OPERATORS) % len(choices)]
    rng = np.random.default_rng([20240229, seed])
    symmetric = operator.endswith("symmetric")
    least, most = (20, 41) if difficulty in ("bridged", *HOLED) else (6, 26)
    n1 = int(rng.integers(least, most))
    n2 = n1 if symmetric else int(rng.integers(least, most))
    truth = _truth(rng, difficulty, (n1, n2), symmetric)
    dof = lr.factors.degrees_of_freedom((n1, n2), max(truth.width, 1), symmetric)
    size = _size(rng, operator, difficulty, dof)
    hole = _hole(rng, (n1, n2)) if difficulty in HOLED else None
    op = _operator(rng, operator, difficulty, (n1, n2), size, hole)
    scale = {"tiny": 1e-150, "huge": 1e150}.get(difficulty, 1.0)
    clean = op.forward(truth)
    y = (clean + _noise(rng, difficulty, clean, op, truth)) * scale
    return Trial(seed, operator, difficulty, op, y, truth, symmetric, scale, hole)


def _truth(
    rng: np.random.Generator, difficulty: str, shape: tuple[int, int], symmetric: bool
) -> lr.Factors:
    n1, n2 = shape
    rank = int(rng.integers(1, max(2, min(shape) // (8 if difficulty == "hole" else 4)) + 1))
    if difficulty in ("zero", "noise-only"):
        return lr.Factors.empty(shape, symmetric)
    if difficulty == "full-rank":
        rank = min(shape)
    if difficulty == "picture":
        return _picture(rng, shape, symmetric)
    if difficulty in ("heavy-tailed", "units"):
        return _uneven(rng, difficulty, shape, rank, symmetric)
    if difficulty == "bridged":
        rank = int(rng.integers(1, 3))
    kappa = 10.0 ** rng.uniform(0.0, 1.0)
    if difficulty == "ill-conditioned":
        rank, kappa = max(rank, 2), 10.0 ** rng.uniform(2.0, 14.0)
    s = np.geomspace(1.0, 1.0 / kappa, rank) if rank > 1 else np.ones(1)
    s *= np.sqrt(n1 * n2) / np.linalg.norm(s)
    P = np.linalg.qr(rng.standard_normal((n1, rank)))[0] * np.sqrt(s)
    if difficulty in INDEFINITE:
        signs = np.where(np.arange(rank) == rng.integers(rank), -1.0, 1.0)
        return lr.Factors(P, P * signs)
    if symmetric:
        return lr.Factors(P)
    return lr.Factors(P, np.linalg.qr(rng.standard_normal((n2, rank)))[0] * np.sqrt(s))


def _uneven(
    rng: np.random.Generator, difficulty: str, shape: tuple[int, int], rank: int, symmetric: bool
) -> lr.Factors:
    """Factors with a few large rows: Student's t of two degrees, or columns in their own units."""
    U, V = (
        rng.standard_t(2.0, (n, rank))
        if difficulty == "heavy-tailed"
        else rng.standard_normal((n, rank))
        for n in shape
    )
    if difficulty == "units":
        V *= 10.0 ** rng.uniform(-1.0, 1.0, (shape[1], 1))
    truth = lr.Factors(V) if symmetric else lr.Factors(U, V)
    return truth.scaled(np.sqrt(shape[0] * shape[1]) / truth.norm())


def _picture(rng: np.random.Generator, shape: tuple[int, int], symmetric: bool) -> lr.Factors:
    """A matrix of low rank only approximately: discs and rectangles, one over another.

    Each is larger than a hole, or nobody could know of it. The symmetric kind is X X^T.
    """
    i, j = np.indices(shape)
    X = np.full(shape, rng.uniform(0.2, 0.8))
    for _ in range(int(rng.integers(4, 13))):
        centre, size = rng.uniform(0, shape), rng.uniform(0.2, 0.5, 2) * shape
        a, b = (i - centre[0]) / size[0], (j - centre[1]) / size[1]
        inside = a * a + b * b < 1 if rng.random() < 0.5 else np.maximum(abs(a), abs(b)) < 1
        X[inside] = rng.uniform(0.0, 1.0) + 0.2 * rng.uniform(-1, 1) * a[inside]
    P, s, Qt = np.linalg.svd(X)
    keep = s > 1e-12 * s[0]
    P, s, Q = P[:, : s.size][:, keep], s[keep], Qt[: s.size].T[:, keep]
    truth = lr.Factors(P * s) if symmetric else lr.Factors(P * s, Q)
    return truth.scaled(np.sqrt(shape[0] * shape[1]) / truth.norm())


def _size(rng: np.random.Generator, operator: str, difficulty: str, dof: int) -> int:
    """Choose the number of measurements for so many degrees of freedom."""
    if difficulty == "few":
        return max(1, int(dof * rng.uniform(0.2, 0.99)))
    if difficulty == "borderline":
        return int(np.ceil(dof * rng.uniform(1.0, 1.6)))
    if difficulty == "full-rank":
        return max(4, int(dof * rng.uniform(0.3, 0.95)))
    if difficulty in ("heavy-tailed", "units"):
        return int(dof * rng.uniform(1.5, 8.0))
    low, high = (4.0, 8.0) if operator.startswith("rank-one") else (2.5, 6.0)
    return int(dof * rng.uniform(low, high))


def _operator(
    rng: np.random.Generator,
    operator: str,
    difficulty: str,
    shape: tuple[int, int],
    size: int,
    hole: np.ndarray | None,
) -> lr.operators.Measurement:
    n1, n2 = shape
    gain = {"operator-tiny": 1e-100, "operator-huge": 1e100}.get(difficulty, 1.0)
    if operator.startswith("dense"):
        A = rng.standard_normal((size, n1, n2)) * gain
        return lr.operators.DenseSensing(A, symmetric=operator == "dense-symmetric")
    if operator.startswith("rank-one"):
        x = rng.standard_normal((size, n1)) * gain**0.5
        z = None if operator == "rank-one-symmetric" else rng.standard_normal((size, n2))
        return lr.operators.RankOneSensing(x, None if z is None else z * gain**0.5)
    if operator == "full":
        return lr.operators.FullObservation(shape)
    rows, cols = _pattern(rng, difficulty, shape, size, hole)
    return lr.operators.ObservedEntries(rows, cols, shape)


def _pattern(
    rng: np.random.Generator,
    difficulty: str,
    shape: tuple[int, int],
    size: int,
    hole: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Observed positions, uniform but for what the difficulty asks."""
    n1, n2 = shape
    allowed = np.ones(shape, dtype=bool)
    if difficulty == "disconnected":
        i, j = int(rng.integers(2, n1 - 1)), int(rng.integers(2, n2 - 1))
        allowed[:i, j:] = allowed[i:, :j] = False
    if difficulty == "bridged":
        return _bridged(rng, shape)
    if hole is not None:
        return np.nonzero(~hole & (rng.random(shape) < rng.uniform(0.6, 1.5)))
    if difficulty == "starved-rows":
        for i in rng.choice(n1, size=int(rng.integers(1, 3)), replace=False):
            allowed[i] = False
            allowed[i, rng.choice(n2, size=int(rng.integers(0, 2)), replace=False)] = True
        if rng.random() < 0.5:
            allowed[:, rng.integers(n2)] = False
    flat = np.flatnonzero(allowed)
    if difficulty == "disconnected":
        size = flat.size
    chosen = rng.choice(flat, size=min(size, flat.size), replace=False)
    if difficulty == "duplicates":
        chosen = rng.choice(chosen[: max(1, chosen.size // 3)], size=chosen.size)
    return np.divmod(chosen, n2)


def _hole(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Flags of a block, a fifth to a third of each side."""
    h, w = (int(rng.integers(n // 5, n // 3 + 1)) for n in shape)
    i, j = (int(rng.integers(n - k + 1)) for n, k in zip(shape, (h, w), strict=True))
    flags = np.zeros(shape, dtype=bool)
    flags[i : i + h, j : j + w] = True
    return flags


def _bridged(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Two blocks, seen well, that hang together by few entries."""
    n1, n2 = shape
    blocks = np.zeros(shape, dtype=bool)
    blocks[: n1 // 2, : n2 // 2] = blocks[n1 // 2 :, n2 // 2 :] = True
    seen = blocks & (rng.random(shape) < rng.uniform(0.7, 1.0))
    bridge = rng.choice(np.flatnonzero(~blocks), size=int(rng.integers(1, 9)), replace=False)
    seen.flat[bridge] = True
    return np.nonzero(seen)


def _noise(
    rng: np.random.Generator,
    difficulty: str,
    clean: np.ndarray,
    op: lr.operators.Measurement,
    truth: lr.Factors,
) -> np.ndarray:
    level = float(np.sqrt(np.mean(clean**2)))
    draw = rng.standard_normal(clean.shape)
    if difficulty == "noise-only":
        return draw
    if difficulty == "noisy":
        return draw * level * 10.0 ** rng.uniform(-4.0, -0.3)
    if difficulty in ("heavy-tailed", "units"):
        if difficulty == "units" and rng.random() < 0.5:
            level = level * _units(op, truth)
        return draw * level * 10.0 ** rng.uniform(-4.0, -0.5)
    if difficulty in ("bridged", "indefinite-noisy"):
        return draw * level * 10.0 ** rng.uniform(-3.0, -1.0)
    if difficulty in HOLED:
        # Free of noise, a picture may have a spike where nobody looked.
        some = 1.0 if difficulty == "picture" else rng.choice([0.0, 1.0])
        return draw * level * some * 10.0 ** rng.uniform(-3.0, -1.0)
    if difficulty == "buried":
        return draw * level * 10.0 ** rng.uniform(0.5, 2.0)
    if difficulty == "outliers":
        hit = rng.random(clean.shape) < rng.uniform(0.01, 0.1)
        hit |= _matching(rng, op)
        return draw * hit * level * 10.0 ** rng.uniform(0.0, 2.0)
    return np.zeros_like(clean)


def _units(op: lr.operators.Measurement, truth: lr.Factors) -> np.ndarray:
    """The unit of each measurement: the size of its column, if it is an entry."""
    sizes = np.sqrt(np.mean(np.square(truth.to_dense()), axis=0))
    sizes /= np.sqrt(np.mean(sizes**2)) or 1.0
    if isinstance(op, lr.operators.ObservedEntries):
        return sizes[op.cols]
    return np.tile(sizes, op.shape[0]) if isinstance(op, lr.operators.FullObservation) else 1.0


def _matching(rng: np.random.Generator, op: lr.operators.Measurement) -> np.ndarray:
    """One measurement; if they are entries, one in every row or column that can have one.

    A few wrong entries of a matrix that is seen as a whole are a matrix of low rank, too, and
    nobody could tell which of the two is meant.
    """
    hit = np.zeros(op.size, dtype=bool)
    if isinstance(op, lr.operators.ObservedEntries):
        rows, cols = op.rows, op.cols
    elif isinstance(op, lr.operators.FullObservation):
        rows, cols = np.divmod(np.arange(op.size), op.shape[1])
    else:
        hit[rng.integers(op.size)] = True
        return hit
    free_rows, free_cols = np.ones(op.shape[0], dtype=bool), np.ones(op.shape[1], dtype=bool)
    for p in rng.permutation(op.size):
        if free_rows[rows[p]] and free_cols[cols[p]]:
            hit[p], free_rows[rows[p]], free_cols[cols[p]] = True, False, False
    return hit
