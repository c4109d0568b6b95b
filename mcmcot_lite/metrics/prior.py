"""How far latents are from the prior N(0, I): three distances, each beside its noise.

The squared 2-Wasserstein distance sees everything and is blurred by few points in many dimensions.
The sliced one looks at one direction at a time, where a sample is never few. The energy distance
comes with a test: how often would two samples of one law look as different as these?
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, stdev
from typing import NamedTuple, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport import SMALL, exact_map

__all__ = [
    "EnergyTest",
    "PriorDistance",
    "SlicedDistance",
    "distance_to_prior",
    "energy_test",
    "sliced_to_prior",
]

BLOCK = 1 << 24  # distances held at once
Sampler = Callable[[int, torch.Generator], Tensor]


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

    @property
    def excess(self) -> float:
        """What is left above the floor, at least 0; debiased for a cloud as wide as the prior.

        A sample of the prior scaled by c has in the mean the value d (c - 1)^2 + c floor. So a wide
        cloud keeps (c - 1) floor of sampling noise, which counts in high dimension; and a narrow
        one, even a single point, has 0. Look at ``value - floor``, which is below 0 then, or at
        :func:`sliced_to_prior`, whose floor is small and which sees both.
        """
        return max(0.0, self.value - self.floor)


def distance_to_prior(
    z_hat: Tensor,
    *,
    rng: torch.Generator,
    draws: int = 4,
    n: int | None = None,
    prior: Sampler | None = None,
) -> PriorDistance:
    """Squared 2-Wasserstein distance between the latents and the prior, by the exact map.

    Args:
        z_hat: latents, (n, d).
        rng: draws the prior samples and, where not all latents are used, a subset of them.
        draws: independent prior samples, >= 2.
        n: points used; left out, all latents, or 2,000 of more.
        prior: what they are held against: takes (n, rng), returns n latents of another prior, such
            as one that was learned; left out, N(0, I).

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from (but by a prior of your own).
    """
    checks.latents("z_hat", z_hat)
    rng = checks.rng_on(rng, z_hat.device)
    if prior is not None:
        checks.takes("prior", prior, 1, rng)
    draws = checks.integer("draws", draws, 2, why="a standard error needs two")
    most = len(z_hat)
    n = min(most, SMALL) if n is None else checks.integer("n", n, 1)
    checks.require(n <= most, "n", f"must be at most {most} here", n, "Leave it out.")

    def fresh() -> Tensor:
        shape = (n, z_hat.shape[1])
        if prior is None:
            return torch.randn(shape, generator=rng, device=z_hat.device, dtype=z_hat.dtype)
        z = prior(n, rng)
        return checks.tensor("prior's latents", z, shape=shape, like=z_hat, like_name="z_hat")

    costs: list[float] = []
    floors: list[float] = []
    for _ in range(draws):
        subset = torch.randperm(len(z_hat), generator=rng, device=z_hat.device)[:n]
        z = fresh()
        costs.append(exact_map(z_hat[subset], z).primal)
        floors.append(exact_map(fresh(), z).primal)
    return PriorDistance(fmean(costs), stdev(costs) / draws**0.5, fmean(floors), n)


class SlicedDistance(NamedTuple):
    """Sliced squared 2-Wasserstein distance of latents to N(0, I).

    Attributes:
        value: mean over random directions of the squared distance of the projected latents to
            N(0, 1), exact in each direction.
        stderr: its standard error over the directions.
        floor: the same for a sample of the prior of this size.
        n: points.
    """

    value: float
    stderr: float
    floor: float
    n: int


def sliced_to_prior(
    z_hat: Tensor, *, rng: torch.Generator, directions: int = 256
) -> SlicedDistance:
    r"""Sliced squared 2-Wasserstein distance to the prior (Bonneel et al., 2015).

    In one direction, with sorted projections :math:`x_1 \le \dots \le x_n`, the distance of their
    empirical law to N(0, 1) is :math:`\frac1n \sum_i x_i^2 + 1 - 2 \sum_i x_i q_i`,
    :math:`q_i = \varphi(\Phi^{-1}(\frac{i-1}{n})) - \varphi(\Phi^{-1}(\frac{i}{n}))`: no sample of
    the prior is needed. For N(m, S) and n to infinity the mean over directions u is
    :math:`|m|^2/d + E (\sqrt{u'Su} - 1)^2`.

    Args:
        z_hat: latents, (n, d).
        rng: draws the directions, and the sample of the floor.
        directions: how many, >= 2.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.latents("z_hat", z_hat)
    rng = checks.rng_on(rng, z_hat.device)
    directions = checks.integer("directions", directions, 2, why="a standard error needs two")
    n, d = z_hat.shape
    z = z_hat.detach().double()
    edges = torch.arange(n + 1, device=z.device, dtype=torch.float64) / n
    quantiles = cast(Tensor, torch.special.ndtri(edges))
    height = (-quantiles.square() / 2).exp() / math.sqrt(2 * math.pi)
    weights = height[:-1] - height[1:]

    def to_normal(x: Tensor) -> Tensor:
        """Squared distance of each column to N(0, 1)."""
        moved = 2 * (x.sort(0).values * weights[:, None]).sum(0)
        return (x.square().mean(0) + 1 - moved).clamp_min(0)

    values: list[Tensor] = []
    floors: list[Tensor] = []
    with checks.restored(rng):
        left = directions
        while left:
            some = min(left, max(1, BLOCK // n))
            left -= some
            u = torch.randn(d, some, generator=rng, device=z.device, dtype=torch.float64)
            values.append(to_normal(z @ (u / u.square().sum(0).sqrt())))
            fresh = torch.randn(n, some, generator=rng, device=z.device, dtype=torch.float64)
            floors.append(to_normal(fresh))
    value, floor = torch.cat(values), torch.cat(floors)
    checks.finite("sliced_to_prior", value, "Scale the latents down.")
    error = float(value.std()) / directions**0.5
    return SlicedDistance(float(value.mean()), error, float(floor.mean()), n)


class EnergyTest(NamedTuple):
    """Energy distance between two samples, and how surprising it is.

    Attributes:
        value: unbiased estimate of ``2 E|X - Y| - E|X - X'| - E|Y - Y'|``; 0 in the mean, and as
            often below, if both samples have one law.
        p: share of random relabellings (this one counted) with a value as large: small if the laws
            differ.
        permutations: relabellings drawn.
        n: points of the first sample.
        m: points of the second one.
    """

    value: float
    p: float
    permutations: int
    n: int
    m: int


def energy_test(
    a: Tensor, b: Tensor, *, rng: torch.Generator, permutations: int = 999
) -> EnergyTest:
    """Test of equal laws by the energy distance (Szekely and Rizzo, 2004) and permutations.

    If both samples have one law, P(p <= t) <= t for any t and size, with equality at multiples of
    1/(permutations + 1) unless relabellings tie, as in samples of a few points they do. Time grows
    with (n + m)^2 (d + permutations); the table of distances is never held.

    Args:
        a: points, (n, d), n >= 2.
        b: points of the other sample, (m, d), m >= 2, of a's dtype and device; for a test against
            the prior, fresh draws of it.
        rng: relabels; on a's device.
        permutations: how often, >= 1.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.latents("a", a)
    checks.tensor("b", b, shape=(None, a.shape[1]), like=a, like_name="a")
    for name, t in (("a", a), ("b", b)):
        remedy = "E|X - X'| needs two points."
        checks.require(len(t) >= 2, name, "must hold 2 points or more", len(t), remedy)
    rng = checks.rng_on(rng, a.device)
    permutations = checks.integer("permutations", permutations, 1)
    pool = torch.cat([a.detach(), b.detach()]).double()
    n, m = len(a), len(b)
    first = torch.zeros(n + m, permutations + 1, dtype=torch.float64, device=pool.device)
    first[:n, 0] = 1
    with checks.restored(rng):
        for k in range(1, permutations + 1):
            order = torch.randperm(n + m, generator=rng, device=pool.device)
            first[order[:n], k] = 1
    within = torch.zeros(permutations + 1, dtype=torch.float64, device=pool.device)
    reach = torch.zeros_like(within)  # sums of distances from the first sample to all points
    total = 0.0
    everyone = torch.arange(n + m, device=pool.device)
    for rows in torch.split(everyone, max(1, BLOCK // (n + m))):
        apart = torch.cdist(pool[rows], pool, compute_mode="donot_use_mm_for_euclid_dist")
        within += (first[rows] * (apart @ first)).sum(0)
        reach += first[rows].mT @ apart.sum(1)
        total += float(apart.sum())
    across, rest = reach - within, total - 2 * reach + within
    values = 2 * across / (n * m) - within / (n * (n - 1)) - rest / (m * (m - 1))
    checks.finite("energy_test", values, "Scale both samples down.")
    slack = 1e-12 * total / (n + m) ** 2  # sums in another order must not decide a tie
    p = float((values >= values[0] - slack).double().mean())
    return EnergyTest(float(values[0]), p, permutations, n, m)
