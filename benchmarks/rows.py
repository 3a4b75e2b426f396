"""The rows of the table: instances, what counts as success, and the methods that run on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import reference as ref
from reference_full import shrunk_svd

import leanrank as lr
from leanrank import simulate

Solve = Callable[[simulate.Instance, int, float], ref.Answer]
"""From an instance, a seed and a cap in CPU seconds to an answer."""


@dataclass(frozen=True)
class Method:
    """A way to solve the instances of a row.

    ``told`` is whether it is given the true rank; ``slow`` methods run on one seed by default.
    """

    name: str
    solve: Solve
    told: bool = True
    slow: bool = False


@dataclass(frozen=True)
class Row:
    """Instances of one kind, by seed, with the tolerance on the relative error.

    ``exact_rank`` asks for the true rank, too. With ``oracle`` (a method's name) the tolerance is
    on the error over the error of that method on the same instance. ``goals`` are the most that
    quantities of `summary.py` are to be, where the rank is not told.
    """

    name: str
    title: str
    goals: Mapping[str, float]
    make: Callable[[int], simulate.Instance]
    methods: tuple[Method, ...]
    tolerance: float
    seeds: int
    exact_rank: bool = True
    oracle: str | None = None
    measure_memory: bool = False
    warm_up: Callable[[], simulate.Instance] = field(
        default=lambda: simulate.matrix_completion(30, 2, random_state=0)
    )

    @property
    def reference(self) -> Method:
        """The method told the rank whose time leanrank's is compared with."""
        return next(method for method in self.methods if method.told)


def leanrank(instance: simulate.Instance, seed: int, cap: float) -> ref.Answer:
    """Run what is being measured: told nothing, and no time cap either."""
    del cap
    result = lr.recover(
        instance.op, instance.y, symmetric=instance.truth.symmetric, random_state=seed
    )
    note = "" if result.success else result.status.value
    return ref.Answer(result.factors, result.history.passes, note)


def leanrank_packing(instance: simulate.Instance, seed: int, cap: float) -> ref.Answer:
    """Run leanrank from full sensing matrices, packed in their own memory, packing included."""
    op, (d, _) = instance.op, instance.op.shape
    if not op.symmetric:
        A = op.reference.reshape(-1, d, d)
        op = lr.operators.DenseSensing(A, symmetric=True, overwrite_a=True)
    packed = simulate.Instance(op, instance.y, instance.truth, instance.noise_std)
    return leanrank(packed, seed, cap)


LEANRANK = Method("leanrank", leanrank, told=False)
LEANRANK_PACKING = Method("leanrank", leanrank_packing, told=False)


def view(instance: simulate.Instance) -> ref.LeastSquares:
    """Give a reference method its data."""
    op, y = instance.op, instance.y
    if isinstance(op, lr.operators.ObservedEntries):
        return ref.Completion(op.rows, op.cols, y, op.shape)
    if isinstance(op, lr.operators.RankOneSensing):
        return ref.QuadraticNetwork(op.x, y)
    if not op.symmetric:
        return ref.UnpackedSensing(op.reference.reshape(-1, *op.shape), y)
    return ref.PackedSensing(op.reference, y, op.shape[0])


def told(solver: Callable[..., ref.Answer]) -> Solve:
    """Run a reference method with the true rank."""

    def solve(instance: simulate.Instance, seed: int, cap: float) -> ref.Answer:
        del seed
        return solver(view(instance), instance.truth.width, ref.Clock(cap))

    return solve


def wide(solver: Callable[..., ref.Answer], width: int, *, seeded: bool = False) -> Solve:
    """Run a reference method at a width of its own."""

    def solve(instance: simulate.Instance, seed: int, cap: float) -> ref.Answer:
        options: dict[str, Any] = {"seed": seed} if seeded else {}
        return solver(view(instance), width, ref.Clock(cap), **options)

    return solve


GAUSS_NEWTON = Method("Gauss-Newton", told(ref.gauss_newton))
LBFGS = Method("L-BFGS", told(ref.lbfgs))
RIEMANNIAN = Method("Riemannian CG", told(ref.riemannian_cg))
WIDE_LBFGS = Method("L-BFGS, width 10", wide(ref.lbfgs, 10), told=False, slow=True)


def descent(width: int) -> Method:
    """Plain gradient descent from a small start, at full width or what is affordable."""
    solve = wide(ref.gradient_descent, width, seeded=True)
    return Method(f"gradient descent, width {width}", solve, told=False, slow=True)


SENSING = (LEANRANK, GAUSS_NEWTON, LBFGS, RIEMANNIAN, WIDE_LBFGS)
COMPLETION = (
    LEANRANK,
    Method("Gauss-Newton, LSQR (GNMR)", told(ref.gauss_newton_lsqr)),
    RIEMANNIAN,
    Method("over-relaxation (LMaFit)", told(ref.successive_over_relaxation)),
    Method("alternating least squares", told(ref.alternating_least_squares)),
    Method("scaled gradient descent", told(ref.scaled_gradient_descent)),
    LBFGS,
    WIDE_LBFGS,
    Method("soft-impute", wide(ref.soft_impute, 20), told=False, slow=True),
    descent(10),
)


def sensing(seed: int, d: int, **options: Any) -> simulate.Instance:
    """PSD Gaussian sensing of rank 5."""
    return simulate.dense_sensing(d, 5, symmetric=True, random_state=seed, **options)


def full_sensing(seed: int) -> simulate.Instance:
    """The same with d=200 from full float32 matrices that are not symmetric, 800 MB of them."""
    one = simulate.dense_sensing(200, 5, m=1, symmetric=True, dtype=np.float32, random_state=seed)
    rng = np.random.default_rng([seed, 1])
    op = lr.operators.DenseSensing(rng.standard_normal((5000, 200, 200), dtype=np.float32))
    return simulate.Instance(op, op.forward(one.truth), one.truth, 0.0)


def completion(seed: int, kappa: float, rho: float) -> simulate.Instance:
    """Completion of 1000 x 1000 matrices of rank 5."""
    return simulate.matrix_completion(1000, 5, kappa=kappa, oversampling=rho, random_state=seed)


def small_sensing(dtype: Any = np.float64) -> simulate.Instance:
    """Something to compile kernels with."""
    return simulate.dense_sensing(12, 2, symmetric=True, dtype=dtype, random_state=0)


def completion_row(kappa: float, rho: float, *, limit: bool = False) -> Row:
    """One cell of the completion table; at the limit only with the best method that is told."""
    return Row(
        f"completion-{'limit-' if limit else ''}{kappa:g}-{rho:g}",
        f"Completion 1000 x 1000, r=5, kappa={kappa:g}, rho={rho:g}",
        MOSTLY if limit else MOSTLY | {"seconds_worst": 0.6, "seconds_spread": 2.0},
        partial(completion, kappa=kappa, rho=rho),
        COMPLETION[:2] if limit else COMPLETION,
        tolerance=1e-8,
        seeds=10,
        exact_rank=False,
    )


ALWAYS, MOSTLY = {"unsolved": 0.0}, {"unsolved": 0.1}

ROWS = (
    Row(
        "psd-exact",
        "PSD sensing d=100, r=5, m=5dr",
        ALWAYS | {"ratio": 1.0, "passes": 25.0},
        partial(sensing, d=100, m=2500),
        (*SENSING, descent(100)),
        tolerance=1e-10,
        seeds=20,
        warm_up=small_sensing,
    ),
    Row(
        "psd-float32",
        "PSD sensing d=200, r=5, m=5dr, float32",
        ALWAYS | {"ratio": 1.0, "memory": 1.2},
        partial(sensing, d=200, m=5000, dtype=np.float32),
        (LEANRANK, GAUSS_NEWTON, LBFGS, RIEMANNIAN),
        tolerance=1e-6,
        seeds=3,
        measure_memory=True,
        warm_up=partial(small_sensing, np.float32),
    ),
    Row(
        "psd-float32-full",
        "the same from full matrices (800 MB), packing included (in place)",
        ALWAYS | {"seconds_worst": 4.0, "peak": 1.3},
        full_sensing,
        (LEANRANK_PACKING, GAUSS_NEWTON, LBFGS),
        tolerance=1e-6,
        seeds=3,
        measure_memory=True,
        warm_up=partial(small_sensing, np.float32),
    ),
    Row(
        "psd-noise",
        "PSD sensing d=100, r=5, m=5dr, noise 0.1 of the signal",
        {"unsolved": 0.05, "ratio": 2.0},
        partial(sensing, d=100, m=2500, noise=0.1),
        (Method("oracle: Gauss-Newton", GAUSS_NEWTON.solve), *SENSING[:1], *SENSING[2:]),
        tolerance=1.02,
        seeds=20,
        oracle="oracle: Gauss-Newton",
        warm_up=small_sensing,
    ),
    Row(
        "psd-tight",
        "PSD sensing d=100, r=5, 1.5 times the degrees of freedom, kappa=10",
        MOSTLY | {"ratio": 1.0},
        partial(sensing, d=100, oversampling=1.5, kappa=10.0),
        SENSING,
        tolerance=1e-8,
        seeds=10,
        exact_rank=False,
        warm_up=small_sensing,
    ),
    completion_row(10, 3),
    completion_row(10, 2),
    completion_row(10, 1.5),
    completion_row(1, 2),
    completion_row(1, 1.5),
    completion_row(1e5, 3),
    completion_row(1e5, 2),
    Row(
        "rank-one",
        "Rank-one sensing d=50, r=3, m=10dr",
        MOSTLY | {"ratio": 1.5},
        lambda seed: simulate.rank_one_sensing(50, 3, m=1500, symmetric=True, random_state=seed),
        (*SENSING, descent(50)),
        tolerance=1e-8,
        seeds=10,
        warm_up=lambda: simulate.rank_one_sensing(8, 1, symmetric=True, random_state=0),
    ),
    Row(
        "full",
        "Full observation 2000 x 1500, r=20, noise half of the signal",
        ALWAYS | {"ratio": 1.0},
        lambda seed: simulate.full_observation((2000, 1500), 20, noise=0.5, random_state=seed),
        (LEANRANK, Method("randomised SVD, shrunk", shrunk_svd)),
        tolerance=1.02,
        seeds=20,
        oracle="randomised SVD, shrunk",
        warm_up=lambda: simulate.full_observation((30, 20), 2, noise=0.5, random_state=0),
    ),
)
LIMITS = tuple(
    completion_row(kappa, rho, limit=True) for kappa in (1, 10, 1e5) for rho in (1.4, 1.3, 1.2, 1.1)
)
