r"""Inpainting (Section 7.4) and recovery (Section 6): what an image hides, from what it shows.

A trained generator completes an image in two steps. Langevin dynamics on the visible pixels alone
(Eqs. 18, 19) infers its latent,

.. math::  \nabla_z \log p(z \mid x, M)
           = \frac{1}{\sigma^2} J_g(z)^\top \big(M \odot (x - g(z))\big) - z,

and g(z) shows what the mask M hides. Visible pixels are returned as they came. Chains that start
at independent draws of the prior may end in different modes: different completions of one image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import Network, check_sigma, checked, given_mask
from mcmcot_lite.freezing import batches, frozen
from mcmcot_lite.langevin import infer

__all__ = ["Inpainting", "inpaint", "recover"]


class Inpainting(NamedTuple):
    """What :func:`inpaint` returns: m completions of each of n images.

    Attributes:
        images: the completions, (m, n, ...), visible pixels those of x.
        z: their latents, (m, n, d).
        mask: visible pixels, (n, ...), bool.
    """

    images: Tensor
    z: Tensor
    mask: Tensor

    @property
    def spread(self) -> Tensor:
        """Standard deviation of each pixel over the completions, (n, ...); 0 where visible.

        Raises:
            ValueError: there is only one completion.
        """
        m, remedy = len(self.images), "Ask inpaint for completions=8, say."
        checks.require(m > 1, "completions", "must be 2 or more for a spread", m, remedy)
        return torch.where(self.mask, 0.0, self.images.std(0))

    @property
    def diversity(self) -> Tensor:
        """Mean of ``spread`` over the hidden pixels of each image, (n,); NaN without any."""
        hidden = (~self.mask).flatten(1)
        return self.spread.flatten(1).sum(1) / hidden.sum(1)


@torch.inference_mode(False)
def inpaint(
    g: Network,
    x: Tensor,
    mask: Tensor,
    *,
    d: int,
    sigma: float,
    s: float,
    K: int,
    rng: torch.Generator,
    completions: int = 1,
    noise: bool = False,
    batch_size: int | None = None,
    batchnorm: str = "running",
) -> Inpainting:
    """Completes images by Langevin inference from their visible pixels, Eqs. (18) and (19).

    Args:
        g: trained generator, (n, d) to the shape of x; frozen meanwhile.
        x: images, (n, ...); hidden pixels may hold anything, NaN too, and are never read.
        mask: visible pixels (1), the shape of x or of one image. An image without any gets a
            draw of the model, since its posterior is the prior (but for the bias of finite steps:
            variance 1 / (1 - s^2 / 4) in the long run); one without hidden pixels, itself.
        d: dimension of the latents.
        sigma: pixel noise of the model, > 0.
        s: step size in (0, 2), Eq. (8).
        K: Langevin steps. From a start at the prior it takes more than an iteration of training,
            whose chains go on from where they were.
        rng: draws starts and noise, on x's device.
        completions: m, independent chains an image.
        noise: add the model's pixel noise to hidden pixels: a completion is then a draw of
            p(hidden | visible), where g(z) alone is its mean given z.
        batch_size: most images in one pass; None takes all at once. Starts and noise
            are drawn batch by batch, so another size gives other draws.
        batchnorm: ``"running"`` or ``"batch"``, see :func:`mcmcot_lite.frozen`.

    Returns:
        :class:`Inpainting`.

    Raises:
        TypeError, ValueError: on bad input, before anything is drawn.
        FloatingPointError: where a chain diverged; rng is then as it was.
    """
    visible, sigma = given_mask(x, mask), check_sigma(sigma)
    m = checks.integer("completions", completions, 1)
    checks.boolean("noise", noise)
    latents: list[Tensor] = []
    images: list[Tensor] = []
    with checks.restored(checks.rng_on(rng, x.device)):
        for _ in range(m):
            z = infer(
                g,
                x,
                d=d,
                sigma=sigma,
                s=s,
                K=K,
                rng=rng,
                mask=visible,
                batch_size=batch_size,
                batchnorm=batchnorm,
            ).z
            y = recover(g, z, x, visible, batch_size=batch_size, batchnorm=batchnorm)
            if noise:
                e = torch.randn(y.shape, generator=rng, device=y.device, dtype=y.dtype)
                y = torch.where(visible, y, y + sigma * e)
            latents.append(z)
            images.append(y)
    return Inpainting(torch.stack(images), torch.stack(latents), visible)


@torch.no_grad()
def recover(
    g: Network,
    z: Tensor,
    x: Tensor,
    mask: Tensor,
    *,
    batch_size: int | None = None,
    batchnorm: str = "running",
) -> Tensor:
    """Images whose hidden pixels are those of g(z): the last step of Section 6.

    Args:
        g: generator, (n, d) to the shape of x; frozen meanwhile.
        z: a latent for each image, (n, d), such as ``fit(..., mask=mask).z_hat``.
        x: images, (n, ...); hidden pixels may hold anything and are never read.
        mask: visible pixels (1), the shape of x or of one image.
        batch_size: most images in one pass; None takes all at once.
        batchnorm: ``"running"`` or ``"batch"``, see :func:`mcmcot_lite.frozen`.

    Returns:
        (n, ...): x where visible, bit for bit; g(z) elsewhere.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: where g(z) is not finite.
    """
    visible = given_mask(x, mask)
    checked(g, z, x, 1.0, visible)  # sigma plays no part
    parts = batches(g, len(x), batch_size, batchnorm)
    with frozen(g, batchnorm):
        y = torch.cat([g(part) for part in z.detach().tensor_split(parts)])
    checks.finite("g(z)", y, "Look for latents that diverged.")
    return torch.where(visible, x.detach(), y.to(x.dtype))
