"""Langevin steps on any log density of z: Eq. (8), for models whose prior is not N(0, I)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["normal", "prior_start", "walk"]

LogDensity = Callable[[Tensor], Tensor]


def normal(n: int, d: int, like: Tensor, rng: torch.Generator) -> Tensor:
    """Draws of N(0, I), (n, d)."""
    return torch.randn(n, d, generator=rng, device=like.device, dtype=like.dtype)


def prior_start(n: int, d: int, like: Tensor, rng: torch.Generator) -> Tensor:
    """:func:`normal`, its arguments checked, for a user's call."""
    n = checks.integer("n", n, 1)
    return normal(n, d, like, checks.rng_on(rng, like.device))


def walk(log_p: LogDensity, z: Tensor, K: int, s: float, rng: torch.Generator) -> Tensor:
    """K steps from z, (n, d): drift s^2/2 along the gradient, noise s; detached."""
    for _ in range(K):
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(log_p(at).sum(), at)
        z = z + s**2 / 2 * slope + s * normal(*z.shape, like=z, rng=rng)
    return z.detach()
