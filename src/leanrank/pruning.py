"""Greedy pruning of columns, and how clear-cut it was."""

from __future__ import annotations

from leanrank import _checks
from leanrank._arrays import Array, array_namespace
from leanrank.factors import Factors

__all__ = ["kept_columns", "max_pairwise_cosine", "prune", "separation"]


def kept_columns(factors: Factors, threshold: float) -> Array:
    """Boolean mask, shape (k,), of the columns whose norm exceeds ``threshold``.

    A column at the threshold goes, as in Algorithm 1 of Rajaraman et al. (2023).

    Raises
    ------
    ValueError, TypeError
        If the threshold is negative, not finite or not a number.

    Examples
    --------
    >>> import numpy as np
    >>> kept_columns(Factors(np.array([[3.0, 0.2, 0.1]])), 0.2)
    array([ True, False, False])
    """
    threshold = _checks.real_number(threshold, "threshold", least=0.0)
    return factors.column_norms() > threshold


def prune(factors: Factors, threshold: float) -> Factors:
    r"""Only the columns of W whose norm exceeds ``threshold``.

    Parameters
    ----------
    factors : Factors
    threshold : float
        In units of a column of the stacked W; Algorithm 1 of Rajaraman et al. (2023) takes
        :math:`2\sqrt\beta`, which :attr:`GroupLasso.prune_threshold
        <leanrank.penalties.GroupLasso.prune_threshold>` holds. With 0 only columns that are
        exactly zero go.

    Returns
    -------
    Factors
        In the order that they had; possibly without any columns.

    Raises
    ------
    ValueError, TypeError
        If the threshold is negative, not finite or not a number.

    Examples
    --------
    >>> import numpy as np
    >>> prune(Factors(np.diag([2.0, 1e-3])), 0.1)
    Factors(U U^T, shape=(2, 2), width=1)
    """
    return factors.keep(kept_columns(factors, threshold))


def max_pairwise_cosine(factors: Factors, threshold: float = 0.0) -> float:
    r"""Largest absolute cosine between two kept columns of W.

    .. math:: \max_{i \ne j} \frac{|\langle w_i, w_j\rangle|}{|w_i|\,|w_j|}
        \quad\text{over } |w_i|, |w_j| > \text{threshold}

    At a second-order stationary point of the penalised loss it is close to 0 (eq. (11) of
    Rajaraman et al. 2023), which is why the number of long columns is the rank. 0 when there are
    fewer than two such columns.

    Raises
    ------
    ValueError, TypeError
        If the threshold is negative, not finite or not a number.

    Examples
    --------
    >>> import numpy as np
    >>> round(max_pairwise_cosine(Factors(np.array([[1.0, 1.0], [0.0, 1.0]]))), 4)
    0.7071
    """
    W = prune(factors, threshold).W
    k = int(W.shape[1])
    if k < 2:
        return 0.0
    xp = array_namespace(W)
    unit = W / xp.linalg.vector_norm(W, axis=0)
    gram = unit.T @ unit
    upper = xp.triu(xp.abs(gram), k=1)
    return float(xp.max(upper))


def separation(factors: Factors, threshold: float) -> tuple[float, float]:
    """Largest norm that pruning removes and smallest that it keeps, over the threshold.

    Far below and far above 1, the number of columns does not hang on the choice of threshold.
    0 where nothing is removed and infinity where nothing is kept.

    Raises
    ------
    ValueError, TypeError
        If the threshold is not a positive finite number.

    Examples
    --------
    >>> import numpy as np
    >>> separation(Factors(np.diag([2.0, 0.5, 0.125])), 0.5)
    (1.0, 4.0)
    """
    threshold = _checks.real_number(threshold, "threshold", above=0.0)
    norms = [float(x) / threshold for x in factors.column_norms()]
    removed = [x for x in norms if x <= 1.0]
    kept = [x for x in norms if x > 1.0]
    return max(removed, default=0.0), min(kept, default=float("inf"))
