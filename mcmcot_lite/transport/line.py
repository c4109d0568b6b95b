r"""One dimension: the optimal map sorts, and the gaps between neighbours give its potentials.

If sources and targets are both in order, source k goes to target k. It stays there as long as its
neighbours' targets score no higher, which asks of the potentials that

.. math::  -x_{k+1} (y_{k+1} - y_k) \le h_{k+1} - h_k \le -x_k (y_{k+1} - y_k).

The middle of each interval will do. Then no other target scores higher either: the score
difference between targets j + 1 and j grows with the source and changes sign between j and j + 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sorted_match"]


def sorted_match(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float, float]:
    """The optimal assignment of x to y, both (n, 1) float64, in O(n log n).

    Returns:
        (target of each source (n,), potentials of the targets (n,), mean score of the assignment,
        mean score that none exceeds).
    """
    a, i = x[:, 0].sort()
    b, j = y[:, 0].sort()
    match = torch.empty_like(i)
    match[i] = j
    steps = -(a[1:] + a[:-1]) / 2 * b.diff()
    ordered = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    ordered = ordered - ordered.mean()
    own = a * b + ordered
    best = own.clone()
    best[1:] = torch.maximum(best[1:], a[1:] * b[:-1] + ordered[:-1])
    best[:-1] = torch.maximum(best[:-1], a[:-1] * b[1:] + ordered[1:])
    h = torch.empty_like(ordered)
    h[j] = ordered
    return match, h, float((a * b).mean()), float(best.mean() - ordered.mean())
