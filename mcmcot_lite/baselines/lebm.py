r"""The latent energy-based model: a prior that is learned (Pang et al., 2020).

The prior is tilted by an energy network f, :math:`p(z) \propto \exp(f(z)) \, \mathcal N(z; 0, I)`,
and x given z is N(g(z), sigma^2 I). Both laws of z are sampled by short-run Langevin dynamics
(Eq. 8 here) that starts at N(0, I) each time. With z+ from the posterior and z- from the prior, the
gradient of log p(x) is

.. math::  \nabla_\theta \log p(x | z^+) \quad\text{and}\quad
           \nabla_\alpha f(z^+) - \nabla_\alpha f(z^-)

(their Section 2.3), in the mean over z+ and z-: one of each for an image and step.
Departs: steps are those of Eq. (8), drift s^2/2 and noise s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.encoder import fully_connected
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.tried import BATCH, as_module, tried
from mcmcot_lite.baselines.walk import normal, walk
from mcmcot_lite.density import OVERFLOW, check_sigma, checked, images_and_mask, raw_log_joint
from mcmcot_lite.freezing import frozen

__all__ = ["LEBM", "MLPEnergy"]


class MLPEnergy(nn.Module):
    """Latents (n, d) -> one number each, (n,), fully connected.

    Args:
        d: dimension of the latents.
        hidden: widths of the hidden layers.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.
    """

    def __init__(
        self, d: int, hidden: Sequence[int] = (200, 200), rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.d = checks.integer("d", d, 1)
        self.net = fully_connected(self.d, hidden, 1, rng)

    def forward(self, z: Tensor) -> Tensor:
        """F(z), (n,)."""
        checks.tensor("z", z, shape=(None, self.d), finite=False)
        return self.net(z)[:, 0]


class LEBM(Model):
    """A generator with an energy-based prior.

    Args:
        g: generator, a module, (n, d) to the images' shape.
        energy: module from latents (n, d) to f, (n,); larger where the prior has more mass.
        d: dimension of the latents.
        sigma: pixel noise, > 0.
        K: Langevin steps of the posterior's chains.
        s: their step size, Eq. (8).
        K_prior: Langevin steps of the prior's chains.
        s_prior: their step size.
        energy_rate: rate of the energy's weights, as a share of lr.
    """

    label, raised = "LEBM", "objective"
    remedy = "Try a smaller lr or s."

    def __init__(
        self,
        g: nn.Module,
        energy: nn.Module,
        *,
        d: int,
        sigma: float,
        K: int = 20,
        s: float = 0.1,
        K_prior: int = 60,
        s_prior: float = 0.4,
        energy_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.g, self.energy = as_module("g", g), as_module("energy", energy)
        self.d, self.sigma = checks.integer("d", d, 1), check_sigma(sigma)
        self.K, self.K_prior = checks.integer("K", K, 0), checks.integer("K_prior", K_prior, 0)
        self.s = checks.number("s", s, above=0.0, below=2.0, remedy="Try 0.1.")
        self.s_prior = checks.number("s_prior", s_prior, above=0.0, below=2.0, remedy="Try 0.4.")
        self.energy_rate = checks.number("energy_rate", energy_rate, above=0.0, remedy="Try 0.1.")

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """The energy learns more slowly, as in the paper."""
        return [
            {"params": list(self.g.parameters()), "lr": lr},
            {"params": list(self.energy.parameters()), "lr": lr * self.energy_rate},
        ]

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x, z) up to the constant of Z(alpha) and the Gaussians' own, (n,)."""
        self.check(x)
        checks.tensor("z", z, shape=(len(x), self.d), like=x, like_name="x")
        value = self._log_joint(x, z)
        checks.finite("log_joint", value.detach(), OVERFLOW)
        return value

    def _log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return raw_log_joint(self.g, z, x, self.sigma) + self.energy(z)

    def check(self, x: Tensor) -> None:
        """Refuses images that the generator cannot draw, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        z = pair.new_zeros(2, self.d)
        with torch.no_grad(), frozen(self):
            checked(self.g, z, pair, self.sigma, None, "z")
            f = tried("z", self.energy, z, "Build the energy for d latents.")
        rule, got = "must return one number for each latent", checks.shown(f)
        ok = isinstance(f, Tensor) and f.shape == (2,)
        checks.require(ok, "energy", rule, got, "Return shape (n,).", TypeError)

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Log p(x|z+) + f(z+) - f(z-), up to a constant: its gradient is the one above.

        Its value is no bound, and nothing to watch: f(z+) - f(z-) tends to 0.
        """
        with torch.no_grad(), frozen(self):
            up, down = self._posterior(x, self.K, rng), self._prior(len(x), x, rng)
        y = cast(Tensor, tried("x", self.g, up, BATCH))
        squared = (x - y).flatten(1).square().sum(1)
        return -squared / (2 * self.sigma**2) + self.energy(up) - self.energy(down)

    def _posterior(self, x: Tensor, K: int, rng: torch.Generator) -> Tensor:
        """Chains on log p(x, z), from N(0, I)."""
        start = normal(len(x), self.d, x, rng)
        return walk(lambda z: self._log_joint(x, z), start, K, self.s, rng)

    def _prior(self, n: int, like: Tensor, rng: torch.Generator) -> Tensor:
        """Chains on log p(z), from N(0, I)."""

        def log_prior(z: Tensor) -> Tensor:
            return self.energy(z) - z.square().sum(1) / 2

        start = normal(n, self.d, like, rng)
        return walk(log_prior, start, self.K_prior, self.s_prior, rng)

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator, K: int | None = None) -> Tensor:
        """A latent for each image, (n, d), by K steps from N(0, I); without K, the model's own."""
        self.check(x)
        steps = self.K if K is None else checks.integer("K", K, 0)
        rng = checks.rng_on(rng, x.device)
        with frozen(self), checks.restored(rng):
            return checks.finite("infer", self._posterior(x, steps, rng), OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """G at the inferred latents, of x's shape; draws, so rng must be given."""
        z = self.infer(x, rng=cast("torch.Generator", rng))  # which refuses None
        with frozen(self):
            return checks.finite("reconstruct", self.g(z), OVERFLOW)

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """N latents of the learned prior, (n, d), by K_prior steps from N(0, I)."""
        n = checks.integer("n", n, 1)
        like = next(self.parameters())
        rng = checks.rng_on(rng, like.device)
        with frozen(self), checks.restored(rng):
            return checks.finite("sample_prior", self._prior(n, like, rng), OVERFLOW)
