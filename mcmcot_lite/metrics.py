"""How far the latents are from the prior, and the images from their reconstructions."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import images_and_mask
from mcmcot_lite.transport import SMALL, exact_map
from mcmcot_lite.transport.gaussian import spectrum

__all__ = ["PriorDistance", "distance_to_prior", "frechet_distance", "mse"]


class PriorDistance(NamedTuple):
    """Squared 2-Wasserstein distance of latents to N(0, I), estimated from samples.

    Attributes:
        value: mean exact OT cost from the latents to fresh prior samples.
        stderr: its standard error over the draws.
        floor: the same cost between two prior samples of the same size: what a perfect sample of
            this size would score. Large in high dimension.
        n: points used.
    """

    value: float
    stderr: float
    floor: float
    n: int


def distance_to_prior(
    z_hat: Tensor, *, rng: torch.Generator, draws: int = 4, n: int | None = None
) -> PriorDistance:
    """Squared 2-Wasserstein distance between the latents and the prior, by the exact map.

    Args:
        z_hat: latents, (n, d).
        rng: draws the prior samples and, where not all latents are used, a subset of them.
        draws: independent prior samples, >= 2.
        n: points used; left out, all latents, or 2,000 of more.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.latents("z_hat", z_hat)
    rng = checks.rng_on(rng, z_hat.device)
    draws = checks.integer("draws", draws, 2, why="a standard error needs two")
    most = len(z_hat)
    n = min(most, SMALL) if n is None else checks.integer("n", n, 1)
    checks.require(n <= most, "n", f"must be at most {most} here", n, "Leave it out.")

    def prior() -> Tensor:
        shape = (n, z_hat.shape[1])
        return torch.randn(shape, generator=rng, device=z_hat.device, dtype=z_hat.dtype)

    costs: list[float] = []
    floors: list[float] = []
    for _ in range(draws):
        subset = torch.randperm(len(z_hat), generator=rng, device=z_hat.device)[:n]
        z = prior()
        costs.append(exact_map(z_hat[subset], z).primal)
        floors.append(exact_map(prior(), z).primal)
    return PriorDistance(fmean(costs), stdev(costs) / draws**0.5, fmean(floors), n)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al., 2017).

    With means m and covariances C (divided by n - 1),
    :math:`|m_a - m_b|^2 + \mathrm{tr}(C_a + C_b - 2 (C_b^{1/2} C_a C_b^{1/2})^{1/2})`: the squared
    2-Wasserstein distance of the two Gaussians. It is the FID of the literature only if the
    features are those of its Inception network; say which features you used, and how many samples:
    few samples bias it upwards.

    Args:
        a: features, (n, d), n >= 2.
        b: features of the other set, (m, d), m >= 2, of a's dtype and device.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.latents("a", a)
    checks.tensor("b", b, shape=(None, a.shape[1]), like=a, like_name="a")
    for name, t in (("a", a), ("b", b)):
        remedy = "A covariance needs two samples, and many more than d to be worth anything."
        checks.require(len(t) >= 2, name, "must hold 2 samples or more", len(t), remedy)
    a, b = a.detach().double(), b.detach().double()
    x, y = a - a.mean(0), b - b.mean(0)
    x, y = x * (len(x) / (len(x) - 1)) ** 0.5, y * (len(y) / (len(y) - 1)) ** 0.5
    spread = float(x.square().sum(1).mean() + y.square().sum(1).mean())
    between = float((a.mean(0) - b.mean(0)).square().sum())
    return max(0.0, between + spread - 2 * float(spectrum(x, y).sum()))


def mse(x: Tensor, y: Tensor, mask: Tensor | None = None) -> float:
    """Mean squared error per pixel between images x and y, (n, ...); of visible pixels, if masked.

    Args:
        x: images.
        y: other images, of the shape, dtype and device of x.
        mask: visible pixels (1), the shape of x or of one image; hidden ones may hold anything.

    Raises:
        TypeError, ValueError: on bad input, or a mask that hides every pixel.
    """
    visible = images_and_mask(x, mask)
    checks.tensor("y", y, shape=tuple(x.shape), like=x, like_name="x", finite=visible is None)
    error = (x.detach().double() - y.detach().double()).square()
    if visible is None:
        return float(error.mean())
    error = error[visible]
    remedy = "1 marks a visible pixel."
    checks.require(len(error) > 0, "mask", "must leave a pixel visible", "none", remedy)
    bad, remedy = int((~torch.isfinite(error)).sum()), "Look for NaN in y."
    got = f"{bad} NaN or infinite entries"
    checks.require(bad == 0, "y", "must be finite wherever it is visible", got, remedy)
    return float(error.mean())
