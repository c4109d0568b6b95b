r"""Short-run inference: K Langevin steps from the prior, in one or several layers of latents.

Nijkamp et al. (2020) infer the latents of every image anew at every learning step, by a short run
that starts at prior samples and moves all layers at once up the gradient of

.. math::  \log p(x, z) = \log p(x | z_1) + \log p(z_L) + \sum_{l < L} \log p(z_l | z_{l+1}) .

Generator and prior then climb the same log joint at what was inferred (their Algorithm 1). With one
layer it is ABP with chains that do not persist: :func:`mcmcot_lite.fit` with ``alpha=0,
chains="noise"``.

Their step size maximises a bound on log p(x): a run without noise is an invertible map of its start
z_0 while the step is small, so the density of its end is known, and

.. math::  \log p(x) \ge E \Big[ \log p(x, z_K) - \log p(z_0)
           + \sum_k \log \big| \det\big(I + \tfrac{s^2}{2} \nabla^2 \log p(x, z_k)\big) \big| \Big].

Departs: the steps are those of Eq. (8), with noise; the bound, :meth:`SRI.bound`, is that of the
run without it, and is for choosing s before training, :meth:`SRI.best_step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.top_down import Layered, TopDown
from mcmcot_lite.baselines.tried import BATCH, tried
from mcmcot_lite.baselines.walk import walk
from mcmcot_lite.density import OVERFLOW, checked, images_and_mask
from mcmcot_lite.freezing import frozen
from mcmcot_lite.langevin import check_s
from mcmcot_lite.linear import linalg

__all__ = ["SRI"]


class SRI(Layered):
    """A generator of z_1 under a prior of one or several layers, inferred by a short run.

    Args:
        g: generator, a module, z_1 (n, d_1) to the images' shape.
        prior: :class:`TopDown`, of the layers' dimensions.
        sigma: pixel noise, > 0.
        K: Langevin steps.
        s: their step size, Eq. (8).
    """

    label, raised = "SRI", "log joint"
    remedy = "Try a smaller lr or s."

    def __init__(
        self, g: nn.Module, prior: TopDown, *, sigma: float, K: int = 20, s: float = 0.1
    ) -> None:
        super().__init__(g, prior, sigma=sigma)
        self.K, self.s = checks.integer("K", K, 0), check_s(s)

    def check(self, x: Tensor) -> None:
        """Refuses images that the generator cannot draw, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        checked(self.g, pair.new_zeros(2, self.prior.dims[0]), pair, self.sigma, None)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x, z) of images and rows z, (n, d), with all constants, (n,)."""
        self.check(x)
        checks.tensor("z", z, shape=(len(x), self.prior.d), like=x, like_name="x")
        value = self._log_joint(x, z)
        checks.finite("log_joint", value.detach(), OVERFLOW)
        return value

    def _log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        y = cast(Tensor, tried("x", self.g, self.prior.layers(z)[0], BATCH))
        return self.prior.log_density(z) + self.log_pixels(x, y)

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Log p(x, z) at the end of a run, which is held fixed."""
        with torch.no_grad(), frozen(self):
            z = self._run(x, rng)
        return self._log_joint(x, z)

    def _run(self, x: Tensor, rng: torch.Generator) -> Tensor:
        start = self.prior.draws(len(x), x, rng)
        return walk(lambda z: self._log_joint(x, z), start, self.K, self.s, rng)

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """All layers of each image side by side, z_1 first, (n, d), by K steps from the prior."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with frozen(self), checks.restored(rng):
            return checks.finite("infer", self._run(x, rng), OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """G at the inferred z_1, of x's shape; draws, so rng must be given."""
        return self.decode(self.infer(x, rng=cast("torch.Generator", rng)))  # infer refuses None

    @torch.no_grad()
    def bound(self, x: Tensor, *, rng: torch.Generator, s: float | None = None) -> Tensor:
        """The bound above on log p(x) for a run without noise, from one start an image, (n,).

        Exact determinants: time grows with K d^2 passes through g; meant for a few images.
        Minus infinity where a step is so large that the map may fold (s^2/2 times a curvature on
        the way reaches 1) or leave the numbers of the dtype.
        """
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        h = check_s(self.s if s is None else s) ** 2 / 2

        def one(z: Tensor, image: Tensor) -> Tensor:
            return self._log_joint(image[None], z[None])[0]

        slope = torch.func.vmap(torch.func.grad(one))
        curvature = torch.func.vmap(torch.func.jacrev(torch.func.grad(one)))
        with frozen(self), checks.restored(rng):
            z = self.prior.draws(len(x), x, rng)
            total = -self.prior.log_density(z)
            identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
            most = torch.finfo(z.dtype).max ** 0.25  # of what eigenvalues can be found
            lost = torch.zeros(len(z), dtype=torch.bool, device=z.device)
            for _ in range(self.K):
                bent = identity + h * curvature(z, x)
                lost |= ~(bent.abs().amax((1, 2)) < most)
                stretch: Tensor = linalg.eigvalsh(torch.where(lost[:, None, None], identity, bent))
                total = total + stretch.clamp_min(0).log().sum(1)
                z = torch.where(lost[:, None], z, z + h * slope(z, x))
            total = total + self._log_joint(x, z)
            return total.masked_fill(lost | total.isnan(), -torch.inf)

    def best_step(
        self, x: Tensor, steps: Sequence[float], *, rng: torch.Generator
    ) -> tuple[float, dict[float, float]]:
        """The step size of the highest mean bound, and the bound of each; s stays as it is.

        Args:
            x: a few images.
            steps: candidates.
            rng: draws the starts, the same for all candidates.
        """
        listed = isinstance(steps, (list, tuple)) and len(steps) > 0  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a list or tuple of step sizes", "For example [0.03, 0.1]."
        checks.require(listed, "steps", rule, checks.shown(steps), remedy, TypeError)
        candidates = [check_s(s) for s in steps]
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        bounds: dict[float, float] = {}
        state = rng.get_state()
        for s in candidates:
            rng.set_state(state)
            bounds[s] = float(self.bound(x, rng=rng, s=s).mean())
        return max(bounds, key=lambda s: bounds[s]), bounds
