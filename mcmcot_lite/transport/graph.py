"""A sparse graph of candidate pairs: the few edges among n x n on which an assignment is solved."""

from __future__ import annotations

from copy import copy
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmcot_lite.transport.gaussian import SOME, directions, eigen

__all__ = ["Floats", "Graph", "Ints", "inner_products", "staircase"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLICE = 1 << 14  # edges whose points are gathered at a time: 16 MB of two sides at d = 64


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

    def best_columns(self, h: Floats) -> Ints:
        """Column of the best score of each row, (m,)."""
        score = self.scores(h)
        top = np.flatnonzero(score == np.repeat(self.row_best(h), np.diff(self.first)))
        return self.column[top[np.searchsorted(self.row[top], np.arange(self.m))]]


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


def staircase(x: Tensor, y: Tensor, a: Floats, b: Floats) -> tuple[Ints, Ints]:
    """Edges of a feasible plan: both clouds in order along x's widest direction, mass by mass."""
    u, v = directions(x, y, SOME)
    axis = eigen(u.mT @ u)[1][:, -1]
    i = torch.argsort(u @ axis).cpu().numpy()
    j = torch.argsort(v @ axis).cpu().numpy()
    full_a, full_b = np.cumsum(a[i]), np.cumsum(b[j])
    cuts = np.union1d(full_a, full_b) - 0.5  # masses are whole numbers
    return i[np.searchsorted(full_a, cuts)], j[np.searchsorted(full_b, cuts)]
