r"""The regularised auto-encoder: no noise, a prior fitted afterwards (Ghosh et al., 2020).

An encoder e and a decoder g are trained to reconstruct, with a penalty on the latents and one on
the decoder's weights (their Section 3, the variant RAE-L2). For one image it lowers

.. math::  |x - g(e(x))|^2 + \frac{\beta}{2} |e(x)|^2 + \lambda |\theta|^2 .

Nothing pulls the latents to N(0, I). Instead their law is estimated when training is over (ex-post
density estimation), here as a mixture of Gaussians, and that is what samples are drawn from.
"""

from __future__ import annotations

import importlib
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.tried import BATCH, as_module, tried
from mcmcot_lite.baselines.walk import normal
from mcmcot_lite.density import OVERFLOW, checked, images_and_mask
from mcmcot_lite.freezing import frozen

__all__ = ["RAE"]


class RAE(Model):
    """A generator with a deterministic encoder.

    Args:
        g: generator, a module, (n, d) to the images' shape.
        encoder: module from images to latents, (n, d).
        beta: weight of the latents' penalty, >= 0.
        decay: weight of the penalty on all parameters of g, lambda above, >= 0.
    """

    label, raised = "RAE", "objective"

    def __init__(
        self, g: nn.Module, encoder: nn.Module, *, beta: float = 1e-2, decay: float = 1e-5
    ) -> None:
        super().__init__()
        self.g, self.encoder = as_module("g", g), as_module("encoder", encoder)
        ends = (True, False)
        self.beta = checks.number("beta", beta, above=0.0, closed=ends, remedy="Try 1e-2.")
        self.decay = checks.number("decay", decay, above=0.0, closed=ends, remedy="Try 1e-5.")
        self.density: tuple[Tensor, Tensor, Tensor] | None = None  # shares, means, factors

    def get_extra_state(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """The estimated density, so that a state dict holds it."""
        return self.density

    def set_extra_state(self, state: tuple[Tensor, Tensor, Tensor] | None) -> None:
        """Takes the density of a state dict."""
        self.density = state

    def begin(self, epoch: int, x: Tensor, rng: torch.Generator) -> None:
        """Training moves the latents, so the density that was estimated of them is void."""
        self.density = None

    def check(self, x: Tensor) -> None:
        """Refuses images that encoder and generator cannot take, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        with torch.no_grad(), frozen(self):
            z = tried("x", self.encoder, pair, "Match shape, dtype and device.")
        rule, got = "must return a tensor of latents", checks.shown(z)
        checks.require(isinstance(z, Tensor), "encoder", rule, got, "Shape (n, d).", TypeError)
        checked(self.g, cast(Tensor, z), pair, 1.0, None, "encoder's latents")

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Minus the loss above; nothing is drawn."""
        z = cast(Tensor, tried("x", self.encoder, x, BATCH))
        y = cast(Tensor, tried("x", self.g, z, BATCH))
        squared = (x - y).flatten(1).square().sum(1)
        weights = sum(p.square().sum() for p in self.g.parameters())
        return -squared - self.beta / 2 * z.square().sum(1) - self.decay * weights

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """e(x) for each image, (n, d); nothing is drawn."""
        self.check(x)
        with frozen(self):
            return checks.finite("infer", self.encoder(x), OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """G(e(x)), of x's shape; nothing is drawn."""
        z = self.infer(x)
        with frozen(self):
            return checks.finite("reconstruct", self.g(z), OVERFLOW)

    def fit_density(self, x: Tensor, *, components: int = 10, seed: int = 0) -> None:
        """Estimates the law of the latents of x: a mixture of Gaussians with full covariances.

        To be called after training; training on makes it void.

        Args:
            x: the training images, (n, ...), n > d.
            components: Gaussians; 1 needs no iteration.
            seed: of the mixture's start (k-means++ in scikit-learn).

        Raises:
            TypeError, ValueError: on bad input.
            ImportError: several components without scikit-learn.
        """
        z = self.infer(x)
        components = checks.integer("components", components, 1)
        seed = checks.integer("seed", seed, 0)
        n, d = z.shape
        rule, remedy = f"must hold more than {max(d, components)} images", "Take more images."
        checks.require(n > max(d, components), "x", rule, n, remedy)
        points = z.double().cpu()
        if components == 1:
            shares, means = torch.ones(1), points.mean(0, keepdim=True)
            covariances = torch.cov(points.mT).reshape(1, d, d)
        else:
            mixture = _mixture(components, seed)
            mixture.fit(points.numpy())
            shares, means, covariances = (
                torch.from_numpy(v.copy())
                for v in (mixture.weights_, mixture.means_, mixture.covariances_)
            )
        ridge = 1e-6 * torch.eye(d, dtype=torch.float64)
        factors = cast(Tensor, torch.linalg.cholesky(covariances + ridge))
        shares, means, factors = (t.to(z) for t in (shares, means, factors))
        self.density = shares, means, factors

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """N draws from the estimated law of the latents, (n, d)."""
        n = checks.integer("n", n, 1)
        if self.density is None:
            rule, remedy = "must be estimated before sampling", "Call fit_density(x)."
            raise checks.fail("density", rule, "none", remedy)
        like = next(self.encoder.parameters(), self.density[0])  # wherever the model is by now
        shares, means, factors = (t.to(like) for t in self.density)
        rng = checks.rng_on(rng, means.device)
        which = torch.multinomial(shares, n, replacement=True, generator=rng)
        e = normal(n, means.shape[1], means, rng)
        return means[which] + (factors[which] @ e[..., None])[..., 0]


def _mixture(components: int, seed: int) -> Any:
    try:
        package: Any = importlib.import_module("sklearn.mixture")
    except ModuleNotFoundError as error:
        raise ImportError(
            "A mixture of several Gaussians needs scikit-learn: pip install scikit-learn, or take "
            "components=1."
        ) from error
    return package.GaussianMixture(
        components,
        covariance_type="full",
        random_state=seed,
        reg_covar=1e-6,
        init_params="k-means++",
    )
