"""Layers of flows: those of the package normflows, which a flow alone needs."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mcmcot_lite import checks

__all__ = ["actnorm", "coupling", "layers", "seeded_layers"]


def layers() -> Any:
    """The package normflows."""
    try:
        return importlib.import_module("normflows")
    except ModuleNotFoundError as error:
        raise ImportError("Flows need the package normflows: pip install normflows") from error


def seeded_layers(
    channels: int,
    scales: int,
    one: Callable[[int], list[nn.Module]],
    rng: torch.Generator | None,
) -> list[list[nn.Module]]:
    """The layers of each scale, coarsest first, their weights drawn from rng, a CPU generator.

    Args:
        channels: of an image; each scale leaves twice as many.
        scales: how many.
        one: from the channels that come into a scale to its layers, from latents to the image.
        rng: None uses PyTorch's global one.
    """

    def build() -> list[list[nn.Module]]:
        finest_first = [one(channels * 2**scale) for scale in range(scales)]
        return finest_first[::-1]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.lu is deprecated")  # in normflows
        if rng is None:
            return build()
        checks.rng_on(rng, torch.device("cpu"))
        seed = int(torch.randint(2**62, (), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return build()


def coupling(channels: int, width: int, split: str) -> nn.Module:
    """An affine coupling of one half to the other, the identity at the start."""
    half = channels if split.startswith("checkerboard") else channels // 2
    network = layers().nets.ConvNet2d((half, width, width, 2 * half), (3, 1, 3), init_zeros=True)
    bounded = nn.Sequential(network, _BoundedScale())
    return layers().flows.AffineCouplingBlock(bounded, scale_map="exp", split_mode=split)


def actnorm(channels: int) -> nn.Module:
    """A scale and shift for each channel, set by the first images."""
    return layers().flows.ActNorm((channels, 1, 1))


class _BoundedScale(nn.Module):
    """Of a coupling's shifts and log scales, in turns: the log scales through tanh."""

    def forward(self, both: Tensor) -> Tensor:
        shift, scale = both[:, 0::2], both[:, 1::2]
        return torch.stack([shift, scale.tanh()], 2).flatten(1, 2)
