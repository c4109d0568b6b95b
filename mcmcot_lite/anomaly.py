r"""Anomaly detection (Section 7.5): how improbable an image is under a model of normal ones.

The score is the negative log joint, Eq. (7), at the latent that inference finds,

.. math::  -\log p(x, \hat z) = \frac{1}{2 \sigma^2} \|x - g(\hat z)\|^2
           + \frac12 \|\hat z\|^2 + \text{const}.

It is high for an image that the generator cannot draw (first term), or can draw only from where
the prior has little mass (second term). Both are returned, without the constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import OVERFLOW, Network, checked, images_and_mask
from mcmcot_lite.freezing import batches, frozen
from mcmcot_lite.langevin import infer

__all__ = ["Score", "anomaly_score", "score_of_latents"]


class Score(NamedTuple):
    """What :func:`anomaly_score` returns for n images; more is more anomalous, in nats.

    Attributes:
        total: reconstruction + prior, (n,).
        reconstruction: squared error of the visible pixels over 2 sigma^2, (n,).
        prior: half the squared length of the latent, (n,); less a learned prior's own term.
        z: the latents, (n, d).
    """

    total: Tensor
    reconstruction: Tensor
    prior: Tensor
    z: Tensor


def anomaly_score(
    g: Network,
    x: Tensor,
    z0: Tensor | None = None,
    *,
    d: int | None = None,
    sigma: float,
    s: float,
    K: int,
    rng: torch.Generator,
    mask: Tensor | None = None,
    batch_size: int | None = None,
    batchnorm: str = "running",
) -> Score:
    """Infers a latent for each image by K Langevin steps, and scores both: -log p(x, z), Eq. (7).

    The score is random: the chains' starts and noise are drawn. Call it again for its spread.

    Args:
        g: generator trained on normal images, (n, d) to the shape of x; frozen meanwhile.
        x: images to judge, (n, ...); hidden pixels are never read.
        z0: start of the chains, (n, d); None draws N(0, I_d), which needs ``d``.
        d: dimension of the latents, when z0 is None.
        sigma: pixel noise of the model, > 0.
        s: step size in (0, 2), Eq. (8).
        K: Langevin steps. With too few every image scores high, normal or not.
        rng: draws starts and noise, on x's device.
        mask: visible pixels (1), Eq. (16); images that hide more score less.
        batch_size: most images in one pass; None takes all at once. Starts and noise
            are drawn batch by batch, so another size gives other draws.
        batchnorm: ``"running"`` or ``"batch"``, see :func:`mcmcot_lite.frozen`.

    Returns:
        :class:`Score`.

    Raises:
        TypeError, ValueError: on bad input, before anything is drawn.
        FloatingPointError: where a chain diverged; rng is then as it was.
    """
    images_and_mask(x, mask)
    with checks.restored(checks.rng_on(rng, x.device)):
        z = infer(
            g,
            x,
            z0,
            d=d,
            sigma=sigma,
            s=s,
            K=K,
            rng=rng,
            mask=mask,
            batch_size=batch_size,
            batchnorm=batchnorm,
        ).z
        return score_of_latents(
            g, z, x, sigma=sigma, mask=mask, batch_size=batch_size, batchnorm=batchnorm
        )


@torch.no_grad()
def score_of_latents(
    g: Network,
    z: Tensor,
    x: Tensor,
    *,
    sigma: float,
    mask: Tensor | None = None,
    log_prior: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    batchnorm: str = "running",
) -> Score:
    """The score of images at latents that you found by yourself, with an encoder say.

    Args:
        g: generator, (n, d) to the shape of x; frozen meanwhile.
        z: a latent for each image, (n, d).
        x: images, (n, ...); hidden pixels are never read.
        sigma: pixel noise of the model, > 0.
        mask: visible pixels (1), the shape of x or of one image.
        log_prior: (n, d) to (n,), up to a constant; None is that of N(0, I). An energy-based
            prior's is ``lambda z: energy(z) - z.square().sum(1) / 2``.
        batch_size: most images in one pass; None takes all at once.
        batchnorm: ``"running"`` or ``"batch"``, see :func:`mcmcot_lite.frozen`.

    Returns:
        :class:`Score`.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: where the score overflows.
    """
    sigma, visible = checked(g, z, x, sigma, mask)
    parts = batches(g, len(x), batch_size, batchnorm)
    z = z.detach()
    squared: list[Tensor] = []
    with frozen(g, batchnorm):
        for part in torch.arange(len(x), device=x.device).tensor_split(parts):
            residual = x[part] - g(z[part])
            if visible is not None:
                residual = torch.where(visible[part], residual, 0.0)
            squared.append(residual.flatten(1).square().sum(1))
    reconstruction = torch.cat(squared) / (2 * sigma**2)
    prior = z.square().sum(1) / 2 if log_prior is None else -_density(log_prior, z)
    total = checks.finite("anomaly_score", reconstruction + prior, OVERFLOW)
    return Score(total, reconstruction, prior, z)


def _density(log_prior: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """A log density of the user's at the latents."""
    checks.takes("log_prior", log_prior, z)
    value = log_prior(z)
    return checks.tensor("log_prior(z)", value, shape=(len(z),), like=z, like_name="z").detach()
