"""What is given to the package's Inception network, and what is said where it is not here.

The weights cannot be had without the internet: a network of the package's interface stands in.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from helpers import seeded

from mcmcot_lite.features import INCEPTION_FEATURES, inception, inception_features


@pytest.fixture
def stand_in(monkeypatch):
    """A package whose network returns sums of its bytes, and notes what it was given."""
    given = []

    class Extractor(torch.nn.Module):
        def __init__(self, name, features):
            super().__init__()
            torch.rand(1)  # weights are drawn before they are loaded
            given.append((name, features))

        def forward(self, x):
            assert x.dtype == torch.uint8
            assert x.shape[1] == 3
            given.append(x)
            return (x.flatten(1).double().sum(1, keepdim=True).expand(-1, INCEPTION_FEATURES),)

    package = ModuleType("torch_fidelity")
    package.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    inception._network.cache_clear()
    yield given
    inception._network.cache_clear()


def test_the_network_of_fid_sees_bytes_of_three_channels(stand_in):
    x = torch.randint(0, 256, (5, 1, 8, 8), generator=seeded(), dtype=torch.uint8)
    state = torch.get_rng_state()
    found = inception_features(x, batch_size=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert stand_in[0] == ("inception-v3-compat", ["2048"])
    assert [len(part) for part in stand_in[1:]] == [2, 2, 1]
    assert torch.equal(torch.cat(stand_in[1:]), x.expand(-1, 3, -1, -1))
    assert found.shape == (5, INCEPTION_FEATURES)
    assert found.dtype == torch.float32
    assert torch.equal(found, inception_features(x.double() / 255))


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    inception._network.cache_clear()
    with pytest.raises(ImportError, match="needs torch-fidelity and torchvision"):
        inception_features(torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(2, 2, 8, 8), "x must have 1 or 3 channels"),
        (torch.full((2, 3, 8, 8), -1.0), r"x must lie in \[0, 1\]"),
        (torch.zeros(8, 8), "x must have 4 axes"),
    ],
)
def test_bad_images(x, text, stand_in):
    with pytest.raises(ValueError, match=text):
        inception_features(x)
