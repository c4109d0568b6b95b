"""Optimal transport between two clouds of n points: the correction step (Section 5.2).

:func:`exact_map` finds the optimum and proves it, for any n; :func:`semidual_map` is the paper's
Algorithm 2, approximate; :func:`auction_map` comes within a proven gap in plain PyTorch.
:func:`transport` chooses, and :func:`certify` checks any map from scratch. :func:`mix` applies a
map to the latents (Eq. 12). All solvers return a :class:`TransportMap` with a primal cost, a dual
bound and their gap. The package imports nothing of mcmcot_lite but its error messages.
"""

from mcmcot_lite.transport.auction import auction_map
from mcmcot_lite.transport.certify import Certificate, certify
from mcmcot_lite.transport.correct import mix, transport
from mcmcot_lite.transport.exact import exact_map
from mcmcot_lite.transport.limits import memory_needed
from mcmcot_lite.transport.result import TransportMap
from mcmcot_lite.transport.scores import SMALL, dual_value, laguerre_cells
from mcmcot_lite.transport.semidual import semidual_map

__all__ = [
    "Certificate",
    "SMALL",
    "TransportMap",
    "auction_map",
    "certify",
    "dual_value",
    "exact_map",
    "laguerre_cells",
    "memory_needed",
    "mix",
    "semidual_map",
    "transport",
]
