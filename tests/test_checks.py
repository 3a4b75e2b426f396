"""Checks at the border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from leanrank import _checks


@pytest.mark.parametrize(
    "bad",
    [
        [1.0, np.nan],
        [1.0, np.inf],
        [np.inf, -np.inf],
        np.array([np.nan], dtype=np.float32),
        np.ma.masked_array([1.0, 2.0], mask=[False, True]),
        [[1.0]],
        1.0,
    ],
)
def test_real_array_refuses_values(bad):
    with pytest.raises(ValueError, match="^data "):
        _checks.real_array(bad, "data", ndim=1)


@pytest.mark.parametrize("bad", [[1j], ["1"], [None], np.array([1], dtype="M8[s]"), [{}]])
def test_real_array_refuses_types(bad):
    with pytest.raises(TypeError, match="^data must be real"):
        _checks.real_array(bad, "data", ndim=1)


def test_real_array_refuses_complex_of_other_libraries(convert):
    with pytest.raises(TypeError, match="real"):
        _checks.real_array(convert(np.array([1j])), "data", ndim=1)


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.array([1, 2]), np.float64),
        (np.array([True, False]), np.float64),
        (np.array([1, 2], dtype=np.float16), np.float32),
        (np.array([1, 2], dtype=np.float32), np.float32),
        (np.array([1, 2], dtype=np.longdouble), np.float64),
        (np.array([1, 2], dtype=">f8"), np.float64),
        (np.arange(4.0)[::2], np.float64),
        (np.ma.masked_array([1.0, 2.0]), np.float64),
        ([1, 2], np.float64),
    ],
)
def test_real_array_converts(given, dtype):
    x = _checks.real_array(given, "data", ndim=1)
    assert type(x) is np.ndarray
    assert x.dtype == dtype
    assert x.flags.c_contiguous
    np.testing.assert_array_equal(x, np.asarray(given))


def test_real_array_takes_huge_values_and_read_only_ones():
    huge = np.full(3, 1.7e308)
    huge.flags.writeable = False
    assert _checks.real_array(huge, "data", ndim=1) is huge


def test_real_array_keeps_the_library(convert):
    x = convert(np.array([1, 2]))
    y = _checks.real_array(x, "data", ndim=1)
    assert type(y) is type(x)
    assert float(y[1]) == 2.0


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_real_number_refuses_values(bad):
    with pytest.raises(ValueError, match="^share must be finite and at least 0 and at most 1"):
        _checks.real_number(bad, "share", least=0.0, most=1.0)


def test_real_number():
    with pytest.raises(ValueError, match="above 0, got 0"):
        _checks.real_number(0, "share", above=0.0)
    for bad in (True, "1", None, 1j, np.ones(1)):
        with pytest.raises(TypeError, match="share must be a number"):
            _checks.real_number(bad, "share")
    assert type(_checks.real_number(np.float32(0.5), "share")) is float


def test_float_fields():
    @dataclass(frozen=True)
    class Step:
        size: float
        radius: float | None = None

    step = Step(np.float64(0.5), np.float32(2.0))
    _checks.float_fields(step, "size", "radius", above=0.0)
    assert (type(step.size), type(step.radius)) == (float, float)
    _checks.float_fields(Step(1), "size", "radius", above=0.0)
    for bad in (Step(None), Step("1")):
        with pytest.raises(TypeError, match="size must be a number"):
            _checks.float_fields(bad, "size", "radius")
    with pytest.raises(ValueError, match="radius must be finite and above 0"):
        _checks.float_fields(Step(1.0, 0.0), "size", "radius", above=0.0)


def test_whole_number():
    assert type(_checks.whole_number(np.int64(3), "k")) is int
    for bad in (True, 1.0, "1", None):
        with pytest.raises(TypeError, match="k must be an integer"):
            _checks.whole_number(bad, "k")
    for bad in (-1, 6):
        with pytest.raises(ValueError, match=f"at least 0 and at most 5, got {bad}"):
            _checks.whole_number(bad, "k", most=5)


@pytest.mark.parametrize("bad", [3, (1, 2, 3), None, (0, 2), (2, -1)])
def test_matrix_shape_refuses(bad):
    with pytest.raises(ValueError, match="shape"):
        _checks.matrix_shape(bad, "shape")


def test_positions():
    given = np.array([0, 2], dtype=np.uint8)
    taken = _checks.positions(given, "rows", 3)
    assert taken.dtype == np.int64
    taken[0] = 1
    assert given[0] == 0
    for bad in ([3], [-1], [2**63 + 1], [[1]]):
        with pytest.raises(ValueError, match="^rows must"):
            _checks.positions(bad, "rows", 3)
    for bad in ([1.0], [True], ["1"]):
        with pytest.raises(TypeError, match="rows must be integers"):
            _checks.positions(bad, "rows", 3)


def test_float_dtype():
    assert _checks.float_dtype("float32") == np.float32
    for bad in (int, "float16", complex, np.longdouble, "foo", 3):
        with pytest.raises(TypeError, match="float32 or float64"):
            _checks.float_dtype(bad)


def test_flag_and_functions():
    assert _checks.flag(np.True_, "center") is True
    for bad in ("no", 1, None):
        with pytest.raises(TypeError, match="center must be True or False"):
            _checks.flag(bad, "center")
    assert _checks.functions(iter([len]), "callbacks") == (len,)
    with pytest.raises(TypeError, match="callbacks must be a list of functions, got one"):
        _checks.functions(len, "callbacks")
    with pytest.raises(TypeError, match=r"callbacks\[1\] must be a function, got 3"):
        _checks.functions([len, 3], "callbacks")


def test_reference(convert):
    x = convert(np.zeros(1))
    assert _checks.reference(x) is x
    assert _checks.reference(None).dtype == np.float64
    with pytest.raises(TypeError, match="reference must be an array, got 'float32'"):
        _checks.reference("float32")


def test_generator():
    first, second = (_checks.generator(np.int64(3)).random() for _ in range(2))
    assert first == second
    rng = np.random.default_rng(0)
    assert _checks.generator(rng) is rng
    state = np.random.RandomState(1)
    assert _checks.generator(state).random() != _checks.generator(state).random()
    for bad in ("0", 1.5, True):
        with pytest.raises(TypeError, match="random_state"):
            _checks.generator(bad)
    with pytest.raises(ValueError, match="random_state must be at least 0, got -1"):
        _checks.generator(-1)
