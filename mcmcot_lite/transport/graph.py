"""A sparse graph of candidate pairs: the few edges among n x n on which an assignment is solved."""

from __future__ import annotations

from copy import copy
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.gaussian import eigen
from mcmcot_lite.transport.scan import peaks

__all__ = ["Floats", "Graph", "Ints", "candidates"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

JITTER = 1e-5  # of a typical score: above float32's rounding, below what tells columns apart
SLICE = 1 << 14  # edges whose points are gathered at a time: 16 MB of two sides at d = 64
GROUPS = 64  # of a scan for candidates: few of a row's 12 best columns share one


class Graph:
    """Edges (i, j) between the rows of x and of y, with their benefits <x_i, y_j>, by row.

    Attributes:
        m, n: rows, columns.
        row, column: ends of each edge, (E,) long, ordered by row, then column.
        benefit: (E,) float64.
        first: place of the first edge of each row, (m + 1,).
    """

    def __init__(self, x: Tensor, y: Tensor, row: Ints, column: Ints) -> None:
        self.m, self.n = len(x), len(y)
        self.x, self.y = x, y
        self._set(np.unique(row * self.n + column))
        self.benefit = inner_products(x, y, self.row, self.column)

    def _set(self, key: Ints) -> None:
        self.key = key  # row * n + column of each edge, ascending
        self.row, self.column = key // self.n, key % self.n
        self.first = np.searchsorted(self.row, np.arange(self.m + 1))

    def joined(self, row: Ints, column: Ints) -> Graph:
        """The graph with these edges too."""
        new = np.setdiff1d(row * self.n + column, self.key)
        benefit = inner_products(self.x, self.y, new // self.n, new % self.n)
        key = np.concatenate([self.key, new])
        order = np.argsort(key, kind="stable")  # two sorted runs: linear time
        graph = copy(self)
        graph.__dict__.pop("by_column", None)
        graph._set(key[order])
        graph.benefit = np.concatenate([self.benefit, benefit])[order]
        return graph

    @cached_property
    def by_column(self) -> tuple[Ints, Ints]:
        """(order of the edges by column, place of the first edge of each column (n,) in it)."""
        order = np.argsort(self.column, kind="stable")
        return order, np.searchsorted(self.column[order], np.arange(self.n))

    def scores(self, h: Floats) -> Floats:
        """Benefit plus potential of each edge, (E,)."""
        return self.benefit + h[self.column]

    def row_best(self, h: Floats) -> Floats:
        """Best score of each row, (m,)."""
        return np.maximum.reduceat(self.scores(h), self.first[:-1])


def inner_products(x: Tensor, y: Tensor, row: Ints, column: Ints) -> Floats:
    """<x_i, y_j> in float64 for each pair, in slices that fit a cache."""
    out = np.empty(len(row))
    for s in range(0, len(row), SLICE):
        i, j = row[s : s + SLICE], column[s : s + SLICE]
        if x.device.type == "cpu":  # NumPy needs half the time here
            out[s : s + SLICE] = np.einsum("ij,ij->i", x.numpy()[i], y.numpy()[j])
        else:
            a, b = x[torch.from_numpy(i).to(x.device)], y[torch.from_numpy(j).to(x.device)]
            out[s : s + SLICE] = (a * b).sum(1).cpu().numpy()
    return out


def candidates(
    x: Tensor, y: Tensor, h: Floats, a: Floats, b: Floats, clock: Clock, k: int, few: int
) -> tuple[Graph, float]:
    """Pairs worth a look: k columns for each row, rows for the columns left out, a feasible plan.

    Args:
        x, y: the clouds, (m, d) and (n, d), float64; columns in random order.
        h: potentials of the columns, (n,).
        a, b: integer masses of rows and columns, of equal sums.
        clock: the time limit.
        k: columns a row.
        few: a column in fewer lists than this gets as many best rows of its own.

    Returns:
        (graph, median distance from a row's best score to its k-th candidate's).
    """
    x32, y32 = _jittered(x, y)
    offset = torch.from_numpy(h).to(x32)
    value, column = peaks(x32, y32, offset, GROUPS, clock)
    top = value.topk(min(k, value.shape[1]))
    spread = float((top.values[:, 0] - top.values[:, -1]).median())
    lists = column.gather(1, top.indices).cpu().numpy()
    rows = [np.arange(len(x)).repeat(lists.shape[1])]
    columns = [lists.reshape(-1)]
    short = np.flatnonzero(np.bincount(columns[0], minlength=len(y)) < few)
    if len(short):
        need = torch.from_numpy(short).to(x.device)
        value, row = peaks(y32[need], x32, -top.values[:, 0], GROUPS, clock)
        row = row.gather(1, value.topk(min(few, value.shape[1])).indices).cpu().numpy()
        rows.append(row.reshape(-1))
        columns.append(short.repeat(row.shape[1]))
    i, j = staircase(x, y, a, b)
    return Graph(x, y, np.concatenate([*rows, i]), np.concatenate([*columns, j])), spread


def _jittered(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both clouds in float32, with eight coordinates more that break ties at random.

    Sources that coincide, or nearly, score alike: all would list the same few columns, and no graph
    of such lists can match them. The scalar product of random directions, times JITTER, is a noise
    for each pair that costs nothing and is far below the differences that matter.
    """
    rng = torch.Generator().manual_seed(0)
    u, v = (torch.randn(len(t), 8, generator=rng, dtype=t.dtype).to(t.device) for t in (x, y))
    size = JITTER * float(x.square().sum(1).median().sqrt() * y.square().sum(1).median().sqrt())
    u, v = (t / t.square().sum(1, keepdim=True).sqrt() for t in (u, v))
    return torch.cat([x, size * u], 1).float(), torch.cat([y, v], 1).float()


def staircase(x: Tensor, y: Tensor, a: Floats, b: Floats) -> tuple[Ints, Ints]:
    """Edges of a feasible plan: both clouds in order along x's widest direction, mass by mass."""
    axis = eigen(x.mT @ x)[1][:, -1]
    i = torch.argsort(x @ axis).cpu().numpy()
    j = torch.argsort(y @ axis).cpu().numpy()
    full_a, full_b = np.cumsum(a[i]), np.cumsum(b[j])
    cuts = np.union1d(full_a, full_b) - 0.5  # masses are whole numbers
    return i[np.searchsorted(full_a, cuts)], j[np.searchsorted(full_b, cuts)]
