r"""The variational auto-encoder: inference by a second network (Kingma and Welling, 2014).

The encoder names a normal law q(z|x) = N(m(x), diag v(x)) for each image. Training raises the
evidence lower bound

.. math::  \mathrm{ELBO}(x) = \mathbb E_{q(z|x)} \log p(x|z)
           - \mathrm{KL}\big(q(z|x) \,\|\, \mathcal N(0, I)\big) \le \log p(x),

in nats, with p(x|z) = N(g(z), sigma^2 I) and all its constants, so that the bound can be held
against an exact log p(x) where there is one. One sample of z per image and step, by
reparametrisation; the KL term in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.model import Masked
from mcmcot_lite.baselines.normals import drawn, kl_to_prior
from mcmcot_lite.baselines.tried import BATCH, as_module, tried
from mcmcot_lite.baselines.walk import normal
from mcmcot_lite.density import OVERFLOW, check_sigma, checked, images_and_mask
from mcmcot_lite.freezing import buffers_restored, frozen

__all__ = ["VAE"]


class VAE(Masked):
    """A generator with an amortised encoder.

    With a mask the bound is that of the visible pixels, Eq. (15), and the encoder sees zeros in
    place of the hidden ones (Section 7.8: the loss alone is changed).

    Args:
        g: generator, a module, (n, d) to the images' shape.
        encoder: module from images to (means, log variances), each (n, d).
        sigma: pixel noise, > 0.
        learn_sigma: learn the noise too; sigma is where it starts.
    """

    label, raised = "VAE", "ELBO"

    def __init__(
        self, g: nn.Module, encoder: nn.Module, *, sigma: float, learn_sigma: bool = False
    ) -> None:
        super().__init__()
        self.g, self.encoder = as_module("g", g), as_module("encoder", encoder)
        like = next(self.g.parameters(), torch.zeros(()))
        start = like.new_tensor(math.log(check_sigma(sigma)))
        learned = checks.boolean("learn_sigma", learn_sigma)
        self.log_sigma = nn.Parameter(start) if learned else None
        self._sigma = float(sigma)

    @property
    def sigma(self) -> float:
        """The pixel noise as it is now."""
        return self._sigma if self.log_sigma is None else float(self.log_sigma.detach().exp())

    def encode(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Means and log variances of q(z|x), each (n, d), for images x, (n, ...)."""
        x, _ = self._seen(x, mask)
        with buffers_restored(self):
            return _finite(cast("tuple[Tensor, Tensor]", tried("x", self.encoder, x, BATCH)))

    def elbo(self, x: Tensor, *, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
        """One-sample estimate of the bound for each image, (n,), in nats; unbiased.

        Args:
            x: images, (n, ...).
            rng: draws z, on x's device.
            mask: visible pixels (1); hidden ones are never read.
        """
        x, visible = self._seen(x, mask)
        rng = checks.rng_on(rng, x.device)
        with buffers_restored(self), checks.restored(rng):
            return checks.finite("elbo", self.raw_objective(x, rng, visible), OVERFLOW)

    def raw_objective(self, x: Tensor, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
        """:meth:`elbo` without checks; x is 0 where the mask, bool of its shape, hides it."""
        mean, logvar = cast("tuple[Tensor, Tensor]", tried("x", self.encoder, x, BATCH))
        decoded = cast(Tensor, tried("x", self.g, drawn((mean, logvar), rng), BATCH))
        residual = x - decoded
        if mask is not None:
            residual = torch.where(mask, residual, 0.0)
        squared = residual.flatten(1).square().sum(1)
        pixels = x[0].numel() if mask is None else mask.flatten(1).sum(1)
        if self.log_sigma is None:
            log_sigma, twice = math.log(self._sigma), 2 * self._sigma**2
        else:
            log_sigma, twice = self.log_sigma, 2 * (2 * self.log_sigma).exp()
        constant = pixels * (math.log(2 * math.pi) / 2 + log_sigma)
        return -squared / twice - constant - kl_to_prior((mean, logvar))

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
        """A sample z ~ q(z|x) for each image, (n, d): together, the aggregated posterior."""
        x, _ = self._seen(x, mask)
        rng = checks.rng_on(rng, x.device)
        with frozen(self), checks.restored(rng):
            return checks.finite("infer", drawn(_finite(self.encoder(x)), rng), OVERFLOW)

    @torch.no_grad()
    def reconstruct(
        self, x: Tensor, *, rng: torch.Generator | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """G at the mean of q(z|x), of x's shape; nothing is drawn.

        With a mask all pixels are g's, visible ones too; ``torch.where(mask, x, y)`` completes x.
        """
        x, _ = self._seen(x, mask)
        with frozen(self):
            return checks.finite("reconstruct", self.g(_finite(self.encoder(x))[0]), OVERFLOW)

    @torch.no_grad()
    def sample_prior(self, n: int, *, d: int | None = None, rng: torch.Generator) -> Tensor:
        """N draws of N(0, I), (n, d), on the device of rng, which must be g's."""
        n, d = checks.integer("n", n, 1), self._dimension(d)
        like = next(self.g.parameters(), torch.empty(0))
        rng = checks.rng_on(rng, like.device)
        with frozen(self):
            tried("d", self.g, like.new_zeros(2, d), "Pass the d that g was built for.")
        return normal(n, d, like, rng)

    @torch.no_grad()
    def sample(self, n: int, *, d: int | None = None, rng: torch.Generator) -> Tensor:
        """G at n draws from the prior, (n, ...), on the device of rng, which must be g's.

        d is needed where the encoder has no attribute of that name.
        """
        return self.decode(self.sample_prior(n, d=d, rng=rng))

    def _dimension(self, d: int | None) -> int:
        d = getattr(self.encoder, "d", None) if d is None else d
        remedy = "The encoder does not tell it: pass d=, the dimension of the latents."
        return checks.integer("d", d, 1, remedy=remedy if d is None else "")

    def _seen(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Checks images; returns them with zeros where hidden, and the mask as bool."""
        visible = images_and_mask(x, mask)
        x = x if visible is None else torch.where(visible, x, 0.0)
        self.check(x)
        return x, visible

    def check(self, x: Tensor) -> None:
        """Refuses images that encoder and generator cannot take, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        with torch.no_grad(), frozen(self):
            out = tried("x", self.encoder, pair, "Match shape, dtype and device.")
        rule, got = "must return a tuple (means, log variances)", checks.shown(out)
        is_pair = isinstance(out, tuple) and len(cast("Sequence[object]", out)) == 2
        checks.require(is_pair, "encoder", rule, got, "Each has shape (n, d).", TypeError)
        mean, logvar = cast(tuple[Tensor, Tensor], out)
        checked(self.g, mean, pair, self.sigma, None, "encoder's means")
        shape, name = tuple(mean.shape), "encoder's means"
        checks.tensor("encoder's log variances", logvar, shape=shape, like=mean, like_name=name)


def _finite(law: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Means and log variances without NaN and infinity."""
    for name, value in zip(("means", "log variances"), law, strict=True):
        checks.finite(f"encoder's {name}", value.detach(), OVERFLOW)
    return law
