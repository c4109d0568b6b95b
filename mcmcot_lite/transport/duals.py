r"""Potentials that prove a matching optimal on a graph: the shortest way to feasibility.

A matching with source i at target m(i) is optimal on the graph exactly if some h satisfies

.. math::  h_j \le h_{m(i)} + \langle x_i, y_{m(i)}\rangle - \langle x_i, y_j\rangle
           \quad\text{for every edge } (i, j),

that is, if no source scores higher elsewhere. Lowering each h_j to the least of its bounds, again
and again, is the Bellman-Ford iteration; it ends at the largest such h below the start. Because h
only falls, a row whose own score stays cannot become worse: pricing may skip it.
"""

from __future__ import annotations

import numpy as np

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.graph import Floats, Graph, Ints

__all__ = ["lowered"]

WORK = 100  # falls a column, on average


def lowered(graph: Graph, match: Ints, h: Floats, tol: float, clock: Clock) -> Floats:
    """The largest potentials <= h, (n,), under which every row scores best at its match.

    Args:
        graph: holds the edges (i, match[i]).
        match: column of each row, (n,), a permutation, optimal on the graph.
        h: start, (n,).
        tol: falls smaller than this are left; so is what remains after WORK falls a column, a sign
            of a matching that is optimal only up to the rounding of the simplex.
        clock: the time limit.
    """
    h = h.copy()
    on = graph.column == match[graph.row]
    own = graph.benefit[on]
    slack = np.repeat(own, np.diff(graph.first)) - graph.benefit
    source = match[graph.row]  # edge (i, j) bounds h_j by h_source + slack
    order, first = graph.by_column
    owner = np.empty_like(match)  # row of each column
    owner[match] = np.arange(len(match))
    bound = np.minimum.reduceat((h[source] + slack)[order], first)
    work = WORK * graph.n
    while work > 0:
        fell = np.flatnonzero(bound < h - tol)
        if len(fell) == 0:
            break
        clock.check()
        work -= len(fell)
        h[fell] = bound[fell]
        if len(fell) > graph.n // 8:
            bound = np.minimum.reduceat((h[source] + slack)[order], first)
            continue
        rows = owner[fell]  # only the edges of these rows have changed
        count = graph.first[rows + 1] - graph.first[rows]
        skip = np.repeat(graph.first[rows] - np.cumsum(count) + count, count)
        edge = skip + np.arange(len(skip))
        bound = h.copy()
        np.minimum.at(bound, graph.column[edge], h[source[edge]] + slack[edge])
    return h
