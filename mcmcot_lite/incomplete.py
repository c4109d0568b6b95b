r"""The linear model learned from incomplete images (Section 6): matrix completion, exactly.

Image i shows the pixels v of its mask. With x = mu + Theta z + sigma e, what it shows is normal,

.. math::  x_v \sim \mathcal N(\mu_v,\; \Theta_v \Theta_v^\top + \sigma^2 I), \qquad
           z \mid x_v \sim \mathcal N(m_i, C_i), \qquad
           C_i^{-1} = \Theta_v^\top \Theta_v / \sigma^2 + I.

So inference, likelihood and the completion mu + Theta m_i are exact, and EM finds the maximum of
the likelihood of all visible pixels, Eq. (15): probabilistic PCA with missing values (Tipping and
Bishop, 1999; Ilin and Raiko, 2010). Algorithm 3 on a linear generator is held against it. All is
computed in float64, since C_i^-1 has a condition of about 1 / sigma^2, and returned in x's dtype.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import OVERFLOW, check_sigma, given_mask
from mcmcot_lite.factor_analysis import FactorAnalysis
from mcmcot_lite.linear import check_linear, linalg

__all__ = ["Posteriors", "complete", "em", "log_marginal", "posterior"]


class Posteriors(NamedTuple):
    """Laws of the latents, one an image: ``mean`` (n, d), ``cov`` (n, d, d)."""

    mean: Tensor
    cov: Tensor


def posterior(
    x: Tensor, mask: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None = None
) -> Posteriors:
    """Exact law of each latent given the pixels that its image shows.

    Args:
        x: images, (n, D); hidden pixels may hold anything and are never read.
        mask: visible pixels (1), (n, D) or (D,).
        theta: loadings, (D, d).
        sigma: noise standard deviation, a number or (D,).
        mu: mean image, (D,); zeros when left out.

    Returns:
        :class:`Posteriors`; the prior for an image that shows nothing.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: when the means overflow.
    """
    centred, seen, sigma = _checked(x, mask, theta, sigma, mu)
    law = _posterior(centred, seen, theta.double(), sigma)
    mean = checks.finite("posterior", law.mean.to(x.dtype), OVERFLOW)
    return Posteriors(mean, law.cov.to(x.dtype))


def log_marginal(
    x: Tensor, mask: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None = None
) -> Tensor:
    """Exact log density of what each image shows, (n,), Eq. (15); 0 where it shows nothing.

    Arguments and errors as :func:`posterior`. Differentiable in theta, sigma and mu.
    """
    centred, seen, sigma = _checked(x, mask, theta, sigma, mu)
    value = _log_marginal(centred, seen, theta.double(), sigma).to(x.dtype)
    return checks.finite("log_marginal", value, OVERFLOW)


def complete(x: Tensor, mask: Tensor, model: FactorAnalysis) -> Tensor:
    """Images with each hidden pixel at its mean given the visible ones, mu + Theta m_i; (n, D).

    Arguments and errors as :func:`posterior`; ``model`` is one of :func:`em`.
    """
    is_model = isinstance(model, FactorAnalysis)  # pyright: ignore[reportUnnecessaryIsInstance]
    rule, remedy = "must be a FactorAnalysis", "Pass a result of em."
    checks.require(is_model, "model", rule, checks.shown(model), remedy, TypeError)
    law = posterior(x, mask, model.theta, model.sigma, model.mu)
    return torch.where(given_mask(x, mask), x, model.mu + law.mean @ model.theta.mT)


@torch.no_grad()
def em(
    x: Tensor,
    mask: Tensor,
    d: int,
    *,
    sigma: float | None = None,
    steps: int = 2000,
    tol: float = 1e-8,
    rng: torch.Generator,
) -> FactorAnalysis:
    """Maximum likelihood of the visible pixels by EM: Theta, mu and, unless given, sigma.

    E step: :func:`posterior`. M step: each pixel is regressed on (z, 1) over the images that show
    it. The likelihood never falls, up to rounding. Computed in float64, returned in x's dtype.

    Args:
        x: images, (n, D); hidden pixels may hold anything and are never read.
        mask: visible pixels (1), (n, D) or (D,).
        d: dimension of the latents, 1 <= d < D.
        sigma: the noise, where it is known; None learns it.
        steps: most EM steps.
        tol: stop when the mean log-likelihood per image gains no more than this (in nats).
        rng: draws the loadings to start from, on x's device.

    Returns:
        :class:`~mcmcot_lite.factor_analysis.FactorAnalysis`.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from; a pixel that no image shows.
        FloatingPointError: where sums of squares overflow; rng is then as it was.
    """
    d = checks.integer("d", d, 1)
    seen = _flat(x, mask)
    D = x.shape[1]
    rule, remedy = f"must be smaller than D = {D}", "Choose a smaller one."
    checks.require(d < D, "d", rule, d, remedy)
    blank = (~seen.any(0)).nonzero().flatten()
    rule, got = "must show each pixel in some image", f"none that shows pixel {blank[:1].tolist()}"
    checks.require(len(blank) == 0, "mask", rule, got, "Leave such pixels out of x.")
    fixed = None if sigma is None else check_sigma(sigma)
    steps = checks.integer("steps", steps, 1)
    tol = checks.number("tol", tol, above=0.0, closed=(True, False))
    rng = checks.rng_on(rng, x.device)
    with checks.restored(rng):
        theta = torch.randn(D, d, generator=rng, dtype=x.dtype, device=x.device)
        try:
            found = _em(torch.where(seen, x, 0.0).double(), seen, theta.double(), fixed, steps, tol)
        except linalg.LinAlgError as error:  # of matrices that are not finite
            rule, got = "must have squares that fit into float64", checks.error_text(error)
            remedy = "Divide x by its standard deviation."
            raise checks.fail("x", rule, got, remedy, FloatingPointError) from error
    theta, noise, mu = (v.to(x.dtype) for v in (found.theta, found.sigma, found.mu))
    return replace(found, theta=theta, sigma=noise, mu=mu)


def _em(
    shown: Tensor, seen: Tensor, theta: Tensor, fixed: float | None, steps: int, tol: float
) -> FactorAnalysis:
    """EM from standard normal loadings; shown is 0 where hidden."""
    D, d = theta.shape
    mu = shown.sum(0) / seen.sum(0)
    variance = (torch.where(seen, shown - mu, 0.0).square().sum() / seen.sum()).clamp_min(1e-300)
    theta = theta * (variance / d).sqrt()
    noise = variance.sqrt() if fixed is None else shown.new_tensor(fixed)

    def centred() -> Tensor:
        return torch.where(seen, shown - mu, 0.0)

    history = [float(_log_marginal(centred(), seen, theta, noise.expand(D)).mean())]
    converged = False
    while len(history) <= steps and not converged:
        m, C = _posterior(centred(), seen, theta, noise.expand(D))
        z = torch.cat([m, torch.ones_like(m[:, :1])], 1)  # (z, 1)
        second = z[:, :, None] * z[:, None, :]
        second[:, :d, :d] += C
        weights = seen.to(shown.dtype).mT  # (D, n)
        A = (weights @ second.flatten(1)).view(D, d + 1, d + 1)
        b = shown.mT @ z
        both: Tensor = linalg.solve(A, b[:, :, None])[:, :, 0]
        theta, mu = both[:, :d], both[:, d]
        if fixed is None:
            # Mean of E (x - mu - Theta z)^2 over the visible pixels; the regression's own residual
            spread = shown.square().sum() - (both * b).sum()
            noise = (spread / seen.sum()).clamp_min(1e-12 * variance).sqrt()
        history.append(float(_log_marginal(centred(), seen, theta, noise.expand(D)).mean()))
        converged = history[-1] - history[-2] <= tol
    return FactorAnalysis(theta, noise, mu, tuple(history), converged, len(history) - 1)


def _flat(x: Tensor, mask: Tensor) -> Tensor:
    """Checks flat images of single or double precision and their mask."""
    seen = given_mask(x, mask)
    remedy = "Pass flat images, x.flatten(1), and a flat mask."
    checks.tensor("x", x, ndim=2, finite=False, remedy=remedy)
    full = x.dtype in (torch.float32, torch.float64)
    rule = "must be float32 or float64: matrices are factorised"
    checks.require(full, "x", rule, x.dtype, "Use .double().", TypeError)
    return seen


def _checked(
    x: Tensor, mask: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Images less mu with zeros where hidden, the mask, sigma as (D,); numbers in float64."""
    seen = _flat(x, mask)
    shown = torch.where(seen, x, 0.0)
    sigma, mu = check_linear(shown, theta, sigma, mu)
    return torch.where(seen, shown.double() - mu.double(), 0.0), seen, sigma.double()


def _precision(seen: Tensor, theta: Tensor, sigma: Tensor) -> Tensor:
    """C_i^-1 for each image, (n, d, d)."""
    D, d = theta.shape
    scaled = theta / sigma[:, None]
    outer = (scaled[:, :, None] * scaled[:, None, :]).view(D, d * d)
    eye = torch.eye(d, dtype=theta.dtype, device=theta.device)
    return (seen.to(theta.dtype) @ outer).view(-1, d, d) + eye


def _posterior(centred: Tensor, seen: Tensor, theta: Tensor, sigma: Tensor) -> Posteriors:
    """Without checks; centred is 0 where hidden."""
    root: Tensor = linalg.cholesky(_precision(seen, theta, sigma))
    pull = (centred / sigma) @ (theta / sigma[:, None])
    mean = torch.cholesky_solve(pull[:, :, None], root)[:, :, 0]
    return Posteriors(mean, torch.cholesky_inverse(root))


def _log_marginal(centred: Tensor, seen: Tensor, theta: Tensor, sigma: Tensor) -> Tensor:
    """Is log p(x_v, m) - log p(m | x_v) at the posterior mean m: sums of squares."""
    root: Tensor = linalg.cholesky(_precision(seen, theta, sigma))
    pull = (centred / sigma) @ (theta / sigma[:, None])
    m = torch.cholesky_solve(pull[:, :, None], root)[:, :, 0]
    residual = torch.where(seen, (centred - m @ theta.mT) / sigma, 0.0)
    distance = residual.square().sum(1) + m.square().sum(1)
    logdet = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
    pixels = seen.to(theta.dtype)
    return -0.5 * (distance + logdet + pixels @ (2 * sigma.log() + math.log(2 * math.pi)))
