"""Self-checks of Chapters 1 to 4: linear posterior, log joint, Langevin step, short runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite.check.grading import Exercise, draws

__all__ = ["ex_1_5", "ex_2_6", "ex_3_6", "ex_4_4", "ex_4_5"]


def ex_1_5(posterior: Callable[[Tensor, Tensor, float, Tensor], Any]) -> None:
    """Linear posterior: ``posterior(x, theta, sigma, mu)`` -> mean (n, d), covariance (d, d)."""
    e = Exercise("1.5", posterior, "posterior(x, theta, sigma, mu)")
    for seed, (n, D, d, sigma) in enumerate([(4, 6, 2, 0.5), (3, 5, 3, 2.0), (1, 4, 1, 0.1)]):
        theta, mu, x = draws(seed, D, d), draws(seed + 10, D), draws(seed + 20, n, D)
        found = e.pair(e.call(x, theta, sigma, mu))
        mean, cov = (
            e.tensor(found[0], (n, d), "the mean"),
            e.tensor(found[1], (d, d), "the covariance"),
        )
        e.near(cov, cov.mT, "a covariance is symmetric; yours is not.")
        values = cast(Tensor, torch.linalg.eigvalsh((cov + cov.mT) / 2))
        e.hold(values.min() > 0, "a covariance has positive eigenvalues; yours has not.")
        e.hold(
            values.max() <= 1 + 1e-9,
            "an image never makes a latent less certain than the prior; yours does.",
        )
        residual = (x - mu - mean @ theta.mT) @ theta / sigma**2
        e.near(
            residual,
            mean,
            "at your mean the log joint still has a slope. Where do sigma, mu and the prior enter?",
        )
        curvature = theta.mT @ theta / sigma**2 + torch.eye(d, dtype=theta.dtype)
        e.near(
            curvature @ cov,
            torch.eye(d, dtype=theta.dtype),
            "your covariance does not fit the curvature of the log joint.",
        )
    e.done()


def ex_2_6(log_joint: Callable[..., Any]) -> None:
    """Log joint up to a constant: ``log_joint(g, z, x, sigma)`` -> (n,), one for each image."""
    e = Exercise("2.6", log_joint, "log_joint(g, z, x, sigma)")
    n, d = 5, 3
    A = draws(0, 2, 4, d)

    def g(z: Tensor) -> Tensor:
        return torch.tanh(torch.einsum("hwd,nd->nhw", A, z))[:, None]

    for seed, sigma in enumerate((0.3, 2.0)):
        z, other, x = draws(seed + 1, n, d), draws(seed + 2, n, d), draws(seed + 3, n, 1, 2, 4)
        found = e.tensor(e.call(g, z, x, sigma), (n,))
        moved = e.tensor(e.call(g, other, x, sigma), (n,))

        def error(z: Tensor, x: Tensor = x) -> Tensor:
            return (x - g(z)).flatten(1).square().sum(1)

        prior = (z.square().sum(1) - other.square().sum(1)) / 2
        pixels = error(z) - error(other)
        got = found - moved
        e.hold(
            not torch.allclose(got, pixels / (2 * sigma**2) + prior),
            "it is larger where the image is drawn worse.",
        )
        e.hold(not torch.allclose(got, -pixels / (2 * sigma**2)), "it does not see the prior of z.")
        rest = got + prior
        e.near(
            rest / -pixels * sigma**2 * 2,
            torch.ones(n),
            "the error of the pixels has the wrong weight. How does it depend on sigma? "
            "Is it a sum over pixels?",
        )
    e.done()


def ex_3_6(step: Callable[[Tensor, Tensor, float, Tensor], Any]) -> None:
    """One Langevin step: ``step(z, grad, s, xi)`` -> (n, d); grad of log p, xi standard normal."""
    e = Exercise("3.6", step, "step(z, grad, s, xi)")
    n, d = 6, 2
    z, grad, xi = draws(1, n, d), draws(2, n, d), draws(3, n, d)
    still = torch.zeros(n, d, dtype=z.dtype)
    for s in (0.1, 0.7):
        e.near(
            e.tensor(e.call(z, still, s, still), (n, d)),
            z,
            "without slope and noise a chain stays where it is.",
        )
        drift = e.tensor(e.call(z, grad, s, still), (n, d)) - z
        e.hold((drift * grad).sum() > 0, "without noise the log density must rise.")
        noise = e.tensor(e.call(z, still, s, xi), (n, d)) - z
        e.hold(noise.abs().max() > 0, "it does not use the noise xi.")
        # On N(0, I) the noise of a step must make up for what the drift takes away:
        # a variance v = 1 stays near 1 for a small step.
        by_drift = float((drift * grad).sum() / grad.square().sum())
        by_noise = float((noise * xi).sum() / xi.square().sum())
        e.near(
            by_drift,
            by_noise**2 / 2,
            "drift and noise do not fit: on N(0, 1) the variance would not stay near 1.",
        )
        e.near(by_noise, s, "the noise of a step of size s has the wrong scale.")
        whole = e.tensor(e.call(z, grad, s, xi), (n, d))
        e.near(whole - z, drift + noise, "drift and noise must add up.")
    e.done()


def ex_4_4(variance: Callable[[int, float, float], Any]) -> None:
    """Short run: ``variance(K, s, lam)`` of a chain from N(0, 1) on a normal of precision lam."""
    e = Exercise("4.4", variance, "variance(K, s, lam)")

    def number(K: int, s: float, lam: float) -> float:
        return float(e.tensor(e.call(K, s, lam), ()))

    for s, lam in ((0.3, 1.0), (0.2, 9.0), (0.5, 4.0)):
        e.near(number(0, s, lam), 1.0, "after no step the variance is that of the start, 1.")
        shrink = 1 - s**2 / 2 * lam
        e.near(
            number(1, s, lam),
            shrink**2 + s**2,
            "one step is wrong: what does it do to the spread, and what does its noise add?",
        )
        e.near(
            number(7, s, lam),
            shrink**2 * number(6, s, lam) + s**2,
            "a step from 6 to 7 is not like a step from 0 to 1.",
        )
        limit = 1 / (lam * (1 - s**2 * lam / 4))
        e.near(number(4000, s, lam), limit, "a very long chain ends at another variance.")
    e.done()


def ex_4_5(aggregate: Callable[[Tensor, Tensor], Any]) -> None:
    """Aggregated law: ``aggregate(means, covs)`` -> mean (d,), covariance (d, d) of the mixture."""
    e = Exercise("4.5", aggregate, "aggregate(means, covs)")
    for seed, (n, d) in enumerate([(5, 2), (40, 3)]):
        means, root = draws(seed, n, d), draws(seed + 5, n, d, d)
        covs = root @ root.mT
        found = e.pair(e.call(means, covs))
        mean, cov = (
            e.tensor(found[0], (d,), "the mean"),
            e.tensor(found[1], (d, d), "the covariance"),
        )
        e.near(mean, means.mean(0), "the mean of the mixture is wrong.")
        # Second moments add up: E zz' = mean of (C_i + m_i m_i').
        second = covs.mean(0) + means.mT @ means / n
        within, between = covs.mean(0), second - covs.mean(0) - torch.outer(mean, mean)
        e.hold(
            not torch.allclose(cov, within),
            "images differ: their means spread, too, and that is missing.",
        )
        e.hold(not torch.allclose(cov, between), "each posterior has a width, too: it is missing.")
        e.hold(
            not torch.allclose(cov, second),
            "that is the second moment about 0, not about the mean.",
        )
        e.near(
            cov + torch.outer(mean, mean),
            second,
            "second moments do not add up. (Divide by n: the mixture is a law, no sample.)",
        )
        e.hold(math.isfinite(float(cov.sum())), "it is not finite.")
    e.done()
