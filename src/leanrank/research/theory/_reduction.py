r"""Perturbed gradient flow: what a step of descent amounts to, and how large it may be.

A step :math:`W_+ = (I + \eta\tilde R) W` of any descent is passed by the flow

.. math:: \dot W_t = (R_t + E_t) W_t,\qquad E_t = \tfrac1\eta\log(I + \eta\tilde R) - R_t,\qquad
    R_t = \begin{pmatrix} 0 & Y - U_t V_t^\top\\ Y^\top - V_t U_t^\top & 0\end{pmatrix}

of Wind (2025), Section 4, so that what is true of the flow under small E is true of descent. Step
sizes are those of this library's loss: Wind's learning rate is :math:`\eta = 2 s`. Norms are
operator norms, :math:`J = \mathrm{diag}(I, -I)`, and r is the rank of Y.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import expm, logm

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, device_of, to_numpy
from leanrank.factors import Factors
from leanrank.linalg import singular_value
from leanrank.research.theory._asymmetric import TargetFrame

__all__ = [
    "dilation",
    "flow_perturbation",
    "fresh_error_bound",
    "frobenius_residual_bound",
    "imbalance_drive",
    "isometry_error_bound",
    "leftover",
    "residual",
    "stacked",
    "step_perturbation_bounds",
]


def dilation(X: Array) -> Array:
    r"""The symmetric matrix :math:`\begin{pmatrix} 0 & X\\ X^\top & 0\end{pmatrix}`.

    Its eigenvalues are plus and minus the singular values of X.

    Examples
    --------
    >>> dilation(np.array([[1.0, 2.0]]))
    array([[0., 1., 2.],
           [1., 0., 0.],
           [2., 0., 0.]])
    """
    xp, (n1, n2) = array_namespace(X), X.shape
    like = {"dtype": X.dtype, "device": device_of(X)}
    top = xp.concat([xp.zeros((n1, n1), **like), X], axis=1)
    return xp.concat([top, xp.concat([X.T, xp.zeros((n2, n2), **like)], axis=1)], axis=0)


def imbalance_drive(E: Array, n1: int) -> float:
    r""":math:`|J E + E^\top J|`: how fast E feeds the imbalance :math:`U^\top U - V^\top V`.

    :math:`\tfrac{d}{dt} W^\top J W = W^\top (J E + E^\top J) W`. It is 0 for every symmetric E
    without diagonal blocks, such as what imperfect measurements amount to.

    Parameters
    ----------
    E : array, shape (n1 + n2, n1 + n2)
    n1 : int
        Rows of U.
    """
    xp = array_namespace(E)
    mirrored = xp.concat([E[:n1, :], -E[n1:, :]], axis=0)
    return singular_value(mirrored + mirrored.T)


def residual(factors: Factors, target: Factors | TargetFrame) -> Array:
    """Y - U V^T, shape (n1, n2)."""
    if factors.shape != target.shape:
        raise ValueError(
            f"factors and target must have one shape, got {factors.shape} and {target.shape}"
        )
    return target.to_dense() - factors.to_dense()


def stacked(factors: Factors) -> Array:
    """(U; V), also of symmetric factors."""
    return array_namespace(factors.W).concat([factors.U, factors.V], axis=0)


def leftover(factors: Factors, rank: int) -> float:
    r""":math:`\sigma_{r+1}^2(W)`; 0 where there are no more than r columns."""
    return singular_value(stacked(factors), rank + 1) ** 2


def flow_perturbation(
    factors: Factors,
    target: Factors | TargetFrame,
    perturbation: Array,
    step_size: float,
    *,
    share: float = 0.0,
) -> np.ndarray:
    r"""The perturbation E_t under which gradient flow passes through a step of descent.

    .. math:: E_t = \tfrac1\eta \log\big(I + \eta (R_{k\eta} + \tilde E_k)\big) - R_t,\qquad
        t = (k + \text{share})\,\eta

    Parameters
    ----------
    factors : Factors
        Where the step starts, NumPy arrays.
    target : Factors or TargetFrame
        Y; as a frame it is not decomposed again.
    perturbation : array, shape (n1 + n2, n1 + n2)
        :math:`\tilde E_k`, all that the step has besides :math:`R_{k\eta}`: of imperfect
        measurements the dilation of :math:`\mathcal A^*\mathcal A(\bar R) - \bar R`, noise, and
        what else there is.
    step_size : float
        s, for this library's loss; eta is 2 s.
    share : float
        How much of the step has passed, from 0 to 1.

    Raises
    ------
    ValueError, TypeError
        If a shape does not fit, a number is out of its range, or
        :math:`\eta|R_{k\eta} + \tilde E_k| \ge 1`, where the logarithm's series has no sum.

    Examples
    --------
    >>> start, target = Factors(np.zeros((1, 1)), np.zeros((1, 1))), Factors(np.ones((1, 1)))
    >>> E = flow_perturbation(start, Factors(target.U, target.U), np.zeros((2, 2)), 0.05)
    >>> E.round(4)  # log(1.1) = 0.1 - 0.0047, log(0.9) = -0.1 - 0.0054
    array([[-0.0503,  0.0034],
           [ 0.0034, -0.0503]])
    """
    eta = 2.0 * _checks.real_number(step_size, "step_size", above=0.0)
    share = _checks.real_number(share, "share", least=0.0, most=1.0)
    R = to_numpy(dilation(residual(factors, target)))
    B = eta * (R + _square(to_numpy(perturbation), R))
    size = float(np.linalg.norm(B, 2))
    if not size < 1.0:
        raise ValueError(
            f"step_size must make eta |R + E| less than 1, for the logarithm to exist, got "
            f"{size:.3g}"
        )
    log = _logarithm(B)
    U, V = np.split(expm(share * log) @ to_numpy(stacked(factors)), [factors.shape[0]])
    now: np.ndarray = log / eta - dilation(to_numpy(target.to_dense()) - U @ V.T)
    return now


def _square(E: np.ndarray, R: np.ndarray) -> np.ndarray:
    if E.shape != R.shape:
        raise ValueError(f"perturbation must have shape {R.shape}, got {E.shape}")
    return E


def _logarithm(B: np.ndarray) -> np.ndarray:
    """log(I + B); of a symmetric B by its eigenvalues, which is faster and exact."""
    if np.array_equal(B, B.T):
        values, vectors = np.linalg.eigh(B)
        return (vectors * np.log1p(values)) @ vectors.T
    return np.real(logm(np.eye(len(B)) + B))


def step_perturbation_bounds(
    factors: Factors, target: Factors | TargetFrame, perturbation: Array, step_size: float
) -> tuple[float, float]:
    r"""Bounds on :math:`|E_t|` and :math:`|JE_t + E_t^\top J|`, Proposition F.1 of Wind (2025).

    .. math:: 10\eta|Y||R_{k\eta}| + 2|\tilde E_k|,\qquad
        20\eta|Y|^2 + |J\tilde E_k + \tilde E_k^\top J|

    Parameters
    ----------
    factors, target, perturbation, step_size
        As in :func:`flow_perturbation`.

    Raises
    ------
    ValueError, TypeError
        If what the proposition supposes is not so: :math:`\eta \le 1/(12|Y|)`,
        :math:`|W| \le \tfrac32\sqrt{|Y|}`, :math:`|\tilde E_k| \le |Y|`.
    """
    eta = 2.0 * _checks.real_number(step_size, "step_size", above=0.0)
    norm, R = TargetFrame.of(target).norm, singular_value(residual(factors, target))
    size, moved = singular_value(perturbation), singular_value(stacked(factors))
    supposed = {
        "step_size": (eta / 2.0, 1.0 / (24.0 * norm)),
        "factors": (moved, 1.5 * math.sqrt(norm)),
        "perturbation": (size, norm),
    }
    for name, (found, most) in supposed.items():
        if found > most * (1.0 + 1e-12):
            raise ValueError(f"{name} must be at most {most:.4g} in norm, got {found:.4g}")
    drive = imbalance_drive(perturbation, factors.shape[0])
    return 10.0 * eta * norm * R + 2.0 * size, 20.0 * eta * norm**2 + drive


def frobenius_residual_bound(factors: Factors, target: Factors | TargetFrame) -> float:
    r"""Bound on :math:`|Y - UV^\top|_F` by operator norms, Lemma H.1 of Wind (2025).

    .. math:: \sqrt r\,\Big(\sqrt2\,|R| + \sqrt{3\min(n_1, n_2)/r}\;\sigma_{r+1}^2(W)\Big)
    """
    rank, n = TargetFrame.of(target).rank, min(target.shape)
    R = singular_value(residual(factors, target))
    return math.sqrt(2.0 * rank) * R + math.sqrt(3.0 * n) * leftover(factors, rank)


def isometry_error_bound(factors: Factors, target: Factors | TargetFrame, rho: float) -> float:
    r"""Bound on :math:`|\mathcal A^*\mathcal A(\bar R) - \bar R|`, Proposition G.1 of Wind (2025).

    .. math:: 2\sqrt r\,\rho\,\Big(|R| + \big(\tfrac{\min(n_1, n_2)}{2r} + 1\big)
        \sigma_{r+1}^2(W)\Big)

    Parameters
    ----------
    factors, target
        As in :func:`flow_perturbation`.
    rho : float
        Restricted isometry constant of the measurements for matrices of rank r + 1.

    Notes
    -----
    Lemma G.2, :math:`|\mathcal A^*\mathcal A(X) - X| \le \rho|X|_F` for X of rank r, is where one
    more rank comes from. :func:`~leanrank.research.theory.restricted_isometry` bounds rho from
    below; the extreme eigenvalues of :math:`\mathcal A^*\mathcal A` bound it from above.
    """
    rho = _checks.real_number(rho, "rho", least=0.0)
    rank, n = TargetFrame.of(target).rank, min(target.shape)
    R = singular_value(residual(factors, target))
    share = n / (2.0 * rank) + 1.0
    return 2.0 * math.sqrt(rank) * rho * (R + share * leftover(factors, rank))


def fresh_error_bound(
    factors: Factors, target: Factors | TargetFrame, m: int, *, xi: float = 1.0
) -> float:
    r"""Bound on the error of m fresh Gaussian measurements, Proposition H.8 of Wind (2025).

    .. math:: \xi\sqrt{\tfrac{r(n_1+n_2)}m}\Big(\sqrt2\,|R| + \sqrt{3\min(n_1, n_2)/r}\;
        \sigma_{r+1}^2(W)\Big)

    which :math:`|\tfrac1m\sum_i\langle A_i, \bar R\rangle A_i - \bar R|` exceeds with a
    probability of at most :math:`(n_1 + n_2) e^{-c_2\xi^2}`, for :math:`\xi \le c_1\sqrt m`.

    Parameters
    ----------
    factors, target
        As in :func:`flow_perturbation`.
    m : int
    xi : float
        What the probability is bought with. The constants are open; along descent 1.1 was enough
        (``asymmetric-reduction`` in :mod:`leanrank.research.experiments`).
    """
    m = _checks.whole_number(m, "m", least=1)
    xi = _checks.real_number(xi, "xi", least=0.0)
    return xi * math.sqrt(sum(target.shape) / m) * frobenius_residual_bound(factors, target)
