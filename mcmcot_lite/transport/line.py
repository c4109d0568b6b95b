r"""One dimension: the optimal map sorts, and the gaps between neighbours give its potentials.

If sources and targets are both in order, source k goes to target k. It stays there as long as its
neighbours' targets score no higher, which asks of the potentials that

.. math::  -x_{k+1} (y_{k+1} - y_k) \le h_{k+1} - h_k \le -x_k (y_{k+1} - y_k).

The middle of each interval will do. Then no other target scores higher either: the score
difference between targets j + 1 and j grows with the source and changes sign between j and j + 1.

Two laws in many dimensions come down to this one: a :func:`product` of independent coordinates, and
a law that is :func:`radial`. Their potentials are good guesses where tails are heavier than those
of a Gaussian (:mod:`~.gaussian`), and optimal where the targets are such a map of the sources.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["product", "radial", "sorted_match"]


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
    ordered = _ordered(a, b)
    own = a * b + ordered
    best = own.clone()
    best[1:] = torch.maximum(best[1:], a[1:] * b[:-1] + ordered[:-1])
    best[:-1] = torch.maximum(best[:-1], a[:-1] * b[1:] + ordered[1:])
    h = torch.empty_like(ordered)
    h[j] = ordered
    return match, h, float((a * b).mean()), float(best.mean() - ordered.mean())


def product(x: Tensor, y: Tensor) -> Tensor:
    """Potentials (n,) for y_j = (f_1(x_i1), ..., f_d(x_id)), each f increasing; x, y (n, d).

    Each coordinate is at its best by itself, so the sum of their potentials is optimal.
    """
    h = torch.zeros_like(y[:, 0])
    for a, b in zip(x.mT, y.mT, strict=True):  # one at a time: sorting all takes much memory
        h += _potentials(a, b)
    return h


def radial(x: Tensor, y: Tensor) -> Tensor:
    """Potentials (n,) for y_j = f(|x_i|) x_i / |x_i|, f increasing; x, y (n, d).

    <x_i, y_j> <= |x_i| |y_j|, with equality where the directions agree: the lengths decide.
    """
    return _potentials(x.square().sum(1).sqrt(), y.square().sum(1).sqrt())


def _potentials(x: Tensor, y: Tensor) -> Tensor:
    """Of the targets y of sources x on a line, both (n,): (n,), with mean zero."""
    y, j = y.sort()
    h = torch.empty_like(y)
    h[j] = _ordered(x.sort().values, y)
    return h


def _ordered(x: Tensor, y: Tensor) -> Tensor:
    """The same for x and y in ascending order."""
    steps = -(x[1:] + x[:-1]) / 2 * y.diff()
    h = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return h - h.mean()
