"""What newcomers pass first: named, with what to use instead, wherever it enters."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import leanrank as lr
from leanrank import Factors, Problem, check_certificate, recover
from leanrank.operators import DenseSensing, FullObservation, ObservedEntries
from leanrank.solvers import GaussNewton, solve

TABLE = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, np.nan], [1.0, 2.0, 3.0], [0.0, 1.0, 1.0]])
MASK = ~np.isnan(TABLE)
FACTORS = Factors(np.ones((4, 1)), np.ones((3, 1)))
ENTRIES, Y = ObservedEntries.from_dense(TABLE)
SENSING = DenseSensing(np.ones((12, 4, 3)))
COMPLETE = r"LowRankImputer\(\).fit_transform\(table\) completes .* ObservedEntries.from_dense"

BORDERS = {
    "recover": recover,
    "Problem": Problem,
    "check_certificate": lambda op, y: check_certificate(op, y, FACTORS),
    "held_out": lambda op, y: check_certificate(ENTRIES, Y, FACTORS, held_out=(op, y)),
    "validation": lambda op, y: recover(ENTRIES, Y, validation=(op, y)),
}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("op", "y", "match"),
    [
        (TABLE, Y, rf"got ndarray of shape \(4, 3\): {COMPLETE}"),
        (TABLE.tolist(), Y, rf"got list of shape \(4, 3\): {COMPLETE}"),
        (pd.DataFrame(TABLE), Y, rf"got DataFrame of shape \(4, 3\): {COMPLETE}"),
        (np.ma.masked_invalid(TABLE), Y, rf"got MaskedArray of shape \(4, 3\): {COMPLETE}"),
        (TABLE, MASK, rf"got ndarray of shape \(4, 3\): {COMPLETE}"),
        (
            sparse.csr_array(MASK * 1.0),
            Y,
            r"got csr_array of shape .*: op, y = .*from_sparse\(matrix\)",
        ),
        (MASK, TABLE, r"of flags of shape \(4, 3\): ObservedEntries\(\*np.nonzero\(mask\), mask.s"),
        (pd.DataFrame(MASK), Y, r"DataFrame of flags of shape \(4, 3\): ObservedEntries\(\*np.non"),
        (
            (ENTRIES.rows, ENTRIES.cols),
            Y,
            r"tuple of shape \(2, 10\): ObservedEntries\(rows, c",
        ),
        (ENTRIES.rows, ENTRIES.cols, r"got ndarray of shape \(10,\): ObservedEntries\(rows, cols"),
        (np.ones((12, 4, 3)), np.ones(12), r"shape \(12, 4, 3\): DenseSensing\(A\) measures"),
        (np.ones((9, 4)), np.ones(9), r"shape \(9, 4\): RankOneSensing\(x\) .*QuadraticNetworkReg"),
        (Y, ENTRIES, r"got ndarray of shape \(10,\): the operator comes first"),
        (TABLE, ENTRIES, "the operator comes first and the measured values second"),
        (ObservedEntries, Y, r"got the class ObservedEntries itself: make one first, such as"),
        (Problem(ENTRIES, Y), Y, "got Problem: pass its .op and .y"),
        ("table.csv", Y, r"got 'table.csv': read files with leanrank.io.read_problem"),
        (Path("problem.npz"), Y, "read files with leanrank.io.read_problem or leanrank.io.read_m"),
        ([[1.0], [2.0, 3.0]], Y, "got .*: make one, such as ObservedEntries"),
        (None, Y, r"got None: make one, such as ObservedEntries\(rows, cols, shape\)"),
        (3, Y, "got int: make one, such as"),
        (FACTORS, Y, r"got Factors of shape \(4, 3\)"),
    ],
)
def test_what_is_no_operator(border, op, y, match):
    with pytest.raises(TypeError, match=r"^(op|held_out\[0\]|validation\[0\]) must be .*" + match):
        BORDERS[border](op, y)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("op", "y", "error", "match"),
    [
        (ENTRIES, MASK, ValueError, r"shape \(4, 3\): a mask says where, .* pass table\[mask\]"),
        (ENTRIES, MASK.tolist(), ValueError, r"shape \(4, 3\): a mask says where, not what"),
        (ENTRIES, pd.DataFrame(MASK), ValueError, "a mask says where"),
        (SENSING, MASK, ValueError, "a mask says where"),
        (ENTRIES, TABLE, ValueError, r"shape \(4, 3\): table\[op.rows, op.cols\] has the values"),
        (ENTRIES, TABLE.tolist(), ValueError, r"table\[op.rows, op.cols\] has the values"),
        (ENTRIES, pd.DataFrame(TABLE), ValueError, r"table.to_numpy\(\)\[op.rows, op.cols\] has"),
        (ENTRIES, sparse.csr_array(MASK * 1.0), TypeError, r"got csr_array .*from_sparse\(matrix"),
        (SENSING, TABLE, ValueError, "a table is not what the operator measures: pass its m val"),
        (ENTRIES, Y[:, None], ValueError, r"got shape \(10, 1\): y.ravel\(\) makes a vector"),
        (ENTRIES, Y[:, None, None], ValueError, r"1 dimension\(s\), got shape \(10, 1, 1\)"),
        (ENTRIES, np.where(Y > 1, Y, np.nan), ValueError, f"got 5 NaN .*; leave out .*{COMPLETE}"),
        (SENSING, np.full(12, np.nan), ValueError, r"got 12 NaN or .*; leave out .*in op$"),
        (FullObservation((4, 3)), TABLE, ValueError, f"got 2 NaN or infinite .*{COMPLETE}"),
        (FullObservation((4, 3)), pd.DataFrame(TABLE), ValueError, f"got 2 NaN .*{COMPLETE}"),
        (ENTRIES, None, TypeError, "got None: pass the 10 numbers that were measured"),
        (ENTRIES, ENTRIES, TypeError, "got ObservedEntries of shape .*: pass the 10 numbers"),
        (ENTRIES, FACTORS, TypeError, r"got Factors .*: op.forward\(factors\) measures them"),
        (ENTRIES, Problem(ENTRIES, Y), TypeError, "got Problem: pass its .y"),
        (ENTRIES, "y.npy", TypeError, "got 'y.npy': read files with leanrank.io"),
        (ENTRIES, Y[:-1], ValueError, "one value for each of the 10 measurements, got 9"),
        (ENTRIES, Y.astype(str), TypeError, "real numbers, got dtype <U"),
        (ENTRIES, 3.0, ValueError, r"1 dimension\(s\), got shape \(\)"),
    ],
)
def test_what_is_no_measured_values(border, op, y, error, match):
    with pytest.raises(error, match=f"^y must .*{match}"):
        BORDERS[border](op, y)


def test_what_is_taken_besides_vectors_of_numpy():
    for y in (Y.tolist(), pd.Series(Y), Y.astype(np.int32), tuple(Y)):
        np.testing.assert_array_equal(Problem(ENTRIES, y).y, Y)
    whole = FACTORS.to_dense()
    for y in (whole, whole.tolist(), pd.DataFrame(whole), whole.ravel()):
        np.testing.assert_array_equal(Problem(FullObservation((4, 3)), y).y, whole.ravel())


def test_arrays_of_another_library_than_the_operators(convert):
    with pytest.raises(TypeError, match="y and the operator .* of one library.* to numpy"):
        recover(ENTRIES, convert(Y))
    with pytest.raises(TypeError, match=rf"^op must be .* of shape \(4, 3\): {COMPLETE}"):
        recover(convert(TABLE), Y)
    with pytest.raises(TypeError, match="of flags of shape"):
        recover(convert(MASK), convert(Y))


@pytest.mark.parametrize("function", [recover, Problem, check_certificate])
def test_what_is_missing_or_too_much(function):
    with pytest.raises(TypeError, match=rf"op must be .* of shape \(4, 3\): {COMPLETE}"):
        function(TABLE)
    with pytest.raises(TypeError, match="y is missing: pass the 10 measured values, too"):
        function(ENTRIES)
    with pytest.raises(TypeError, match="y is missing"):
        function(op=ENTRIES)
    with pytest.raises(TypeError, match=r"ObservedEntries\(rows, cols, shape\) measures"):
        function(ENTRIES.rows, ENTRIES.cols, Y, (4, 3), 5)
    with pytest.raises(TypeError, match="missing .* required positional argument"):
        function()
    with pytest.raises(TypeError, match="unexpected keyword argument 'ranks'"):
        function(ENTRIES, Y, ranks=3)
    with pytest.raises(TypeError, match="positional arguments"):
        function(ENTRIES, Y, FACTORS, 3, 4)
    required = [p.name for p in inspect.signature(function).parameters.values()]
    assert required[:2] == ["op", "y"]
    assert inspect.signature(function).parameters["y"].default is inspect.Parameter.empty


def test_other_arguments():
    problem = Problem(ENTRIES, Y)
    for bad in (GaussNewton, problem, "newton", None):
        with pytest.raises(TypeError, match="solver must be a Solver, such as GaussNewton"):
            solve(bad, problem, FACTORS)
    for bad in (ENTRIES, TABLE, FACTORS, (ENTRIES, Y)):
        with pytest.raises(TypeError, match=r"problem must be .*: make one with Problem\(op, y\)"):
            solve(GaussNewton(), bad, FACTORS)
    for bad in (GaussNewton, problem, 3):
        with pytest.raises(TypeError, match="solver must be a Solver, such as GaussNewton"):
            recover(ENTRIES, Y, solver=bad)
    for bad in (0.1, "ridge", lr.GroupLasso):
        with pytest.raises(TypeError, match="penalty must be a Penalty, such as GroupLasso"):
            Problem(ENTRIES, Y, bad)
    with pytest.raises(TypeError, match="symmetric must be True or False, got 'yes'"):
        recover(ENTRIES, Y, symmetric="yes")
    for bad in (3, ENTRIES, (ENTRIES,)):
        with pytest.raises(TypeError, match=r"held_out must be a pair \(op, y\), got"):
            check_certificate(ENTRIES, Y, FACTORS, held_out=bad)
    with pytest.raises(ValueError, match=r"held_out must measure matrices of shape \(4, 3\), got"):
        check_certificate(ENTRIES, Y, FACTORS, held_out=(FullObservation((3, 4)), np.ones(12)))


def test_what_is_no_factors():
    result = recover(*ObservedEntries.from_dense(np.outer(np.arange(1, 9.0), np.ones(7))))
    with pytest.raises(TypeError, match="factors must be Factors, got Result: pass its .factors"):
        check_certificate(ENTRIES, Y, result)
    for bad in (TABLE, (FACTORS.U, FACTORS.V), None):
        with pytest.raises(TypeError, match=r"factors must be .*wrap U and V as Factors\(U, V\)"):
            check_certificate(ENTRIES, Y, bad)
