"""Which rows of the factors the observed entries can determine.

Every observed entry links a row of U with a row of V, two nodes of a graph whose nodes are the
rows of the stacked W (one node for each index if the factors are one). A node is known at rank r
once r of its links lead to known nodes: then least squares gives it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

__all__ = ["Pattern"]


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
        self.a, self.b, self.symmetric = a, b, symmetric
        links = np.flatnonzero(a != b)
        self.mine = np.concatenate([a[links], b[links]])
        self.others = np.concatenate([b[links], a[links]])
        self.entry = np.concatenate([links, links])

    def core(self, least: int) -> np.ndarray:
        """Flags of the entries among nodes that have at least ``least`` links to one another."""
        inside = np.ones(self.nodes, dtype=bool)
        while True:
            alive = inside[self.mine] & inside[self.others]
            enough = np.bincount(self.mine[alive], minlength=self.nodes) >= least
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
        while not known.all():
            telling = known[self.others] & ~known[self.mine]
            ready = np.bincount(self.mine[telling], minlength=self.nodes) >= need
            ready &= ~known
            if not ready.any():
                return
            yield ready, np.flatnonzero(telling & ready[self.mine])
            known |= ready

    def undetermined(self, rank: int) -> np.ndarray:
        """Flags of the nodes that the entries cannot determine at this rank.

        Those with fewer links than the rank, and those outside the core of rank + 1 links that
        cannot be told from it one after another: such as a row and a column with as many entries
        as the rank that share one.
        """
        lonely = np.bincount(self.mine, minlength=self.nodes) < rank
        known = self.known_by(self.core(rank + 1))
        if known.any():
            for _ in self.outwards(known, rank):
                pass
            lonely |= ~known
        return lonely | self._reflected(rank) if self.symmetric else lonely

    def _reflected(self, rank: int) -> np.ndarray:
        """Flags of the nodes that fewer than ``rank`` others hold to the rest.

        When rows and columns are the same nodes, factors count up to an orthogonal matrix: what
        hangs on fewer than r vectors can be reflected in their span, and every entry stays. The
        others are found by Menger's theorem, as a flow through nodes of unit capacity from the
        node that has the most links.
        """
        n = self.nodes
        degree = np.bincount(self.mine, minlength=n)
        source = int(degree.argmax())
        # Node i is split in i -> n + i; links leave from n + i and enter at j.
        tails = np.concatenate([np.arange(n), n + self.mine])
        heads = np.concatenate([n + np.arange(n), self.others])
        capacity = np.ones(tails.size, dtype=np.int32)
        capacity[n:] = rank
        graph = sparse.csr_array((capacity, (tails, heads)), shape=(2 * n, 2 * n))
        graph.data = np.minimum(graph.data, rank)
        direct = np.zeros(n, dtype=bool)
        direct[self.others[self.mine == source]] = True
        held = np.ones(n, dtype=bool)
        for node in range(n):
            if node != source and not direct[node]:
                held[node] = maximum_flow(graph, n + source, node).flow_value >= rank
        return ~held
