"""The public check must find every broken law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from leanrank.operators import DenseSensing, Measurement, ObservedEntries, Tangent
from leanrank.testing import check_adjoint


class Plain(Measurement):
    """The least that an operator must define."""

    def __init__(self, A: np.ndarray) -> None:
        self.A = A
        self.size, self.shape = len(A), A.shape[1:]

    @property
    def reference(self):
        return self.A

    def forward(self, factors):
        return np.einsum("iab,ab->i", self.A, factors.to_dense())

    def adjoint(self, residual):
        return np.einsum("i,iab->ab", residual, self.A)

    def subset(self, index):
        return Plain(self.A[index])


class Forward(Plain):
    def forward(self, factors):
        return 1.001 * super().forward(factors)


class Affine(Plain):
    def forward(self, factors):
        return super().forward(factors) + 1e-3


class ManyRows(Plain):
    def forward(self, factors):
        return super().forward(factors)[:, None]


class Transposed(Plain):
    def adjoint(self, residual):
        return super().adjoint(residual).T


class Shapeless(Plain):
    def adjoint(self, residual):
        return super().adjoint(residual)[:-1]


class WrongT:
    """A matrix whose transpose is another's."""

    def __init__(self, matrix):
        self.matrix, self.shape = matrix, matrix.shape

    @property
    def T(self):
        return (1.01 * self.matrix).T

    def __matmul__(self, other):
        return self.matrix @ other


class TransposedTwice(Plain):
    def adjoint(self, residual):
        return WrongT(super().adjoint(residual))


class BlocksOnly(WrongT):
    @property
    def T(self):
        return self.matrix.T

    def __matmul__(self, other):
        return self.matrix @ other if other.ndim == 2 else 2 * (self.matrix @ other)


class Vectors(Plain):
    def adjoint(self, residual):
        return BlocksOnly(super().adjoint(residual))


class Residual(Plain):
    def residual_and_adjoint(self, factors, y, weights=None):
        residual, matrix, cost = super().residual_and_adjoint(factors, y, weights)
        return residual + 2 * y, matrix, cost


class ResidualAdjoint(Plain):
    def residual_and_adjoint(self, factors, y, weights=None):
        residual, matrix, cost = super().residual_and_adjoint(factors, y, weights)
        return residual, 1.01 * matrix, cost


class ResidualWeights(Plain):
    def residual_and_adjoint(self, factors, y, weights=None):
        return super().residual_and_adjoint(factors, y)


def broken_tangent(method: Callable[[Tangent], None]) -> type[Plain]:
    class Broken(Plain):
        def tangent(self, factors):
            tangent = super().tangent(factors)
            method(tangent)
            return tangent

    return Broken


def scaled(name: str) -> Callable[[Tangent], None]:
    def change(tangent: Tangent) -> None:
        right = getattr(tangent, name)
        setattr(tangent, name, lambda *Z: 1.01 * right(*Z))

    return change


def weights_ignored(tangent: Tangent) -> None:
    right = tangent.normal
    tangent.normal = lambda Z, weights=None: right(Z)


def wrong_claim(tangent: Tangent) -> None:
    tangent.exact_blocks = True


def scalar_blocks(tangent: Tangent) -> None:
    tangent.blocks = lambda weights: tangent.column_curvature(weights)


def wrong_value(tangent: Tangent) -> None:
    tangent.value = 1.01 * tangent.value


BROKEN = {
    "adjoint is not the transpose of forward": Forward,
    "forward at general factors must be the sum": Affine,
    r"forward at general factors must have shape \(7,\), got \(7, 1\)": ManyRows,
    "adjoint is not the transpose of forward at": Transposed,
    r"adjoint\(r\) must have shape": Shapeless,
    r"adjoint\(r\).T is not the transpose": TransposedTwice,
    "times a vector is not the column": Vectors,
    r"is not forward\(X\) - y": Residual,
    "is not the adjoint of residual": ResidualAdjoint,
    "is not the adjoint of residual times weights": ResidualWeights,
    "value of the tangent at general factors is not forward": broken_tangent(wrong_value),
    "matvec of the tangent .* derivative": broken_tangent(scaled("matvec")),
    "rmatvec of the tangent .* transpose": broken_tangent(scaled("rmatvec")),
    "normal of the tangent": broken_tangent(scaled("normal")),
    "normal of the tangent .* with weights between": broken_tangent(weights_ignored),
    "blocks of the tangent .* as exact_blocks says": broken_tangent(wrong_claim),
    "blocks of the tangent at general factors must have shape": broken_tangent(scalar_blocks),
}


@pytest.mark.parametrize("match", BROKEN)
def test_broken_operators_are_found(match, rng):
    with pytest.raises(AssertionError, match=match):
        check_adjoint(BROKEN[match](rng.standard_normal((7, 4, 4))))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_correct_operators_pass(dtype, rng):
    check_adjoint(Plain(rng.standard_normal((7, 4, 4)).astype(dtype)))
    check_adjoint(Plain(rng.standard_normal((7, 4, 5)).astype(dtype)), random_state=None)
    check_adjoint(DenseSensing(rng.standard_normal((300, 30, 30)).astype(dtype)), trials=1)
    check_adjoint(DenseSensing(1e-12 * rng.standard_normal((3, 2, 2)).astype(dtype)))


def test_symmetric_law_is_checked_on_its_own(rng):
    class SymmetricOnly(Plain):
        def forward(self, factors):
            return super().forward(factors) * (1.01 if factors.symmetric else 1.0)

    with pytest.raises(AssertionError, match="symmetric factors"):
        check_adjoint(SymmetricOnly(rng.standard_normal((7, 4, 4))))


def test_nan_is_found(rng):
    class Nan(Plain):
        def adjoint(self, residual):
            return super().adjoint(residual) * np.nan

    with pytest.raises(AssertionError, match="nan"):
        check_adjoint(Nan(rng.standard_normal((7, 4, 4))))


def test_tolerance():
    op = ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2), dtype=np.float32)
    check_adjoint(op, rtol=1e-4)
    with pytest.raises(AssertionError, match="more than 1.0e-12 times"):
        check_adjoint(op, rtol=1e-12, trials=20)


def test_bad_arguments():
    with pytest.raises(TypeError, match="op must be a measurement operator, got int"):
        check_adjoint(3)
    op = ObservedEntries([0], [0], (2, 2))
    with pytest.raises(ValueError, match="rtol must be"):
        check_adjoint(op, rtol=0.0)
    with pytest.raises(ValueError, match="trials must be at least 1"):
        check_adjoint(op, trials=0)
