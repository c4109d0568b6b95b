r"""Column generation: solve on a few pairs, look for a better one among all, until there is none.

A linear program with n^2 variables has an optimal solution on 2n - 1 of them. So guess some 10 n
pairs, solve the assignment on their graph, and ask all n^2 pairs (:mod:`~.pricing`) whether one of
them would improve it. Those that would join the graph. Every round gives a plan, hence an upper
bound of the optimal cost, and potentials, hence a lower bound. The last round proves the optimum.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.candidates import Look
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.duals import lowered
from mcmcot_lite.transport.graph import Floats, Graph, Ints
from mcmcot_lite.transport.pricing import Pricing
from mcmcot_lite.transport.scan import roundoff
from mcmcot_lite.transport.simplex import flow

__all__ = ["Round", "assignments", "plans", "tolerance"]

LOOSE = 64  # a pair must beat its row by this multiple of what float64 rounding can feign


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        graph: the graph it was solved on.
        match: column of each row, (n,); empty for plans with masses.
        h: potentials of the columns, (n,).
        own: best score of each row on the graph, (m,).
        gain: mean score <x_i, y_match(i)>; NaN for plans.
        ceiling: mean score that no plan exceeds.
        violated: pairs that would improve it; -1 before anybody has looked.
    """

    graph: Graph
    match: Ints
    h: Floats
    own: Floats
    gain: float
    ceiling: float
    violated: int


def tolerance(x: Tensor, y: Tensor, h: Floats) -> Floats:
    """By how much a score must exceed another to count as higher, for each row, (m,)."""
    return LOOSE * roundoff(x, y, torch.from_numpy(h), torch.float64).cpu().numpy()


def assignments(
    graph: Graph, h: Floats, clock: Clock, *, near: bool, seen: Look | None = None
) -> Generator[Round, None, None]:
    """Rounds for a one-to-one assignment, until no pair is violated.

    Args:
        graph: first guess, holding a feasible assignment; square.
        h: potentials near the optimum, (n,).
        clock: the time limit; its phases are "assign", "prices" and "scan".
        near: lower h from round to round as little as needed, which spares most of the pricing;
            otherwise take the simplex's own potentials, which are cheaper to find in low dimension,
            where a change of one price travels far.
        seen: a look at all pairs at h. Its bound comes first, in a round of its own with
            ``violated`` -1: nobody has counted. It also spares the first pricing.
    """
    pricing, ones = Pricing(graph.x, graph.y, seen), np.ones(graph.n)
    while True:
        with clock.phase("assign"):
            edges, tree = flow(graph, h, ones, ones, clock)
            match = graph.column[edges]
        gain = float(graph.benefit[edges].mean())
        if seen is not None:
            own, ceiling = graph.row_best(h), float(seen.best().mean() - h.mean())
            yield Round(graph, match, h, own, gain, ceiling, -1)
            seen = None
        with clock.phase("prices"):
            before, tol = h, tolerance(graph.x, graph.y, h)
            start = h if near or not _near(tree, h) else tree - tree.mean()
            h = lowered(graph, match, start, float(tol.min()) / 4, clock)
            own = graph.row_best(h)
        with clock.phase("scan"):
            found = pricing(own, h, tol, clock, fallen=start is before)
        ceiling = float(found.best.mean() - h.mean())
        yield Round(graph, match, h, own, gain, ceiling, len(found.row))
        if len(found.row) == 0:
            return
        with clock.phase("graph"):
            graph = graph.joined(found.row, found.column)


def _near(tree: Floats, h: Floats) -> bool:
    """Whether the simplex's potentials have a spread like the last ones.

    Where its tree falls into parts, it ties them together by edges of a huge cost of its own: the
    potentials are optimal on the graph, but worth nothing beyond, and their size eats digits.
    """
    return float(np.ptp(tree)) <= 10 * float(np.ptp(h)) + 1e-300


def plans(
    graph: Graph, h: Floats, a: Floats, b: Floats, clock: Clock, slack: float
) -> Iterator[Round]:
    """Rounds for a plan between masses a and b, whole numbers of equal sums."""
    pricing, none = Pricing(graph.x, graph.y), np.empty(0, np.int64)
    while True:
        _, tree = flow(graph, h, a, b, clock)
        h = tree - tree.mean()
        own = graph.row_best(h)
        tol = tolerance(graph.x, graph.y, h) + slack
        found = pricing(own, h, tol, clock, fallen=False)
        ceiling = float((found.best @ a - h @ b) / a.sum())
        yield Round(graph, none, h, own, np.nan, ceiling, len(found.row))
        if len(found.row) == 0:
            return
        graph = graph.joined(found.row, found.column)
