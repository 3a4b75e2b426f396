"""What newcomers pass first: each mistake is named, with what to use instead."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from scipy import sparse

from leanrank import _checks
from leanrank._arrays import Array, array_namespace, is_array
from leanrank.factors import Factors
from leanrank.operators import FullObservation, Measurement, ObservedEntries

__all__ = [
    "check_operator",
    "check_penalty",
    "check_solver",
    "check_strategy",
    "explains_arguments",
    "measured_pair",
    "measured_values",
]

P = ParamSpec("P")
R = TypeVar("R")

_FROM_TABLE = (
    "LowRankImputer().fit_transform(table) completes a table whose gaps are NaN, and "
    "op, y = ObservedEntries.from_dense(table) makes both arguments of it"
)
_OPERATORS = "ObservedEntries(rows, cols, shape), DenseSensing(A) or another of leanrank.operators"


def explains_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of ``op, y, ...`` say what is wrong where they are not even a pair.

    The signature stays as it is. A call that Python would refuse anyway is refused with a remedy
    where ``op`` is no operator, or ``y`` is not there.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            given = dict(zip(signature.parameters, args, strict=False)) | kwargs
        else:
            given = {}
        if "op" in given:
            op = check_operator(given["op"], given.get("y"))
            if "y" not in given:
                raise TypeError(f"y is missing: pass the {op.size} measured values, too")
        return function(*args, **kwargs)

    return checked


def check_operator(op: Any, y: Any = None, name: str = "op") -> Measurement:
    """The operator, if that is what it is; otherwise an error that says how to make one of it."""
    if not isinstance(op, Measurement):
        raise TypeError(
            f"{name} must be a measurement operator, got {_described(op)}: {_operator_of(op, y)}"
        )
    return op


def _operator_of(op: Any, y: Any) -> str:
    """What makes an operator of something that is none."""
    if isinstance(y, Measurement):
        return "the operator comes first and the measured values second"
    if isinstance(op, type):
        return f"make one first, such as {_OPERATORS}"
    if hasattr(op, "op") and hasattr(op, "y"):
        return "pass its .op and .y"
    if isinstance(op, str | os.PathLike):
        return "read files with leanrank.io.read_problem or leanrank.io.read_matrix"
    if sparse.issparse(op):
        return "op, y = ObservedEntries.from_sparse(matrix) makes both arguments of stored entries"
    shape, flags, whole = _look(op)
    if len(shape) == 3:
        return "DenseSensing(A) measures inner products with matrices A[i]"
    if len(shape) == 2 and flags:
        return (
            "ObservedEntries(*np.nonzero(mask), mask.shape) measures where a mask is true, with "
            "y = table[mask]"
        )
    if whole and (len(shape) == 1 or (len(shape) == 2 and shape[0] == 2 and isinstance(op, tuple))):
        return "ObservedEntries(rows, cols, shape) measures the entries at these positions"
    if len(shape) == 2 and len(_look(y)[0]) == 1 and _look(y)[0][0] == shape[0]:
        return (
            "RankOneSensing(x) measures x_i^T X x_i with the rows of a matrix, and "
            f"QuadraticNetworkRegressor().fit(x, y) is a regression; for a table, {_FROM_TABLE}"
        )
    return _FROM_TABLE if len(shape) == 2 else f"make one, such as {_OPERATORS}"


def measured_values(op: Any, y: Any, name: str = "y") -> Array:
    """``y`` as a finite vector of floating-point numbers, one for each measurement of ``op``.

    The n1 x n2 matrix is taken, too, where it is observed in full.
    """
    check_operator(op, y)
    if instead := _values_of(op, y):
        raise TypeError(f"{name} must be the measured values, got {_described(y)}: {instead}")
    if _look(y)[0] == op.shape and op.weight == 1.0:
        y = y if is_array(y) else np.asarray(y)
        y = array_namespace(y).reshape(y, (-1,))
    elif instead := _vector_of(op, y):
        raise ValueError(f"{name} must have 1 dimension(s), got shape {_look(y)[0]}: {instead}")
    entries = isinstance(op, ObservedEntries | FullObservation)
    remedy = "; leave out what is missing, here and in op" + (f": {_FROM_TABLE}" if entries else "")
    y = _checks.real_array(y, name, ndim=1, remedy=remedy)
    if int(y.shape[0]) != op.size:
        raise ValueError(
            f"{name} must have one value for each of the {op.size} measurements, got {y.shape[0]}"
        )
    return y


def _values_of(op: Measurement, y: Any) -> str:
    """What gives measured values where ``y`` holds none."""
    if y is None or isinstance(y, Measurement | type):
        return f"pass the {op.size} numbers that were measured"
    if isinstance(y, Factors):
        return "op.forward(factors) measures them"
    if hasattr(y, "op") and hasattr(y, "y"):
        return "pass its .y"
    if isinstance(y, str | os.PathLike):
        return "read files with leanrank.io.read_problem or leanrank.io.read_matrix"
    if sparse.issparse(y):
        return "op, y = ObservedEntries.from_sparse(matrix) makes both of its stored entries"
    return ""


def _vector_of(op: Measurement, y: Any) -> str:
    """What makes the vector of values where ``y`` has two dimensions."""
    shape, flags, _ = _look(y)
    if len(shape) != 2:
        return ""
    if flags:
        return "a mask says where, not what: pass table[mask], in the order of the positions"
    if shape == op.shape and isinstance(op, ObservedEntries):
        table = "table.to_numpy()" if hasattr(y, "to_numpy") else "table"
        return (
            f"{table}[op.rows, op.cols] has the values at the operator's positions, or "
            "op, y = ObservedEntries.from_dense(table) makes both"
        )
    if shape == op.shape:
        return "a table is not what the operator measures: pass its m values"
    return "y.ravel() makes a vector of it" if op.size == shape[0] * shape[1] else ""


def measured_pair(pair: Any, name: str, shape: tuple[int, int]) -> tuple[Measurement, Array]:
    """A pair (op, y) of measurements of matrices of this shape."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} must be a pair (op, y), got {_described(pair)}")
    op, y = pair
    check_operator(op, y, f"{name}[0]")
    if op.shape != shape:
        raise ValueError(f"{name} must measure matrices of shape {shape}, got {op.shape}")
    return op, y


def check_penalty(penalty: Any) -> None:
    """Raise where a penalty is given that is none."""
    example = "a Penalty, such as GroupLasso(strength=0.1, smoothing=1e-3)"
    if penalty is not None:
        _check_part(penalty, "penalty", example, "value", "weights", "hvp", "scaled")


def check_strategy(strategy: Any) -> None:
    """Raise where something is given as a strategy that is none."""
    example = "a Strategy, such as leanrank.research.deep.RidgeLadder()"
    methods = ("check", "stages", "reconsidered", "other_stages", "remark")
    _check_part(strategy, "strategy", example, *methods)


def check_solver(solver: Any) -> Any:
    """A solver; raise where it is none."""
    if hasattr(solver, "stages") or isinstance(solver, str):
        raise TypeError(
            f"solver must be a Solver, such as GaussNewton(), got {solver!r}; how factors are "
            "proposed is the strategy, such as strategy=leanrank.research.deep.RidgeLadder()"
        )
    _check_part(solver, "solver", "a Solver, such as GaussNewton()", "init", "step")
    return solver


def _check_part(x: Any, name: str, example: str, *methods: str) -> None:
    complete = all(callable(getattr(x, method, None)) for method in methods)
    if isinstance(x, type) or not complete:
        raise TypeError(f"{name} must be {example}, got {_described(x)}")


def _look(x: Any) -> tuple[tuple[int, ...], bool, bool]:
    """Shape of something like an array, and whether it is of flags or of whole numbers."""
    if isinstance(x, list | tuple):
        try:
            x = np.asarray(x)
        except ValueError:
            return (), False, False
    if hasattr(x, "dtypes") and hasattr(x, "columns"):  # a DataFrame
        kinds = {str(dtype) for dtype in x.dtypes}
    else:
        kinds = {str(getattr(x, "dtype", "")).rpartition(".")[2]}
    shape = tuple(getattr(x, "shape", ()))
    whole = all(kind.lower().startswith(("int", "uint")) for kind in kinds)
    return shape, kinds <= {"bool", "boolean"}, whole


def _described(x: Any) -> str:
    """The kind of something, with its shape if it has one."""
    if x is None:
        return "None"
    if isinstance(x, type):
        return f"the class {x.__name__} itself"
    shape, flags, _ = _look(x)
    kind = type(x).__name__ + (" of flags" if shape and flags else "")
    if shape:
        return f"{kind} of shape {shape}"
    return f"{x!r:.60}" if isinstance(x, str) else kind
