"""Which of the n^2 pairs are worth an edge: a look at all of them, and the best that it saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.graph import Floats, Graph, Ints, staircase
from mcmcot_lite.transport.scan import peaks, roundoff

__all__ = ["Look", "candidates", "look", "refined"]

JITTER = 1e-5  # of a typical score: above float32's rounding, below what tells columns apart
GROUPS = 64  # of a look: few of a row's 12 best columns share one


@dataclass(frozen=True)
class Look:
    """What a pass over all pairs saw at potentials h: the best of each row in each group.

    Attributes:
        value: best scores, (m, G) float32, of slightly displaced clouds, see :func:`look`.
        column: where, (m, G) long.
        slack: no score of row i in a group exceeds its value by more than this, (m,) float64.
    """

    value: Tensor
    column: Tensor
    slack: Tensor

    def best(self) -> Floats:
        """Upper bounds of the row maxima, (m,)."""
        return (self.value.max(1).values.double() + self.slack).cpu().numpy()

    def best_columns(self) -> Ints:
        """Where the best of each row was seen, (m,)."""
        best = self.column.gather(1, self.value.argmax(1, keepdim=True))
        return best[:, 0].cpu().numpy()


def look(x: Tensor, y: Tensor, h: Floats, clock: Clock, groups: int = GROUPS) -> Look:
    """One pass at potentials h, (n,), over the pairs of x, (m, d), and y, (n, d), in float32.

    Sources that coincide, or nearly, score alike: all would list the same few columns, and no graph
    of such lists can match them. So both clouds get eight coordinates more. The scalar products of
    random directions, times JITTER, are a noise for each pair that breaks ties, costs nothing, and
    is far below the differences that matter.
    """
    rng = torch.Generator("cpu").manual_seed(0)
    u, v = (
        torch.randn(len(t), 8, generator=rng, dtype=t.dtype, device="cpu").to(t.device)
        for t in (x, y)
    )
    size = JITTER * float(x.square().sum(1).median().sqrt() * y.square().sum(1).median().sqrt())
    u, v = (t / t.square().sum(1, keepdim=True).sqrt() for t in (u, v))
    x, y = torch.cat([x, size * u], 1), torch.cat([y, v], 1)
    offset = torch.from_numpy(h).to(x)
    value, column = peaks(x.float(), y.float(), offset.float(), groups, clock)
    return Look(value, column, roundoff(x, y, offset) + size)


def candidates(
    x: Tensor,
    y: Tensor,
    h: Floats,
    a: Floats,
    b: Floats,
    clock: Clock,
    k: int,
    few: int,
    seen: Look | None = None,
) -> tuple[Graph, float]:
    """Pairs worth a look: k columns for each row, rows for the columns left out, a feasible plan.

    Args:
        x, y: the clouds, (m, d) and (n, d), float64; columns in random order.
        h: potentials of the columns, (n,).
        a, b: integer masses of rows and columns, of equal sums.
        clock: the time limit.
        k: columns a row.
        few: a column in fewer lists than this gets as many best rows of its own.
        seen: a look at h, if there has been one.

    Returns:
        (graph, median distance from a row's best score to its k-th candidate's).
    """
    seen = look(x, y, h, clock) if seen is None else seen
    top = seen.value.topk(min(k, seen.value.shape[1]))
    spread = float((top.values[:, 0] - top.values[:, -1]).median())
    lists = seen.column.gather(1, top.indices).cpu().numpy()
    rows = [np.arange(len(x)).repeat(lists.shape[1])]
    columns = [lists.reshape(-1)]
    short = np.flatnonzero(np.bincount(columns[0], minlength=len(y)) < few)
    if len(short):
        need = torch.from_numpy(short).to(x.device)
        back = look(y[need], x, -seen.value.max(1).values.double().cpu().numpy(), clock)
        best = back.value.topk(min(few, back.value.shape[1])).indices
        row = back.column.gather(1, best).cpu().numpy()
        rows.append(row.reshape(-1))
        columns.append(short.repeat(row.shape[1]))
    i, j = staircase(x, y, a, b)
    return Graph(x, y, np.concatenate([*rows, i]), np.concatenate([*columns, j])), spread


def refined(graph: Graph, seen: Look, h: Floats, k: int, few: int) -> Graph:
    """A smaller graph from a second look: the k best columns of each row, the old rows of a column.

    Args:
        graph: of :func:`candidates`, for one-to-one assignments.
        seen: a look at better potentials.
        h: these potentials, (n,).
        k: columns a row.
        few: the best edges that each column keeps from ``graph``.
    """
    best = seen.value.topk(min(k, seen.value.shape[1])).indices
    lists = seen.column.gather(1, best).cpu().numpy()
    order, first = graph.by_column
    short = (seen.best()[graph.row] - graph.scores(h))[order]  # of what the row could have
    ranked = order[np.lexsort((short, graph.column[order]))]
    place = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    kept = ranked[place < few]
    ones = np.ones(graph.n)
    i, j = staircase(graph.x, graph.y, ones, ones)
    rows = [np.arange(graph.m).repeat(lists.shape[1]), graph.row[kept], i]
    return Graph(
        graph.x,
        graph.y,
        np.concatenate(rows),
        np.concatenate([lists.reshape(-1), graph.column[kept], j]),
    )
