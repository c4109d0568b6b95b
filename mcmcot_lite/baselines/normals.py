r"""Diagonal normal laws, as (means, log variances), each (n, d): what most bounds are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Law", "drawn", "kl_between", "kl_to_prior", "log_density"]

Law = tuple[Tensor, Tensor]


def drawn(law: Law, rng: torch.Generator) -> Tensor:
    """A sample of the law, differentiable in both of its parts, (n, d)."""
    mean, logvar = law
    noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
    return mean + (logvar / 2).exp() * noise


def kl_to_prior(q: Law) -> Tensor:
    """KL(q || N(0, I)), (n,), in nats."""
    mean, logvar = q
    return (mean.square() + logvar.exp() - 1 - logvar).sum(1) / 2


def kl_between(q: Law, p: Law) -> Tensor:
    """KL(q || p), (n,), in nats."""
    apart, spread = q[0] - p[0], q[1] - p[1]
    return (apart.square() / p[1].exp() + spread.exp() - 1 - spread).sum(1) / 2


def log_density(z: Tensor, law: Law) -> Tensor:
    """Log density of the law at z, (n,), with its constant."""
    mean, logvar = law
    squared = ((z - mean).square() / logvar.exp() + logvar).sum(1)
    return -squared / 2 - z.shape[1] * math.log(2 * math.pi) / 2
