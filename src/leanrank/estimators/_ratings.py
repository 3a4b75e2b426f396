"""Ratings: from columns of labels and numbers to sorted entries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leanrank._compile import compiled
from leanrank._labels import Labels, labelled, united
from leanrank.estimators._arguments import row_weights
from leanrank.posterior import Entries

__all__ = ["LabelledRatings", "checked_ratings"]

_MANY = 1 << 20
"""Ratings from which on single precision does, which halves their memory and that of sweeps."""


@dataclass(frozen=True)
class LabelledRatings:
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
    def of(cls, users: Any, items: Any, ratings: Any, sample_weight: Any = None) -> LabelledRatings:
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
    def of_entries(cls, users: Labels, items: Labels, entries: Entries) -> LabelledRatings:
        """What entries were made of."""
        weights = entries.weights if entries.weights.size else None
        return cls(users, items, entries.rows, entries.cols, entries.y, weights)

    def weighted(self, factor: float) -> LabelledRatings:
        """The same, weights times a factor."""
        return self if self.weights is None else replace(self, weights=factor * self.weights)

    def scaled(self, factor: float) -> LabelledRatings:
        """The same, ratings times a factor; of many in single precision."""
        values = np.empty(self.values.size, np.float32 if self.values.size >= _MANY else np.float64)
        np.multiply(self.values, factor, out=values, casting="same_kind")
        return replace(self, values=values)

    def typical_size(self) -> float:
        """A power of two near the largest rating, so that dividing by it costs no digit."""
        largest = float(np.max(np.abs(self.values)))
        return 2.0 ** float(np.clip(np.frexp(largest)[1], -1000, 1000)) if largest > 0 else 1.0

    def joined(self, other: LabelledRatings) -> tuple[LabelledRatings, np.ndarray, np.ndarray]:
        """These and others, and the places of the users and items of these among those of both."""
        users, of_users, new_users = united(self.users, other.users, "users")
        items, of_items, new_items = united(self.items, other.items, "items")
        weights = None
        if self.weights is not None or other.weights is not None:
            parts = [
                np.ones(r.rows.size) if r.weights is None else r.weights for r in (self, other)
            ]
            weights = np.concatenate(parts)
        both = LabelledRatings(
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
        shape, dtype = (self.users.size, self.items.size), self.values.dtype
        order, indptr = _order(self.rows, self.cols, shape)
        cols, y = self.cols[order], self.values[order]
        weights = np.empty(0, dtype) if self.weights is None else self.weights[order].astype(dtype)
        repeated = cols[1:] == cols[:-1]
        repeated[indptr[(indptr > 0) & (indptr < cols.size)] - 1] = False  # of the next row
        again = np.flatnonzero(repeated) + 1
        if again.size and duplicates == "error":
            user = self.users.values[self.rows[order[again[0]]]]
            raise ValueError(
                f"ratings of one item by one user must not be several, got {again.size} that are "
                f"not the first, such as of {self.items.values[cols[again[0]]]} by {user}: leave "
                'them out, or say duplicates="mean"'
            )
        if again.size:
            weights = weights if weights.size else np.ones(cols.size, dtype)
            size = _average(indptr, cols, y, weights)
            cols, y, weights = cols[:size], y[:size], weights[:size]
        return Entries(indptr, cols, y, weights, shape)


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


def _order(
    rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Places of entries by row and, in each, by column, and where the rows begin.

    Two sorts that count, each in one pass over the entries.
    """
    by_column, order = np.empty(rows.size, np.int32), np.empty(rows.size, np.int32)
    _sort(cols, np.empty(0, np.int32), np.zeros(shape[1] + 1, np.int64), by_column)
    ends = np.zeros(shape[0] + 1, np.int64)
    _sort(rows, by_column, ends, order)
    return order, np.concatenate([[0], ends[:-1]])


@compiled(fastmath=False)
def _sort(keys, before, ends, out):  # type: ignore[no-untyped-def]
    """Sort places by key; those of equal keys stay in the order before, that of keys if empty.

    ``ends`` comes as zeros, and is written: where the places of each key end.
    """
    for e in range(keys.size):
        ends[keys[e] + 1] += 1
    for k in range(1, ends.size):
        ends[k] += ends[k - 1]
    for e in range(keys.size):
        place = before[e] if before.size > 0 else e
        key = keys[place]
        out[ends[key]] = place
        ends[key] += 1


@compiled(fastmath=False)
def _average(indptr, cols, y, weights):  # type: ignore[no-untyped-def]
    """Put means in the place of entries of one column that follow one another, in each row.

    Returns
    -------
    int
        How many entries are left; they stand at the beginning.
    """
    at, e = 0, 0
    for i in range(indptr.size - 1):
        indptr[i] = at
        while e < indptr[i + 1]:
            col, total, mass = cols[e], 0.0, 0.0
            while e < indptr[i + 1] and cols[e] == col:
                total += float(weights[e]) * float(y[e])
                mass += float(weights[e])
                e += 1
            cols[at], y[at], weights[at] = col, total / mass, mass
            at += 1
    indptr[-1] = at
    return at
