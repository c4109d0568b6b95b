"""Fully connected networks from images to latents: a law for each image, or a point."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mcmcot_lite import checks

__all__ = ["MLPEmbedding", "MLPEncoder", "check_widths", "fully_connected"]


def check_widths(hidden: Sequence[int], rng: torch.Generator | None) -> list[int]:
    """The widths of hidden layers; a generator for weights is one of the CPU's, or None."""
    rule, remedy = "must be a list or tuple of ints", "For example (128, 64)."
    listed = isinstance(hidden, (list, tuple))
    checks.require(listed, "hidden", rule, checks.shown(hidden), remedy, TypeError)
    if rng is not None:
        checks.rng_on(rng, torch.device("cpu"))
    return [checks.integer("hidden", w, 1) for w in hidden]


def fully_connected(
    inputs: int, hidden: Sequence[int], outputs: int, rng: torch.Generator | None
) -> nn.Sequential:
    """Linear layers with GELU between them; Xavier normal weights, zero biases."""
    widths = [inputs, *check_widths(hidden, rng)]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):  # nn.Linear draws weights that are replaced
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.GELU()]
        net = nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
    for m in net:
        if isinstance(m, nn.Linear):
            nn.init.xavier_normal_(m.weight, generator=rng)
            nn.init.zeros_(m.bias)
    return net


class _FullyConnected(nn.Module):
    """Images (n, ...) -> (n, numbers * d)."""

    numbers: ClassVar[int]  # for each latent

    def __init__(
        self,
        d: int,
        pixels: int,
        hidden: Sequence[int] = (128, 64),
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.pixels = checks.integer("d", d, 1), checks.integer("pixels", pixels, 1)
        self.net = fully_connected(self.pixels, hidden, self.numbers * self.d, rng)

    def values(self, x: Tensor) -> Tensor:
        """What the last layer says of each image."""
        weights = next(self.parameters())
        if not (isinstance(x, Tensor) and torch.is_autocast_enabled(x.device.type)):  # pyright: ignore[reportUnnecessaryIsInstance]
            checks.tensor("x", x, like=weights, like_name="the encoder's weights", finite=False)
        rule, got = (
            f"must have {self.pixels} values an image",
            f"shape {tuple(x.shape[1:])} for each",
        )
        fits = x.ndim > 1 and x[0].numel() == self.pixels
        checks.require(fits, "x", rule, got, "Build the encoder for these images.")
        return self.net(x.flatten(1))


class MLPEncoder(_FullyConnected):
    """Images (n, ...) -> (means (n, d), log variances (n, d)), fully connected.

    Args:
        d: dimension of the latents.
        pixels: number of values in one image.
        hidden: widths of the hidden layers; empty gives an affine encoder.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.
    """

    numbers = 2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of q(z|x), each (n, d)."""
        mean, logvar = self.values(x).chunk(2, dim=1)
        return mean, logvar


class MLPEmbedding(_FullyConnected):
    """Images (n, ...) -> latents (n, d), fully connected.

    Args:
        d: dimension of the latents.
        pixels: number of values in one image.
        hidden: widths of the hidden layers; empty gives an affine embedding.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.
    """

    numbers = 1

    def forward(self, x: Tensor) -> Tensor:
        """One latent for each image, (n, d)."""
        return self.values(x)
