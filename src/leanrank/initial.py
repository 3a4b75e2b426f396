"""Starting points: Gaussian, scaled identity, orthonormal, spectral."""

from __future__ import annotations

from typing import Any

import numpy as np

from leanrank import _checks, linalg
from leanrank._arrays import Array, ArrayLike, array_namespace, like
from leanrank._arrays import gaussian as draw
from leanrank._threads import one_blas_thread
from leanrank.factors import Factors
from leanrank.linalg import singular_value
from leanrank.operators import Measurement
from leanrank.problem import check_measurements

__all__ = ["gaussian", "identity", "orthonormal", "spectral"]


def _rows(shape: Any, symmetric: bool) -> tuple[tuple[int, int], int]:
    n1, n2 = _checks.matrix_shape(shape, "shape")
    if symmetric and n1 != n2:
        raise ValueError(f"shape must be square with symmetric=True, got ({n1}, {n2})")
    return (n1, n2), n1 if symmetric else n1 + n2


def gaussian(
    shape: tuple[int, int],
    width: int,
    *,
    scale: float = 1e-3,
    operator_norm: float | None = None,
    symmetric: bool = False,
    random_state: Any = None,
    reference: Array | None = None,
) -> Factors:
    r"""Factors with independent normal entries of standard deviation ``scale``.

    The columns of a symmetric factor have norms of about ``scale * sqrt(n1)``. A tiny scale lets
    descent find the strong directions first; under group Lasso columns much longer than the
    square root of its smoothing do not collapse.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2) of the matrix.
    width : int
        Number of columns.
    scale : float
        Standard deviation, in units of the square root of X.
    operator_norm : float, optional
        In place of ``scale``: the largest singular value that the stacked W shall have, the
        :math:`\epsilon` of Wind (2025).
    symmetric : bool
        Whether X = U U^T.
    random_state : int, Generator or None
    reference : array, optional
        Its namespace, dtype and device are used; NumPy float64 if left out.

    Raises
    ------
    ValueError, TypeError
        If a shape, width or scale is not valid, or a symmetric matrix is not square.

    Examples
    --------
    >>> gaussian((5, 5), 3, symmetric=True, random_state=0)
    Factors(U U^T, shape=(5, 5), width=3)
    """
    shape, rows = _rows(shape, symmetric)
    width = _checks.whole_number(width, "width")
    scale = _checks.real_number(scale, "scale", least=0.0)
    rng = _checks.generator(random_state)
    W = draw(rng, (rows, width), _checks.reference(reference))
    if operator_norm is not None:
        target = _checks.real_number(operator_norm, "operator_norm", least=0.0)
        scale = target / (singular_value(W) or 1.0)
    return Factors.stacked(W * scale, shape, symmetric)


def identity(
    shape: tuple[int, int],
    width: int | None = None,
    *,
    scale: float = 1e-3,
    operator_norm: float | None = None,
    symmetric: bool = False,
    reference: Array | None = None,
) -> Factors:
    r"""Factors with ``scale`` on their main diagonals: the start of Li, Ma and Zhang (2018).

    Parameters
    ----------
    shape : tuple of int
        (n1, n2) of the matrix.
    width : int, optional
        Number of columns; min(n1, n2) if left out. Of the columns beyond n1 or n2 that factor's
        part is zero.
    scale : float
        In units of the square root of X.
    operator_norm : float, optional
        In place of ``scale``: the largest singular value that the stacked W shall have, as in
        :func:`gaussian`. That of a general pair is :math:`\sqrt2` times its scale.
    symmetric : bool
        Whether X = U U^T.
    reference : array, optional
        Its namespace, dtype and device are used; NumPy float64 if left out.

    Raises
    ------
    ValueError, TypeError
        If a shape, width or scale is not valid, or a symmetric matrix is not square.

    Notes
    -----
    For a general pair this start is symmetric (the leading square of U V^T is), and descent
    cannot leave that set: if Y = -u u^T it never moves towards it. Use :func:`gaussian` there.

    Examples
    --------
    >>> identity((2, 2), scale=0.5, symmetric=True).W
    array([[0.5, 0. ],
           [0. , 0.5]])
    """
    shape, _ = _rows(shape, symmetric)
    width = min(shape) if width is None else _checks.whole_number(width, "width")
    scale = _checks.real_number(scale, "scale", least=0.0)
    if operator_norm is not None:
        target = _checks.real_number(operator_norm, "operator_norm", least=0.0)
        scale = target if symmetric else target / 2.0**0.5
    parts = [np.eye(n, width) for n in (shape[:1] if symmetric else shape)]
    return Factors.stacked(
        like(scale * np.concatenate(parts), _checks.reference(reference)), shape, symmetric
    )


@one_blas_thread()
def orthonormal(
    shape: tuple[int, int],
    width: int,
    *,
    scale: float = 1.0,
    symmetric: bool = False,
    random_state: Any = None,
    reference: Array | None = None,
) -> Factors:
    """Factors with orthogonal columns of norm ``scale`` in U (and in V), uniformly distributed.

    All ``width`` nonzero singular values of X are ``scale`` squared.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2) of the matrix.
    width : int
        Number of columns, at most min(n1, n2).
    scale : float
        In units of the square root of X.
    symmetric : bool
        Whether X = U U^T.
    random_state : int, Generator or None
    reference : array, optional
        Its namespace, dtype and device are used; NumPy float64 if left out.

    Raises
    ------
    ValueError, TypeError
        If a shape, width or scale is not valid, or a symmetric matrix is not square.

    Examples
    --------
    >>> orthonormal((6, 4), 2, random_state=0).singular_values().round(6)
    array([1., 1.])
    """
    shape, _ = _rows(shape, symmetric)
    width = _checks.whole_number(width, "width", most=min(shape))
    scale = _checks.real_number(scale, "scale", least=0.0)
    rng = _checks.generator(random_state)
    parts = []
    for n in shape[:1] if symmetric else shape:
        Q, R = np.linalg.qr(rng.standard_normal((n, width)))
        parts.append(Q * np.where(np.diag(R) < 0, -1.0, 1.0))
    return Factors.stacked(
        like(scale * np.concatenate(parts), _checks.reference(reference)), shape, symmetric
    )


@one_blas_thread()
def spectral(
    op: Measurement,
    y: ArrayLike,
    width: int,
    *,
    symmetric: bool = False,
    random_state: Any = None,
) -> Factors:
    r"""Leading pairs of :math:`\sum_i y_i A_i`, balanced and scaled to fit y best.

    In expectation the adjoint of y is a multiple of X for the usual ensembles, whatever that
    multiple is: the scale is the one of least squares. Matrix-free; two passes.

    Parameters
    ----------
    op : Measurement
    y : array, shape (m,)
    width : int
        Number of pairs, at most min(n1, n2).
    symmetric : bool
        Leading eigenpairs instead of singular triplets. Where fewer than ``width`` eigenvalues
        are positive, the columns for the others are zero.
    random_state : int, Generator or None
        For the starting block of the Krylov iteration.

    Returns
    -------
    Factors
        With orthogonal columns, the longest first.

    Raises
    ------
    ValueError, TypeError
        If y does not fit the operator, the width is not valid, or a symmetric matrix is not
        square.

    Examples
    --------
    >>> from leanrank.operators import FullObservation
    >>> spectral(FullObservation((2, 2)), np.diag([4.0, 1.0]), 1, symmetric=True).norm()
    4.0
    """
    y = check_measurements(op, y)
    shape, _ = _rows(op.shape, symmetric)
    width = _checks.whole_number(width, "width", least=1, most=min(shape))
    rng = _checks.generator(random_state)
    P, values, Q = linalg.leading_pairs(
        op.adjoint(y), width, rng, op.reference, symmetric=symmetric
    )
    xp = array_namespace(P)
    root = xp.sqrt(xp.maximum(values, xp.zeros_like(values)))
    factors = Factors(P * root) if symmetric else Factors(P * root, Q * root)
    image = op.forward(factors)
    energy = float(xp.sum(image * image))
    return factors.scaled(float(xp.sum(image * y)) / energy) if energy > 0 else factors
