"""RealNVP and Glow: the density against exact Jacobians, the way back, levels of 8-bit images."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from helpers import check_gradients, seeded
from scipy import stats
from torch.distributions import MultivariateNormal

from mcmcot_lite.baselines import Glow, RealNVP, fit_model
from mcmcot_lite.baselines import flow_layers as flow_module

F64 = torch.float64
MODELS = {
    "RealNVP": lambda shape, **v: RealNVP(shape, width=6, **v),
    "Glow": lambda shape, **v: Glow(shape, width=6, steps=2, **v),
}
each = pytest.mark.parametrize("name", MODELS)


def stirred(name, shape=(1, 4, 4), scales=2, seed=0):
    """Double precision, every weight moved away from its start, which is nearly the identity."""
    model = MODELS[name](shape, scales=scales, rng=seeded(seed)).double()
    for m in model.net.modules():
        if hasattr(m, "data_dep_init_done"):
            m.data_dep_init_done = torch.tensor(1.0)
    rng = seeded(seed + 1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=rng, dtype=F64)
    return model


def levels(n, shape, seed=3):
    return torch.randint(256, (n, *shape), generator=seeded(seed)).double() / 255


@each
@pytest.mark.parametrize(("shape", "scales"), [((1, 4, 4), 2), ((3, 4, 4), 1), ((2, 8, 4), 2)])
def test_density_by_the_exact_jacobian(name, shape, scales):
    """Log p(y) = log N(z) - log |det dy/dz|, with the Jacobian of the way down, by autograd."""
    model = stirred(name, shape, scales)
    z = torch.randn(3, model.d, generator=seeded(2), dtype=F64)
    for row in z:
        jacobian = torch.autograd.functional.jacobian(
            lambda r: model._to_images(r[None]).flatten(), row
        )
        y = model._to_images(row[None]).detach()
        back, log_det = model.to_latents(y)
        assert torch.allclose(back[0], row, atol=1e-8)
        assert float(log_det.detach()) == pytest.approx(
            -float(torch.linalg.slogdet(jacobian)[1]), rel=1e-7
        )


@each
def test_the_objective_is_the_bound_of_8_bit_images(name):
    model = stirred(name)
    x = levels(5, (1, 4, 4))
    got = model.log_prob(x, rng=seeded(4)).detach()
    u = torch.rand(x.shape, generator=seeded(4), dtype=F64)
    y = (255 * x + u) / 256
    z, log_det = model._to_latents(y)
    base = MultivariateNormal(torch.zeros(16, dtype=F64), torch.eye(16, dtype=F64))
    want = base.log_prob(z) + log_det - 16 * math.log(256)
    assert torch.allclose(got, want.detach(), rtol=1e-10)
    assert torch.equal(got, model.raw_objective(x, seeded(4)).detach())
    bits = model.bits_per_dimension(x, rng=seeded(4))
    assert bits == pytest.approx(-float(got.mean()) / 16 / math.log(2))


def test_probabilities_of_a_tiny_image_sum_to_one():
    """Its integral, by uniform points; the logit of 0.05 + 0.9 y reaches past [0, 1]."""
    model, n, width = stirred("RealNVP", (1, 2, 2), 1), 100_000, 1 / 0.9
    y = width * torch.rand(n, 1, 2, 2, generator=seeded(5), dtype=F64) - 0.05 / 0.9
    with torch.no_grad():
        z, log_det = model._to_latents(y)
    density = (-z.square().sum(1) / 2 - 2 * math.log(2 * math.pi) + log_det).exp() * width**4
    error = stats.norm.isf(5e-4) * float(density.std()) / math.sqrt(n)
    assert error < 0.05
    assert float(density.mean()) == pytest.approx(1, abs=error)


@each
def test_there_and_back(name):
    model, x = stirred(name, (1, 8, 8)), levels(6, (1, 8, 8))
    assert torch.allclose(model.reconstruct(x), x, atol=1e-7)
    z = model.infer(x, rng=seeded(1))
    assert z.shape == (6, 64)
    assert (model.decode(z) - x).abs().max() <= 0.5 / 255 + 1e-9  # within its level
    new = model.sample(4, rng=seeded(2))
    assert new.shape == (4, 1, 8, 8)
    assert new.min() >= 0
    assert new.max() <= 1
    want = model.decode(torch.randn(4, 64, generator=seeded(2), dtype=F64)).clamp(0, 1)
    assert torch.equal(new, want)


@each
def test_gradients_by_finite_differences(name):
    model, x = stirred(name), levels(3, (1, 4, 4))
    value = lambda: model.raw_objective(x, seeded(1)).mean()  # noqa: E731
    value().backward()
    for p in model.parameters():
        check_gradients(value, [p], max(1, p.numel() // 3), 1e-6, rel=1e-4, abs=1e-5)


@each
def test_training_finds_the_scales_and_raises_the_likelihood(name):
    x = levels(60, (1, 8, 8)) * torch.linspace(0, 1, 8, dtype=F64)
    x = ((255 * x).round() / 255).float()
    runs, state = [], torch.get_rng_state()
    for _ in range(2):
        model = MODELS[name]((1, 8, 8), rng=seeded(1))
        run = fit_model(model, x, rng=seeded(3), epochs=6, batch_size=20, lr=3e-3, progress=False)
        runs.append(run.objective)
    assert runs[0] == runs[1]
    assert runs[0][-1] > runs[0][0] + 5
    assert torch.equal(torch.get_rng_state(), state)
    assert model.bits_per_dimension(x, rng=seeded()) < 8  # 8 is a uniform guess


@each
def test_the_first_images_set_the_scales(name):
    """After them every normalising layer puts out mean 0 and variance 1, channel by channel."""
    model, x = MODELS[name]((1, 8, 8), rng=seeded(1)).double(), levels(40, (1, 8, 8))
    layers = [m for m in model.net.modules() if hasattr(m, "data_dep_init_done")]
    assert layers
    model.begin(1, x, seeded(2))
    assert all(m.data_dep_init_done for m in layers)
    seen = []
    for m in layers:
        inverse = m.inverse
        m.inverse = lambda z, inverse=inverse: (seen.append(inverse(z)[0]), inverse(z))[1]
    model.begin(2, x, seeded(2))
    assert not seen  # the first epoch's alone
    model.raw_objective(x, seeded(2))
    assert len(seen) == len(layers)
    for z in seen:
        assert z.mean((0, 2, 3)).abs().max() < 1e-6
        assert (z.var((0, 2, 3)) - 1).abs().max() < 0.02


@pytest.mark.parametrize(("name", "group"), [("RealNVP", 3), ("Glow", 2)])
def test_every_group_of_couplings_moves_every_value(name, group):
    """From zero weights each coupling is the identity; one bias at a time makes it a shift."""
    from normflows.flows import AffineCoupling

    model = MODELS[name]((1, 4, 4), rng=seeded(1), scales=1).double()
    for m in model.net.modules():
        if hasattr(m, "data_dep_init_done"):
            m.data_dep_init_done = torch.tensor(1.0)
    z = torch.randn(1, 16, generator=seeded(2), dtype=F64)
    still = model._to_images(z).detach()
    moved = []
    for m in (m for m in model.net.modules() if isinstance(m, AffineCoupling)):
        bias = m.param_map[0].net[-1].bias.detach()
        bias[0::2] = 0.5
        moved.append((model._to_images(z).detach() - still).flatten().abs() > 1e-9)
        bias[0::2] = 0.0
    assert len(moved) % group == 0
    for i in range(0, len(moved), group):
        assert torch.stack(moved[i : i + group]).any(0).all()


def test_log_scales_are_bounded_and_shifts_are_not():
    both = 5 * torch.randn(3, 4, 2, 2, generator=seeded(1), dtype=F64)
    got = flow_module._BoundedScale()(both)
    assert torch.equal(got[:, 0::2], both[:, 0::2])
    assert torch.equal(got[:, 1::2], both[:, 1::2].tanh())


def test_glow_mixes_the_channels():
    from normflows.flows import Invertible1x1Conv

    mixing = [m for m in stirred("Glow").net.modules() if isinstance(m, Invertible1x1Conv)]
    assert len(mixing) == 4  # two steps at each of two scales


@each
def test_methods_before_training_leave_the_start_open(name):
    model, x = MODELS[name]((1, 8, 8), rng=seeded(1)), levels(5, (1, 8, 8)).float()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.infer(x, rng=seeded())
    model.log_prob(x, rng=seeded())
    model.sample(2, rng=seeded())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


X = levels(4, (1, 4, 4)).float()


@each
@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda make, m: make((1, 6, 6), scales=2),
            ValueError,
            r"shape must have sides that divide",
        ),
        (lambda make, m: make((4, 4)), TypeError, "shape must be"),
        (lambda make, m: make((1, 4.0, 4)), TypeError, "shape must be a whole"),
        (lambda make, m: make((0, 4, 4)), ValueError, "shape must be at least"),
        (lambda make, m: make((1, 4, 4), scales=0), ValueError, "scales"),
        (lambda make, m: make((1, 4, 4), rng=1), TypeError, "rng"),
        (lambda make, m: m.infer(X[:, :, :2], rng=seeded()), ValueError, "x must have shape"),
        (lambda make, m: m.infer(255 * X, rng=seeded()), ValueError, "x must lie in"),
        (lambda make, m: m.infer(X.double(), rng=seeded()), ValueError, "x must have the dtype"),
        (lambda make, m: m.infer(X * math.nan, rng=seeded()), ValueError, "x must be finite"),
        (lambda make, m: m.infer(X, rng=None), TypeError, "rng"),
        (lambda make, m: m.log_prob(X, rng=3), TypeError, "rng"),
        (lambda make, m: m.decode(torch.zeros(2, 15)), ValueError, "z must have shape"),
        (lambda make, m: m.to_latents(X[0]), ValueError, "y must have shape"),
        (lambda make, m: m.sample(-1, rng=seeded()), ValueError, "n must"),
        (lambda make, m: fit_model(m, X[..., :2], rng=seeded()), ValueError, "x must"),
    ],
)
def test_refusals(name, call, kind, words):
    make = MODELS[name]
    with pytest.raises(kind, match=f"^{words}"):
        call(make, make((1, 4, 4), rng=seeded()))


def test_a_logit_needs_values_between_0_and_1():
    model = MODELS["RealNVP"]((1, 4, 4), rng=seeded())
    with pytest.raises(ValueError, match=r"^y must lie in \(0, 1\); got values from -0.5 to"):
        model.to_latents(X - X.min() - 0.5)


def test_without_the_package(monkeypatch):
    real = importlib.import_module

    def none(name, *args):
        if name == "normflows":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    monkeypatch.setattr(flow_module.importlib, "import_module", none)
    with pytest.raises(ImportError, match="pip install normflows"):
        RealNVP((1, 4, 4))
