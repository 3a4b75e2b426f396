r"""Calculators for sensing from a small start: step sizes, sizes of starts, steps, errors.

Sources are Li, Ma and Zhang (2018) and Wind (2025). Step sizes are those of this library's loss
:math:`\tfrac1m\sum_i r_i^2`. Both papers descend on half of it, so that their step size
:math:`\eta` is 2 s here; Li, Ma and Zhang's update (5) leaves another 2 out (:math:`M_t U_t` for
the gradient :math:`2 M_t U_t`), so that there it is 4 s.
"""

from __future__ import annotations

import math

from leanrank import _checks

__all__ = [
    "asymmetric_error_bound",
    "descent_steps",
    "descent_window",
    "implicit_error_bound",
    "largest_start",
    "largest_step_size",
    "stable_step_size",
]


def stable_step_size(spectral_norm: float, *, symmetric: bool = False, c: float = 0.9) -> float:
    r"""Step size of plain descent that the population loss takes at its solution, with margin.

    .. math:: \frac{c}{2|Y|}\ \text{for } U V^\top,\qquad \frac{c}{4|Y|}\ \text{for } U U^\top

    The largest curvature at a balanced solution is :math:`4|Y|`, or :math:`8|Y|` for one factor;
    steps up to twice its inverse are stable. A few measurements want less: seen stable are about
    m / 320 for m fresh ones in each step at n = 20 and r = 2.

    Parameters
    ----------
    spectral_norm : float
        Largest singular value of Y.
    symmetric : bool
        Whether X = U U^T.
    c : float
        Share of the largest stable step. At 1 descent stalls; 0.9 converges.

    Notes
    -----
    Theorem 2.8 of Wind (2025) asks for far less: :func:`largest_step_size`.

    Examples
    --------
    >>> stable_step_size(2.0), stable_step_size(1.0, symmetric=True)
    (0.225, 0.225)
    """
    norm = _checks.real_number(spectral_norm, "spectral_norm", above=0.0)
    return _checks.real_number(c, "c", above=0.0) / ((4.0 if symmetric else 2.0) * norm)


def largest_step_size(
    spectral_norm: float, start: float, *, kappa: float = 1.0, c: float = 0.9
) -> float:
    r"""Step size that Theorem 2.8 of Wind (2025) allows.

    .. math:: 2 s \le \frac{c}{\kappa^3 |Y| \log(\sigma_r/\epsilon^2)}

    Parameters
    ----------
    spectral_norm : float
        Largest singular value of Y.
    start : float
        Operator norm :math:`\epsilon` of the stacked start, with :math:`\epsilon^2 < \sigma_r`.
    kappa : float
        Condition number of Y.
    c : float
        The theorem leaves it open. With 0.9 it is below :func:`stable_step_size` for every
        :math:`\epsilon^2 \le \sigma_r / e`; the powers of kappa and of the logarithm are not seen.

    Raises
    ------
    ValueError, TypeError
        If a number is out of its range, or the start is not small.

    Examples
    --------
    >>> round(largest_step_size(1.0, 1e-3), 6)
    0.032572
    """
    norm = _checks.real_number(spectral_norm, "spectral_norm", above=0.0)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    c = _checks.real_number(c, "c", above=0.0)
    return c / (2.0 * kappa**3 * norm * _log_growth(norm / kappa, start))


def largest_start(
    shape: tuple[int, int], rank: int, sigma_r: float, *, kappa: float = 1.0, c: float = 1.0
) -> float:
    r"""Operator norm of the stacked start that Theorem 2.8 of Wind (2025) allows.

    .. math:: \epsilon \le \frac{c \sqrt{\sigma_r}}{\min(n_1, n_2)^2/r^2 + \kappa}

    Parameters
    ----------
    shape : tuple of int
        (n1, n2).
    rank : int
    sigma_r : float
        Smallest nonzero singular value of Y.
    kappa : float
        Condition number of Y.
    c : float
        The theorem leaves it open. With 1, all of Y observed and a start as wide as Y, the error
        was below a tenth of :func:`asymmetric_error_bound` up to r = n / 2. Towards r = n such a
        start is misaligned, and no c is small enough.

    Raises
    ------
    ValueError, TypeError
        If the shape is not one, or a number is out of its range.

    Examples
    --------
    >>> round(largest_start((20, 20), 2, 1.0), 6)
    0.009901
    """
    n1, n2 = _checks.matrix_shape(shape, "shape")
    rank = _checks.whole_number(rank, "rank", least=1, most=min(n1, n2))
    sigma_r = _checks.real_number(sigma_r, "sigma_r", above=0.0)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    c = _checks.real_number(c, "c", above=0.0)
    return c * math.sqrt(sigma_r) / ((min(n1, n2) / rank) ** 2 + kappa)


def _log_growth(sigma_r: float, start: float) -> float:
    r""":math:`\log(\sigma_r/\epsilon^2)`, by how much the weakest direction has to grow."""
    start = _checks.real_number(start, "start", above=0.0)
    if start**2 >= sigma_r:
        raise ValueError(
            f"start must be below the root of sigma_r, {math.sqrt(sigma_r):.3g}, got {start:.3g}"
        )
    return math.log(sigma_r / start**2)


def descent_steps(step_size: float, sigma_r: float, start: float, *, c: float = 2.5) -> int:
    r"""Steps after which descent from a small start has found the target, Theorem 2.8.

    .. math:: K = \left\lceil \frac{C}{2 s\,\sigma_r} \log\frac{\sigma_r}{\epsilon^2}\right\rceil

    Parameters
    ----------
    step_size : float
        s, for this library's loss.
    sigma_r : float
        Smallest nonzero singular value of Y.
    start : float
        Operator norm :math:`\epsilon` of the stacked start, with :math:`\epsilon^2 < \sigma_r`.
    c : float
        The theorem leaves it open; its proof (Theorem 4.3) has 5, and 2 to 2.5 was enough.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, or the start is not small.

    Examples
    --------
    >>> descent_steps(0.025, 1.0, 1e-3)
    691
    """
    step_size = _checks.real_number(step_size, "step_size", above=0.0)
    sigma_r = _checks.real_number(sigma_r, "sigma_r", above=0.0)
    c = _checks.real_number(c, "c", above=0.0)
    return math.ceil(c / (2.0 * step_size * sigma_r) * _log_growth(sigma_r, start))


def descent_window(
    step_size: float, scale: float, d: int, *, kappa: float = 1.0, c: float = 1.0
) -> tuple[float, float]:
    r"""First and last step of the window of Theorem 1.1 of Li, Ma and Zhang.

    .. math:: \frac{\kappa \log(d/\alpha)}{\eta} \lesssim T \lesssim
        \frac{1}{\eta \sqrt{d \kappa \alpha}},\qquad \eta = 4 s

    Within it the error is small without early stopping. The window is empty (first > last) unless
    alpha is tiny.

    Parameters
    ----------
    step_size : float
        s, for this library's loss; eta is that of update (5), whose gradient lacks a factor 2.
    scale : float
        alpha of the start :math:`\alpha B` with orthonormal B.
    d : int
        Size of the matrix, of spectral norm 1.
    kappa : float
        Condition number of X.
    c : float
        Multiplies the first; the theorem leaves it open.

    Notes
    -----
    Theorem 4.1 prints :math:`T_0 = \max\{\cdot, \cdot\}` of the two ends and a bound for
    :math:`t \lesssim T_0` that contains :math:`(1 - \eta/8\kappa)^{t - T_0}`; that makes sense
    only for t between the two, so this follows Theorem 1.1.

    Examples
    --------
    >>> first, last = descent_window(0.01, 1e-8, 100)
    >>> round(first), round(last)
    (576, 25000)
    """
    step_size = _checks.real_number(step_size, "step_size", above=0.0)
    alpha = _checks.real_number(scale, "scale", above=0.0)
    d = _checks.whole_number(d, "d", least=1)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    c = _checks.real_number(c, "c", above=0.0)
    eta = 4.0 * step_size
    first = c * kappa * max(0.0, math.log(d / alpha)) / eta
    return first, 1.0 / (eta * math.sqrt(d * kappa * alpha))


def implicit_error_bound(scale: float, d: int, *, kappa: float = 1.0, c: float = 1.0) -> float:
    r"""Frobenius error that Theorem 1.1 of Li, Ma and Zhang allows.

    .. math:: |U U^\top - X_\star|_F \lesssim \sqrt{\alpha \sqrt d / \kappa^2}

    Notes
    -----
    The theorem bounds the square, linearly in alpha. The error seen falls faster than this root:
    like alpha to the power 0.75 to 0.9.

    Examples
    --------
    >>> implicit_error_bound(1e-3, 100)
    0.1
    """
    alpha = _checks.real_number(scale, "scale", least=0.0)
    d = _checks.whole_number(d, "d", least=1)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    return _checks.real_number(c, "c", above=0.0) * math.sqrt(alpha * math.sqrt(d)) / kappa


def asymmetric_error_bound(
    sigma_r: float,
    start: float,
    *,
    kappa: float = 1.0,
    perturbation: float = 0.0,
    exponent: float = 2.0 / 3.0,
    c: float = 1.0,
) -> float:
    r"""Operator-norm error that Theorem 2.8 of Wind (2025) allows.

    .. math:: C \left((\epsilon^2/\sigma_r)^{2/3}\, \sigma_r + \kappa \xi\right)

    Parameters
    ----------
    sigma_r : float
        Smallest nonzero singular value of Y.
    start : float
        Operator norm epsilon of the stacked start.
    kappa : float
        Condition number of Y.
    perturbation : float
        Largest operator norm xi of a perturbation.
    exponent : float
        2/3 is chosen for convenience: any below 1 is possible with other constants.
    c : float
        The theorem leaves it open.

    Notes
    -----
    From starts that the theorem allows the exponent seen with perfect or fresh measurements is
    0.98 to 1. On a fixed set it is below 2/3 unless there are some 20 r (n1 + n2) measurements, and
    under the worst operators of an isometry constant unless that is below 0.31 / sqrt(r). The
    factor kappa is not seen for perturbations of the size that the theorem allows, and for larger
    ones only where they break the balance of U and V.

    The proof (Appendix D) fixes theta = 1/12, which makes the exponent of Theorem 4.3 11/12, but
    prints 3/4 in one line and 11/12 in the next: 11/12 is meant, of which the start's condition
    takes 1/4 to absorb the factor :math:`\gamma + \sqrt\kappa`, and 2/3 is left.

    Examples
    --------
    >>> round(asymmetric_error_bound(1.0, 1e-3), 6)
    0.0001
    """
    sigma_r = _checks.real_number(sigma_r, "sigma_r", above=0.0)
    start = _checks.real_number(start, "start", least=0.0)
    kappa = _checks.real_number(kappa, "kappa", least=1.0)
    xi = _checks.real_number(perturbation, "perturbation", least=0.0)
    c = _checks.real_number(c, "c", above=0.0)
    exponent = _checks.real_number(exponent, "exponent", above=0.0, most=1.0)
    return c * ((start**2 / sigma_r) ** exponent * sigma_r + kappa * xi)
