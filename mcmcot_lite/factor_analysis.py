r"""Factor analysis (Section 3.1): the one model of this book whose every answer is exact.

.. math::  x = \mu + \Theta z + \epsilon, \qquad z \sim \mathcal N(0, I_d), \qquad
           \epsilon \sim \mathcal N(0, \Psi).

The paper takes :math:`\Psi = \sigma^2 I` (known as probabilistic PCA); classical factor analysis
lets each pixel have its own variance, :math:`\Psi = \mathrm{diag}(\sigma_1^2, ..., \sigma_D^2)`.
Both are here: ``sigma`` is a number or a vector (D,). :func:`em` and :func:`ppca` fit the model;
what it says once fitted (posterior, marginal, samples) is in :mod:`mcmcot_lite.linear`, and can be
used from here.

Departs: Section 3.1 prints z ~ N(0, sigma^2 I_d); the rest of the paper, and this module, use
N(0, I_d), which is what Eq. (7) needs.

References: Rubin and Thayer (1982) for EM; Tipping and Bishop (1999) for the closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.linear import (
    Gaussian,
    check_linear,
    check_matrix,
    linalg,
    log_marginal,
    posterior,
    raw_log_marginal,
    raw_posterior,
    sample,
)

__all__ = ["FactorAnalysis", "Gaussian", "em", "log_marginal", "posterior", "ppca", "sample"]


@dataclass(frozen=True, eq=False)
class FactorAnalysis:
    """A fitted model.

    Attributes:
        theta: loadings, (D, d).
        sigma: noise standard deviation, a scalar tensor, or (D,) for diagonal noise.
        mu: mean image, (D,).
        history: mean log-likelihood per image at the start of each EM step and at the end.
        converged: EM stopped because the last gain was no more than ``tol``, or a fall within
            rounding. False after ``steps`` steps, and when the likelihood fell by more (a ``floor``
            below rounding): the model is then the one before.
        steps: EM steps made.
    """

    theta: Tensor
    sigma: Tensor
    mu: Tensor
    history: tuple[float, ...] = field(default=(), repr=False)
    converged: bool = True
    steps: int = 0


@torch.no_grad()
def ppca(x: Tensor, d: int) -> FactorAnalysis:
    """The exact maximum-likelihood solution for isotropic noise (Tipping and Bishop, 1999).

    Theta = U (Lambda - sigma^2 I)^1/2 from the d leading eigenpairs of the sample covariance
    (divided by n), sigma^2 the mean of the other D - d eigenvalues.

    Raises:
        TypeError, ValueError: on bad input, or images that leave no variance to the noise.
    """
    d = _check_data(x, d)
    n, D = x.shape
    mu = x.mean(0)
    _, singular, V = linalg.svd(x - mu, full_matrices=False)
    spectrum: Tensor = singular.square() / n
    sigma2 = spectrum[d:].sum() / (D - d)
    enough = bool(sigma2 > torch.finfo(x.dtype).eps * spectrum[0])
    remedy = "These images lie in d dimensions up to rounding: choose a smaller d, or more images."
    checks.require(enough, "d", "must leave some variance to the noise", d, remedy)
    theta: Tensor = V[:d].mT * (spectrum[:d] - sigma2).clamp_min(0).sqrt()
    sigma = sigma2.sqrt()
    loglik = raw_log_marginal(x - mu, theta, sigma.expand(D)).mean()
    return FactorAnalysis(theta, sigma, mu, (float(loglik),))


@torch.no_grad()
def em(
    x: Tensor,
    d: int,
    *,
    noise: str = "isotropic",
    steps: int = 1000,
    tol: float = 1e-8,
    floor: float = 1e-6,
    start: FactorAnalysis | None = None,
    rng: torch.Generator | None = None,
) -> FactorAnalysis:
    """Maximum likelihood by expectation-maximisation (Section 3.1; Rubin and Thayer, 1982).

    E step: the posterior means m_i and covariance C of all latents. M step: regression of the
    images on those latents. The log-likelihood never falls, up to rounding; use float64.

    Args:
        x: images, (n, D).
        d: dimension of the latents, 1 <= d < D.
        noise: ``"isotropic"`` (the paper's sigma^2 I) or ``"diagonal"`` (one variance a pixel).
        steps: most EM steps.
        tol: stop when the mean log-likelihood per image gains no more than this (in nats).
        floor: smallest noise variance, as a share of the mean pixel variance. Pixels that never
            change have zero variance and would end the likelihood at infinity.
        start: model to start from; otherwise random loadings from ``rng``.
        rng: generator for the start, on x's device; needed when ``start`` is None.

    Returns:
        :class:`FactorAnalysis`; its ``history`` holds one log-likelihood per step.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    d = _check_data(x, d)
    checks.choice("noise", noise, ("isotropic", "diagonal"))
    steps = checks.integer("steps", steps, 1)
    tol = checks.number("tol", tol, above=0.0, closed=(True, False))
    floor = checks.number("floor", floor, above=0.0)
    n, D = x.shape
    mu = x.mean(0)
    centred = x - mu
    variance = centred.square().mean(0)
    total = variance.mean()
    if start is None:
        rng = checks.rng_on(rng, x.device)
        theta = torch.randn(D, d, generator=rng, dtype=x.dtype, device=x.device)
        theta, psi = theta * (total / d).sqrt(), total.expand(D)
    else:
        theta, psi = _check_start(start, x, d)

    def allowed(psi: Tensor) -> Tensor:
        psi = psi.mean().expand(D) if noise == "isotropic" else psi
        return psi.clamp_min(floor * total)

    def mean_loglik() -> float:
        return float(raw_log_marginal(centred, theta, psi.sqrt()).mean())

    psi = allowed(psi)
    history = [mean_loglik()]
    converged, rounding = False, 1e3 * torch.finfo(x.dtype).eps
    while len(history) <= steps and not converged:
        m, C = raw_posterior(centred, theta, psi.sqrt())  # E step
        second = m.mT @ m / n + C  # mean of E[z z']
        cross = centred.mT @ m / n  # mean of x E[z]'
        before = theta, psi
        theta = torch.cholesky_solve(cross.mT, linalg.cholesky(second)).mT  # M step
        psi = allowed(variance - (theta * cross).sum(1))
        value = mean_loglik()
        if not value >= history[-1] - rounding * (abs(history[-1]) + D):  # a floor below rounding
            theta, psi = before
            break
        history.append(value)
        converged = history[-1] - history[-2] <= tol
    sigma = psi.sqrt()
    sigma = sigma[0].clone() if noise == "isotropic" else sigma
    return FactorAnalysis(theta, sigma, mu, tuple(history), converged, len(history) - 1)


def _check_start(start: FactorAnalysis, x: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """The loadings and noise variances (D,) to start from."""
    if not isinstance(start, FactorAnalysis):  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a FactorAnalysis", "Pass a result of em or ppca."
        raise checks.fail("start", rule, checks.shown(start), remedy, TypeError)
    theta, shape = start.theta, (x.shape[1], d)
    checks.tensor("start.theta", theta, shape=shape, like=x, like_name="x")
    rank = int(linalg.matrix_rank(theta))
    rule, remedy = f"must have rank d = {d}: EM keeps a lower rank for ever", "Leave start out."
    checks.require(rank == d, "start.theta", rule, f"rank {rank}", remedy)
    return theta, check_linear(x, theta, start.sigma, start.mu)[0].square()


def _check_data(x: Tensor, d: int) -> int:
    check_matrix("x", x, "Pass flat images, x.flatten(1).")
    d = checks.integer("d", d, 1)
    checks.require(len(x) > 1, "x", "must hold at least 2 images", len(x), "One has no variance.")
    rule = f"must be smaller than n and D, {tuple(x.shape)}"
    checks.require(d < min(x.shape), "d", rule, d, "Choose a smaller d, or pass more images.")
    spread = float((x - x.mean(0)).square().mean())
    rule = f"must vary, with a variance that fits into {x.dtype}"
    remedy = "Pass different images, scaled to [0, 1]."
    checks.require(0 < spread < math.inf, "x", rule, f"mean variance {spread:g}", remedy)
    return d
