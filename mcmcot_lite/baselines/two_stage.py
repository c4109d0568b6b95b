r"""The two-stage VAE: a second VAE learns the first one's latents (Dai and Wipf, 2019).

The first stage is a VAE whose pixel noise is learned too. Its latents rarely follow N(0, I), so a
second VAE, with latents u of the same dimension, is trained on draws :math:`z \sim q(z|x)` (their
Section 4). Each stage raises its own bound,

.. math::  \mathrm{ELBO}(x) \quad\text{and then, at } z \sim q(z|x), \quad \mathrm{ELBO}_2(z) .

New images go down both: u ~ N(0, I), z ~ N(g_2(u), \gamma_2^2 I), then g(z).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.normals import drawn
from mcmcot_lite.baselines.vae import VAE
from mcmcot_lite.baselines.walk import normal
from mcmcot_lite.freezing import frozen

__all__ = ["TwoStageVAE"]


class TwoStageVAE(Model):
    """Two VAEs, the second one on the latents of the first.

    Train it twice: :func:`fit_model` at ``stage = 1``, then, with ``stage = 2``, again.

    Args:
        first: of images; build it with ``learn_sigma=True``, as in the paper.
        second: of the first one's latents, (n, d) for images; also with ``learn_sigma=True``.
    """

    label, raised = "two-stage VAE", "ELBO of its stage"

    def __init__(self, first: VAE, second: VAE) -> None:
        super().__init__()
        for name, vae in (("first", first), ("second", second)):
            is_vae = isinstance(vae, VAE)  # pyright: ignore[reportUnnecessaryIsInstance]
            rule, remedy = "must be a VAE", "Pass VAE(g, encoder, sigma=0.3, learn_sigma=True)."
            checks.require(is_vae, name, rule, checks.shown(vae), remedy, TypeError)
        self.first, self.second, self._stage = first, second, 1
        self.g = first.g

    @property
    def stage(self) -> int:
        """Which of the two is trained, 1 or 2."""
        return self._stage

    @stage.setter
    def stage(self, value: int) -> None:
        self._stage = checks.integer("stage", value, 1, maximum=2)

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """The parameters of the stage alone."""
        return (self.first if self.stage == 1 else self.second).groups(lr)

    def check(self, x: Tensor) -> None:
        """Refuses images that the first stage cannot take, and a second one of other latents."""
        self.first.check(x)
        with torch.no_grad(), frozen(self.first):
            means = self.first.encode(x[:1].detach().expand(2, *x.shape[1:]))[0]
        try:
            self.second.check(means)
        except (TypeError, ValueError) as error:
            rule, got = "must take the latents of the first", f"the error '{error}'"
            remedy = f"Build its networks for {means.shape[1]} numbers."
            raise checks.fail("second", rule, got, remedy, type(error)) from error

    def elbo(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """One-sample estimate of the stage's bound for each image, (n,), in nats."""
        if self.stage == 1:
            return self.first.elbo(x, rng=rng)
        with checks.restored(rng):
            return self.second.elbo(self.infer(x, rng=rng), rng=rng)

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """:meth:`elbo` without checks of x."""
        if self.stage == 1:
            return self.first.raw_objective(x, rng)
        with torch.no_grad(), frozen(self.first):
            z = drawn(self.first.encoder(x), rng)
        return self.second.raw_objective(z, rng)

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """A sample z ~ q(z|x) for each image, (n, d), from the first stage."""
        self.check(x)
        return self.first.infer(x, rng=rng)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """G at the mean of q(z|x), of x's shape; the second stage takes no part in it."""
        return self.first.reconstruct(x)

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """Z of n new images, (n, d), drawn from the second stage, its noise included."""
        u = self.second.sample_prior(n, rng=rng)
        mean = self.second.decode(u)
        return mean + self.second.sigma * normal(*mean.shape, like=mean, rng=rng)
