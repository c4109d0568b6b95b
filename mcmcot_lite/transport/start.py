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
        gaussian = brenier(clipped(x), clipped(y))
        if h0 is not None and _ceiling(x, y, h0) < _ceiling(x, y, gaussian):
            h = h0.cpu().numpy()
        else:
            h = multiscale(x, y, clock) if low else gaussian.cpu().numpy()
        h = h - h.mean()
    with clock.phase("graph"):
        graph, spread = candidates(x, y, h, ones, ones, clock, k=16 if low else 12, few=4)
        h = smooth(graph, h, ones, ones, 0.1 * spread, 6) if spread > 0 else h
        graph, spread = candidates(x, y, h, ones, ones, clock, k=10, few=5)
        h = smooth(graph, h, ones, ones, 0.1 * spread, 4) if spread > 0 else h
    return graph, h, low


def _ceiling(x: Tensor, y: Tensor, h: Tensor) -> float:
    """E(h) of Eq. (14) over some of the sources."""
    some = x[: min(SAMPLE, max(16, SMALL * SMALL // len(y)))]
    return float(torch.addmm(h, some, y.mT).max(1).values.mean() - h.mean())
