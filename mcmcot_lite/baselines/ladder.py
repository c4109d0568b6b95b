r"""The ladder VAE: layers of latents, inferred from both sides (Soenderby et al., 2016).

The encoder goes up and says of each layer what the image alone tells, a law with means
:math:`\hat\mu_l` and variances :math:`\hat\sigma_l^2`. Going down again, each is weighed by its
precision against what the layer above predicts, :math:`(\mu_{p,l}, \sigma_{p,l}^2)` (their Section
2.2):

.. math::  \sigma_l^2 = \frac{1}{\hat\sigma_l^{-2} + \sigma_{p,l}^{-2}}, \qquad
           \mu_l = \sigma_l^2 \big(\hat\mu_l \hat\sigma_l^{-2} + \mu_{p,l} \sigma_{p,l}^{-2}\big),

and :math:`q(z_l | z_{l+1}, x) = \mathcal N(\mu_l, \sigma_l^2)`; the top layer is as the encoder
says. Training raises

.. math::  E_q \log p(x | z_1) - \beta \sum_l E_q\,
           \mathrm{KL}\big(q(z_l | z_{l+1}, x) \,\|\, p(z_l | z_{l+1})\big),

with beta rising from 0 to 1 over the first epochs ("warm-up"), so that no layer is switched off
before it has learned. At beta = 1 it is the evidence lower bound.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.encoder import MLPEncoder, fully_connected
from mcmcot_lite.baselines.normals import Law, drawn, kl_between, kl_to_prior
from mcmcot_lite.baselines.top_down import Layered, TopDown, check_dims
from mcmcot_lite.baselines.tried import BATCH, as_module, tried
from mcmcot_lite.density import OVERFLOW, checked, images_and_mask
from mcmcot_lite.freezing import buffers_restored, frozen

__all__ = ["LadderEncoder", "LadderVAE"]


class LadderEncoder(nn.Module):
    """Images (n, ...) -> for each layer, z_1 first, (means, log variances).

    Args:
        dims: size of each layer, z_1 first.
        pixels: number of values in one image.
        hidden: width of the features at each layer, as many as layers.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.
    """

    def __init__(
        self,
        dims: Sequence[int],
        pixels: int,
        hidden: Sequence[int] = (128, 64),
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dims, self.pixels = check_dims(dims), checks.integer("pixels", pixels, 1)
        fits = isinstance(hidden, (list, tuple)) and len(hidden) == len(self.dims)  # pyright: ignore[reportUnnecessaryIsInstance]
        rule = f"must be {len(self.dims)} widths, one a layer"
        checks.require(fits, "hidden", rule, checks.shown(hidden), "For example (128, 64).")
        widths = [self.pixels, *(checks.integer("hidden", w, 1) for w in hidden)]
        ups = [
            nn.Sequential(fully_connected(a, (), b, rng), nn.GELU())
            for a, b in itertools.pairwise(widths)
        ]
        heads = [MLPEncoder(d, w, (), rng) for d, w in zip(self.dims, widths[1:], strict=True)]
        self.ups, self.heads = nn.ModuleList(ups), nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Law]:
        """What the image alone tells of each layer."""
        checks.tensor("x", x, finite=False)
        got = f"shape {tuple(x.shape[1:])} for each"
        checks.require(
            x.ndim > 1, "x", "must have a batch axis first: (n, ...)", got, "Use x[None]."
        )
        features, laws = x.flatten(1), list[Law]()
        rule, remedy = f"must have {self.pixels} values an image", "Build the encoder for these."
        checks.require(features.shape[1] == self.pixels, "x", rule, got, remedy)
        for up, head in zip(self.ups, self.heads, strict=True):
            features = up(features)
            laws.append(head(features))
        return laws


class LadderVAE(Layered):
    """A generator of z_1 under a prior of several layers, with a ladder of encoders.

    Args:
        g: generator, a module, z_1 (n, d_1) to the images' shape.
        prior: :class:`TopDown`, of the layers' dimensions.
        encoder: module from images to one pair (means, log variances) a layer, z_1 first.
        sigma: pixel noise, > 0.
        warm_up: epochs over which beta rises linearly to 1; 0 or 1: no warm-up.
    """

    label, raised = "ladder VAE", "bound"

    def __init__(
        self, g: nn.Module, prior: TopDown, encoder: nn.Module, *, sigma: float, warm_up: int = 0
    ) -> None:
        super().__init__(g, prior, sigma=sigma)
        self.encoder = as_module("encoder", encoder)
        self.warm_up, self.beta = checks.integer("warm_up", warm_up, 0), 1.0

    def begin(self, epoch: int, x: Tensor, rng: torch.Generator) -> None:
        """Sets beta for the epoch."""
        self.beta = min(1.0, epoch / max(1, self.warm_up))

    def check(self, x: Tensor) -> None:
        """Refuses images that encoder and generator cannot take, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        with torch.no_grad(), frozen(self):
            out = tried("x", self.encoder, pair, "Match shape, dtype and device.")
        got = checks.shown(out)
        laws = cast("list[Law]", out) if isinstance(out, (list, tuple)) else []
        dims = self.prior.dims
        rule = f"must return {len(dims)} pairs (means, log variances)"
        remedy = "One a layer of the prior, z_1 first."
        checks.require(len(laws) == len(dims), "encoder", rule, got, remedy, TypeError)
        for law, d in zip(laws, dims, strict=True):
            pair_rule, shown = "must return a pair for each layer", checks.shown(law)
            is_pair = isinstance(law, (list, tuple)) and len(law) == 2  # pyright: ignore[reportUnnecessaryIsInstance]
            checks.require(is_pair, "encoder", pair_rule, shown, remedy, TypeError)
            for name, value in zip(("means", "log variances"), law, strict=True):
                checks.tensor(f"encoder's {name}", value, shape=(2, d), like=x, like_name="x")
        checked(self.g, laws[0][0], pair, self.sigma, None, "encoder's means")

    def elbo(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """One-sample estimate of the bound for each image (beta = 1), (n,), in nats; unbiased."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with buffers_restored(self), checks.restored(rng):
            return checks.finite("elbo", self._bound(x, rng, 1.0), OVERFLOW)

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """The bound at the present beta."""
        return self._bound(x, rng, self.beta)

    def _bound(self, x: Tensor, rng: torch.Generator, beta: float) -> Tensor:
        parts, kl = self._down(x, rng)
        y = cast(Tensor, tried("x", self.g, parts[0], BATCH))
        return self.log_pixels(x, y) - beta * kl

    def _down(self, x: Tensor, rng: torch.Generator | None) -> tuple[list[Tensor], Tensor]:
        """The layers, z_1 first, drawn from q or, without rng, at its means; and the sum of KLs."""
        hats = cast("list[Law]", tried("x", self.encoder, x, BATCH))
        q = hats[-1]
        kl = kl_to_prior(q)
        parts = [q[0] if rng is None else drawn(q, rng)]
        for layer in range(len(hats) - 1, 0, -1):
            p = self.prior.law(layer, parts[0])
            q = _weighed(hats[layer - 1], p)
            kl = kl + kl_between(q, p)
            parts.insert(0, q[0] if rng is None else drawn(q, rng))
        return parts, kl

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """A sample of q for each image, all layers side by side, z_1 first, (n, d)."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with frozen(self), checks.restored(rng):
            return checks.finite("infer", torch.cat(self._down(x, rng)[0], 1), OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """G at the means of q, from the top down, of x's shape; nothing is drawn."""
        self.check(x)
        with frozen(self):
            return checks.finite("reconstruct", self.g(self._down(x, None)[0][0]), OVERFLOW)


def _weighed(a: Law, b: Law) -> Law:
    """The product of two normal laws, scaled to be one."""
    precision = (-a[1]).exp() + (-b[1]).exp()
    mean = (a[0] * (-a[1]).exp() + b[0] * (-b[1]).exp()) / precision
    return mean, -precision.log()
