"""complete(): a table in, the same table out, with its gaps filled."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy import sparse

from leanrank._warn import warn_caller
from leanrank.estimators._arguments import RecoveryWarning
from leanrank.estimators._imputer import LowRankImputer
from leanrank.estimators._tables import checked_gap

__all__ = ["complete"]


def complete(table: Any, **options: Any) -> Any:
    """Fill the gaps of a table, with nothing to tune.

    Parameters
    ----------
    table : array-like, pandas or polars DataFrame, or SciPy sparse matrix
        Rows are samples. Gaps are NaN, in DataFrames also None, NA, null, and numbers that are
        ``missing_values``; of a sparse matrix stored NaN are, and what is not stored is zero.
    **options
        Of :class:`LowRankImputer`: ``min_value=0``, ``keep_integers=True`` and so on.

    Returns
    -------
    array, DataFrame or sparse matrix
        Of the type that came in, completed, with its index, the order of its columns, and the
        dtypes of columns that had no gaps. Columns with gaps keep a floating-point dtype; those
        whose dtype is integer or boolean are rounded to it. Columns that are not numbers, or have
        no entry at all, stay as they are; so does what came in.

    Raises
    ------
    ValueError, TypeError
        As in :meth:`LowRankImputer.fit`, and if no column holds numbers.

    Warns
    -----
    RecoveryWarning
        Where missing entries are not predicted better than by column means, and of columns that
        stay with their gaps; unless ``on_failure="ignore"``.

    See Also
    --------
    LowRankImputer : The same with all there is to know of it: status, intervals, draws.

    Examples
    --------
    >>> import numpy as np
    >>> full = np.outer(np.arange(1.0, 9.0), [1.0, 2.0, 3.0, 4.0, 5.0])
    >>> gaps = full.copy()
    >>> gaps[[0, 3, 5], [1, 4, 2]] = np.nan
    >>> bool(np.allclose(complete(gaps), full))
    True
    """
    if _is_frame(table, "pandas"):
        return _of_pandas(table, options)
    if _is_frame(table, "polars"):
        return _of_polars(table, options)
    if sparse.issparse(table):
        dense = table.toarray()
        return type(table)(sparse.csr_array(_of_array(dense, options)))
    return _of_array(np.asarray(table), options)


def _is_frame(table: Any, library: str) -> bool:
    """Whether it is a DataFrame of a library, which is loaded then."""
    module = sys.modules.get(library)
    return module is not None and isinstance(table, module.DataFrame)


def _of_array(table: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """An array; columns without entries keep their gaps."""
    gap = checked_gap(options.get("missing_values", np.nan))
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        return np.asarray(LowRankImputer(**options).fit_transform(table))
    seen = ~(np.isnan(table) if np.isnan(gap) else table == gap).all(axis=0)
    if seen.all() or not seen.any():
        return np.asarray(LowRankImputer(**options).fit_transform(table))
    _note([str(j) for j in np.flatnonzero(~seen)], "have no entry", options)
    completed = LowRankImputer(**_of_columns(options, seen)).fit_transform(table[:, seen])
    out = table.astype(completed.dtype)
    out[:, seen] = completed
    return out


def _of_pandas(table: Any, options: dict[str, Any]) -> Any:
    gap, options = _taken_gap(options)
    kinds = [getattr(kind, "kind", "O") for kind in table.dtypes]
    missing = [
        _missing(table.iloc[:, j], gap if kind in "fiu" else np.nan) for j, kind in enumerate(kinds)
    ]
    numbers = [j for j, kind in enumerate(kinds) if kind in "fiub" and not missing[j].all()]
    gaps = [j for j, flags in enumerate(missing) if flags.any()]
    _note(
        [str(table.columns[j]) for j in gaps if j not in numbers],
        "are not numbers or have no entry",
        options,
    )
    if not numbers:
        raise ValueError("table has no column of numbers with an entry: there is nothing to fill")
    values = np.column_stack(
        [table.iloc[:, j].to_numpy(dtype=float, na_value=np.nan) for j in numbers]
    )
    values[np.column_stack([missing[j] for j in numbers])] = np.nan
    completed = _filled(values, options, table.shape[1], numbers)
    columns = [table.iloc[:, j] for j in range(table.shape[1])]
    for at, j in enumerate(numbers):
        if j in gaps:
            new, kind = completed[:, at], columns[j].dtype
            new = _rounded(new, kind.kind)
            columns[j] = type(columns[j])(new, index=table.index, name=table.columns[j])
            columns[j] = columns[j].astype(kind)
    out = table.copy()
    for j in gaps:
        if j in numbers:
            out.isetitem(j, columns[j])
    return out


def _of_polars(table: Any, options: dict[str, Any]) -> Any:
    polars = sys.modules["polars"]
    gap, options = _taken_gap(options)
    names = table.columns
    missing = [_gaps_of(table[name], gap) for name in names]
    gaps = [j for j, flags in enumerate(missing) if flags.any()]
    numbers = [
        j
        for j, name in enumerate(names)
        if (table[name].dtype.is_numeric() or table[name].dtype == polars.Boolean)
        and not missing[j].all()
    ]
    _note([names[j] for j in gaps if j not in numbers], "are not numbers or have no entry", options)
    if not numbers:
        raise ValueError("table has no column of numbers with an entry: there is nothing to fill")
    values = np.column_stack(
        [table[names[j]].cast(polars.Float64).fill_null(np.nan).to_numpy() for j in numbers]
    )
    values[np.column_stack([missing[j] for j in numbers])] = np.nan
    completed = _filled(values, options, len(names), numbers)
    new = []
    for at, j in enumerate(numbers):
        kind = table[names[j]].dtype
        if j in gaps:
            whole = "b" if kind == polars.Boolean else "i" if kind.is_integer() else "f"
            column = polars.Series(names[j], _rounded(completed[:, at], whole))
            new.append(column.cast(kind))
    return table.with_columns(new)


def _taken_gap(options: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """What marks a gap beside NaN, and the options without it."""
    options = dict(options)
    return checked_gap(options.pop("missing_values", np.nan)), options


def _missing(column: Any, gap: float) -> np.ndarray:
    """Flags of NaN, None and NA, and of a number that marks gaps, in a pandas column."""
    found = np.asarray(column.isna())
    if not np.isnan(gap):
        found = found | np.asarray((column == gap).fillna(False), dtype=bool)
    return found


def _gaps_of(column: Any, gap: float) -> np.ndarray:
    """Flags of null, of NaN where there may be any, and of a gap's number, in a polars column."""
    found = column.is_null()
    if column.dtype.is_float():
        found = found | column.is_nan().fill_null(True)
    if column.dtype.is_numeric() and not np.isnan(gap):
        found = found | (column == gap).fill_null(True)
    return np.asarray(found.to_numpy())


def _filled(values: np.ndarray, options: dict[str, Any], p: int, numbers: list[int]) -> np.ndarray:
    seen = np.isin(np.arange(p), numbers)
    return np.asarray(LowRankImputer(**_of_columns(options, seen)).fit_transform(values))


def _of_columns(options: dict[str, Any], seen: np.ndarray) -> dict[str, Any]:
    """The options, with bounds of each column those of the columns that are flagged."""
    options = dict(options)
    for name in ("min_value", "max_value"):
        bound = np.asarray(options.get(name))
        if bound.ndim == 1 and bound.size == seen.size:
            options[name] = bound[seen]
    return options


def _rounded(values: np.ndarray, kind: str) -> np.ndarray:
    """Values that fit a column of integers (i, u), booleans (b) or floats."""
    if kind == "b":
        return np.asarray(values > 0.5)
    if kind in "iu":
        least = 0 if kind == "u" else -np.inf
        return np.maximum(np.round(values), least).astype(np.int64)
    return values


def _note(names: list[str], why: str, options: dict[str, Any]) -> None:
    """Say which columns stay as they are, gaps and all."""
    if names and options.get("on_failure", "warn") == "warn":
        told = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warn_caller(
            f"{len(names)} column(s) {why} and stay with their gaps: {told}", RecoveryWarning
        )
