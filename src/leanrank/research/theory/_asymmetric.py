r"""Asymmetric sensing from a small start: how factors lie to their target, and what stays so.

Definitions and theorems are those of Wind (2025), "Implicit Regularization Makes
Overparameterized Asymmetric Matrix Sensing Robust to Perturbations". The stacked factors are
:math:`W = (U; V)`, :math:`J = \mathrm{diag}(I, -I)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, device_of
from leanrank.factors import Factors, check_factors
from leanrank.linalg import singular_value

__all__ = [
    "TargetFrame",
    "WarmUp",
    "gaussian_misalignment_estimate",
    "misalignment",
]


@dataclass(frozen=True)
class TargetFrame:
    r"""Singular vectors of a target Y, along which factors are split (Wind, Section 6.1).

    With :math:`Y = U_Y \Lambda V_Y^\top` the symmetric matrix
    :math:`\hat Y = \begin{pmatrix} 0 & Y\\ Y^\top & 0\end{pmatrix}` has the eigenvectors
    :math:`(U_Y; \pm V_Y)/\sqrt 2`; the rest is its kernel. Norms and inner products of the parts
    do not depend on which orthonormal basis of the kernel is taken, so none is formed.

    Attributes
    ----------
    left, right : array, shape (n1, r) and (n2, r)
        Singular vectors of Y for nonzero singular values.
    values : array, shape (r,)
        Singular values, decreasing.

    Examples
    --------
    >>> import numpy as np
    >>> frame = TargetFrame.of(Factors(np.array([[1.0], [0.0]]), np.array([[0.0], [2.0]])))
    >>> frame.rank, round(frame.kappa, 6)
    (1, 1.0)
    """

    left: Array
    right: Array
    values: Array

    @classmethod
    def of(cls, target: Factors | TargetFrame) -> TargetFrame:
        """The frame of a target, or itself; singular values of the size of rounding do not count.

        Raises
        ------
        ValueError, TypeError
            If the target is zero, or not Factors.
        """
        if isinstance(target, TargetFrame):
            return target
        P, s, Q = check_factors(target, "target").svd()
        xp = array_namespace(s)
        eps = float(xp.finfo(s.dtype).eps) * sum(target.shape)
        rank = int(xp.sum(xp.astype(s > eps * xp.max(s), xp.int64))) if s.shape[0] else 0
        if rank == 0:
            raise ValueError("target must not be zero: it has no singular vectors")
        return cls(P[:, :rank], Q[:, :rank], s[:rank])

    @property
    def rank(self) -> int:
        return int(self.values.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """(n1, n2) of Y."""
        return int(self.left.shape[0]), int(self.right.shape[0])

    def to_dense(self) -> Array:
        """Y itself."""
        return (self.left * self.values) @ self.right.T

    @property
    def norm(self) -> float:
        """Largest singular value of Y."""
        return float(self.values[0])

    @property
    def sigma_r(self) -> float:
        """Smallest nonzero singular value of Y."""
        return float(self.values[-1])

    @property
    def kappa(self) -> float:
        """Condition number of Y."""
        return self.norm / self.sigma_r

    def aligned(self, factors: Factors) -> Array:
        r""":math:`P_A W = (U_Y^\top U + V_Y^\top V)/\sqrt 2`, shape (r, k): the part to grow."""
        return (self.left.T @ factors.U + self.right.T @ factors.V) / math.sqrt(2.0)

    def opposed(self, factors: Factors) -> Array:
        r""":math:`P_A J W = (U_Y^\top U - V_Y^\top V)/\sqrt 2`, shape (r, k)."""
        return (self.left.T @ factors.U - self.right.T @ factors.V) / math.sqrt(2.0)

    def outside(self, factors: Factors) -> Array:
        """What P_0 W says, as rows of U and V outside the singular subspaces; (n1 + n2, k)."""
        xp = array_namespace(factors.W)
        U = factors.U - self.left @ (self.left.T @ factors.U)
        V = factors.V - self.right @ (self.right.T @ factors.V)
        return xp.concat([U, V], axis=0)

    def signal(self, factors: Factors) -> Factors:
        """W Q, of the rank of Y, with Q the projection on the row space of P_A W."""
        W, n1 = self.nuisance(factors), factors.shape[0]
        return Factors(factors.U - W[:n1, :], factors.V - W[n1:, :])

    def nuisance(self, factors: Factors) -> Array:
        """W (I - Q), with Q the projection on the row space of P_A W; shape (n1 + n2, k)."""
        xp = array_namespace(factors.W)
        W = xp.concat([factors.U, factors.V], axis=0)
        if not factors.width:
            return W
        _, s, rows = xp.linalg.svd(self.aligned(factors), full_matrices=False)
        seen = xp.astype(s > float(xp.finfo(s.dtype).eps) * xp.max(s), W.dtype)
        return W - (W @ (rows.T * seen)) @ rows


def _stack_norm(factors: Factors) -> float:
    xp = array_namespace(factors.W)
    return singular_value(xp.concat([factors.U, factors.V], axis=0))


def misalignment(start: Factors, target: Factors) -> float:
    r"""Misalignment of a starting point with a target, Definition 2.5 of Wind (2025).

    .. math:: \alpha = \frac{\sqrt2\,|(U_0; V_0)|}{\sigma_r(U_Y^\top U_0 + V_Y^\top V_0)}
        = \frac{|W_0|}{\sigma_r(P_A W_0)} \ge 1

    in operator norms. The theorems ask for a bounded one.

    Returns
    -------
    float
        Infinite where a direction of the target cannot be reached: fewer columns than its rank,
        or a start without any part along it.

    Raises
    ------
    ValueError
        If the shapes differ, or the target is zero.

    Notes
    -----
    Remark 2.6 says that the scaled identity has misalignment 1. That is so where
    :math:`U_Y = V_Y`, for a symmetric positive semi-definite target. For a generic target it is
    about 1.7 at n = 20 and r = 3, and for :math:`Y = -uu^\top` it is infinite: descent never
    leaves the symmetric matrices.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.array([[0.6], [0.8]])
    >>> identity = Factors(1e-3 * np.eye(2), 1e-3 * np.eye(2))
    >>> round(misalignment(identity, Factors(u, u)), 6), misalignment(identity, Factors(u, -u))
    (1.0, inf)
    """
    if start.shape != target.shape:
        raise ValueError(
            f"start and target must have one shape, got {start.shape} and {target.shape}"
        )
    frame = TargetFrame.of(target)
    size, smallest = _stack_norm(start), singular_value(frame.aligned(start), frame.rank)
    rounding = sum(start.shape) * float(array_namespace(start.W).finfo(start.W.dtype).eps)
    return size / smallest if smallest > rounding * size else math.inf


def gaussian_misalignment_estimate(shape: tuple[int, int], width: int, rank: int) -> float:
    r"""About the misalignment of a Gaussian start, usually a little more.

    .. math:: \frac{\sqrt{n_1 + n_2} + \sqrt h}{\sqrt h - \sqrt r}

    by the edges of the spectra of Gaussian matrices, of n1 + n2 and of r rows. Measured for
    h >= n the median lies between 0.74 and 0.96 of it. Infinite for h = r, where the true value has
    heavy tails.

    Raises
    ------
    ValueError, TypeError
        If the shape is not one, or not 1 <= rank <= width.

    Notes
    -----
    Remark 2.6 of Wind (2025) asks for :math:`h \ge \max(n_1, n_2, 2 r)` without a constant; the
    estimate is this library's.

    Examples
    --------
    >>> round(gaussian_misalignment_estimate((20, 20), 20, 3), 2)
    3.94
    """
    shape = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(shape))
    width = _checks.whole_number(width, "width", least=rank)
    gap = math.sqrt(width) - math.sqrt(rank)
    return (math.sqrt(sum(shape)) + math.sqrt(width)) / gap if gap > 0 else math.inf


class WarmUp:
    r"""The eight invariants of the warm-up phase, Theorem 6.1 of Wind (2025).

    Each is a quantity that stays at or below a bound (the last at or above it) up to the time
    :math:`T_2 = \tfrac5{\sigma_r} \log(\sigma_r / |W_0|^2)`:

    1. :math:`|W| \le \tfrac32 \sqrt{|Y|}`
    2. :math:`|U^\top U - V^\top V| \le (1 + 5t/T_2)\,\delta^2 |Y|`
    3. :math:`|P_A J W| \le \tfrac{\delta}{3\sqrt\alpha}\sqrt{|Y|}`
    4. :math:`|P_0 W| \le \delta \sqrt{8 |Y|}`
    5. :math:`P_\perp(\hat Y + \tfrac12 J W W^\top J)P_\perp^\top \preceq 2\delta|Y| I`
    6. :math:`|P_\perp W (P_A W)^\dagger| \le \alpha`
    7. :math:`|W (I - Q)| \le |W_0| e^{3\sqrt\alpha\,\delta |Y| t}`
    8. :math:`\sigma_r(P_A W) \ge \min(\sqrt{\sigma_r},
       \tfrac{|W_0|}{\alpha} e^{2\sigma_r t/5})`

    with :math:`\delta = \theta / (32\sqrt\alpha\,\kappa)` and operator norms. A text may print
    :math:`32 \sqrt{\alpha\kappa}`, but kappa belongs outside the root: only so do item 7, in which
    :math:`|Y| t` is up to kappa times a logarithm, make theta the exponent of eq. (22), and eq.
    (18) give the condition :math:`\beta \lesssim \theta^2/(\alpha\kappa^2)` of Theorem 4.3.

    Parameters
    ----------
    start, target : Factors
        W_0 and Y.
    theta : float
        Above 0 and at most 1/2: what the exponent of the final error falls short of 1.

    Attributes
    ----------
    alpha, size, theta, delta, end : float
        Misalignment and norm of the start, theta, delta, and the time T_2.
    largest_start : float
        :math:`\delta\sqrt{|Y|}/(3\sqrt\alpha)`, which the theorem asks :math:`|W_0|` not to
        exceed. Eq. (15) also asks for :math:`|W_0| \le \sqrt{\kappa|Y|}/(\sqrt\alpha\,\gamma)`,
        with the :math:`\gamma` of Assumption 4.1, which is of the measurements:
        :math:`\min(n_1, n_2)/r` under restricted isometry.

    Raises
    ------
    ValueError
        If the misalignment is infinite, :math:`|W_0|^2 \ge \sigma_r`, or theta is out of range.

    Notes
    -----
    Time is that of gradient flow on Wind's loss, so that one step of size s of this library's
    loss takes 2 s, and 4 s with symmetric factors, which move for both halves of W at once
    (:func:`leanrank.research.diagnostics.warm_up_ratios` counts so). The theorem also supposes
    perturbations, among them those by imperfect measurements and by finite steps, that are smaller
    than any in practice (:meth:`leanrank.research.theory.FlowAssumption.largest`). Under the
    largest that it allows all eight are seen to hold; fixed sets of :math:`10\,r(n_1 + n_2)`
    measurements break items 2 to 5 and 7, by up to 12 times at n = 20: see ``asymmetric-theorem61``
    in :mod:`leanrank.research.experiments`.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.array([[0.6], [0.8]])
    >>> start = Factors(1e-3 * np.eye(2), 1e-3 * np.eye(2))
    >>> warm_up = WarmUp(start, Factors(u, u))
    >>> [bool(ratio <= 1.0 + 1e-12) for ratio in warm_up.ratios(start, 0.0)]
    [True, True, True, True, True, True, True, True]
    """

    def __init__(self, start: Factors, target: Factors, *, theta: float = 0.5) -> None:
        theta = _checks.real_number(theta, "theta", above=0.0, most=0.5)
        self.frame = TargetFrame.of(target)
        self.alpha = misalignment(start, target)
        self.theta, self.size = theta, _stack_norm(start)
        if not math.isfinite(self.alpha):
            raise ValueError("start must have a part along every singular vector of the target")
        if self.size**2 >= self.frame.sigma_r:
            raise ValueError(
                f"start must be small, with a squared norm below the smallest singular value "
                f"{self.frame.sigma_r:.3g} of the target, got {self.size**2:.3g}"
            )
        self.end = 5.0 / self.frame.sigma_r * math.log(self.frame.sigma_r / self.size**2)
        self.delta = theta / (32.0 * math.sqrt(self.alpha) * self.frame.kappa)
        self.largest_start = self.delta * math.sqrt(self.frame.norm / self.alpha) / 3.0

    def quantities(self, factors: Factors) -> tuple[float, ...]:
        """The left-hand sides of the eight items."""
        frame, xp = self.frame, array_namespace(factors.W)
        A, opposed, outside = (
            part(factors) for part in (frame.aligned, frame.opposed, frame.outside)
        )
        # P_perp J W, up to signs of rows that eigenvalues do not see.
        mirrored = xp.concat([outside, A], axis=0)
        core = mirrored @ mirrored.T / 2.0
        like = {"dtype": core.dtype, "device": device_of(core)}
        pull = xp.concat([xp.zeros(outside.shape[0], **like), frame.values])
        curved = xp.linalg.eigvalsh(core - xp.eye(pull.shape[0], **like) * pull)
        across = xp.concat([outside, opposed], axis=0)
        return (
            _stack_norm(factors),
            singular_value(factors.U.T @ factors.U - factors.V.T @ factors.V),
            singular_value(opposed),
            singular_value(outside),
            float(xp.max(curved)),
            singular_value(across @ xp.linalg.pinv(A)),
            singular_value(frame.nuisance(factors)),
            singular_value(A, frame.rank),
        )

    def bounds(self, time: float) -> tuple[float, ...]:
        """The right-hand sides at a time of gradient flow."""
        norm, sigma, delta = self.frame.norm, self.frame.sigma_r, self.delta
        growth = 3.0 * math.sqrt(self.alpha) * delta * norm * time
        return (
            1.5 * math.sqrt(norm),
            (1.0 + 5.0 * time / self.end) * delta**2 * norm,
            delta / (3.0 * math.sqrt(self.alpha)) * math.sqrt(norm),
            delta * math.sqrt(8.0 * norm),
            2.0 * delta * norm,
            self.alpha,
            self.size * math.exp(growth),
            min(math.sqrt(sigma), self.size / self.alpha * math.exp(0.4 * sigma * time)),
        )

    def ratios(self, factors: Factors, time: float) -> tuple[float, ...]:
        """Quantity over bound (bound over quantity for the last): an item holds up to 1."""
        pairs = list(zip(self.quantities(factors), self.bounds(time), strict=True))
        held = [quantity / bound for quantity, bound in pairs[:-1]]
        grown, least = pairs[-1]
        return (*held, least / grown if grown > 0 else math.inf)
