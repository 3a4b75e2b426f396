"""Which rows of the factors the observed entries can determine.

Every observed entry links a row of U with a row of V, two nodes of a graph whose nodes are the
rows of the stacked W (one node for each index if the factors are one). A node is known at rank r
once r of its links lead to known nodes: then least squares gives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

__all__ = ["Pattern", "distinct"]


def distinct(flat: np.ndarray) -> np.ndarray:
    """Positions in rising order, each once.

    By sorting: ``numpy.unique`` hashes integers, and takes a hundred times as long on millions.
    """
    flat = np.sort(flat)
    return flat[np.concatenate([[True], flat[1:] != flat[:-1]])[: flat.size]]


class Pattern:
    """The graph of observed entries.

    Parameters
    ----------
    rows, cols : ndarray of int, shape (m,)
    shape : tuple of int
        (n1, n2).
    symmetric : bool
        Whether rows and columns are the same nodes.
    """

    def __init__(
        self, rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int], symmetric: bool
    ) -> None:
        a, b = rows, cols if symmetric else cols + shape[0]
        self.nodes = shape[0] if symmetric else sum(shape)
        self.a, self.b, self.shape, self.symmetric = a, b, shape, symmetric

    @cached_property
    def _links(self) -> np.ndarray:
        """Entries that link two nodes: all but those of the diagonal of a symmetric matrix."""
        return np.flatnonzero(self.a != self.b)

    @property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The nodes that each link joins; rows and columns that differ are joined by all."""
        if not self.symmetric:
            return self.a, self.b
        return self.a[self._links], self.b[self._links]

    def _counted(self, *ends: np.ndarray) -> np.ndarray:
        """How often each node is at an end."""
        return np.sum([np.bincount(end, minlength=self.nodes) for end in ends], axis=0)

    @cached_property
    def mine(self) -> np.ndarray:
        """The node at one end of each link, each link from both ends."""
        return np.concatenate([self.a[self._links], self.b[self._links]])

    @cached_property
    def others(self) -> np.ndarray:
        """The node at the other end."""
        return np.concatenate([self.b[self._links], self.a[self._links]])

    @cached_property
    def entry(self) -> np.ndarray:
        """The entry that is the link."""
        return np.concatenate([self._links, self._links])

    @cached_property
    def degrees(self) -> np.ndarray:
        """Number of links of each node."""
        return self._counted(*self._ends)

    def distinct(self) -> Pattern:
        """The pattern without second looks at the same entry, which determine nothing new."""
        start = 0 if self.symmetric else self.shape[0]
        size = np.int64(self.shape[1])
        once = distinct(self.a * size + self.b - start)
        if once.size == self.a.size:
            return self
        return Pattern(*np.divmod(once, size), self.shape, self.symmetric)

    def core(self, least: int, without: np.ndarray | None = None) -> np.ndarray:
        """Flags of the entries among nodes that have at least ``least`` links to one another.

        Flagged nodes are left out.
        """
        inside = np.ones(self.nodes, dtype=bool) if without is None else ~without
        if inside.all() and self.degrees.min(initial=least) >= least:  # as a rule, of millions
            return np.ones(self.a.size, dtype=bool)
        a, b = self._ends
        while True:
            alive = inside[a] & inside[b]
            enough = self._counted(a[alive], b[alive]) >= least
            if np.array_equal(enough & inside, inside):
                return inside[self.a] & inside[self.b]
            inside &= enough

    def known_by(self, entries: np.ndarray) -> np.ndarray:
        """Flags of the nodes that flagged entries touch."""
        known = np.zeros(self.nodes, dtype=bool)
        known[self.a[entries]] = True
        known[self.b[entries]] = True
        return known

    def outwards(self, known: np.ndarray, need: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes that become known, layer after layer, and the links that tell them.

        ``known`` is updated along the way.
        """
        a, b = self._ends
        while not known.all():
            to_a, to_b = known[b] & ~known[a], known[a] & ~known[b]
            ready = (self._counted(a[to_a], b[to_b]) >= need) & ~known
            if not ready.any():
                return
            # As they are numbered in ``mine``.
            to_a, to_b = np.flatnonzero(to_a & ready[a]), np.flatnonzero(to_b & ready[b])
            yield ready, np.concatenate([to_a, a.size + to_b])
            known |= ready

    def regressed(
        self,
        W: np.ndarray,
        values: np.ndarray,
        inside: np.ndarray,
        noise: float,
        precision: np.ndarray,
    ) -> np.ndarray:
        """Rows of W outside the flagged entries, by ridge regression on those known so far.

        ``values`` and ``precision`` are those of the entries; see
        :meth:`leanrank.operators.Measurement.estimate_rest`.
        """
        W = np.array(W)
        known = self.known_by(inside)
        ridge = noise**2 / (float(np.mean(W[known] ** 2)) or 1.0)
        for need in (W.shape[1], 1):
            for ready, links in self.outwards(known, need):
                rows, entry = self.mine[links], self.entry[links]
                partners = W[self.others[links]]
                W[ready] = _ridge_rows(
                    rows, partners, values[entry], precision[entry], ready, ridge
                )
        W[~known] = 0.0
        return W

    def undetermined(self, rank: int) -> np.ndarray:
        """Flags of the nodes that the entries cannot determine at this rank.

        Those with fewer links than the rank, and those outside the core of rank + 1 links that
        cannot be told from it one after another: such as a row and a column with as many entries
        as the rank that share one.
        """
        lonely = self.degrees < rank
        known = self.known_by(self.core(rank + 1))
        if known.any():
            for _ in self.outwards(known, rank):
                pass
            lonely |= ~known
        return lonely | self._reflected(rank) if self.symmetric else lonely

    def _reflected(self, rank: int) -> np.ndarray:
        """Flags of the nodes that fewer than ``rank`` others hold to the rest.

        When rows and columns are the same nodes, factors count up to an orthogonal matrix: what
        hangs on fewer than r vectors can be reflected in their span, and every entry stays.

        By Menger's theorem nodes are held if r paths that share no node lead there, a flow through
        nodes of unit capacity. They start at r nodes that no fewer than r others separate from one
        another (Even, 1975), because any single node may be one of those that others hang on.
        """
        n = self.nodes
        order = np.argsort(-self.degrees, kind="stable")
        base: list[int] = []
        for node in order:
            if len(base) == rank:
                break
            linked = self.others[self.mine == node]
            apart = [start for start in base if start not in linked]
            if all(self._paths(np.array([start]), rank, [node])[0] >= rank for start in apart):
                base.append(int(node))
        held = np.zeros(n, dtype=bool)
        held[base] = True
        rest = np.flatnonzero(~held)
        held[rest] = self._paths(np.array(base), 1, rest) >= rank
        return ~held

    def _paths(self, starts: np.ndarray, each: int, ends: Sequence[int] | np.ndarray) -> np.ndarray:
        """Numbers of paths that share no node, at most ``each`` from a start, to each end."""
        n = self.nodes
        # Node i is split in i -> n + i; links leave from n + i and enter at j. Node 2 n leads to
        # all starts.
        tails = np.concatenate([np.arange(n), n + self.mine, np.full(starts.size, 2 * n)])
        heads = np.concatenate([n + np.arange(n), self.others, starts])
        shape = (2 * n + 1, 2 * n + 1)
        graph = sparse.csr_array((np.ones(tails.size, np.int32), (tails, heads)), shape=shape)
        graph.data[:] = 1
        if each > 1:
            graph[starts, n + starts] = each
            graph[2 * n, starts] = each
        return np.array([maximum_flow(graph, 2 * n, int(end)).flow_value for end in ends])


def _ridge_rows(
    rows: np.ndarray,
    partners: np.ndarray,
    y: np.ndarray,
    precision: np.ndarray,
    ready: np.ndarray,
    ridge: float,
) -> np.ndarray:
    """Weighted ridge regression of y on partners, one for each ready row; (ready rows, k)."""
    k = partners.shape[1]
    gram = np.zeros((ready.size, k, k))
    right = np.zeros((ready.size, k))
    weighted = partners * precision[:, None]
    np.add.at(gram, rows, weighted[:, :, None] * partners[:, None, :])
    np.add.at(right, rows, weighted * y[:, None])
    gram = gram[ready] + ridge * np.eye(k)
    inverse = np.linalg.pinv(gram, rcond=4 * np.finfo(gram.dtype).eps, hermitian=True)
    return (inverse @ right[ready][:, :, None])[:, :, 0]
