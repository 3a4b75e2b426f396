"""DeepFactors: a matrix as the product of many layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank._arrays import to_numpy
from leanrank.factors import Factors

__all__ = ["DeepFactors", "approximate_rank", "representation_cost"]

_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, init=False, eq=False)
class DeepFactors:
    r"""A deep linear network :math:`A = W_L \cdots W_1`.

    Parameters
    ----------
    layers : sequence of array
        :math:`W_1, \dots, W_L`, L >= 2: W_1 of shape (w_1, n2), W_l of (w_l, w_{l-1}), W_L of
        (n1, w_{L-1}). They are copied, in double precision.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two, they do not fit together, or are not finite real matrices.

    Notes
    -----
    Wang and Jacot (2024), Section 2. Critical points of the loss with weight decay are balanced,
    :math:`W_l W_l^\top = W_{l+1}^\top W_{l+1}` (Proposition A.1), and then all layers have the
    singular values :math:`s_i(A)^{1/L}`.

    Examples
    --------
    >>> deep = DeepFactors([2.0 * np.eye(2)] * 3)
    >>> deep.product()
    array([[8., 0.],
           [0., 8.]])
    >>> deep.square_norm(), round(deep.representation_cost(), 9)
    (24.0, 24.0)
    """

    layers: tuple[np.ndarray, ...]

    def __init__(self, layers: Sequence[np.ndarray]) -> None:
        if len(layers) < 2:
            raise ValueError(f"layers must be at least two matrices, got {len(layers)}")
        checked = [
            np.array(_checks.real_array(W, f"layers[{i}]", ndim=2), dtype=float)
            for i, W in enumerate(layers)
        ]
        for i in range(1, len(checked)):
            if checked[i].shape[1] != checked[i - 1].shape[0]:
                raise ValueError(
                    f"layers[{i}] of shape {checked[i].shape} does not fit onto layers[{i - 1}] "
                    f"of shape {checked[i - 1].shape}"
                )
        object.__setattr__(self, "layers", tuple(checked))

    @classmethod
    def balanced(
        cls, matrix: np.ndarray | Factors, depth: int, width: int | None = None
    ) -> DeepFactors:
        r"""A network of least sum of squares for a product.

        Parameters
        ----------
        matrix : array, shape (n1, n2), or Factors
            The product.
        depth : int
            L, at least 2.
        width : int, optional
            Of all hidden layers; the rank of the matrix, at least 1, if left out.

        Raises
        ------
        ValueError, TypeError
            If the width is below the rank, or an argument is not valid.

        Examples
        --------
        >>> deep = DeepFactors.balanced(np.diag([8.0, 1.0]), 3)
        >>> deep.layer_singular_values()[1], round(deep.square_norm(), 9)
        (array([2., 1.]), 15.0)
        """
        depth = _checks.whole_number(depth, "depth", least=2)
        if isinstance(matrix, Factors):
            P, s, Q = (to_numpy(part) for part in matrix.svd())
        else:
            A = _checks.real_array(matrix, "matrix", ndim=2)
            P, s, Qt = np.linalg.svd(A, full_matrices=False)
            Q = Qt.T
        rank = int(np.sum(s > s.max(initial=0.0) * max(P.shape[0], Q.shape[0]) * _EPS))
        width = max(rank, 1) if width is None else _checks.whole_number(width, "width", least=1)
        if width < rank:
            raise ValueError(f"width must be at least the rank, {rank}, got {width}")
        root = np.zeros(width)
        root[:rank] = s[:rank] ** (1.0 / depth)
        first, last = np.zeros((width, Q.shape[0])), np.zeros((P.shape[0], width))
        first[:rank], last[:, :rank] = Q[:, :rank].T, P[:, :rank]
        return cls([root[:, None] * first, *[np.diag(root)] * (depth - 2), last * root])

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.layers)

    @property
    def shape(self) -> tuple[int, int]:
        """(n1, n2) of the product."""
        return self.layers[-1].shape[0], self.layers[0].shape[1]

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden widths w_1, ..., w_{L-1}."""
        return tuple(W.shape[0] for W in self.layers[:-1])

    def product(self) -> np.ndarray:
        """The matrix A, shape (n1, n2)."""
        A = self.layers[0]
        for W in self.layers[1:]:
            A = W @ A
        return A

    def singular_values(self) -> np.ndarray:
        """Those of the product, in decreasing order."""
        return np.linalg.svd(self.product(), compute_uv=False)

    def layer_singular_values(self) -> tuple[np.ndarray, ...]:
        """Those of each layer, in decreasing order."""
        return tuple(np.linalg.svd(W, compute_uv=False) for W in self.layers)

    def square_norm(self) -> float:
        """Sum of the squares of all weights."""
        return float(sum(np.sum(W * W) for W in self.layers))

    def representation_cost(self) -> float:
        """The least sum of squares of any network of this depth with this product."""
        return representation_cost(self.singular_values(), self.depth)

    def balance_errors(self) -> np.ndarray:
        r""":math:`|W_l W_l^\top - W_{l+1}^\top W_{l+1}|_F` for l = 1, ..., L - 1."""
        return np.array(
            [np.linalg.norm(low @ low.T - high.T @ high) for low, high in pairwise(self.layers)]
        )

    def approximate_ranks(self, alpha: float) -> np.ndarray:
        r""":math:`\sum_i f_\alpha(s_i(W_l)^2)` of each layer: a rank that counts small ones less.

        That of :func:`approximate_rank`; ``alpha`` is in units of a squared weight.
        """
        return np.array([approximate_rank(s * s, alpha) for s in self.layer_singular_values()])

    def is_in_rank_set(
        self, rank: int, *, balance: float, excess: float, alpha: float, bound: float
    ) -> bool:
        r"""Whether the network is in :math:`B_r`, the set that Theorem 3.2 says is never left.

        Parameters
        ----------
        rank : int
            r.
        balance : float
            :math:`\epsilon_1` of Section 3.2, which no *squared* balance error may exceed.
        excess : float
            :math:`\epsilon_2`: no approximate rank may exceed r by more.
        alpha : float
            Of :meth:`approximate_ranks`.
        bound : float
            C, which the squared Frobenius norm of no layer may exceed.
        """
        rank = _checks.whole_number(rank, "rank")
        return bool(
            np.all(self.balance_errors() ** 2 <= balance)
            and np.all(self.approximate_ranks(alpha) <= rank + excess)
            and all(np.sum(W * W) <= bound for W in self.layers)
        )

    def to_factors(self, tol: float = 1e-6, *, rank: int | None = None) -> Factors:
        """Balanced factors of the product, as lean as it is.

        Parameters
        ----------
        tol : float
            Singular values below this share of the largest are left out.
        rank : int, optional
            Keep so many of the largest instead, or all if fewer are above zero.

        Raises
        ------
        ValueError, TypeError
            If a number is out of range.

        Examples
        --------
        Noise and a ridge keep a network from the data; without them a few steps of the core are
        enough.

        >>> import leanrank as lr
        >>> inst = lr.simulate.matrix_completion(20, 2, fraction=0.6, random_state=0)
        >>> near = inst.truth.to_dense() + 0.1 * np.random.default_rng(0).standard_normal((20, 20))
        >>> factors = DeepFactors.balanced(near, 3).to_factors(rank=2)
        >>> problem = lr.Problem(inst.op, inst.y)
        >>> result = lr.solvers.solve(lr.solvers.GaussNewton(), problem, factors)
        >>> result.rank, bool(inst.error(result.factors) < 1e-7)
        (2, True)
        """
        tol = _checks.real_number(tol, "tol", least=0.0)
        P, s, Qt = np.linalg.svd(self.product(), full_matrices=False)
        count = int(np.sum(s > tol * s[0]))
        if rank is not None:
            most = _checks.whole_number(rank, "rank", most=s.size)
            count = min(most, int(np.sum(s > 0.0)))
        root = np.sqrt(s[:count])
        return Factors(P[:, :count] * root, Qt[:count].T * root)

    def __repr__(self) -> str:
        hidden = " x ".join(str(w) for w in self.widths)
        return f"DeepFactors(depth={self.depth}, shape={self.shape}, hidden {hidden})"


def approximate_rank(values: Any, alpha: float) -> float:
    r""":math:`\sum_i f_\alpha(x_i)`: how many numbers there are, small ones counting less.

    :math:`f_\alpha(x) = x (2 \alpha - x) / \alpha^2` below alpha and 1 above: the example of Wang
    and Jacot (2024), Section 3.2, for which K = 2.

    Parameters
    ----------
    values : array, shape (k,)
        Not negative: squared singular values of a layer, for instance.
    alpha : float
        Above zero.

    Raises
    ------
    ValueError, TypeError
        If a value is negative or alpha is not above zero.

    Examples
    --------
    >>> approximate_rank([3.0, 0.5, 0.0], 1.0)
    1.75
    """
    alpha = _checks.real_number(alpha, "alpha", above=0.0)
    x = _checks.real_array(np.asarray(values, dtype=float), "values", ndim=1)
    if np.any(x < 0):
        raise ValueError(f"values must not be negative, got {x.min():g}")
    share = np.minimum(x / alpha, 1.0)
    return float(np.sum(share * (2.0 - share)))


def representation_cost(singular_values: Any, depth: int) -> float:
    r"""Least sum of squared weights of a network of that depth: :math:`L \sum_i s_i^{2/L}`.

    Parameters
    ----------
    singular_values : array, shape (k,)
        Of the product.
    depth : int
        L, at least 2.

    Raises
    ------
    ValueError, TypeError
        If a singular value is negative or the depth is below 2.

    Notes
    -----
    Wang and Jacot (2024), Section 2.2: twice the nuclear norm for L = 2, and not convex for more.

    Examples
    --------
    >>> representation_cost([8.0, 1.0], 3)
    15.0
    """
    s = _checks.real_array(np.asarray(singular_values, dtype=float), "singular_values", ndim=1)
    depth = _checks.whole_number(depth, "depth", least=2)
    if np.any(s < 0):
        raise ValueError(f"singular_values must not be negative, got {s.min():g}")
    return float(depth * np.sum(s ** (2.0 / depth)))
