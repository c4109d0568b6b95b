r"""Normalising flows: an invertible network, so that the likelihood is exact.

With x = f(z), f invertible, z ~ N(0, I) of the image's own size,

.. math::  \log p(x) = \log \mathcal N\big(f^{-1}(x); 0, I\big)
           + \log \big| \det \partial f^{-1} / \partial x \big| .

Images of 256 levels are points, on which a density could grow without limit. So each is first
spread over its level: x in [0, 1] becomes y = (255 x + u) / 256, u uniform on [0, 1], and
:math:`E_u \log p(y) - D \log 256` bounds the log probability of the 8-bit image (Theis et al.,
2016). That is what training raises, in nats.

The layers are those of the package normflows (Stimper et al., 2023). This module arranges them
over several scales, as both RealNVP and Glow do: at each scale blocks of layers and a squeeze, 2 x
2 pixels to 4 channels; then half of the channels leave as latents.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.flow_layers import layers
from mcmcot_lite.baselines.model import Model
from mcmcot_lite.baselines.walk import prior_start
from mcmcot_lite.density import OVERFLOW
from mcmcot_lite.freezing import frozen

__all__ = ["Flow", "check_shape"]

FIRST = 256  # images that set the scales of normalising layers, as in Glow


class Flow(Model):
    """A flow over several scales.

    Args:
        shape: of an image, (channels, height, width); height and width divide by 2^scales.
        scales: a list of layers each, coarsest first, every one ending in a squeeze.
        transform: last layer, between the finest scale and y in (0, 1).
    """

    raised = "log likelihood"

    def __init__(
        self, shape: Sequence[int], scales: Sequence[Sequence[nn.Module]], transform: nn.Module
    ) -> None:
        super().__init__()
        self.shape = check_shape(shape, len(scales))
        merges = [layers().flows.Merge() for _ in scales[1:]]
        bases = [nn.Identity() for _ in scales]  # the base laws are here, not in the package
        self.net: Any = layers().MultiscaleFlow(bases, scales, merges, transform, class_cond=False)
        self.parts = _parts(self.shape, len(scales))  # of the latents, coarsest first
        self.d = math.prod(self.shape)

    def begin(self, epoch: int, x: Tensor, rng: torch.Generator) -> None:
        """Before the first epoch, sets the scales of normalising layers by the first images."""
        if epoch == 1:
            with torch.no_grad():
                self._to_latents(_spread(x[:FIRST], rng))

    def check(self, x: Tensor) -> None:
        """Refuses images of another shape or range."""
        weights = next(self.parameters())
        shape = (None, *self.shape)
        checks.tensor("x", x, shape=shape, like=weights, like_name="the flow's weights")
        low, high = float(x.min()), float(x.max())
        rule, got = "must lie in [0, 1]", f"values from {low:g} to {high:g}"
        checks.require(low >= 0 and high <= 1, "x", rule, got, "Divide 8-bit images by 255.")

    @torch.no_grad()
    def to_latents(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (n, d) of spread images y, in (0, 1), and the log determinant of dz/dy, (n,)."""
        like = next(self.parameters())
        shape = (None, *self.shape)
        checks.tensor("y", y, shape=shape, like=like, like_name="the flow's weights")
        with self._settled():
            z, log_det = self._to_latents(y)
        sound = bool(z.isfinite().all()) and bool(log_det.isfinite().all())
        got = f"values from {float(y.min()):g} to {float(y.max()):g}"
        checks.require(sound, "y", "must lie in (0, 1)", got, "Spread images: (255 x + u) / 256.")
        return z, log_det

    def _to_latents(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (n, d) of y in (0, 1), and the log determinant of that map."""
        parts, log_det = self.net.inverse_and_log_det(y.clone())
        return torch.cat([p.flatten(1) for p in parts], 1), log_det

    def _to_images(self, z: Tensor) -> Tensor:
        rows: tuple[Tensor, ...] = torch.split(z, [math.prod(p) for p in self.parts], 1)
        parts = [r.reshape(-1, *p) for r, p in zip(rows, self.parts, strict=True)]
        return cast(Tensor, self.net.forward_and_log_det(parts)[0])

    def log_prob(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """The bound on the log probability of each 8-bit image, (n,), in nats; one draw of u."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with self._settled(), checks.restored(rng):
            return checks.finite("log_prob", self.raw_objective(x, rng), OVERFLOW)

    def bits_per_dimension(self, x: Tensor, *, rng: torch.Generator) -> float:
        """Minus :meth:`log_prob` in bits, per value of an image: what papers on flows print."""
        mean = float(self.log_prob(x, rng=rng).detach().double().mean())
        return -mean / (self.d * math.log(2))

    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """:meth:`log_prob` without checks."""
        z, log_det = self._to_latents(_spread(x, rng))
        normal = -z.square().sum(1) / 2 - self.d * math.log(2 * math.pi) / 2
        return normal + log_det - self.d * math.log(256)

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """The latents of the images, (n, d), d = number of values in one; draws u."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with self._settled(), checks.restored(rng):
            return checks.finite("infer", self._to_latents(_spread(x, rng))[0], OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """The images there and back, which shows rounding and nothing else; nothing is drawn."""
        self.check(x)
        with self._settled():
            return self.decode(self._to_latents(_spread(x, None))[0])

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The images of latents (n, d), from the middle of each level; may leave [0, 1]."""
        like = next(self.parameters())
        checks.tensor("z", z, shape=(None, self.d), like=like, like_name="the flow's weights")
        with self._settled():
            y = checks.finite("decode", self._to_images(z), OVERFLOW)
        return (256 * y - 0.5) / 255

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """The images of n draws of N(0, I), cut to [0, 1]."""
        return self.decode(self.sample_prior(n, rng=rng)).clamp(0, 1)

    @torch.no_grad()
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """N draws of N(0, I), (n, d)."""
        return prior_start(n, self.d, next(self.parameters()), rng)

    @contextmanager
    def _settled(self) -> Generator[None, None, None]:
        """Frozen; normalising layers that no training has set yet are the identity meanwhile."""
        unset = [m for m in self.net.modules() if not getattr(m, "data_dep_init_done", True)]
        try:
            for m in unset:
                m.data_dep_init_done = torch.tensor(1.0)
            with frozen(self):
                yield
        finally:
            for m in unset:
                m.data_dep_init_done = torch.tensor(0.0)


def check_shape(shape: Sequence[int], scales: int) -> tuple[int, int, int]:
    """Channels, height and width; sides that can be halved at every scale."""
    three = isinstance(shape, (list, tuple, torch.Size)) and len(shape) == 3  # pyright: ignore[reportUnnecessaryIsInstance]
    rule, remedy = "must be (channels, height, width)", "For example (1, 28, 28)."
    checks.require(three, "shape", rule, checks.shown(shape), remedy, TypeError)
    channels, height, width = (checks.integer("shape", v, 1) for v in shape)
    ok = height % 2**scales == 0 and width % 2**scales == 0
    rule = f"must have sides that divide by 2^{scales}, one halving a scale"
    checks.require(ok, "shape", rule, tuple(shape), "Take fewer scales.")
    return channels, height, width


def _parts(shape: tuple[int, int, int], scales: int) -> list[tuple[int, int, int]]:
    """Shapes of the latents that leave at each scale, coarsest first."""
    channels, height, width = shape
    parts: list[tuple[int, int, int]] = []
    for scale in range(scales):
        channels, height, width = 4 * channels, height // 2, width // 2
        if scale < scales - 1:
            channels //= 2
        parts.insert(0, (channels, height, width))
    return parts


def _spread(x: Tensor, rng: torch.Generator | None) -> Tensor:
    """Y = (255 x + u) / 256; u = 1/2 without rng."""
    if rng is None:
        return (255 * x + 0.5) / 256
    u = torch.rand(x.shape, generator=rng, device=x.device, dtype=x.dtype)
    return (255 * x + u) / 256
