"""Labels to codes and back."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank import _labels
from leanrank._labels import labelled

NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), min_size=1)
WORDS = st.lists(st.text(max_size=3), min_size=1)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.text(max_size=1)), min_size=1)


@given(NUMBERS | WORDS | PAIRS)
def test_values_at_codes_are_what_came(column):
    labels, codes = labelled(column, "users")
    assert labels.values[codes].tolist() == column
    assert labels.values.tolist() == sorted(set(column))
    assert labels.codes(column, "users").tolist() == codes.tolist()


@pytest.mark.parametrize("spread", [1, 2**40])
def test_many_numbers_as_numpy_finds_them(rng, spread):
    # More than the first table holds, so that it has to grow.
    column = spread * rng.integers(-100_000, 100_000, 300_000)
    labels, codes = labelled(column, "users")
    values, inverse = np.unique(column, return_inverse=True)
    np.testing.assert_array_equal(labels.values, values)
    np.testing.assert_array_equal(codes, inverse)
    asked = spread * np.arange(-100_010, 100_010)
    expected = np.where(np.isin(asked, values), np.searchsorted(values, asked), -1)
    np.testing.assert_array_equal(labels.codes(asked, "users"), expected)


def test_keys_that_share_a_slot_are_told_apart(monkeypatch):
    monkeypatch.setattr(_labels, "_FIRST_BITS", 2)
    column = np.arange(5000)[::-1] * 2**44
    labels, codes = labelled(column, "users")
    np.testing.assert_array_equal(labels.values[codes], column)
    assert labels.codes([2**44 + 1, 2**44], "users").tolist() == [-1, 1]


@pytest.mark.parametrize(
    "column",
    [
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        pd.Series(["b", "a", "b"]),
        pd.Series(["b", "a", "b"], dtype="category"),
        ("b", "a", "b"),
    ],
    ids=["fixed width", "objects", "pandas", "category", "tuple"],
)
def test_strings_of_every_kind_are_the_same(column):
    labels, codes = labelled(column, "users")
    assert (labels.values.tolist(), codes.tolist()) == (["a", "b"], [1, 0, 1])
    assert labels.codes(np.array(["b", "c"]), "users").tolist() == [1, -1]


@pytest.mark.parametrize(
    "column",
    [
        np.array([3, 1, 3], np.uint8),
        np.array([3.0, 1.0, 3.0], np.float32),
        np.array([3, 1, 3], object),
        [np.int16(3), 1, np.int64(3)],
        pd.Series([3, 1, 3], dtype="Int64"),
    ],
)
def test_whole_numbers_of_every_kind_are_the_same(column):
    labels, codes = labelled(column, "users")
    assert labels.values.dtype == np.int64
    assert (labels.values.tolist(), codes.tolist()) == ([1, 3], [1, 0, 1])
    assert labels.codes([1.0, 2.5, 3.0], "users").tolist() == [0, -1, 1]
    assert labels.codes(np.array([2**63 + 1], np.uint64), "users").tolist() == [-1]


def test_numbers_beyond_64_bits_and_fractions():
    labels, codes = labelled([2**70, 1, 2**70], "users")
    assert (labels.values.tolist(), codes.tolist()) == ([1, 2**70], [1, 0, 1])
    labels, codes = labelled([0.5, 2.0], "users")
    assert labels.codes([2, 1], "users").tolist() == [1, -1]


@pytest.mark.parametrize(
    "column",
    [
        [uuid.UUID(int=3), uuid.UUID(int=1)],
        [dt.date(2020, 1, 2), dt.date(2020, 1, 1)],
        np.array(["2020-01-02", "2020-01-01"], "datetime64[D]"),
        [b"b", b"a"],
    ],
    ids=["uuid", "date", "datetime64", "bytes"],
)
def test_other_types_are_sorted(column):
    labels, codes = labelled(column, "users")
    assert codes.tolist() == [1, 0]
    assert labels.values[codes].tolist() == list(column)


def test_labels_without_an_order_come_as_they_first_did():
    column = [frozenset("b"), frozenset("a"), frozenset("b")]
    labels, codes = labelled([(x, i) for i, x in enumerate(column)], "users")
    assert codes.tolist() == [0, 1, 2]
    assert labels.kind == "tuple"
    complex_labels, codes = labelled([2j, 1j, 2j], "users")
    assert complex_labels.values.tolist() == [2j, 1j]
    assert codes.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("column", "error", "words"),
    [
        (["1", 1], TypeError, r"of one type, got '1' \(str\) at 0 and 1 \(int\) at 1"),
        ([(1, 2), "a"], TypeError, r"got \(1, 2\) \(tuple\) at 0 and 'a' \(str\) at 1"),
        (["a", None], ValueError, "1 missing one.*the first at 1"),
        ([1.0, np.nan], ValueError, "the first at 1"),
        (pd.Series([1, None], dtype="Int64"), ValueError, "the first at 1"),
        (np.array(["2020-01-01", "NaT"], "datetime64[D]"), ValueError, "the first at 1"),
        ([[1], [2]], TypeError, "can be hashed, got list"),
        (np.zeros((2, 2)), ValueError, r"vector of labels, got shape \(2, 2\)"),
        ("alice", ValueError, "got 'alice'; put a single one in"),
        (np.ma.masked_equal([1, 2], 2), ValueError, "masked"),
    ],
)
def test_refuses(column, error, words):
    with pytest.raises(error, match=f"users.*{words}"):
        labelled(column, "users")


def test_labels_of_another_type_are_refused_where_they_are_looked_up():
    labels, _ = labelled([1, 2], "users")
    with pytest.raises(TypeError, match="asked must be labels of the same type.*number, got str"):
        labels.codes(["1"], "asked")
    assert labels.codes([], "asked").size == 0


def test_empty():
    labels, codes = labelled([], "users")
    assert labels.size == codes.size == 0
