"""Arguments of recover: what is refused, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, recover, simulate
from leanrank.operators import FullObservation
from leanrank.search.arguments import checked_start

N1, N2 = 30, 20


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (np.ones((N1, 2)), TypeError, "start must be Factors or .* got ndarray"),
        (Factors(np.ones((N1, 2))), ValueError, r"start must have shape \(30, 20\)"),
        (Factors(np.ones((3, 2)), np.ones((N2, 2))), ValueError, "start must have shape"),
        (Factors(np.ones((N1, 2)), np.ones((N2 + 1, 2))), ValueError, "start must have shape"),
        (Factors(np.ones((N1 + 1, 2)), np.ones((N2, 2))), ValueError, "start must have shape"),
        (Factors(np.full((N1, 2), np.nan), np.ones((N2, 2))), ValueError, "start must be finite"),
    ],
)
def test_bad_starts(start, error, words):
    inst = simulate.matrix_completion((N1, N2), 2, oversampling=3, random_state=0)
    with pytest.raises(error, match=words):
        recover(inst.op, inst.y, start=start)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_start_is_as_symmetric_as_what_is_looked_for(symmetric):
    op, one = FullObservation((4, 4)), Factors(np.ones((4, 1)))
    right, wrong = (one, Factors(one.U, one.U))[:: 1 if symmetric else -1]
    found, fits = checked_start(right, op, symmetric, "run")
    np.testing.assert_array_equal(found.W, right.W)
    assert fits == ()
    with pytest.raises(ValueError, match=f"symmetric={symmetric}"):
        checked_start(wrong, op, symmetric, "run")
