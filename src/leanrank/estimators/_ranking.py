"""The best of many items for each of many users, without a matrix of them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from leanrank._display import one_line

__all__ = ["NAMES", "Barred", "Ranking", "best", "names_for"]

NAMES = ("user", "item")
"""What users and items are called where nobody said otherwise."""

Barred = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""Of a range (first, last) of rows: rows, counted from the first, and columns not to be taken."""

_BYTES = 1 << 25
"""Of the products of users and items that are there at a time."""


@dataclass(frozen=True, repr=False)
class Ranking:
    """What was asked for, and what came out best for each, as columns of one length.

    Those of one label stand together, in the order in which labels were asked for, the best first.
    ``pandas.DataFrame(ranking.to_dict())``, and the same of polars, makes a frame.

    Attributes
    ----------
    asked : ndarray, shape (m,)
        Labels that were asked for, each as often as there are items for it.
    items : ndarray, shape (m,)
    scores : ndarray of float64, shape (m,)
    ranks : ndarray of int64, shape (m,)
        1 for the best.
    places : ndarray of int64, shape (m,)
        Of what was asked for, among all that was.
    names : tuple of str
        Of the columns in a frame, beside ``rank``.
    """

    asked: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    places: np.ndarray
    names: tuple[str, str, str] = (*NAMES, "score")

    @classmethod
    def of(
        cls,
        asked: np.ndarray,
        items: np.ndarray,
        found: tuple[np.ndarray, np.ndarray, np.ndarray],
        names: tuple[str, str, str] = (*NAMES, "score"),
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Ranking:
        """From the labels that were asked for, those of all items, and what ``best`` found.

        Scores are cut at bounds; ranks are by what they were before.
        """
        rows, cols, scores = found
        ranks = np.arange(rows.size) - np.searchsorted(rows, rows) + 1
        return cls(asked[rows], items[cols], np.clip(scores, *bounds), ranks, rows, names)

    def to_dict(self) -> dict[str, np.ndarray]:
        """The columns by name."""
        first, second, third = self.names
        return {first: self.asked, "rank": self.ranks, second: self.items, third: self.scores}

    def __len__(self) -> int:
        return int(self.scores.size)

    def __repr__(self) -> str:
        lines = zip(self.asked, self.ranks, self.items, self.scores, strict=True)
        shown = [one_line("", f"{a!s}", r, f"{i!s}", score=float(s)) for a, r, i, s in lines]
        more = ["..."] if len(shown) > 10 else []
        return "\n".join([one_line("Ranking", *self.names, lines=len(self)), *shown[:10], *more])


def names_for(columns: Sequence[object]) -> tuple[str, str]:
    """The names of users and items as they came, where a table of the best can have them.

    A number is none, and no two columns have the same one.
    """
    names = [name for name in columns[:2] if isinstance(name, str) and not name.isdigit()]
    if len({*names, "rank", "score", "similar"}) < 5:
        return NAMES
    return names[0], names[1]


def best(
    left: np.ndarray,
    right: np.ndarray,
    n: int,
    barred: Barred | None,
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of ``left`` the ``n`` rows of ``right`` with the largest products.

    Parameters
    ----------
    left, right : ndarray, shape (n1, k) and (n2, k)
    n : int
    barred : Barred, optional
    score : callable
        Of rows and columns: what they are ranked by in the end. Equal ones stay in the order of
        the columns.

    Returns
    -------
    rows, cols, scores : ndarray, shape (m,)
        Row after row, the best first; fewer than ``n`` of a row where others are barred.
    """
    found = list(_best(left, right, n, barred))
    rows, cols = (np.concatenate(part) for part in zip(*found, strict=True))
    scores = score(rows, cols)
    order = np.lexsort((cols, -scores, rows))
    return rows[order], cols[order], scores[order]


def _best(
    left: np.ndarray, right: np.ndarray, n: int, barred: Barred | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the largest products, in no order among a row's."""
    size = right.shape[0]
    n, step = min(n, size), max(1, _BYTES // (8 * max(size, 1)))
    yield np.empty(0, np.int64), np.empty(0, np.int64)
    for first in range(0, left.shape[0], step):
        products = left[first : first + step] @ right.T
        if barred is not None:
            products[barred(first, first + products.shape[0])] = -np.inf
        least = np.partition(products, size - n, axis=1)[:, size - n]
        taken = products >= least[:, None]
        if np.count_nonzero(taken) > n * taken.shape[0]:
            # Of equal ones at the limit the first are taken.
            level = products == least[:, None]
            room = n - np.count_nonzero(products > least[:, None], axis=1)
            taken &= ~level | (np.cumsum(level, axis=1) <= room[:, None])
        rows, cols = np.nonzero(taken & (products > -np.inf))
        yield rows + first, cols
