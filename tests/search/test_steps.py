"""Predicting: what is returned predicts as well as what was compared on held-out measurements."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.operators import ObservedEntries
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor
from leanrank.search.holding_out import split
from leanrank.search.predicting import predicted
from leanrank.solvers import GaussNewton


@pytest.mark.parametrize("decay", [1.5, 2.0])
def test_sweeps_that_were_stopped_early_are_repeated_on_all_measurements(decay):
    """Singular values that fall slowly: where sweeps end depends on where they began."""
    rng, shape = np.random.default_rng(0), (60, 50)
    U, V = (np.linalg.qr(rng.standard_normal((n, 50)))[0] for n in shape)
    X = (U * (1.0 + np.arange(50)) ** -decay) @ V.T
    X /= X.std()
    seen = rng.random(shape) < 0.7
    problem = Problem(ObservedEntries(*np.nonzero(seen), shape), X[seen])
    fitter = Fitter(GaussNewton(), rng, Monitor())
    found = predicted(problem, split(problem, 0.1, rng), fitter, width=5, most=50)
    _, state = found.rounds[0]
    assert state.sweeps > 0
    assert state.width > 5
    hidden = np.mean((found.state.factors.to_dense() - X)[~seen] ** 2)
    validated = np.mean((state.factors.to_dense() - X)[~seen] ** 2)
    assert hidden < 1.2 * validated
