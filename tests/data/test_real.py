"""A few looks at the real data, where MCMCOT_DATA names a folder that has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mcmcot_lite import data
from mcmcot_lite.features.digits import FASHION_FILE, digit_network

RESULTS = Path(__file__).resolve().parents[2] / "results"

COUNTS = {
    "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "fashion_mnist": [6000] * 10,
}


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_digits_and_clothes(real_data: Path, name: str) -> None:
    if not (real_data / f"{name}.npz").is_file():
        pytest.skip(f"{name}.npz is not in MCMCOT_DATA, and no set is in the repository")
    found = data.load(name)
    assert found.x.shape == (60_000, 1, 28, 28)
    assert found.y is not None
    assert found.y.bincount().tolist() == COUNTS[name]
    assert len(data.load(name, split="test")) == 10_000


def test_the_5000_are_the_first_500_of_each_class_of_mnist(real_data: Path) -> None:
    if not (real_data / "mnist.npz").is_file():
        pytest.skip("mnist.npz is not in MCMCOT_DATA, and no set is in the repository")
    few, all_ = data.mnist5k(), data.mnist()
    for k in range(10):
        assert bool((few.classes(k).x == all_.classes(k).take(500).x).all())


def test_real_faces(real_data: Path) -> None:
    if not (real_data / "celeba_64.zip").is_file():
        pytest.skip("celeba_64.zip is not in MCMCOT_DATA, and no set is in the repository")
    found = data.celeba(limit=50)
    assert found.x.shape == (50, 3, 64, 64)
    assert 0.2 < float(found.images().mean()) < 0.8
    with pytest.raises(FileNotFoundError, match="train only"):
        data.celeba(split="test", download=False)


def test_the_network_that_knows_clothes(real_data: Path) -> None:
    if not (real_data / "fashion_mnist.npz").is_file():
        pytest.skip("fashion_mnist.npz is not in MCMCOT_DATA, and no set is in the repository")
    net = digit_network()
    net.load_state_dict(torch.load(FASHION_FILE, weights_only=True))
    test = data.load("fashion_mnist", split="test").take(2000)
    with torch.no_grad():
        right = net(test.x.float() / 255).argmax(1) == test.y
    told = json.loads((RESULTS / "fashion_features.json").read_text())["test_accuracy"]
    error = (told * (1 - told) / 2000) ** 0.5
    assert abs(float(right.double().mean()) - told) < 4 * error
