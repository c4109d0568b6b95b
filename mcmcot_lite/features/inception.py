"""Image features for the FID of the literature: those of the Inception network of 2015.

The network and its weights come through ``torch-fidelity`` (Obukhov et al., 2020), which fetches
them (91 MB) on first use: this one set of features needs the internet, and ``torchvision`` besides.
``pip install torch-fidelity``.

A Frechet distance of these features is what papers call FID (Heusel et al., 2017), if it is made of
as many images as theirs: 10,000 or 50,000, and it shrinks as they grow. Say how many.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.features.inputs import float_images

__all__ = ["INCEPTION_FEATURES", "inception_features"]

INCEPTION_FEATURES = 2048  # channels of the last pooling
PACKAGE = "torch_fidelity"


def inception_features(x: Tensor, *, batch_size: int = 50) -> Tensor:
    """Features of images: the last pooling of the Inception network that FID is made of.

    Images become bytes, a single channel is repeated to three, and the package resizes them to
    299 x 299 as the network's first implementation did.

    Args:
        x: images (n, c, h, w) of 1 or 3 channels: float in [0, 1], or uint8. The network runs on
            its device, in float32.
        batch_size: images at once.

    Returns:
        Features (n, 2048), float32, without gradients.

    Raises:
        TypeError, ValueError: on bad input.
        ImportError: without torch-fidelity or torchvision.
        OSError: the weights are not here and could not be fetched.
    """
    x = float_images(x)
    rule, remedy = "must have 1 or 3 channels", "Pass grey or RGB images, channels first."
    checks.require(x.shape[1] in (1, 3), "x", rule, f"shape {tuple(x.shape)}", remedy)
    batch_size = checks.integer("batch_size", batch_size, 1)
    network = _network(x.device)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return torch.cat([network(_bytes(part))[0].float() for part in torch.split(x, batch_size)])


def _bytes(x: Tensor) -> Tensor:
    """Images as the bytes that a file of them would hold."""
    x = x if x.dtype == torch.uint8 else (x * 255).round().to(torch.uint8)
    return x.expand(-1, 3, -1, -1).contiguous()


@cache
def _network(device: torch.device) -> Any:
    """The package's network, loaded once for each device."""
    try:
        package: Any = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise ImportError(
            f"inception_features needs torch-fidelity and torchvision; got: {error}. Install them "
            "(pip install torch-fidelity), or take effnet_features, which need no download."
        ) from error
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):  # draws weights first
        net = package.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    return net.to(device)
