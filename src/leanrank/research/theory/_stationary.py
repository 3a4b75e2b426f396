r"""What holds at approximate stationary points of the penalised loss: the steps to Theorem 3.

The loss is :math:`|U U^\top - U_\star U_\star^\top|_F^2`, or its empirical version, with
:math:`|U_\star|_{op} = 1`, plus the smoothed group Lasso; gradients are literal. Lemmas, theorems
and equations are those of Rajaraman et al. (2023), Appendices B and C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from leanrank import _checks
from leanrank._arrays import array_namespace, norm
from leanrank.factors import Factors
from leanrank.penalties import GroupLasso
from leanrank.pruning import kept_columns, prune

__all__ = [
    "StationaryBounds",
    "effective_epsilon",
    "noise_operator_norm",
    "overlap_bound",
    "overlaps",
    "stationary_bounds",
]

_LEFT = 2.0 - 8.0**-0.5 - 1.0
"""What is left of the curvature -2 of eq. (177) after its other two terms, where 1 is printed."""


@dataclass(frozen=True)
class StationaryBounds:
    r"""Largest values at :math:`(\epsilon, \gamma)`-stationary points of :math:`|U|_{op} \le 3`.

    Attributes
    ----------
    error : float
        Of :math:`|UU^\top - X|_F`, Lemma 26, eq. (170); with noise Lemma 36, eq. (261).
    outside : float
        Of :math:`|U_\perp|_F`, the part of U outside the range of X, Lemma 28, eq. (180).
    sine : float
        Of the same share of any column that is kept, Lemma 29, eq. (186).
    outside_pruned : float
        Of the sum of its squares over the columns that are pruned, eq. (187).
    pruned_error : float
        Of :math:`|U_{prune} U_{prune}^\top - X|_F`, Theorem 31, eq. (199).
    """

    error: float
    outside: float
    sine: float
    outside_pruned: float
    pruned_error: float

    def hold(self, factors: Factors, truth: Factors, penalty: GroupLasso) -> dict[str, float]:
        """What symmetric factors have of each, over its bound: at most 1 where it holds."""
        W, threshold = factors.W, penalty.prune_threshold
        xp = array_namespace(W)
        P = xp.linalg.qr(truth.W)[0]
        outside = xp.linalg.vector_norm(W - P @ (P.T @ W), axis=0)
        lengths, kept = factors.column_norms(), kept_columns(factors, threshold)
        sines = outside[kept] / lengths[kept]
        pruned = prune(factors, threshold)
        return {
            "error": factors.distance(truth) / self.error,
            "outside": norm(outside) / self.outside,
            "sine": (float(xp.max(sines)) if pruned.width else 0.0) / self.sine,
            "outside_pruned": norm(outside[~kept]) ** 2 / self.outside_pruned,
            "pruned_error": pruned.distance(truth) / self.pruned_error,
        }


def stationary_bounds(
    lam: float,
    beta: float,
    epsilon: float,
    gamma: float,
    *,
    rank: int,
    width: int,
    noise_norm: float = 0.0,
    delta: float = 0.0,
) -> StationaryBounds:
    r"""Bounds of Lemmas 26, 28, 29 and Theorem 31; of Lemmas 36 and 37 with noise.

    Parameters
    ----------
    lam, beta : float
        Strength and smoothing of the penalty, beta below 1.
    epsilon, gamma : float
        Gradient norm at most epsilon, Hessian at least -gamma.
    rank, width : int
        r of U* and k of U.
    noise_norm : float
        Operator norm of :math:`\tfrac1n\sum_i \varepsilon_i A_i`; :func:`noise_operator_norm`
        bounds it.
    delta : float
        Constant of restricted isometry of the measurements at rank 2k, at most 0.1.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    With the constants that the proofs give. Three of them differ from what is printed. Eq. (177)
    leaves 0.65, not 1, of the curvature, so that gamma is divided by that. From eq. (194) follows
    a factor 6 in eq. (187), where 2 is printed, and pruning takes up to :math:`4\beta` off a
    column, where eq. (199) has :math:`\beta`. Noise adds at most 12 times
    :math:`\zeta = \sqrt{2k}` ``noise_norm`` to a gradient at :math:`|U|_{op} \le 3`, and
    :math:`12 \zeta |UU^\top - X|_F` to the curvature along :math:`U - U_\star R`.

    The last bound rests on Lemma 32, that at most r columns have a part in the range of X, which
    is proved of the columns that are kept only; at stationary points that were found the others
    are empty.

    Examples
    --------
    >>> bounds = stationary_bounds(0.01, 1e-3, 1e-4, 1e-4, rank=2, width=8)
    >>> round(bounds.error, 3), round(bounds.outside, 3)
    (10.119, 0.03)
    """
    lam = _checks.real_number(lam, "lam", above=0.0)
    beta = _checks.real_number(beta, "beta", above=0.0, most=1.0)
    epsilon = _checks.real_number(epsilon, "epsilon", least=0.0)
    gamma = _checks.real_number(gamma, "gamma", least=0.0)
    rank = _checks.whole_number(rank, "rank", least=1)
    width = _checks.whole_number(width, "width", least=rank)
    noise = math.sqrt(2.0 * width) * _checks.real_number(noise_norm, "noise_norm", least=0.0)
    delta = _checks.real_number(delta, "delta", least=0.0, most=0.1)
    linear = 8.0 * lam * math.sqrt(2.0 * width / beta)
    left = _LEFT
    if noise or delta:
        # Eq. (263): half of the curvature -1 that isometry leaves is for these two.
        linear, left = 2.0 * (linear + 12.0 * noise), 0.5 - 8.0**-0.5
    error = max(
        8.0 * epsilon ** (2 / 3) * width ** (1 / 6), linear, math.sqrt(2.0 * width) * gamma / left
    )
    nu = effective_epsilon(epsilon, error, delta=delta, noise=noise)
    outside_pruned = 6.0 * nu**2 * math.sqrt(beta) / lam**2
    return StationaryBounds(
        error=error,
        outside=3.0 * nu / lam,
        sine=2.0 * nu / (lam * beta**0.25),
        outside_pruned=outside_pruned,
        pruned_error=error + 4.0 * rank * beta + outside_pruned,
    )


def effective_epsilon(
    epsilon: float, error: float, *, delta: float = 0.0, noise: float = 0.0
) -> float:
    r""":math:`\nu`, the epsilon of the population loss that an empirical one amounts to, eq. (264).

    .. math:: \nu = \epsilon + 12\,\delta\, |UU^\top - X|_F + 12\, \zeta

    Parameters
    ----------
    epsilon : float
        Norm of the empirical gradient.
    error : float
        :math:`|UU^\top - X|_F`.
    delta : float
        Of restricted isometry at rank 2k.
    noise : float
        :math:`\zeta = \sqrt{2k}` times the operator norm of the mean of :math:`\varepsilon_i A_i`.

    Notes
    -----
    Eq. (264) has constants 1 under a "less or similar"; these are for :math:`|U|_{op} \le 3` and
    the literal gradient, :math:`2\langle UU^\top - X, UZ^\top + ZU^\top\rangle`.

    Examples
    --------
    >>> effective_epsilon(0.1, 1.0), effective_epsilon(0.1, 1.0, delta=0.01)
    (0.1, 0.22)
    """
    epsilon = _checks.real_number(epsilon, "epsilon", least=0.0)
    error = _checks.real_number(error, "error", least=0.0)
    delta = _checks.real_number(delta, "delta", least=0.0)
    noise = _checks.real_number(noise, "noise", least=0.0)
    return epsilon + 12.0 * delta * error + 12.0 * noise


def noise_operator_norm(noise: float, d: int, measurements: int, *, failure: float = 0.05) -> float:
    r"""Lemma 35: what :math:`|\tfrac1n\sum_i \varepsilon_i A_i|_{op}` exceeds with probability eta.

    .. math:: 4 \sigma \sqrt{\frac{d \log(d/\eta)}{n}}

    Parameters
    ----------
    noise : float
        Standard deviation sigma.
    d, measurements : int
        Size of the matrices and their number n.
    failure : float
        Probability eta.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    From matrix Bernstein, for :math:`n \ge d \log(d/\eta)` or so. Of standard normal matrices the
    norm is about :math:`2\sigma\sqrt{d/n}`.

    Examples
    --------
    >>> round(noise_operator_norm(0.1, 20, 400), 3)
    0.219
    """
    noise = _checks.real_number(noise, "noise", least=0.0)
    d = _checks.whole_number(d, "d", least=1)
    measurements = _checks.whole_number(measurements, "measurements", least=1)
    failure = _checks.real_number(failure, "failure", above=0.0, most=1.0)
    return 4.0 * noise * math.sqrt(d * math.log(d / failure) / measurements)


def overlap_bound(lam: float, epsilon: float, gamma: float, shortest: float) -> float:
    r"""Lemma 24: largest overlap of two columns that are kept at a stationary point, eq. (133).

    .. math:: \frac{|\langle u_i, u_j\rangle|}{\sqrt{|u_i|^2 + |u_j|^2}} \le
        5 \sqrt{\frac{\epsilon + \gamma s}{\lambda}}\; s,\qquad s = \min(|u_i|, |u_j|)

    whatever the loss of :math:`UU^\top`: else the Hessian has an eigenvalue below :math:`-\gamma`.

    Parameters
    ----------
    lam : float
    epsilon, gamma : float
        Accuracy of the stationary point.
    shortest : float
        s, more than :math:`2\sqrt\beta`.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range.

    Notes
    -----
    The threshold of eq. (164) between its two cases is :math:`\sqrt\epsilon / (4 \sqrt\lambda s)`:
    the root is missing there, and the derivative in eq. (221) is
    :math:`-(x/2 + 2\beta) / (x + \beta)^{5/2}`. The lemma stands with both put right.

    Examples
    --------
    >>> overlap_bound(0.25, 0.01, 0.0, 1.0)
    1.0
    """
    lam = _checks.real_number(lam, "lam", above=0.0)
    epsilon = _checks.real_number(epsilon, "epsilon", least=0.0)
    gamma = _checks.real_number(gamma, "gamma", least=0.0)
    shortest = _checks.real_number(shortest, "shortest", least=0.0)
    return 5.0 * math.sqrt((epsilon + gamma * shortest) / lam) * shortest


def overlaps(factors: Factors, penalty: GroupLasso, epsilon: float, gamma: float) -> float:
    """Largest overlap of two kept columns over its bound of Lemma 24: at most 1 where it holds.

    0 for fewer than two columns above the threshold.
    """
    W = prune(factors, penalty.prune_threshold).W
    lengths = [norm(W[:, j]) for j in range(int(W.shape[1]))]
    worst = 0.0
    for i, a in enumerate(lengths):
        for j in range(i):
            inner = abs(float((W[:, i : i + 1].T @ W[:, j : j + 1])[0, 0]))
            bound = overlap_bound(penalty.strength, epsilon, gamma, min(a, lengths[j]))
            worst = max(worst, inner / math.hypot(a, lengths[j]) / bound)
    return worst
