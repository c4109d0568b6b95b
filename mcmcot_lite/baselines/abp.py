r"""Algorithm 1's models as baselines: alternating back-propagation (Han et al., 2017), and ours.

ABP is Algorithm 1 with alpha = 0: Langevin steps on persistent chains, then Adam steps on the log
joint, Eq. (7), no correction. So one class is both: what :func:`mcmcot_lite.fit` trains, with the
methods of the other baselines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.tried import as_module
from mcmcot_lite.baselines.walk import prior_start
from mcmcot_lite.density import checked, images_and_mask, log_joint
from mcmcot_lite.langevin import infer
from mcmcot_lite.settings import Settings
from mcmcot_lite.train import Callback, Fit, fit

__all__ = ["ABP", "Corrected"]


class Corrected(Model):
    """A generator trained by Algorithm 1.

    Args:
        g: generator, a module, (n, d) to the images' shape.
        settings: of the algorithm.
    """

    label, raised, trained_by = "Algorithm 1", "log joint", "train_by"

    def __init__(self, g: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.g = as_module("g", g)
        is_settings = isinstance(settings, Settings)  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a Settings", "Pass Settings(d=2)."
        checks.require(is_settings, "settings", rule, checks.shown(settings), remedy, TypeError)
        self.settings = settings
        self.z_hat: Tensor | None = None  # the chains of the training images

    def train_by(
        self,
        x: Tensor,
        *,
        rng: torch.Generator,
        mask: Tensor | None = None,
        progress: bool = True,
        callbacks: Sequence[Callback] = (),
    ) -> Fit:
        """Runs :func:`mcmcot_lite.fit`, keeps the chains, returns its result.

        With a mask (1 where visible) that is Algorithm 3.
        """
        st = self.settings
        run = fit(self.g, x, st, rng=rng, mask=mask, progress=progress, callbacks=callbacks)
        self.z_hat = run.z_hat
        return run

    def check(self, x: Tensor) -> None:
        """Refuses images that the generator cannot draw, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        checked(self.g, pair.new_zeros(2, self.settings.d), pair, self.settings.sigma, None)

    def log_joint(self, x: Tensor, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log p(x, z) with its constants, (n,), the generator frozen as it is in inference."""
        was, sigma = self.training, self.settings.sigma
        try:
            return log_joint(self.eval().g, z, x, sigma=sigma, mask=mask, constant=True)
        finally:
            self.train(was)

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Log p(x, z), Eq. (7), at latents inferred by a run from N(0, I)."""
        return log_joint(self.g, self.infer(x, rng=rng), x, sigma=self.settings.sigma)

    @torch.no_grad()
    def infer(
        self,
        x: Tensor,
        *,
        rng: torch.Generator,
        z0: Tensor | None = None,
        K: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """A latent for each image, (n, d), by K Langevin steps.

        Args:
            x: images, (n, ...).
            rng: draws the noise and, without z0, the start.
            z0: start of the chains, such as ``z_hat`` of the training images; else N(0, I).
            K: steps; else those of the settings.
            mask: visible pixels (1), Eq. (19); hidden ones are never read.
        """
        visible = images_and_mask(x, mask)
        self.check(x if visible is None else torch.where(visible, x, 0.0))
        st = self.settings
        K = st.K if K is None else checks.integer("K", K, 0)
        rng = checks.rng_on(rng, x.device)
        with checks.restored(rng):
            start = prior_start(len(x), st.d, x, rng) if z0 is None else z0
            batch, norm = st.batch_size, st.batchnorm
            return infer(
                self.g,
                x,
                start,
                sigma=st.sigma,
                s=st.s,
                K=K,
                batch_size=batch,
                batchnorm=norm,
                mask=visible,
                rng=rng,
            ).z

    @torch.no_grad()
    def reconstruct(
        self,
        x: Tensor,
        *,
        rng: torch.Generator | None = None,
        z0: Tensor | None = None,
        K: int | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """G at the inferred latents, of x's shape; draws, so rng must be given."""
        rng = cast("torch.Generator", rng)  # infer refuses None
        return self.decode(self.infer(x, rng=rng, z0=z0, K=K, mask=mask))

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """N draws of N(0, I), (n, d)."""
        return prior_start(n, self.settings.d, next(self.parameters()), rng)


class ABP(Corrected):
    """Alternating back-propagation: Algorithm 1 without the correction.

    Args:
        g: generator, a module, (n, d) to the images' shape.
        settings: of the algorithm; its alpha is set to 0.
    """

    label = "ABP"

    def __init__(self, g: nn.Module, settings: Settings) -> None:
        super().__init__(g, settings)
        self.settings = replace(settings, alpha=0.0)
