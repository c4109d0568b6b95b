"""The way to a first graph: potentials from the two clouds' shapes, then two looks at all pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mcmcot_lite.transport.candidates import Look, candidates, look, refined
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.gaussian import brenier, clipped
from mcmcot_lite.transport.graph import Floats, Graph
from mcmcot_lite.transport.multiscale import effective_dimension, multiscale
from mcmcot_lite.transport.smooth import smooth

__all__ = ["Start", "first_graph"]

SAMPLE = 2048  # rows on which given potentials are tried: a small part of a look for large n
WEIGHTS = (0.1, 0.05, 0.025, 0.0125)  # of the entropy, as shares of a row's spread of candidates
STEPS = 4  # of Sinkhorn's iteration at each
GOOD = 0.1  # share of rows that may share a best column if potentials are to need no correction
LOOKS = 9  # at most, before the assignment is tried: Gaussian-like clouds need two, others a few
CLEAR = 0.1  # of the spread of its candidates by which a row has missed a better column
FEW = 0.05  # share of rows that may have missed one
LOW = 5.0  # effective dimension up to which the pyramid beats the Gaussian start


@dataclass(frozen=True)
class Start:
    """Where column generation begins.

    Attributes:
        graph: about 11 n pairs that hold nearly all of the optimal ones.
        h: potentials, (n,).
        seen: what a look at all pairs saw at h.
        low: whether the clouds are low-dimensional.
    """

    graph: Graph
    h: Floats
    seen: Look
    low: bool


def first_graph(x: Tensor, y: Tensor, h0: Tensor | None, clock: Clock) -> Start:
    """Potentials and a graph near the optimum, from few looks at all pairs.

    Potentials from far away (two Gaussians, or a pyramid in low dimension) choose candidates.
    Sinkhorn's iteration on these, its entropy falling, corrects the potentials. The second look
    says whether many rows have missed a better column, and if so all is done again; it chooses
    better candidates, and bounds the optimum at the same time.

    Args:
        x, y: the clouds, (n, d), float64, shuffled.
        h0: potentials to start from, (n,), if they are nearly optimal. Others are no help: a start
            of our own is as good, and in low dimension far better.
        clock: its phases are "start" and "graph".
    """
    ones = np.ones(len(x))
    with clock.phase("start"):
        low = effective_dimension(x, y) <= LOW
        if h0 is not None and _serves(x, y, h0, clock):
            h = h0.cpu().numpy()
        elif low:
            h = multiscale(x, y, clock)
        else:
            h = brenier(clipped(x), clipped(y)).cpu().numpy()
        h = h - h.mean()
    with clock.phase("graph"):
        seen, looks = look(x, y, h, clock), 1
        if _crowded(seen) <= GOOD:  # as after a correction whose targets have stayed
            graph, _ = candidates(x, y, h, ones, ones, clock, k=8, few=3, seen=seen)
            return Start(graph, h, seen, low)
        while True:
            graph, spread = candidates(x, y, h, ones, ones, clock, k=16, few=12, seen=seen)
            for weight in WEIGHTS if spread > 0 else ():
                h = smooth(graph, h, ones, ones, weight * spread, STEPS)
            seen, looks = look(x, y, h, clock), looks + 1
            if _missed(graph, h, seen, CLEAR * spread) <= FEW or looks == LOOKS:
                break
        graph = refined(graph, seen, h, k=8, few=3)
    return Start(graph, h, seen, low)


def _serves(x: Tensor, y: Tensor, h: Tensor, clock: Clock) -> bool:
    """Whether so few rows of a sample share a column that among all rows at most GOOD would."""
    some = x[:SAMPLE]
    seen = look(some, y, h.cpu().numpy(), clock)
    return _crowded(seen) <= GOOD * len(some) / len(x)


def _crowded(seen: Look) -> float:
    """Share of rows whose best column is the best of a row before them."""
    best = seen.column.gather(1, seen.value.argmax(1, keepdim=True)).cpu().numpy()
    return 1 - len(np.unique(best)) / len(best)


def _missed(graph: Graph, h: Floats, seen: Look, by: float) -> float:
    """Share of rows that a look saw score higher, by more than ``by``, than on the graph."""
    sure = (seen.value.max(1).values.double() - seen.slack).cpu().numpy()
    return float(np.mean(sure - graph.row_best(h) > by))
