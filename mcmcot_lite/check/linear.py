"""The posterior of a linear model, and the mistakes that its two self-checks tell apart."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mcmcot_lite.check.grading import F64, Exercise

__all__ = ["law", "try_law"]


def law(
    x: Tensor, theta: Tensor, noise: float, mu: Tensor, prior: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Means (n, d) and covariance (d, d); ``noise`` is a variance, ``prior`` a precision."""
    eye = torch.eye(theta.shape[1], dtype=F64)
    cov = cast(Tensor, torch.linalg.pinv(theta.mT @ theta / noise + prior * eye))
    return (x - mu) @ theta @ cov / noise, cov


def try_law(
    e: Exercise, mean: Tensor, cov: Tensor, x: Tensor, theta: Tensor, sigma: float, mu: Tensor
) -> None:
    """Holds a mean and a covariance against those of the images ``x``; every pixel is visible."""
    noise = sigma**2
    right, curve = law(x, theta, noise, mu)
    forgotten, plain = law(x, theta, 1.0, mu), law(x, theta, sigma, mu)
    flat = law(x, theta, noise, mu, prior=0.0)
    no_sigma = "sigma does not enter: the noise of the pixels has a width."
    power = "sigma enters with the wrong power: the model has a variance there."
    no_prior = "the prior of z is missing: where is its precision?"
    half = "sigma enters only one of the places where it belongs."
    e.slips(cov, curve, {power: law(x, theta, noise**2, mu)[1]})
    e.slips(
        cov,
        curve,
        {
            no_sigma: forgotten[1],
            power: plain[1],
            no_prior: flat[1],
            half: curve / noise,
            "sigma enters once too often: your covariance carries a factor too much.": curve
            * noise,
            "a covariance grows where the image says less; is yours the precision, which makes "
            "a latent less certain than the prior?": cast(Tensor, torch.linalg.inv(curve)),
        },
    )
    e.near(cov, cov.mT, "a covariance is symmetric; yours is not.")
    values = cast(Tensor, torch.linalg.eigvalsh((cov + cov.mT) / 2))
    e.hold(values.min() > 0, "a covariance has positive eigenvalues; yours has not.")
    why = "an image never makes a latent less certain than the prior; yours does."
    e.hold(values.max() <= 1 + 1e-4, why)
    e.near(cov, curve, "your covariance does not fit the curvature of the log joint.")
    e.near(
        mean,
        right,
        "at your mean the log joint still has a slope. Where do sigma, mu and the prior enter?",
        {
            no_sigma: forgotten[0],
            power: plain[0],
            no_prior: flat[0],
            "the mean of the images, mu, is missing: at your mean the log joint has a slope.": law(
                x, theta, noise, torch.zeros_like(mu)
            )[0],
            "mu enters with the wrong sign: at your mean the log joint has a slope.": law(
                x, theta, noise, -mu
            )[0],
            "your mean has the wrong sign.": -right,
            "the covariance is right; in the mean sigma is missing.": right * noise,
            "the covariance is right; in the mean sigma has the wrong power.": right * sigma,
            "the covariance is right; in the mean it is missing.": (x - mu) @ theta / noise,
        },
    )
