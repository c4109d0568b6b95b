"""Features of EfficientNet-Lite0: those of the network itself, and what they are good for."""

from __future__ import annotations

import sys

import pytest
import torch
from helpers import seeded
from torch.nn import functional as F

from mcmcot_lite import data, frechet_distance
from mcmcot_lite.features import _network, effnet_features

DIGITS = data.mnist5k().take(96).images()
COLOUR = torch.rand(4, 3, 64, 64, generator=seeded())


def test_they_are_the_networks_own():
    net = _network("cpu")
    big = F.interpolate(COLOUR, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = net.extract_features((255 * big - 127) / 128)
        want = F.adaptive_avg_pool2d(maps, 1).flatten(1)
        scores = net((255 * big - 127) / 128)
        got = effnet_features(COLOUR)
        assert got.shape == (4, 1280)
        assert got.dtype == torch.float32
        assert torch.allclose(got, want, atol=1e-4)
        assert torch.allclose(net._fc(got), scores, atol=1e-3)  # what its classes are read from
    assert not got.requires_grad
    assert (got >= 0).all()  # after a ReLU6
    assert not torch.equal(got[0], got[1])


def test_grey_is_three_equal_channels_and_bytes_are_255_times_floats():
    few = DIGITS[:3]
    want = effnet_features(few)
    assert torch.allclose(effnet_features(few.expand(-1, 3, -1, -1)), want, atol=1e-4)
    assert torch.allclose(effnet_features((few * 255).round().byte()), want, atol=1e-3)
    assert torch.allclose(effnet_features(few.double()), want, atol=1e-4)


def test_an_image_does_not_depend_on_its_neighbours_and_nothing_is_drawn():
    state = torch.get_rng_state()
    whole = effnet_features(COLOUR)
    assert torch.allclose(effnet_features(COLOUR, batch_size=1), whole, atol=1e-4)
    assert torch.equal(effnet_features(COLOUR), whole)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_distance_grows_with_the_noise():
    rng = seeded(1)
    real = effnet_features(DIGITS[:48])

    def to(noise):
        x = DIGITS[48:] + noise * torch.randn(DIGITS[48:].shape, generator=rng)
        return frechet_distance(effnet_features(x.clamp(0, 1)), real)

    near, far, farther = to(0.0), to(0.2), to(0.5)
    assert 0 < near < far < farther


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (COLOUR.numpy(), TypeError, "x must be a torch.Tensor"),
        (2 * COLOUR, ValueError, r"x must lie in \[0, 1\]"),
        (COLOUR - 0.5, ValueError, r"x must lie in \[0, 1\]"),
        (COLOUR * torch.nan, ValueError, "x must be finite"),
        (COLOUR[0], ValueError, r"x must have shape \(n, 1 or 3, h, w\)"),
        (COLOUR[:, :2], ValueError, r"x must have shape \(n, 1 or 3, h, w\)"),
        (COLOUR[:0], ValueError, "x must not be empty"),
        ((255 * COLOUR[:0]).byte(), ValueError, r"x must have shape"),
        ((255 * COLOUR).int(), TypeError, "x must have a floating-point dtype"),
    ],
)
def test_bad_images(x, kind, words):
    with pytest.raises(kind, match=words):
        effnet_features(x)


def test_bad_batches_and_missing_packages(monkeypatch):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        effnet_features(COLOUR, batch_size=0)
    _network.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match=r"pip install 'mcmcot-lite\[features\]'"):
        effnet_features(COLOUR)
