"""The way to a first graph: potentials from the clouds' shapes, then two looks at all pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.candidates import Look, candidates, look, refined
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.gaussian import MOST, brenier, clipped
from mcmcot_lite.transport.graph import Floats, Graph, Ints
from mcmcot_lite.transport.line import product, radial
from mcmcot_lite.transport.multiscale import effective_dimension, multiscale
from mcmcot_lite.transport.scan import row_best
from mcmcot_lite.transport.smooth import smooth

__all__ = ["Start", "first_graph", "wider_graph"]

TRIED = 256  # rows on which guesses are compared
SAMPLE = 2048  # rows on which given potentials are tried: a small part of a look for large n
BLOCK = 1 << 20  # scores computed at a time in float64: 8 MB
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
        graph: about 9 n pairs that hold nearly all of the optimal ones.
        h: potentials, (n,).
        seen: what a look at all pairs saw at h.
        spread: median distance from a row's best score to that of its last candidate.
        near: whether h is so good that the optimal potentials should be sought close to it.
    """

    graph: Graph
    h: Floats
    seen: Look
    spread: float
    near: bool


def first_graph(x: Tensor, y: Tensor, h0: Tensor | None, clock: Clock) -> Start:
    """Potentials and a graph near the optimum, from few looks at all pairs.

    The first potentials are those of a law of simple shape: Gaussian, product, or radial, whichever
    bounds the optimum best. In low dimension a pyramid is better, unless they are nearly optimal.
    They choose candidates. Sinkhorn's iteration on these, its entropy falling, corrects the
    potentials. The second look says whether many rows have missed a better column, and if so all is
    done again; it chooses better candidates, and bounds the optimum at the same time.

    Args:
        x, y: the clouds, (n, d), float64, shuffled.
        h0: potentials to start from, (n,), if they are nearly optimal. Others are no help: a start
            of our own is as good, and in low dimension far better.
        clock: its phases are "start" and "graph".
    """
    ones = np.ones(len(x))
    with clock.phase("start"):
        low = effective_dimension(x, y) <= LOW
        if h0 is not None and _serves(x, y, h0):
            h = h0.cpu().numpy()
        else:
            guess = _guess(x, y, clock)
            h = guess.cpu().numpy()
            if low and not _serves(x, y, guess):
                h = multiscale(x, y, clock)
        h = h - h.mean()
    with clock.phase("graph"):
        seen, looks = look(x, y, h, clock), 1
        if _shared(seen.best_columns()) <= GOOD:  # as after a correction whose targets have stayed
            graph, spread = candidates(x, y, h, ones, ones, clock, k=8, few=3, seen=seen)
            return Start(graph, h, seen, spread, True)
        while True:
            graph, spread = candidates(x, y, h, ones, ones, clock, k=16, few=12, seen=seen)
            if looks == 1 and _shared(graph.best_columns(h)) <= GOOD:  # float32 saw ties
                low = False
                break
            h = _annealed(graph, h, spread)
            seen, looks = look(x, y, h, clock), looks + 1
            if _missed(graph, h, seen, CLEAR * spread) <= FEW or looks == LOOKS:
                break
        graph = refined(graph, seen, h, k=8, few=3)
    return Start(graph, h, seen, spread, not low)


def wider_graph(x: Tensor, y: Tensor, at: Start, clock: Clock) -> Start:
    """A start from three times as many candidates, and twice as many edges.

    For clouds in which many targets are nearly as good as the best, as for a thin ring among points
    of the space: too few candidates, and both the map and the bound are off.
    """
    ones = np.ones(len(x))
    with clock.phase("graph"):
        graph, spread = candidates(x, y, at.h, ones, ones, clock, k=48, few=12, seen=at.seen)
        h = _annealed(graph, at.h, spread)
        seen = look(x, y, h, clock)
        graph = refined(graph, seen, h, k=16, few=6)
    return Start(graph, h, seen, spread, at.near)


def _annealed(graph: Graph, h: Floats, spread: float) -> Floats:
    """Potentials after Sinkhorn's iteration with falling entropy."""
    ones = np.ones(graph.n)
    for weight in WEIGHTS if spread > 0 else ():
        h = smooth(graph, h, ones, ones, weight * spread, STEPS)
    return h


def _guess(x: Tensor, y: Tensor, clock: Clock) -> Tensor:
    """The potentials of lowest mean bound on a few rows, of three kinds of laws, (n,)."""
    near = clipped(x), clipped(y)
    guesses = [brenier(*near), radial(x, y)]
    clock.check()
    if not (torch.equal(near[0], x) and torch.equal(near[1], y)):
        guesses.append(brenier(x, y))
    clock.check()
    if x.shape[1] <= MOST:
        guesses.append(product(x, y))
    ceilings = [float(row_best(x[:TRIED], y, h, BLOCK)[0].mean() - h.mean()) for h in guesses]
    return guesses[int(np.argmin(ceilings))]


def _serves(x: Tensor, y: Tensor, h: Tensor) -> bool:
    """Whether so few rows of a sample share a column that among all rows at most GOOD would."""
    some = x[:SAMPLE]
    best = row_best(some, y, h, BLOCK)[1].cpu().numpy()
    return _shared(best) <= GOOD * len(some) / len(x)


def _shared(column: Ints) -> float:
    """Share of rows whose column is that of a row before them."""
    return 1 - len(np.unique(column)) / len(column)


def _missed(graph: Graph, h: Floats, seen: Look, by: float) -> float:
    """Share of rows that a look saw score higher, by more than ``by``, than on the graph."""
    sure = (seen.value.max(1).values.double() - seen.slack).cpu().numpy()
    return float(np.mean(sure - graph.row_best(h) > by))
