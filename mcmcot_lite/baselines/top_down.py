r"""Latents in several layers, each drawn given the one above it.

.. math::  p(z) = \mathcal N(z_L; 0, I) \prod_{l < L}
           \mathcal N\big(z_l; m_l(z_{l+1}), \mathrm{diag}\, v_l(z_{l+1})\big) .

Layer 1 is next to the image: the generator reads z_1. All layers of one image lie side by side in
one row, z_1 first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.encoder import MLPEncoder, check_widths
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.normals import Law, drawn, log_density
from mcmcot_lite.baselines.tried import as_module
from mcmcot_lite.baselines.walk import normal
from mcmcot_lite.density import check_sigma
from mcmcot_lite.freezing import frozen

__all__ = ["Layered", "TopDown", "check_dims"]


def check_dims(dims: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the layers, z_1 first."""
    ok = isinstance(dims, (list, tuple)) and len(dims) > 0  # pyright: ignore[reportUnnecessaryIsInstance]
    rule, remedy = "must be a list or tuple of ints, z_1 first", "For example (20, 10)."
    checks.require(ok, "dims", rule, checks.shown(dims), remedy, TypeError)
    return tuple(checks.integer("dims", d, 1) for d in dims)


class TopDown(nn.Module):
    """A prior of L layers; with one, N(0, I).

    Args:
        dims: size of each layer, z_1 first.
        hidden: widths of the networks between two layers; empty makes means and log variances
            affine.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        hidden: Sequence[int] = (64,),
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dims = check_dims(dims)
        check_widths(hidden, rng)  # one layer has no network that would
        pairs = zip(self.dims[:-1], self.dims[1:], strict=True)
        self.laws = nn.ModuleList([MLPEncoder(d, above, hidden, rng) for d, above in pairs])

    @property
    def d(self) -> int:
        """Numbers in one row, of all layers."""
        return sum(self.dims)

    def layers(self, z: Tensor) -> tuple[Tensor, ...]:
        """Z_1, ..., z_L of rows (n, d)."""
        checks.tensor("z", z, shape=(None, self.d), finite=False)
        parts: tuple[Tensor, ...] = torch.split(z, list(self.dims), dim=1)
        return parts

    def law(self, layer: int, above: Tensor) -> Law:
        """Means and log variances of z_layer given the layer above; layer = 1, ..., L - 1."""
        layer = checks.integer("layer", layer, 1, maximum=len(self.dims) - 1)
        return self.laws[layer - 1](above)

    def log_density(self, z: Tensor) -> Tensor:
        """Log p(z) of rows (n, d), with all constants, (n,)."""
        parts = self.layers(z)
        top = parts[-1]
        total = log_density(top, (torch.zeros_like(top), torch.zeros_like(top)))
        for layer in range(1, len(parts)):
            total = total + log_density(parts[layer - 1], self.law(layer, parts[layer]))
        return total

    def draws(self, n: int, like: Tensor, rng: torch.Generator) -> Tensor:
        """N rows from the prior, (n, d), with the dtype and on the device of like."""
        n, rng = checks.integer("n", n, 1), checks.rng_on(rng, like.device)
        parts = [normal(n, self.dims[-1], like, rng)]
        for layer in range(len(self.dims) - 1, 0, -1):
            parts.append(drawn(self.law(layer, parts[-1]), rng))
        return torch.cat(parts[::-1], 1)


class Layered(Model):
    """What models under a :class:`TopDown` share: rows of all layers, of which g reads z_1."""

    def __init__(self, g: nn.Module, prior: TopDown, *, sigma: float) -> None:
        super().__init__()
        self.g = as_module("g", g)
        is_prior = isinstance(prior, TopDown)  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a TopDown", "Pass TopDown((20, 10))."
        checks.require(is_prior, "prior", rule, checks.shown(prior), remedy, TypeError)
        self.prior, self.sigma = prior, check_sigma(sigma)

    def log_pixels(self, x: Tensor, y: Tensor) -> Tensor:
        """Log N(x; y, sigma^2 I) with its constant, (n,)."""
        constant = x[0].numel() * (math.log(2 * math.pi) / 2 + math.log(self.sigma))
        return -(x - y).flatten(1).square().sum(1) / (2 * self.sigma**2) - constant

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """G at z_1 of rows (n, d)."""
        checks.tensor("z", z, shape=(None, self.prior.d))
        return super().decode(self.prior.layers(z)[0])

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """N rows of all layers from the prior, (n, d)."""
        n, like = checks.integer("n", n, 1), next(self.parameters())
        rng = checks.rng_on(rng, like.device)
        with frozen(self):
            return self.prior.draws(n, like, rng)
