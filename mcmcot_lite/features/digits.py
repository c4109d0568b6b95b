"""Image features for Frechet distances between digits: those of a small network trained on MNIST.

ImageNet's features see in all digits much the same thing: thin strokes. This network has learned to
tell digits apart (`benchmarks/digit_features.py` trains it on MNIST's 60,000 training images; its
accuracy on the 10,000 test images is in `results/digit_features.json`), and its last hidden layer
measures what matters there. The weights, 0.4 MB, come with the library.

Call a distance made of these features FD-MNIST. It is not FID, and not FD-EffNet.
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

__all__ = ["DIGIT_FEATURES", "digit_features", "digit_network"]

DIGIT_FEATURES = 64  # units of the last hidden layer
FILE = Path(__file__).with_name("digits.pt")
SHA256 = "daf2b05e89d98f237b6b4034e98dcb92206c6876c5362e58f60fa6e936a22323"


def digit_network() -> nn.Sequential:
    """The untrained network: images (n, 1, 28, 28) to scores of the ten digits, (n, 10)."""
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
    checked = float_images(x)
    rule, got = "must have shape (n, 1, 28, 28)", f"shape {tuple(x.shape)}"
    remedy = "This network has seen MNIST alone; for other images take effnet_features."
    checks.require(tuple(x.shape[1:]) == (1, 28, 28), "x", rule, got, remedy)
    batch_size = checks.integer("batch_size", batch_size, 1)
    network = _network(x.device)
    parts = torch.split(checked, batch_size)
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return torch.cat([network(_scaled(part)) for part in parts])


def _scaled(x: Tensor) -> Tensor:
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


@cache
def _network(device: torch.device) -> nn.Module:
    """The trained network up to its last hidden layer, loaded once for each device."""
    data = FILE.read_bytes()
    rule, remedy = "must have the known checksum", "Reinstall mcmcot-lite."
    known = hashlib.sha256(data).hexdigest() == SHA256
    checks.require(known, FILE.name, rule, "another file", remedy)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        net = digit_network()
        net.load_state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
        return net[:-1].to(device).eval().requires_grad_(False)
