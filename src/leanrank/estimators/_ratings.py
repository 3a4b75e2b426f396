"""Ratings as they come in: from arrays, pairs, frames and sparse matrices to sorted entries."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from scipy import sparse

from leanrank._compile import compiled
from leanrank._labels import Labels, labelled, united
from leanrank.estimators._arguments import UnknownLabelWarning, row_weights
from leanrank.io import Ratings as ListedRatings
from leanrank.io import read_ratings
from leanrank.operators import ObservedEntries
from leanrank.posterior import Entries

__all__ = ["Ratings", "checked_ratings", "looked_up", "pairs", "ratings_given"]


@dataclass(frozen=True)
class Ratings:
    """Ratings in any order.

    Attributes
    ----------
    users, items : Labels
    rows, cols : ndarray of int32, shape (m,)
        Codes of users and items.
    values : ndarray, shape (m,)
    weights : ndarray, shape (m,), or None
    """

    users: Labels
    items: Labels
    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, users: Any, items: Any, ratings: Any, sample_weight: Any = None) -> Ratings:
        """From columns of one length.

        Raises
        ------
        ValueError, TypeError
            If there is nothing in them, lengths differ, ratings are not finite, or labels cannot
            be right.
        """
        values = checked_ratings(ratings)
        weights = None
        if sample_weight is not None:
            weights = row_weights(sample_weight, values.size)
            kept = weights > 0
            if not kept.all():  # as good as missing
                users, items = (np.asarray(column)[kept] for column in (users, items))
                values, weights = values[kept], weights[kept]
        (of_users, rows), (of_items, cols) = labelled(users, "users"), labelled(items, "items")
        for codes, name in ((rows, "users"), (cols, "items")):
            if codes.size != values.size:
                raise ValueError(
                    f"{name} must be as many as ratings, {values.size}, got {codes.size}"
                )
        return cls(of_users, of_items, rows, cols, values, weights)

    @classmethod
    def of_entries(cls, users: Labels, items: Labels, entries: Entries) -> Ratings:
        """What entries were made of."""
        weights = entries.weights if entries.weights.size else None
        return cls(users, items, entries.rows, entries.cols, entries.y, weights)

    def weighted(self, factor: float) -> Ratings:
        """The same, weights times a factor."""
        return self if self.weights is None else replace(self, weights=factor * self.weights)

    def scaled(self, factor: float) -> Ratings:
        """The same, ratings times a factor."""
        return replace(self, values=factor * self.values)

    def typical_size(self) -> float:
        """A power of two near the largest rating, so that dividing by it costs no digit."""
        largest = float(np.max(np.abs(self.values)))
        return 2.0 ** float(np.clip(np.frexp(largest)[1], -1000, 1000)) if largest > 0 else 1.0

    def joined(self, other: Ratings) -> tuple[Ratings, np.ndarray, np.ndarray]:
        """These and others, and the places of the users and items of these among those of both."""
        users, of_users, new_users = united(self.users, other.users, "users")
        items, of_items, new_items = united(self.items, other.items, "items")
        weights = None
        if self.weights is not None or other.weights is not None:
            parts = [
                np.ones(r.rows.size) if r.weights is None else r.weights for r in (self, other)
            ]
            weights = np.concatenate(parts)
        both = Ratings(
            users,
            items,
            np.concatenate([of_users[self.rows], new_users[other.rows]]),
            np.concatenate([of_items[self.cols], new_items[other.cols]]),
            np.concatenate([self.values, other.values]),
            weights,
        )
        return both, of_users, of_items

    def entries(self, duplicates: str) -> Entries:
        """Row after row, and column after column in each: the same whatever the order was.

        Parameters
        ----------
        duplicates : {"mean", "error"}
            Ratings of one item by one user are averaged, and weigh as many as they are.

        Raises
        ------
        ValueError
            If there are any, and they are to be an error.
        """
        shape = self.users.size, self.items.size
        order = _order(self.rows, self.cols, shape)
        rows, cols, y = self.rows[order], self.cols[order], self.values[order]
        weights = np.empty(0) if self.weights is None else self.weights[order]
        again = np.flatnonzero((rows[1:] == rows[:-1]) & (cols[1:] == cols[:-1])) + 1
        if again.size and duplicates == "error":
            at = int(again[0])
            user, item = self.users.values[rows[at]], self.items.values[cols[at]]
            raise ValueError(
                f"ratings of one item by one user must not be several, got {again.size} that are "
                f"not the first, such as of {item} by {user}: leave them out, or say "
                'duplicates="mean"'
            )
        if again.size:
            first = np.delete(np.arange(rows.size), again)
            w = weights if weights.size else np.ones(rows.size)
            weights = np.add.reduceat(w, first)
            y = (np.add.reduceat(w * y, first) / weights).astype(y.dtype)
            rows, cols = rows[first], cols[first]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
        return Entries(indptr, cols, y, weights, shape)


def ratings_given(
    users: Any, items: Any, ratings: Any, sample_weight: Any, columns: Any
) -> tuple[Ratings, tuple[str, ...]]:
    """Ratings from whatever ``fit`` was given, and notes on how they were read.

    Three columns; pairs and ratings, as X and y of scikit-learn; a sparse matrix; or a frame or a
    file, with the names of columns.
    """
    if columns is not None and items is not None:
        raise TypeError(
            "columns names those of a frame or file: leave it out where items are given"
        )
    if ratings is not None:
        return Ratings.of(users, items, ratings, sample_weight), ()
    if items is not None:
        return Ratings.of(*pairs(users, None), items, sample_weight), ()
    if sparse.issparse(users):
        op, values = ObservedEntries.from_sparse(users)
        return Ratings.of(op.rows, op.cols, values, sample_weight), ()
    if not isinstance(users, str | PathLike | ListedRatings) and names_of(users) is None:
        raise TypeError(
            "fit takes users, items and ratings; pairs and ratings; a frame; a path; or a SciPy "
            f"sparse matrix; got {type(users).__name__}"
        )
    if sample_weight is not None:
        raise TypeError("sample_weight of a frame or file is a fourth name in columns")
    return _read(users, columns)


def _read(source: Any, columns: Any) -> tuple[Ratings, tuple[str, ...]]:
    """From a frame or a file."""
    if columns is not None and (isinstance(columns, str) or len(columns) not in (3, 4)):
        raise ValueError(
            f"columns must name users, items and ratings, and perhaps weights, got {columns!r}"
        )
    if isinstance(source, ListedRatings):
        found = source
    else:
        chosen, weight = (columns[:3], columns[3:]) if columns else (None, ())
        found = read_ratings(source, chosen, *weight)
    of_users, of_items = (
        Labels(labels, "str" if labels.dtype == object else "number")
        for labels in (found.row_labels, found.col_labels)
    )
    values = checked_ratings(found.values)
    left = f"; not used: {_listed(found.ignored)}" if found.ignored else ""
    notes = (f"columns: {_listed(found.names)}{left}", *found.notes)
    return Ratings(of_users, of_items, found.rows, found.cols, values, found.weights), notes


def pairs(users: Any, items: Any) -> tuple[Any, Any]:
    """Users and items from two columns, or from the two columns of one table."""
    if items is not None:
        return users, items
    names = names_of(users)
    if names is not None:
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
        warnings.warn(
            f"fit has not seen {' and '.join(told)}: they count as typical ones",
            UnknownLabelWarning,
            stacklevel=4,
        )
    return found


def names_of(frame: Any) -> list[Any] | None:
    """Names of the columns of a frame of pandas, polars or pyarrow; None of anything else."""
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    return None if names is None or callable(names) else list(names)


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")


def checked_ratings(ratings: Any) -> np.ndarray:
    """Finite real numbers, at least one."""
    values = np.asarray(ratings)
    if values.dtype.kind == "O":
        values = _of_objects(values)
    if values.dtype.kind not in "fiub" or values.ndim != 1:
        raise TypeError(
            f"ratings must be a vector of real numbers, got {values.dtype} of shape {values.shape}"
        )
    if not values.size:
        raise ValueError("ratings are empty: there is nothing to learn from")
    values = values.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"ratings must be finite, got {bad.size} NaN or infinite one(s), the first, "
            f"{values[bad[0]]}, at {bad[0]}: leave them out"
        )
    return values


def _of_objects(values: np.ndarray) -> np.ndarray:
    """Numbers from objects, NaN for what is missing; as it came where there is something else."""
    kinds = set(map(type, values.ravel()))
    if any(not issubclass(k, int | float | np.number) and k.__name__ not in _NONE for k in kinds):
        return values
    none = [type(x).__name__ in _NONE for x in values]
    return np.where(none, np.nan, values).astype(np.float64)


_NONE = ("NoneType", "NAType")


def _order(rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Places of entries by row and, in each, by column; two sorts that count, each in one pass."""
    by_column, by_row = (np.empty(rows.size, np.int32) for _ in range(2))
    _sort(cols, np.arange(rows.size, dtype=np.int32), np.zeros(shape[1] + 1, np.int64), by_column)
    _sort(rows, by_column, np.zeros(shape[0] + 1, np.int64), by_row)
    return by_row


@compiled(fastmath=False)
def _sort(keys, order, start, out):  # type: ignore[no-untyped-def]
    """Sort places by key; those of equal keys stay as they are. ``start`` is room for counts."""
    for e in range(keys.size):
        start[keys[e] + 1] += 1
    for k in range(1, start.size):
        start[k] += start[k - 1]
    for e in range(order.size):
        key = keys[order[e]]
        out[start[key]] = order[e]
        start[key] += 1
