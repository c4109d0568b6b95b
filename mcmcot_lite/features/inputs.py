"""What every feature network asks of its images."""

from __future__ import annotations

import torch
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["float_images"]


def float_images(x: Tensor) -> Tensor:
    """Images (n, c, h, w) of numbers in [0, 1], or of bytes; without their gradient."""
    numbers = x
    if isinstance(x, Tensor) and x.dtype == torch.uint8:  # pyright: ignore[reportUnnecessaryIsInstance]
        numbers = torch.zeros((), device=x.device).expand(x.shape)  # any byte will do
    remedy = "Images have shape (n, channels, height, width)."
    numbers = checks.tensor("x", numbers, ndim=4, remedy=remedy).detach()
    low, high = (float(v) for v in numbers.aminmax())
    remedy = "Pass bytes as uint8, or scale them: those of a tanh are (x + 1) / 2."
    inside = low >= 0 and high <= 1
    checks.require(inside, "x", "must lie in [0, 1]", f"values from {low:g} to {high:g}", remedy)
    return x.detach()
