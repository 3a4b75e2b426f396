"""Ratings in a Dask DataFrame or array, as labels and entries that workers hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import getitem
from typing import Any

import numpy as np
from distributed import Client, get_client

from leanrank._labels import Labels, labelled, united
from leanrank.cluster._entries import EntriesOnCluster
from leanrank.posterior import Entries

__all__ = ["shared_entries"]


def shared_entries(
    source: Any,
    columns: Sequence[Any] | None = None,
    *,
    duplicates: str = "mean",
    client: Client | None = None,
) -> tuple[Labels, Labels, EntriesOnCluster]:
    """The ratings of a Dask collection, dealt out to the workers by users.

    Labels are here, entries are with the workers: as many parts as the collection has partitions,
    each of consecutive users with about as many ratings as any other part.

    Parameters
    ----------
    source : dask.dataframe.DataFrame or dask.array.Array
        An array has three columns, users, items and ratings, and perhaps weights.
    columns : sequence, optional
        Names of users, items and ratings, and perhaps weights, of a frame; the first three by
        default.
    duplicates : {"mean", "error"}
        Ratings of one item by one user are averaged, and weigh as many as they are. Weights are
        in units of their mean.
    client : distributed.Client, optional
        The current one by default.

    Raises
    ------
    ValueError, TypeError
        If a column does not exist, or labels or ratings cannot be right.
    """
    client = get_client() if client is None else client
    names = _chosen(source, columns)
    tables = client.compute(_partitions(source))
    seen = [client.submit(_distinct, table, names, pure=False) for table in tables]
    # Not scattered: the cluster would drop spare copies, and could not make the last one again.
    known = client.submit(_known, seen, pure=False)
    users, items, row_ends = client.gather(known)
    dealt = [client.submit(_dealt, table, names, known, pure=False) for table in tables]
    parts = []
    for b, (first, last) in enumerate(pairwise(row_ends)):
        own = [client.submit(getitem, pieces, b, pure=False) for pieces in dealt]
        shape = int(last - first), items.size
        parts.append(client.submit(_gathered, own, int(first), shape, duplicates, pure=False))
    sizes, totals = zip(
        *client.gather([client.submit(_told, part, pure=False) for part in parts]), strict=True
    )
    weighted = any(total is not None for total in totals)
    if weighted:
        mean = sum(n if w is None else w for n, w in zip(sizes, totals, strict=True)) / sum(sizes)
        parts = [client.submit(_with_weights, part, mean, pure=False) for part in parts]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    shape = users.size, items.size
    entries = EntriesOnCluster(client, tuple(parts), row_ends, ends, shape, weighted)
    return users, items, entries


def _chosen(source: Any, columns: Sequence[Any] | None) -> list[Any]:
    """Names of columns, or their numbers in an array."""
    there = list(getattr(source, "columns", range(source.shape[-1])))
    if columns is None:
        if len(there) < 3:
            raise ValueError(f"there must be users, items and ratings, got columns {there}")
        return there[:3]
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"columns {missing} do not exist; there are {there}")
    return list(columns)


def _partitions(source: Any) -> list[Any]:
    """Delayed tables, in order."""
    if hasattr(source, "rechunk"):
        if source.ndim != 2:
            raise ValueError(f"an array of ratings must have 2 axes, got {source.ndim}")
        source = source.rechunk({1: -1})
    return list(np.ravel(source.to_delayed()))


def _columns(table: Any, names: list[Any]) -> list[np.ndarray]:
    """Users, items, ratings and perhaps weights of a partition."""
    if isinstance(table, np.ndarray):
        found = [table[:, name] for name in names]
        whole = [np.asarray(own, np.int64) if _is_whole(own) else own for own in found[:2]]
        return [*whole, *found[2:]]
    return [table[name].to_numpy() for name in names]


def _is_whole(values: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool(np.all(values == np.floor(values)))


def _distinct(table: Any, names: list[Any]) -> list[tuple[Labels, np.ndarray]]:
    """On a worker: the users and items of a partition, and how often each is there."""
    found = []
    for column, name in zip(_columns(table, names)[:2], ("users", "items"), strict=True):
        labels, codes = labelled(column, name)
        found.append((labels, np.bincount(codes, minlength=labels.size)))
    return found


def _known(
    seen: list[list[tuple[Labels, np.ndarray]]],
) -> tuple[Labels, Labels, np.ndarray]:
    """On a worker: all users and items, and the users before each part, and in all."""
    users, items = (_all_of([own[side][0] for own in seen], "users") for side in (0, 1))
    counts = np.zeros(users.size, np.int64)
    for (own, times), _ in seen:
        counts[users.codes(own.values, "users")] += times
    # As many entries in each part; a user is in one of them.
    before = np.concatenate([[0], np.cumsum(counts)])
    inner = np.searchsorted(before, np.linspace(0, before[-1], len(seen) + 1)[1:-1])
    return users, items, np.unique(np.concatenate([[0], inner, [users.size]]))


def _all_of(labels: list[Labels], name: str) -> Labels:
    """The labels of all partitions that have any."""
    some = [own for own in labels if own.size]
    if not some:
        raise ValueError("ratings are empty: there must be at least two")
    return reduce(lambda first, second: united(first, second, name)[0], some)


def _dealt(
    table: Any, names: list[Any], known: tuple[Labels, Labels, np.ndarray]
) -> list[tuple[np.ndarray, ...]]:
    """On a worker: the entries of a partition, by the part that they go to."""
    users, items, row_ends = known
    column = _columns(table, names)
    values = np.asarray(column[2], float)
    weights = np.asarray(column[3], float) if len(column) > 3 else np.ones(values.size)
    for own, name in ((values, "ratings"), (weights, "weights")):
        if not np.isfinite(own).all():
            at = int(np.flatnonzero(~np.isfinite(own))[0])
            raise ValueError(f"{name} must be finite, got {own[at]} in row {at} of a partition")
    if (weights < 0).any():
        raise ValueError(f"weights must not be negative, got {weights.min():g}")
    rows, cols = users.codes(column[0], "users"), items.codes(column[1], "items")
    part = np.searchsorted(row_ends, rows, side="right") - 1
    order = np.argsort(part, kind="stable")
    order = order[weights[order] > 0]
    cuts = np.searchsorted(part[order], np.arange(1, row_ends.size - 1))
    pieces = (np.split(x[order], cuts) for x in (rows, cols, values, weights))
    return list(zip(*pieces, strict=True))


def _gathered(
    pieces: list[tuple[np.ndarray, ...]], first: int, shape: tuple[int, int], duplicates: str
) -> Entries:
    """On a worker: the entries of a part, from all partitions."""
    rows, cols, y, weights = (np.concatenate(own) for own in zip(*pieces, strict=True))
    order = np.lexsort((cols, rows))
    rows, cols, y, weights = rows[order] - first, cols[order], y[order], weights[order]
    same = (rows[1:] == rows[:-1]) & (cols[1:] == cols[:-1])
    if same.any():
        if duplicates == "error":
            raise ValueError(
                f"ratings of one item by one user must not be several, got {same.sum()} that are "
                'not the first: leave them out, or say duplicates="mean"'
            )
        start = np.flatnonzero(np.concatenate([[True], ~same]))
        y = np.add.reduceat(weights * y, start)
        weights = np.add.reduceat(weights, start)
        rows, cols, y = rows[start], cols[start], y / weights
    told = None if (weights == 1.0).all() else weights
    return Entries.of(rows, cols, y, shape, told)


def _told(part: Entries) -> tuple[int, float | None]:
    """On a worker: how many entries there are, and the sum of their weights, if they have some."""
    return part.size, float(part.weights.sum()) if part.weighted else None


def _with_weights(part: Entries, mean: float) -> Entries:
    """On a worker: in units of their mean; ones, where it is other parts that have weights."""
    weights = part.weights if part.weighted else np.ones(part.size)
    return Entries(part.indptr, part.cols, part.y, weights / mean, part.shape)
