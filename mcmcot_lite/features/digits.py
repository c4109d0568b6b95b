"""Image features for Frechet distances between digits, or clothes: those of small networks.

ImageNet's features see in all digits much the same thing: thin strokes. These networks have learned
to tell the ten classes of MNIST, or of Fashion-MNIST, apart (`benchmarks/digit_features.py` trains
each on the 60,000 training images; the accuracy on the 10,000 test images is in
`results/digit_features.json` and `results/fashion_features.json`), and the last hidden layer
measures what matters there. The weights, 0.4 MB each, come with the library.

Call a distance made of these features FD-MNIST, or FD-Fashion. It is not FID, and not FD-EffNet.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.features.inputs import float_images

__all__ = ["DIGIT_FEATURES", "digit_features", "digit_network", "fashion_features"]

DIGIT_FEATURES = 64  # units of the last hidden layer
FILE = Path(__file__).with_name("digits.pt")
SHA256 = "daf2b05e89d98f237b6b4034e98dcb92206c6876c5362e58f60fa6e936a22323"
FASHION_FILE = Path(__file__).with_name("fashion.pt")
FASHION_SHA256 = "bc74a69c578e038009090d967d6c13a50cc0d251747c6cb91225d628f6a07f6b"


def digit_network() -> nn.Sequential:
    """The untrained network: images (n, 1, 28, 28) to scores of the ten classes, (n, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, DIGIT_FEATURES),
        nn.ReLU(),
        nn.Linear(DIGIT_FEATURES, 10),
    )


def digit_features(x: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Features of digits: the last hidden layer of the trained network.

    Args:
        x: images (n, 1, 28, 28): float in [0, 1], or uint8. The network runs on its device, in
            float32.
        batch_size: images at once.

    Returns:
        Features (n, 64), float32, at least 0, without gradients.

    Raises:
        TypeError, ValueError: on bad input.
    """
    return _features(x, batch_size, FILE, SHA256)


def fashion_features(x: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Features of clothes: :func:`digit_features`, of a network trained on Fashion-MNIST."""
    return _features(x, batch_size, FASHION_FILE, FASHION_SHA256)


def _features(x: Tensor, batch_size: int, file: Path, sha256: str) -> Tensor:
    checked = float_images(x)
    rule, got = "must have shape (n, 1, 28, 28)", f"shape {tuple(x.shape)}"
    remedy = "This network has seen such images alone; for others take effnet_features."
    checks.require(tuple(x.shape[1:]) == (1, 28, 28), "x", rule, got, remedy)
    batch_size = checks.integer("batch_size", batch_size, 1)
    network = _network(x.device, file, sha256)
    parts = torch.split(checked, batch_size)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return torch.cat([network(_scaled(part)) for part in parts])


def _scaled(x: Tensor) -> Tensor:
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


@cache
def _network(device: torch.device, file: Path, sha256: str) -> nn.Module:
    """The trained network up to its last hidden layer, loaded once for each device."""
    data = file.read_bytes()
    rule, remedy = "must have the known checksum", "Reinstall mcmcot-lite."
    known = hashlib.sha256(data).hexdigest() == sha256
    checks.require(known, file.name, rule, "another file", remedy)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        net = digit_network()
        net.load_state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
        return net[:-1].to(device).eval().requires_grad_(False)
