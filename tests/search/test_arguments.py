"""Arguments of recover: what is refused, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import Factors, recover, simulate
from leanrank.operators import FullObservation
from leanrank.search.arguments import (
    check_recoverable,
    checked_start,
    checked_validation,
    number_of_columns,
)

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


@pytest.mark.parametrize(("k", "words"), [(0, "at least 1"), (4, "at most 3"), (1.5, "integer")])
def test_there_are_no_more_columns_than_the_shorter_side_has(k, words):
    op = FullObservation((5, 3))
    assert [number_of_columns(op, fine, "rank") for fine in (None, 1, 3)] == [None, 1, 3]
    with pytest.raises((ValueError, TypeError), match=f"rank must .*{words}"):
        number_of_columns(op, k, "rank")


def test_a_share_that_is_held_out_is_at_most_nine_tenths():
    op = FullObservation((5, 3))
    assert [checked_validation(share, op) for share in (None, 1e-9, 0.9)] == [None, 1e-9, 0.9]
    for share in (0.0, 0.901, -0.1):
        with pytest.raises(ValueError, match="validation must"):
            checked_validation(share, op)
    held, y = checked_validation((op, np.ones((5, 3))), op)
    assert (held, y.shape) == (op, (15,))
    with pytest.raises(ValueError, match="validation"):
        checked_validation((FullObservation((3, 5)), np.ones(15)), op)


@pytest.mark.parametrize(("symmetric", "least"), [(False, 7), (True, 4)])
def test_nothing_can_be_recovered_from_fewer_measurements_than_unknowns(rng, symmetric, least):
    for m in (least, least - 1):
        op = simulate.DenseSensing(rng.standard_normal((m, 4, 4)))
        if m == least:
            check_recoverable(op, symmetric)
        else:
            with pytest.raises(ValueError, match=f"fewer than the {least} unknowns"):
                check_recoverable(op, symmetric)


def test_only_square_matrices_are_symmetric():
    with pytest.raises(ValueError, match="op measures 5 x 3"):
        check_recoverable(FullObservation((5, 3)), True)
    halves = simulate.dense_sensing(5, 1, m=30, symmetric=True, random_state=0).op
    check_recoverable(halves, True)
    with pytest.raises(ValueError, match="pass symmetric=True"):
        check_recoverable(halves, False)
