"""What ``fit`` and ``predict`` are given: columns, pairs, frames, files and sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from scipy import sparse

from leanrank._labels import Labels
from leanrank._warn import warn_caller
from leanrank.estimators._arguments import UnknownLabelWarning
from leanrank.estimators._ranking import NAMES, names_for
from leanrank.estimators._ratings import LabelledRatings, checked_ratings
from leanrank.io import Ratings, StoredEntries, read_ratings
from leanrank.operators import ObservedEntries

__all__ = [
    "check_alone", "checked_columns", "is_dask", "looked_up", "notes_of", "pairs", "ratings_given"
]  # fmt: skip


def ratings_given(
    users: Any, items: Any, ratings: Any, sample_weight: Any, columns: Any
) -> tuple[LabelledRatings, tuple[str, ...], tuple[str, str]]:
    """Ratings from whatever ``fit`` was given, notes on how they were read, and names of columns.

    Three columns; pairs and ratings, as X and y of scikit-learn; a sparse matrix; or a frame or a
    file, with the names of columns.
    """
    if columns is not None and items is not None:
        raise TypeError(
            "columns names those of a frame or file: leave it out where items are given"
        )
    if ratings is not None:
        return LabelledRatings.of(users, items, ratings, sample_weight), (), NAMES
    if items is not None:
        names = names_for(_names(users) or ())
        return LabelledRatings.of(*pairs(users, None), items, sample_weight), (), names
    if sparse.issparse(users):
        op, values = ObservedEntries.from_sparse(users)
        return LabelledRatings.of(op.rows, op.cols, values, sample_weight), (), NAMES
    if not isinstance(users, str | PathLike | Ratings) and _names(users) is None:
        raise TypeError(
            "fit takes users, items and ratings; pairs and ratings; a frame; a path; or a SciPy "
            f"sparse matrix; got {type(users).__name__}"
        )
    check_alone(users, items, ratings, sample_weight, columns)
    return _read(users, columns)


def check_alone(source: Any, items: Any, ratings: Any, sample_weight: Any, columns: Any) -> None:
    """Raise where more is given beside a frame, a file, or what was made of one."""
    if items is not None or ratings is not None:
        raise TypeError("items and ratings are columns of a frame or file: leave them out")
    if sample_weight is not None:
        raise TypeError("sample_weight of a frame or file is a fourth name in columns")
    if columns is not None and isinstance(source, Ratings | StoredEntries):
        raise TypeError(
            f"columns names those of a frame or file, and {type(source).__name__} has been read: "
            "leave it out"
        )


def _read(source: Any, columns: Any) -> tuple[LabelledRatings, tuple[str, ...], tuple[str, str]]:
    """From a frame or a file."""
    chosen, found = checked_columns(columns), source
    if not isinstance(source, Ratings):
        found = read_ratings(source, *chosen)
    users, items = Labels.of(found.row_labels), Labels.of(found.col_labels)
    columns = (found.rows, found.cols, checked_ratings(found.values), found.weights)
    return LabelledRatings(users, items, *columns), notes_of(found), names_for(found.names)


def is_dask(source: object) -> bool:
    """Whether something is a collection of Dask's."""
    return hasattr(source, "__dask_graph__") and hasattr(source, "to_delayed")


def checked_columns(columns: Any) -> tuple[Any, ...]:
    """Names of users, items and ratings, and that of weights, if any; None where they are open."""
    if columns is None:
        return (None,)
    if isinstance(columns, str) or len(columns) not in (3, 4):
        raise ValueError(
            f"columns must name users, items and ratings, and perhaps weights, got {columns!r}"
        )
    return (columns[:3], *columns[3:])


def notes_of(found: Any) -> tuple[str, ...]:
    """What one should know of how a list was read."""
    left = f"; not used: {_listed(found.ignored)}" if found.ignored else ""
    return (f"columns: {_listed(found.names)}{left}", *found.notes)


def pairs(users: Any, items: Any, named: Sequence[str] = ()) -> tuple[Any, Any]:
    """Users and items from two columns, or from the two columns of one table.

    Of a frame those that are ``named``, where they are there.
    """
    if items is not None:
        return users, items
    names = _names(users)
    if names is not None:
        if named and set(named) <= set(names):
            return users[named[0]], users[named[1]]
        if len(names) != 2:
            raise ValueError(
                "users must be a frame of two columns, users and items, where items are left out; "
                f"got {len(names)}: {_listed(names)}"
            )
        return users[names[0]], users[names[1]]
    if isinstance(users, list | tuple):
        if not all(
            isinstance(pair, list | tuple | np.ndarray) and len(pair) == 2 for pair in users
        ):
            raise ValueError(
                "users must be pairs of a user and an item where items are left out, got "
                f"{users!r:.60}"
            )
        return [pair[0] for pair in users], [pair[1] for pair in users]
    table = np.asarray(users)
    if table.ndim != 2 or table.shape[1] != 2:
        raise ValueError(
            "users must have two columns, users and items, where items are left out; got "
            f"{type(users).__name__} of shape {table.shape}"
        )
    return table[:, 0], table[:, 1]


def looked_up(*columns: tuple[Labels, Any, str]) -> list[np.ndarray]:
    """Codes of columns of labels, each with those that are known and the argument's name.

    Warns
    -----
    UnknownLabelWarning
        Once, if any are not known; their codes are -1.
    """
    found, told = [], []
    for labels, column, name in columns:
        codes = labels.codes(column, name)
        unknown = np.flatnonzero(codes < 0)
        if unknown.size:
            label = column[unknown[0]] if isinstance(column, list | tuple) else None
            first = np.asarray(column)[unknown[0]] if label is None else label
            told.append(f"{unknown.size} of the {codes.size} {name}, the first {first!s:.40}")
        found.append(codes)
    if told:
        warn_caller(
            f"fit has not seen {' and '.join(told)}: they count as typical ones",
            UnknownLabelWarning,
        )
    return found


def _names(frame: Any) -> list[Any] | None:
    """Names of the columns of a frame of pandas, polars or pyarrow; None of anything else."""
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    return None if names is None or callable(names) else list(names)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
