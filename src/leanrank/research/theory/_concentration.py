r"""How far measurements are from seeing a matrix as it is: the lemmas of Li, Ma and Zhang (2018).

With :math:`\mathcal M(X) = \tfrac1m \sum_i \langle A_i, X\rangle A_i` the lemmas 2.2, 2.3, F.1 and
F.2 bound inner products and products of :math:`\mathcal M(X) - X` by the constant delta of a
restricted isometry. Extreme matrices of all four are pairs of low rank:

===== =================================== =========== ===============
lemma left-hand side, at most delta times ranks       delta printed
===== =================================== =========== ===============
2.2   :math:`|X|_F |Y|_F`                 r and r     of rank r
2.3   :math:`|X|_F |R|`                   r and 1     of rank r
F.1   :math:`|X|_* |Y|_F`                 1 and r     of rank r
F.2   :math:`|X|_* |R|`                   1 and 1     of rank 1
===== =================================== =========== ===============

What the proofs use is the constant of rank 2r, r + 1, r + 1 and 2, by the parallelogram identity
for :math:`X \pm Y`. With the printed ranks the lemmas are wrong: :func:`determinant_operator` has
a constant of 0 at rank 1, and gaps of any size below 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, gaussian
from leanrank.factors import Factors, check_factors
from leanrank.linalg import singular_value
from leanrank.operators import DenseSensing, Measurement
from leanrank.research.theory._isometry import nearest_low_rank

__all__ = [
    "ConcentrationGap",
    "determinant_operator",
    "inner_product_gap",
    "largest_gap",
    "product_gap",
]


@dataclass(frozen=True)
class ConcentrationGap:
    """The left-hand side of a lemma, and what multiplies delta on its right.

    Attributes
    ----------
    value : float
        Left-hand side.
    frobenius : float
        The right-hand side of 2.2 or 2.3 over delta.
    nuclear : float
        That of F.1 or F.2.
    """

    value: float
    frobenius: float
    nuclear: float

    @property
    def delta(self) -> float:
        """The smallest delta with which Lemma 2.2, or 2.3, holds here."""
        return self.value / self.frobenius if self.frobenius else 0.0

    @property
    def nuclear_delta(self) -> float:
        """The smallest delta with which Lemma F.1, or F.2, holds here."""
        return self.value / self.nuclear if self.nuclear else 0.0


def inner_product_gap(op: Measurement, X: Factors, Y: Factors) -> ConcentrationGap:
    r""":math:`|\tfrac1m\sum_i\langle A_i,X\rangle\langle A_i,Y\rangle - \langle X,Y\rangle|`.

    The left-hand side of Lemmas 2.2 and F.1.

    Parameters
    ----------
    op : Measurement
    X, Y : Factors
        Of the operator's shape.

    Raises
    ------
    TypeError
        If X or Y are not Factors.

    Examples
    --------
    >>> X, Y = (Factors(np.eye(2)[:, [i]]) for i in (0, 1))
    >>> round(inner_product_gap(determinant_operator(0.5), X, Y).delta, 12)
    0.5
    """
    check_factors(X, "X"), check_factors(Y, "Y")
    xp = array_namespace(op.reference)
    seen = op.weight * float(xp.sum(op.forward(X) * op.forward(Y)))
    true = float(xp.sum((X.U.T @ Y.U) * (X.V.T @ Y.V)))
    nuclear = float(xp.sum(X.singular_values()))
    return ConcentrationGap(abs(seen - true), X.norm() * Y.norm(), nuclear * Y.norm())


def product_gap(op: Measurement, X: Factors, R: Array) -> ConcentrationGap:
    r""":math:`|\tfrac1m\sum_i\langle A_i,X\rangle A_i R - XR|` in operator norm.

    The left-hand side of Lemmas 2.3 and F.2.

    Parameters
    ----------
    op : Measurement
    X : Factors
    R : array, shape (n2, any)

    Raises
    ------
    TypeError
        If X is not Factors.

    Examples
    --------
    >>> X = Factors(np.eye(2)[:, [0]])
    >>> round(product_gap(determinant_operator(0.5), X, np.eye(2)).nuclear_delta, 12)
    0.5
    """
    check_factors(X, "X")
    xp = array_namespace(op.reference)
    missed = op.weight * (op.adjoint(op.forward(X)) @ R) - X.U @ (X.V.T @ R)
    size, nuclear = singular_value(R), float(xp.sum(X.singular_values()))
    return ConcentrationGap(singular_value(missed), X.norm() * size, nuclear * size)


def largest_gap(
    op: Measurement,
    ranks: tuple[int, int],
    *,
    restarts: int = 3,
    max_iter: int = 200,
    tol: float = 1e-6,
    random_state: Any = None,
) -> float:
    r"""The largest :math:`\langle \mathcal M(X) - X, Y\rangle` that was found, both of unit norm.

    By alternating between X of the first and Y of the second rank: each is the best approximation
    of its rank to :math:`\mathcal M - I` of the other. A lower bound on the delta with which a
    lemma holds, and the value itself where the landscape has no other maximum. Of operators that
    see the symmetric part only, X and Y are symmetric.

    Parameters
    ----------
    op : Measurement
        Of square matrices if symmetric.
    ranks : tuple of int
        Of X and Y: (r, r) for Lemma 2.2, (r, 1) for 2.3 and F.1, (1, 1) for F.2.
    restarts, max_iter : int
    tol : float
        Stop when the value changes by less than this, relatively.
    random_state : int, Generator or None

    Raises
    ------
    ValueError, TypeError
        If a rank is not in [1, min(n1, n2)], or a number is out of range.

    Examples
    --------
    >>> round(largest_gap(determinant_operator(0.5), (1, 1), random_state=0), 6)
    0.5
    """
    first, second = (_checks.whole_number(r, "ranks", least=1, most=min(op.shape)) for r in ranks)
    restarts = _checks.whole_number(restarts, "restarts", least=1)
    max_iter = _checks.whole_number(max_iter, "max_iter", least=1)
    tol = _checks.real_number(tol, "tol", least=0.0)
    rng = _checks.generator(random_state)
    starts = [gaussian(rng, op.shape, op.reference) for _ in range(restarts)]
    return max(_climb(op, start, (first, second), max_iter, tol) for start in starts)


def _climb(
    op: Measurement, start: Array, ranks: tuple[int, int], max_iter: int, tol: float
) -> float:
    Y, value = nearest_low_rank(start, ranks[1], op.symmetric), 0.0
    for _ in range(max_iter):
        X = nearest_low_rank(_missed(op, Y), ranks[0], op.symmetric)
        slope = _missed(op, X)
        Y = nearest_low_rank(slope, ranks[1], op.symmetric)
        last, value = value, abs(float(np.sum(np.asarray(slope) * np.asarray(Y.to_dense()))))
        if value - last <= tol * value:
            break
    return value


def _missed(op: Measurement, X: Factors) -> Array:
    """M(X) - X as a dense matrix."""
    xp = array_namespace(op.reference)
    eye = xp.eye(op.shape[1], dtype=op.reference.dtype)
    return op.weight * (op.adjoint(op.forward(X)) @ eye) - X.to_dense()


def determinant_operator(epsilon: float) -> DenseSensing:
    r"""Four sensing matrices that see every 2 x 2 matrix of rank 1 as it is, and no others.

    .. math:: \tfrac14 \sum_i \langle A_i, X\rangle^2 = |X|_F^2 + 2 \epsilon \det X

    The restricted isometry constant of rank 1 is 0, since there the determinant vanishes; that of
    rank 2 is :math:`\epsilon`. With :math:`X = e_1 e_1^\top` and :math:`Y = e_2 e_2^\top` the
    gaps of Lemmas 2.2, 2.3, F.1 and F.2 are :math:`\epsilon`, and their printed bounds 0.

    Parameters
    ----------
    epsilon : float
        At least 0 and below 1.

    Raises
    ------
    ValueError, TypeError
        If epsilon is out of range.

    Examples
    --------
    >>> op = determinant_operator(0.5)
    >>> round(op.weight * float(np.sum(op.forward(Factors(np.ones((2, 1)))) ** 2)), 12)
    4.0
    """
    epsilon = _checks.real_number(epsilon, "epsilon", least=0.0, below=1.0)
    gram = np.eye(4) + epsilon * np.diag([1.0, -1.0, -1.0, 1.0])[::-1]
    return DenseSensing(2.0 * np.linalg.cholesky(gram).T.reshape(4, 2, 2))
