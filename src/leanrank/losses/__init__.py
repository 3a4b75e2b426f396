r"""Losses: what a residual costs, measurement by measurement.

.. math:: L(X) = \text{weight} \cdot \sum_i \ell_i(r_i),\qquad r_i = \langle A_i, X\rangle - y_i

One convention: every loss is :math:`w_i r_i^2` close to zero, so that a threshold or a scale that
is large makes it the squared loss, and no step size or penalty needs another factor.

A solver asks a loss for four things, all functions of the residual: its ``value``, its ``slope``,
its ``curvature`` (the second derivative, which may be negative: certificates look at the true
Hessian), and its ``majoriser``, a curvature c for which

.. math:: \ell(r + z) \le \ell(r) + \ell'(r) z + \tfrac12 c z^2 .

Gauss-Newton steps use the last. For losses whose slope over residual falls as the residual grows,
such as Huber's and Student's, :math:`c = \ell'(r) / r` does it (iteratively reweighted least
squares): that is what makes damped Gauss-Newton a descent method on them.
"""

from leanrank.losses._base import Loss
from leanrank.losses._robust import Huber, ResidualLoss, StudentT
from leanrank.losses._squared import Squared

__all__ = ["Huber", "Loss", "ResidualLoss", "Squared", "StudentT"]
