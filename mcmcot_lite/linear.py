r"""The linear model of Section 3.1, the one model of this book whose every answer is exact.

.. math::  x = \mu + \Theta z + \epsilon, \qquad z \sim \mathcal N(0, I_d), \qquad
           \epsilon \sim \mathcal N(0, \Psi).

``sigma`` is the noise standard deviation: a number for Psi = sigma^2 I, as in the paper, or a
vector (D,) with one entry a pixel. How the model is fitted: :mod:`mcmcot_lite.factor_analysis`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import OVERFLOW, check_sigma

__all__ = ["Gaussian", "log_marginal", "posterior", "sample"]

linalg: Any = torch.linalg  # torch gives it no types


class Gaussian(NamedTuple):
    """Normal laws that share a covariance: ``mean`` (n, d), one a row, and ``cov`` (d, d)."""

    mean: Tensor
    cov: Tensor


def check_matrix(name: str, value: Tensor, remedy: str) -> Tensor:
    """A finite matrix of single or double precision, which is what factorisations take."""
    checks.tensor(name, value, ndim=2, remedy=remedy)
    full = value.dtype in (torch.float32, torch.float64)
    rule = "must be float32 or float64: matrices are factorised"
    checks.require(full, name, rule, value.dtype, "Use .double().", TypeError)
    return value


def check_model(theta: Tensor, sigma: float | Tensor, mu: Tensor | None) -> tuple[Tensor, Tensor]:
    """Checks a linear model; returns (sigma as (D,), mu as (D,))."""
    check_matrix("theta", theta, "Pass loadings of shape (D, d).")
    D, of = len(theta), "theta"
    mu = torch.zeros_like(theta[:, 0]) if mu is None else mu
    checks.tensor("mu", mu, shape=(D,), like=theta, like_name=of)
    if not isinstance(sigma, Tensor) or sigma.ndim == 0:
        value = torch.tensor(check_sigma(sigma), dtype=torch.float64)
        sigma = (sigma if isinstance(sigma, Tensor) else value).to(mu).expand(D)
    checks.tensor("sigma", sigma, shape=(D,), like=theta, like_name=of)
    lowest, remedy = sigma.min().item(), "Drop constant pixels, or add a small floor."
    checks.require(lowest > 0, "sigma", "must be positive in every pixel", lowest, remedy)
    if not bool(torch.isfinite(precision(theta, sigma)).all()):
        rule = f"must be small enough against sigma for its square to fit into {theta.dtype}"
        got = f"entries up to {theta.abs().max().item():g}"
        raise checks.fail("theta", rule, got, "Rescale the images, or use float64.")
    return sigma, mu


def check_linear(
    x: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None
) -> tuple[Tensor, Tensor]:
    """:func:`check_model`, and images (n, D) that fit it."""
    model = check_model(theta, sigma, mu)
    remedy = "Pass flat images, x.flatten(1), with one row of theta for each pixel."
    checks.tensor("x", x, shape=(None, len(theta)), like=theta, like_name="theta", remedy=remedy)
    return model


def precision(theta: Tensor, sigma: Tensor) -> Tensor:
    """Posterior precision P = Theta' Psi^-1 Theta + I, (d, d); sigma is (D,)."""
    scaled = theta / sigma[:, None]  # Psi^-1/2 Theta
    eye = torch.eye(theta.shape[1], dtype=theta.dtype, device=theta.device)
    return scaled.mT @ scaled + eye


def posterior(
    x: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None = None
) -> Gaussian:
    r"""Exact posterior of the latents, N(m_i, C): C = (Theta' Psi^-1 Theta + I)^-1.

    Args:
        x: images, (n, D).
        theta: loadings, (D, d).
        sigma: noise standard deviation, a number or (D,).
        mu: mean image, (D,); zeros when left out.

    Returns:
        :class:`Gaussian` with means (n, d), m_i = C Theta' Psi^-1 (x_i - mu), and the covariance
        (d, d), which is the same for every image.

    Raises:
        TypeError, ValueError: on wrong types, shapes, dtypes, devices, NaN, or sigma <= 0.
        FloatingPointError: when the means overflow.
    """
    sigma, mu = check_linear(x, theta, sigma, mu)
    law = raw_posterior(x - mu, theta, sigma)
    checks.finite("posterior", law.mean, OVERFLOW)
    return law


def raw_posterior(centred: Tensor, theta: Tensor, sigma: Tensor) -> Gaussian:
    """The posterior without checks; ``centred`` is x - mu, sigma (D,)."""
    cov = torch.cholesky_inverse(linalg.cholesky(precision(theta, sigma)))
    return Gaussian((centred / sigma) @ (theta / sigma[:, None]) @ cov, cov)


def log_marginal(
    x: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None = None
) -> Tensor:
    """Exact log p(x), the log-density of N(mu, Theta Theta' + Psi), shape (n,).

    Costs O(D d^2): the matrix inversion lemma keeps every inverse d x d.
    Arguments and errors as :func:`posterior`.
    """
    sigma, mu = check_linear(x, theta, sigma, mu)
    return checks.finite("log_marginal", raw_log_marginal(x - mu, theta, sigma), OVERFLOW)


def raw_log_marginal(centred: Tensor, theta: Tensor, sigma: Tensor) -> Tensor:
    """Is log p(x, m) - log p(m | x) at the posterior mean m: sums of squares, nothing cancels."""
    m, _ = raw_posterior(centred, theta, sigma)
    residual = (centred - m @ theta.mT) / sigma
    distance = residual.square().sum(1) + m.square().sum(1)
    root: Tensor = linalg.cholesky(precision(theta, sigma))
    logdet = 2 * sigma.log().sum() + 2 * root.diagonal().log().sum()
    return -0.5 * (distance + logdet + len(theta) * math.log(2 * math.pi))


def sample(
    n: int, theta: Tensor, sigma: float | Tensor, mu: Tensor | None = None, *, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws n pairs: latents (n, d) from the prior, images (n, D) from them.

    theta, sigma, mu as :func:`posterior`; all noise comes from ``rng``, on theta's device.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    n = checks.integer("n", n, 1)
    sigma, mu = check_model(theta, sigma, mu)
    rng = checks.rng_on(rng, theta.device)
    z = torch.randn(n, theta.shape[1], generator=rng, dtype=theta.dtype, device=theta.device)
    noise = torch.randn(n, len(theta), generator=rng, dtype=theta.dtype, device=theta.device)
    return z, mu + z @ theta.mT + sigma * noise
