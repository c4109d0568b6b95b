"""A few images inside a results file, as bytes: a page shows what a run made, without the run."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import torch
from torch import Tensor

__all__ = ["packed", "unpacked"]


def packed(x: Tensor) -> dict[str, Any]:
    """Images in [0, 1], of any shape, as 8 bits a number."""
    levels = (255 * x.detach().cpu().clamp(0, 1)).round().to(torch.uint8).contiguous()
    text = base64.b64encode(zlib.compress(levels.numpy().tobytes(), 9)).decode()
    return {"shape": list(x.shape), "zlib": text}


def unpacked(held: dict[str, Any]) -> Tensor:
    """Them again, to 1/510; float32."""
    levels = bytearray(zlib.decompress(base64.b64decode(held["zlib"])))
    return torch.frombuffer(levels, dtype=torch.uint8).view(held["shape"]).float() / 255
