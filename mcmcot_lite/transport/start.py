"""The way to a first graph: potentials from the two clouds' shapes, then two looks at all pairs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.gaussian import brenier, clipped
from mcmcot_lite.transport.graph import Floats, Graph, candidates
from mcmcot_lite.transport.multiscale import effective_dimension, multiscale
from mcmcot_lite.transport.scores import SMALL
from mcmcot_lite.transport.smooth import smooth

__all__ = ["first_graph"]

SAMPLE = 256  # sources on which two starts are compared
LOW = 5.0  # effective dimension up to which the pyramid beats the Gaussian start


def first_graph(
    x: Tensor, y: Tensor, h0: Tensor | None, clock: Clock
) -> tuple[Graph, Floats, bool]:
    """A graph of about 11 n pairs that holds nearly all of the optimal ones.

    Potentials from far away (two Gaussians, or a pyramid in low dimension) choose candidates;
    Sinkhorn's iteration on them corrects the potentials; these choose again.

    Args:
        x, y: the clouds, (n, d), float64, shuffled.
        h0: potentials to start from, (n,), if they bound the optimum better than the Gaussian ones.
        clock: its phases are "start" and "graph".

    Returns:
        (graph, potentials (n,), whether the clouds are low-dimensional).
    """
    ones = np.ones(len(x))
    with clock.phase("start"):
        low = effective_dimension(x, y) <= LOW
        h = None if h0 is None else _if_better(x, y, h0)
        if h is not None:
            pass
        elif low:
            h = multiscale(x, y, clock)
        else:
            h = brenier(clipped(x), clipped(y)).cpu().numpy()
        h = h - h.mean()
    with clock.phase("graph"):
        graph, spread = candidates(x, y, h, ones, ones, clock, k=16 if low else 12, few=4)
        h = smooth(graph, h, ones, ones, 0.1 * spread, 6) if spread > 0 else h
        graph, spread = candidates(x, y, h, ones, ones, clock, k=10, few=5)
        h = smooth(graph, h, ones, ones, 0.1 * spread, 4) if spread > 0 else h
    return graph, h, low


def _if_better(x: Tensor, y: Tensor, h0: Tensor) -> Floats | None:
    """The potentials h0, unless the Gaussian ones give a lower E(h) on some of the sources."""
    some = x[: min(SAMPLE, max(16, SMALL * SMALL // len(y)))]
    ceiling = [
        float((torch.addmm(h, some, y.mT).max(1).values.mean() - h.mean()).item())
        for h in (h0, brenier(clipped(x), clipped(y)))
    ]
    return h0.cpu().numpy() if ceiling[0] < ceiling[1] else None
