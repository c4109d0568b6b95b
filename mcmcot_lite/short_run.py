r"""The exact law of K Langevin steps on a linear generator: the reference for Chapters 3 and 4.

With g(z) = mu + Theta z the gradient in Eq. (8) is c_i - P z, where
P = Theta' Theta / sigma^2 + I and c_i = Theta' (x_i - mu) / sigma^2. One step is then linear,

.. math::  z^{k+1} = T z^k + \tfrac{s^2}{2} c_i + s \xi_k, \qquad T = I - \tfrac{s^2}{2} P,

so a normal start stays normal, with m <- T m + (s^2/2) c_i and C <- T C T' + s^2 I. No step count
is too small and no chain needs to converge for this law to hold exactly: it tests the sampler and
shows the bias of a short run.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import OVERFLOW
from mcmcot_lite.langevin import check_s
from mcmcot_lite.linear import Gaussian, check_linear, check_matrix, check_model, linalg, precision

__all__ = ["aggregate", "k_step_law", "largest_stable_step", "stationary_law"]


def _gradient(
    x: Tensor, theta: Tensor, sigma: float | Tensor, mu: Tensor | None
) -> tuple[Tensor, Tensor]:
    """P (d, d) and c (n, d) of the gradient c_i - P z."""
    sigma, mu = check_linear(x, theta, sigma, mu)
    return precision(theta, sigma), ((x - mu) / sigma) @ (theta / sigma[:, None])


def k_step_law(
    x: Tensor,
    theta: Tensor,
    sigma: float | Tensor,
    *,
    s: float,
    K: int,
    mu: Tensor | None = None,
    start: Gaussian | None = None,
) -> Gaussian:
    """Law of z^K given each image, Eq. (10), for the linear generator.

    Args:
        x: images, (n, D).
        theta: (D, d).
        sigma: pixel noise, a number or (D,).
        s: step size in (0, 2).
        K: number of steps, >= 0.
        mu: mean image, (D,).
        start: law of z^0, means (n, d) or (1, d); N(0, I_d) when left out (noise-initialised).
            A fixed persistent start has zero covariance.

    Returns:
        :class:`~mcmcot_lite.factor_analysis.Gaussian`: means (n, d) and one covariance (d, d).

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: when s is beyond the stability limit and K so large that the law
            overflows.
    """
    s = check_s(s)
    checks.integer("K", K, 0)
    P, c = _gradient(x, theta, sigma, mu)
    I = torch.eye(len(P), dtype=x.dtype, device=x.device)  # noqa: E741
    if start is None:
        start = Gaussian(torch.zeros_like(c[:1]), I)
    else:
        _check_law("start", start, like=c)
    m, cov = start.mean.expand_as(c).clone(), start.cov.clone()
    T = I - (s**2 / 2) * P
    for _ in range(K):
        m = m @ T + (s**2 / 2) * c  # T is symmetric
        cov = T @ cov @ T + s**2 * I
    if not bool(torch.isfinite(m).all() & torch.isfinite(cov).all()):
        got = f"NaN or infinity after {K} steps of s={s:g}"
        remedy = f"The stability limit of this model is {_limit(P):.4g}."
        raise checks.fail("the law", "must stay finite", got, remedy, FloatingPointError)
    return Gaussian(m, (cov + cov.mT) / 2)


def stationary_law(
    x: Tensor, theta: Tensor, sigma: float | Tensor, *, s: float, mu: Tensor | None = None
) -> Gaussian:
    r"""Limit of :func:`k_step_law` for K to infinity, s fixed.

    The means are the exact posterior's. The covariance is (P - (s^2/4) P^2)^{-1}, larger than the
    posterior's P^{-1}: the discretisation bias of Eq. (8) without the Metropolis test.
    """
    s = check_s(s)
    P, c = _gradient(x, theta, sigma, mu)
    limit = _limit(P)
    rule = f"must be below the stability limit {limit:.4g} of this model"
    remedy = "No stationary law exists beyond it: the chains diverge."
    checks.require(s < limit, "s", rule, s, remedy)
    mean: Tensor = checks.finite("stationary_law", linalg.solve(P, c.mT).mT, OVERFLOW)
    cov: Tensor = linalg.inv(P - (s**2 / 4) * P @ P)
    return Gaussian(mean, (cov + cov.mT) / 2)


def _limit(P: Tensor) -> float:
    return 2 / math.sqrt(linalg.eigvalsh(P)[-1].item())


def largest_stable_step(theta: Tensor, sigma: float | Tensor) -> float:
    r"""Eq. (8) is stable on a linear generator for s below 2 / sqrt(lambda_max(P)).

    Every eigenvalue of T = I - (s^2/2) P must lie in (-1, 1).
    """
    sigma, _ = check_model(theta, sigma, None)
    return _limit(precision(theta, sigma))


def aggregate(law: Gaussian) -> Gaussian:
    """Mean (1, d) and covariance (d, d) of the aggregated law, Eq. (11), over the given images.

    The mixture of N(m_i, C) over i has covariance C plus the covariance of the m_i (divided by n).
    """
    _check_law("law", law)
    m, C = law
    centre = m.mean(0, keepdim=True)
    return Gaussian(centre, C + (m - centre).mT @ (m - centre) / len(m))


def _check_law(name: str, law: Gaussian, like: Tensor | None = None) -> None:
    """A normal law, with one row of means for each row of ``like``, or a single one."""
    if not isinstance(law, Gaussian):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Pass Gaussian(mean, cov)."
        raise checks.fail(name, "must be a Gaussian", checks.shown(law), remedy, TypeError)
    m, cov = law
    check_matrix(f"{name}.mean", m, "Pass means of shape (n, d).")
    if like is not None:
        n, d = like.shape
        checks.latents(f"{name}.mean", m, like=like, like_name="x")
        rule, got = f"must have shape ({n}, {d}) or (1, {d})", f"shape {tuple(m.shape)}"
        fits = m.shape in ((n, d), (1, d))
        checks.require(fits, f"{name}.mean", rule, got, "Pass one mean per image, or one for all.")
    d = m.shape[1]
    checks.tensor(f"{name}.cov", cov, shape=(d, d), like=m, like_name=f"{name}.mean")
    rounding = torch.finfo(cov.dtype).eps ** 0.5 * cov.abs().max().item()
    even = (cov - cov.mT).abs().max().item() <= rounding
    proper = even and linalg.eigvalsh(cov)[0].item() >= -rounding
    rule, remedy = "must be symmetric and positive semi-definite", "Pass a covariance matrix."
    checks.require(proper, f"{name}.cov", rule, "a matrix that is not", remedy)
