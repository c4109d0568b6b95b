r"""Sinkhorn's iteration on a sparse graph: cheap, and it repairs most of a bad start.

With entropy weight e, the plan exp((s_ij - f_i) / e) on the edges of the graph has the right row
sums for one f and the right column sums for one h. Setting them in turn,

.. math::  f_i = e \log \frac1{a_i} \sum_j e^{(\langle x_i, y_j\rangle + h_j)/e}, \qquad
           h_j = -e \log \frac1{b_j} \sum_i e^{(\langle x_i, y_j\rangle - f_i)/e},

moves every potential to where its neighbours want it. A handful of steps is enough: the exact
solver does the rest.
"""

from __future__ import annotations

import numpy as np

from mcmcot_lite.transport.graph import Floats, Graph, Ints

__all__ = ["smooth"]


def smooth(graph: Graph, h: Floats, a: Floats, b: Floats, weight: float, steps: int) -> Floats:
    """Potentials h, (n,), after ``steps`` rounds with entropy weight ``weight`` > 0."""
    order, first = graph.by_column
    row, benefit = graph.row[order], graph.benefit[order]
    for _ in range(steps):
        f = _log_sums(graph.scores(h), graph.first[:-1], weight) - weight * np.log(a)
        h = weight * np.log(b) - _log_sums(benefit - f[row], first, weight)
    return h


def _log_sums(score: Floats, first: Ints, weight: float) -> Floats:
    """Weight log sum exp(score / weight) over the runs that begin at ``first``."""
    top = np.maximum.reduceat(score, first)
    below = score - np.repeat(top, np.diff(first, append=len(score)))
    with np.errstate(under="ignore"):  # far below the best counts as nothing
        return top + weight * np.log(np.add.reduceat(np.exp(below / weight), first))
