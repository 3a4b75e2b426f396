"""Laws that every measurement operator obeys, as checks to run on your own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian, like, norm
from leanrank._guidance import check_operator
from leanrank.factors import Factors
from leanrank.operators import Measurement, Tangent

__all__ = ["check_adjoint"]

_ROUNDING = 100.0
"""Default tolerance in units of the rounding error."""


def check_adjoint(
    op: Measurement, random_state: Any = 0, *, rtol: float | None = None, trials: int = 2
) -> None:
    r"""Check by random trials that an operator's methods fit together.

    - ``forward`` gives m numbers, adds up over columns, and is zero without columns.
    - The dot-product test: :math:`\langle\mathcal A(X), r\rangle = \langle X, \mathcal A^*(r)
      \rangle`, for general X and, where the shape is square, for symmetric X.
    - What ``adjoint`` returns multiplies vectors, blocks and, as ``.T``, from the other side.
    - ``residual_and_adjoint`` agrees with ``forward`` and ``adjoint``, with weights, too.
    - ``tangent``: its value is ``forward``; ``matvec`` is the derivative, by symmetric
      differences, which are exact for a quadratic map; ``rmatvec`` is the transpose of
      ``matvec`` and ``normal`` one after the other, with weights of either sign between them.
    - ``blocks`` and ``column_curvature`` are of the right shape, and where ``exact_blocks`` says
      so, those of ``normal``.

    All of it at factors with a zero column, too, and in the precision of the operator.

    Parameters
    ----------
    op : Measurement
    random_state : int, Generator or None
    rtol : float, optional
        Largest difference, relative to the product of the norms that bounds both sides; 100
        times the rounding error of the operator's dtype if left out.
    trials : int
        Number of random draws.

    Raises
    ------
    AssertionError
        With a sentence that names the law that is broken, and the numbers.
    TypeError, ValueError
        If an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> from leanrank.operators import ObservedEntries
    >>> check_adjoint(ObservedEntries([0, 1], [1, 2], (2, 3)))
    """
    check_operator(op)
    rng = _checks.generator(random_state)
    eps = float(array_namespace(op.reference).finfo(op.reference.dtype).eps)
    tol = _ROUNDING * eps if rtol is None else _checks.real_number(rtol, "rtol", above=0.0)
    for _ in range(_checks.whole_number(trials, "trials", least=1)):
        r = gaussian(rng, (op.size,), op.reference)
        matrix = op.adjoint(r)
        _check_matrix(op, matrix, rng, tol)
        for factors in _random_factors(op, rng):
            _check_forward(op, factors, tol)
            _check_dot(op, matrix, factors, r, tol)
            for weights in (None, gaussian(rng, (op.size,), op.reference)):
                _check_residual(op, factors, r, weights, tol)
            _check_tangent(op, factors, rng, tol)


def _random_factors(op: Measurement, rng: np.random.Generator) -> Iterator[Factors]:
    """General and, where the shape allows it, symmetric factors; the last column is zero."""
    n1, n2 = op.shape
    for symmetric in (False, True) if n1 == n2 else (False,):
        rows = n1 if symmetric else n1 + n2
        W = gaussian(rng, (rows, 3), op.reference)
        xp = array_namespace(W)
        W = xp.concat([W[:, :2], xp.zeros_like(W[:, 2:])], axis=1)
        yield Factors.stacked(W, op.shape, symmetric)


def _close(difference: float, scale: float, tol: float, law: str) -> None:
    if not difference <= tol * scale:
        raise AssertionError(
            f"{law}: the two differ by {difference:.2e}, more than {tol:.1e} times {scale:.2e}"
        )


def _name(factors: Factors) -> str:
    return f"{'symmetric' if factors.symmetric else 'general'} factors"


def _dot(a: Array, b: Array) -> float:
    return float(array_namespace(a, b).sum(a * b))


def _check_shape(x: Any, shape: tuple[int, ...], what: str) -> None:
    found = tuple(x.shape)
    if found != shape:
        raise AssertionError(f"{what} must have shape {shape}, got {found}")


def _check_forward(op: Measurement, factors: Factors, tol: float) -> None:
    value = op.forward(factors)
    _check_shape(value, (op.size,), f"forward at {_name(factors)}")
    parts = [op.forward(factors.with_stacked(factors.W[:, j : j + 1])) for j in range(2)]
    _close(
        norm(value - parts[0] - parts[1]),
        norm(parts[0]) + norm(parts[1]),
        tol,
        f"forward at {_name(factors)} must be the sum of what it is at each column",
    )
    empty = norm(op.forward(factors.with_stacked(factors.W[:, :0])))
    _close(empty, 0.0, tol, "forward without columns must be zero")


def _check_dot(op: Measurement, matrix: Any, factors: Factors, r: Array, tol: float) -> None:
    value = op.forward(factors)
    pulled = matrix @ factors.V
    left, right = _dot(value, r), _dot(factors.U, pulled)
    _close(
        abs(left - right),
        norm(value) * norm(r) + norm(factors.U) * norm(pulled),
        tol,
        f"adjoint is not the transpose of forward at {_name(factors)}: <forward(X), r> = "
        f"{left:.8g} but <X, adjoint(r)> = {right:.8g}",
    )


def _check_matrix(op: Measurement, matrix: Any, rng: np.random.Generator, tol: float) -> None:
    n1, n2 = op.shape
    _check_shape(matrix, (n1, n2), "adjoint(r)")
    _check_shape(matrix.T, (n2, n1), "adjoint(r).T")
    u, v = gaussian(rng, (n1, 2), op.reference), gaussian(rng, (n2, 2), op.reference)
    right, left = matrix @ v, matrix.T @ u
    _check_shape(right, (n1, 2), "adjoint(r) @ v")
    _check_shape(left, (n2, 2), "adjoint(r).T @ u")
    _close(
        abs(_dot(u, right) - _dot(left, v)),
        norm(u) * norm(right) + norm(left) * norm(v),
        tol,
        "adjoint(r).T is not the transpose of adjoint(r)",
    )
    for product, each, block in ((right, matrix, v), (left, matrix.T, u)):
        column = each @ block[:, 0]
        _check_shape(column, (int(product.shape[0]),), "adjoint(r) times a vector")
        _close(
            norm(column - product[:, 0]),
            norm(product),
            tol,
            "adjoint(r) times a vector is not the column of adjoint(r) times a block",
        )


def _check_residual(
    op: Measurement, factors: Factors, y: Array, weights: Array | None, tol: float
) -> None:
    residual, matrix, _ = op.residual_and_adjoint(factors, y, weights)
    expected = op.forward(factors) - y
    _close(
        norm(residual - expected),
        norm(expected) + norm(y),
        tol,
        f"residual_and_adjoint at {_name(factors)} is not forward(X) - y",
    )
    weighted = expected if weights is None else weights * expected
    product, again = matrix @ factors.V, op.adjoint(weighted) @ factors.V
    _close(
        norm(product - again),
        norm(product) + norm(again) + tol * norm(factors.V) * norm(y),
        math.sqrt(op.size) * tol,
        f"residual_and_adjoint at {_name(factors)} is not the adjoint of residual times weights",
    )


def _check_tangent(op: Measurement, factors: Factors, rng: np.random.Generator, tol: float) -> None:
    where = f"of the tangent at {_name(factors)}"
    tangent, value = op.tangent(factors), op.forward(factors)
    W, shape = factors.W, tuple(factors.W.shape)
    Z, t = gaussian(rng, shape, W), gaussian(rng, (op.size,), W)
    _close(norm(tangent.value - value), norm(value), tol, f"value {where} is not forward")
    up, down = (op.forward(factors.with_stacked(W + sign * Z)) for sign in (1.0, -1.0))
    image = tangent.matvec(Z)
    _check_shape(image, (op.size,), f"matvec {where}")
    _close(
        norm(image - (up - down) / 2.0),
        norm(up) + norm(down),
        tol,
        f"matvec {where} is not the derivative of forward",
    )
    pulled = tangent.rmatvec(t)
    _check_shape(pulled, shape, f"rmatvec {where}")
    _close(
        abs(_dot(image, t) - _dot(Z, pulled)),
        norm(image) * norm(t) + norm(Z) * norm(pulled),
        tol,
        f"rmatvec {where} is not the transpose of matvec",
    )
    for weights in (None, gaussian(rng, (op.size,), W)):
        normal = tangent.normal(Z) if weights is None else tangent.normal(Z, weights)
        weighted = image if weights is None else weights * image
        expected = tangent.rmatvec(weighted)
        _check_shape(normal, shape, f"normal {where}")
        _close(
            norm(normal - expected),
            norm(normal) + norm(expected) + tol * norm(W) * norm(weighted),
            math.sqrt(op.size) * tol,
            f"normal {where} is not rmatvec after matvec, with weights between them",
        )
    _check_blocks(tangent, where, t * t, tol)


def _check_blocks(tangent: Tangent, where: str, weights: Array, tol: float) -> None:
    W = tangent.factors.W
    rows, k = (int(n) for n in W.shape)
    blocks, curvature = tangent.blocks(weights), tangent.column_curvature(weights)
    _check_shape(blocks, (rows, k, k), f"blocks {where}")
    _check_shape(curvature, (k,), f"column_curvature {where}")
    if not tangent.exact_blocks:
        return
    xp = array_namespace(W)
    row = like(np.arange(rows) == rows // 2, W)
    for a in range(k):
        unit = row[:, None] * like(np.arange(k) == a, W)
        image = xp.sum(row[:, None] * tangent.normal(unit, weights), axis=0)
        block = xp.sum(row[:, None] * blocks[:, a, :], axis=0)
        _close(
            norm(image - block),
            norm(image) + norm(block) + tol * norm(W) ** 2,
            math.sqrt(tangent.op.size) * tol,
            f"blocks {where} are not those of normal, as exact_blocks says",
        )
