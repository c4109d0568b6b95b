r"""RealNVP: a flow of affine couplings (Dinh et al., 2017).

A coupling leaves half a of the values as they are and moves the other, b, by networks of a,

.. math::  b \mapsto b \odot \exp(s(a)) + t(a) ,

which is invertible whatever s and t are, with log determinant :math:`\sum s(a)` (their Eqs. 4 to
6). The halves are the colours of a checkerboard, three times, then, after the squeeze, halves of
the channels, three times. Pixels pass through a logit first, as log-odds of 0.05 + 0.9 y (their
Section 4.1).
As there, s ends in a tanh, which keeps samples finite.
Departs: convolutions of three layers for s and t, not residual networks; s has no learned scale
after its tanh; and activation normalisation (Glow's) where they normalise by the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mcmcot_lite import checks
from mcmcot_lite.baselines.flow import Flow, check_shape
from mcmcot_lite.baselines.flow_layers import actnorm, coupling, layers, seeded_layers

__all__ = ["RealNVP"]

CHECKERBOARD = ("checkerboard", "checkerboard_inv", "checkerboard")
CHANNELS = ("channel", "channel_inv", "channel")


class RealNVP(Flow):
    """Affine couplings over several scales.

    Args:
        shape: of an image, (channels, height, width); height and width divide by 2^scales.
        scales: how many.
        width: channels inside the networks of a coupling.
        rng: CPU generator for the initial weights; None uses PyTorch's global one.

    Raises:
        ImportError: without the package normflows.
    """

    label = "RealNVP"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        scales: int = 2,
        width: int = 32,
        rng: torch.Generator | None = None,
    ) -> None:
        scales = checks.integer("scales", scales, 1, maximum=16)
        width = checks.integer("width", width, 1)
        channels = check_shape(shape, scales)[0]

        def one(c: int) -> list[nn.Module]:
            fine = [part for m in CHECKERBOARD for part in (coupling(c, width, m), actnorm(c))]
            c *= 4
            coarse = [part for m in CHANNELS for part in (coupling(c, width, m), actnorm(c))]
            return [*coarse, layers().flows.Squeeze(), *fine]

        made = seeded_layers(channels, scales, one, rng)
        super().__init__(shape, made, layers().transforms.Logit(0.05))
