r"""Glow: couplings, with learned mixing of the channels between them (Kingma and Dhariwal, 2018).

One step of the flow (their Table 1) is a scale and shift for each channel, set by the first images
so that they come out with mean 0 and variance 1; a 1 x 1 convolution, an invertible matrix W acting
on the channels of every pixel, with log determinant :math:`h w \log |\det W|`, parametrised by its
LU factors; and an affine coupling of half the channels to the other half.
Departs: the coupling scales by exp(tanh(.)), RealNVP's, not by a sigmoid: that one divides on the
way to the image by numbers near 0, and a flow trained for minutes then draws images that overflow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.flow import Flow, check_shape
from mcmcot_lite.baselines.flow_layers import actnorm, coupling, layers, seeded_layers

__all__ = ["Glow"]


class Glow(Flow):
    """Steps of scale, mixing and coupling over several scales.

    Args:
        shape: of an image, (channels, height, width); height and width divide by 2^scales.
        scales: how many (the paper's L).
        steps: of the flow at each scale (the paper's K).
        width: channels inside the networks of a coupling; the paper: 512.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.

    Raises:
        ImportError: without the package normflows.
    """

    label = "Glow"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        scales: int = 2,
        steps: int = 4,
        width: int = 32,
        rng: torch.Generator | None = None,
    ) -> None:
        scales = checks.integer("scales", scales, 1, maximum=16)
        steps, width = checks.integer("steps", steps, 1), checks.integer("width", width, 1)
        channels = check_shape(shape, scales)[0]

        def one(c: int) -> list[nn.Module]:
            flow = [part for _ in range(steps) for part in _step(4 * c, width)]
            return [*flow, layers().flows.Squeeze()]

        super().__init__(shape, seeded_layers(channels, scales, one, rng), _Middle())


def _step(channels: int, width: int) -> list[nn.Module]:
    """One step of the flow, from latents to the image."""
    mixing = layers().flows.Invertible1x1Conv(channels, True)
    return [coupling(channels, width, "channel"), mixing, actnorm(channels)]


class _Middle(nn.Module):
    """Y in [0, 1] to y - 1/2."""

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return z + 0.5, z.new_zeros(len(z))

    def inverse(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return y - 0.5, y.new_zeros(len(y))
