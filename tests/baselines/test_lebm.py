"""The latent EBM: with zero energy it is short-run inference; with a linear one all is exact."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import normal, seeded
from scipy import stats
from torch import nn

from mcmcot_lite import MLP, LinearGenerator, infer
from mcmcot_lite.baselines import LEBM, MLPEnergy, fit_model

SHAPE = (1, 3, 4)
F64 = torch.float64


class Tilt(nn.Module):
    """F(z) = a.z: the prior is N(a, I)."""

    def __init__(self, *a):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=F64))

    def forward(self, z):
        return z @ self.a


def small(**values):
    rng = seeded()
    return LEBM(MLP(2, SHAPE, (5,), rng=rng), MLPEnergy(2, (6,), rng=rng), d=2, sigma=0.3, **values)


def images(n=20):
    return torch.rand(n, *SHAPE, generator=seeded(4))


def linear(a, D=7, sigma=0.5, **values):
    d = len(a)
    return LEBM(
        LinearGenerator(normal(0, D, d), normal(1, D)), Tilt(*a), d=d, sigma=sigma, **values
    )


@pytest.mark.parametrize("K", [None, 0, 40])
def test_with_zero_energy_its_posterior_is_the_librarys_short_run(K):
    """The same start and noise: the same chains as infer() of ABP; K of a call is for it alone."""
    model, x = linear((0.0, 0.0, 0.0), K=15, s=0.05), normal(2, 30, 7)
    rng, steps = seeded(3), 15 if K is None else K
    z0 = torch.randn(30, 3, generator=rng, dtype=F64)
    want = infer(model.g, x, z0, sigma=0.5, s=0.05, K=steps, rng=rng).z
    assert torch.allclose(model.infer(x, rng=seeded(3), K=K), want, rtol=1e-9, atol=1e-12)
    assert model.K == 15


def test_with_zero_energy_the_gradient_is_that_of_abp():
    """d/dtheta of log p(x | z+) at the chains' ends, and no more."""
    model, x = linear((0.0, 0.0), K=5, K_prior=3), normal(2, 30, 7)
    model.raw_objective(x, seeded(5)).mean().backward()
    z = model.infer(x, rng=seeded(5))
    A, mu = (p.detach().clone().requires_grad_() for p in (model.g.theta, model.g.mu))
    (-(x - z @ A.mT - mu).square().sum(1) / (2 * 0.5**2)).mean().backward()
    assert torch.allclose(model.g.theta.grad, A.grad, rtol=1e-9)
    assert torch.allclose(model.g.mu.grad, mu.grad, rtol=1e-9)


def test_the_energys_gradient_is_the_difference_of_two_means():
    """F = a.z: d/da is mean z+ - mean z-; a wrong sign or factor fails."""
    model, x = linear((0.3, -0.2)), normal(2, 40, 7)
    model.raw_objective(x, seeded(5)).mean().backward()
    rng = seeded(5)
    up = model.infer(x, rng=rng)
    down = model.sample_prior(40, rng=rng)
    assert torch.allclose(model.energy.a.grad, up.mean(0) - down.mean(0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("K", "s"), [(0, 0.4), (3, 0.4), (60, 0.4), (10, 1.0)])
def test_the_prior_has_the_exact_law_of_k_steps(K, s):
    """F = a.z: z <- (1 - h) z + h a + s e, h = s^2/2, from N(0, 1); all Gaussian."""
    a, n = (1.5, -0.5), 4000
    z = linear(a, K_prior=K, s_prior=s).sample_prior(n, rng=seeded(6))
    h = s**2 / 2
    mean = torch.tensor(a, dtype=F64) * (1 - (1 - h) ** K)
    var = (1 - h) ** (2 * K) + s**2 * sum((1 - h) ** (2 * k) for k in range(K))
    slack = stats.norm.isf(1e-4)
    assert ((z.mean(0) - mean).abs() < slack * math.sqrt(var / n)).all()
    assert ((z.var(0) / var - 1).abs() < slack * math.sqrt(2 / n)).all()


def test_the_posterior_is_that_of_a_shifted_prior():
    """Long chains: mean m = S (A'(x - mu)/sigma^2 + a) with S = (I + A'A/sigma^2)^-1."""
    model, n = linear((1.0, -2.0), K=400, s=0.1), 3000
    A, mu = model.g.theta.detach(), model.g.mu.detach()
    x = normal(2, 1, 7)
    z = model.infer(x.expand(n, -1), rng=seeded(7))
    precision = torch.eye(2, dtype=F64) + A.mT @ A / 0.25
    S = torch.linalg.inv(precision)
    m = S @ (A.mT @ (x[0] - mu) / 0.25 + torch.tensor((1.0, -2.0), dtype=F64))
    # The law of the discretised chain at its end: mean m, covariance (P - s^2 P^2 / 4)^-1.
    exact = torch.linalg.inv(precision - 0.01 / 4 * precision @ precision)
    slack = stats.norm.isf(1e-4)
    assert ((z.mean(0) - m).abs() < slack * (exact.diagonal() / n).sqrt()).all()
    assert ((z.var(0) / exact.diagonal() - 1).abs() < slack * math.sqrt(2 / n)).all()


def test_log_joint_adds_the_energy():
    model, x, z = linear((0.5, 0.5)), normal(2, 9, 7), normal(3, 9, 2)
    want = -(x - model.g(z)).square().sum(1) / 0.5 - z.square().sum(1) / 2 + z @ model.energy.a
    assert torch.allclose(model.log_joint(x, z), want)


def test_training_finds_the_prior_of_shifted_latents():
    """Data whose latents are N((2, -1), I): the energy learns where they are."""
    A, shift = normal(0, 7, 2), torch.tensor((2.0, -1.0), dtype=F64)
    x = (normal(1, 500, 2) + shift) @ A.mT + 0.3 * normal(2, 500, 7)
    g = LinearGenerator(A, torch.zeros(7, dtype=F64)).requires_grad_(False)
    model = LEBM(g, Tilt(0.0, 0.0), d=2, sigma=0.3, K=30, s=0.1, energy_rate=1.0)
    for lr in (0.1, 0.02):
        fit_model(model, x, rng=seeded(3), epochs=40, lr=lr, progress=False, x_range=None)
    moved = torch.linalg.lstsq(A, x.mT).solution.mean(1)  # of the latents, as the data have it
    assert torch.allclose(model.energy.a.detach(), moved, atol=0.25)


def test_rates_differ():
    rates = [group["lr"] for group in small(energy_rate=0.25).groups(0.1)]
    assert rates == [0.1, 0.025]


def test_fit_reconstruct_sample_and_their_seeds():
    model = small(K=5, K_prior=5)
    fit_model(model, images(), rng=seeded(), epochs=2, progress=False)
    a, b = (model.reconstruct(images(), rng=seeded(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert a.shape == images().shape
    assert model.sample(7, rng=seeded()).shape == (7, *SHAPE)
    assert not model.training
    assert all(p.requires_grad for p in model.parameters())


X = images()


class Many(nn.Module):
    def forward(self, z):
        return z


BAD = {
    "no images": (
        lambda r: small().reconstruct(None, rng=r),
        TypeError,
        "x must be a torch.Tensor",
    ),
    "no rng": (lambda r: small().reconstruct(X, rng=None), TypeError, "rng must be"),
    "one number": (lambda r: small().infer(torch.tensor(0.5), rng=r), ValueError, "x must have a"),
    "energy's z": (lambda r: MLPEnergy(2)(torch.zeros(4, 3)), ValueError, "z must have shape"),
    "pairs": (lambda r: small().log_joint(X, torch.zeros(3, 2)), ValueError, "z must have shape"),
    "far": (
        lambda r: small().log_joint(1e30 * X, torch.zeros(len(X), 2)),
        FloatingPointError,
        "log_joint must fit",
    ),
    "g": (lambda r: LEBM(len, MLPEnergy(2), d=2, sigma=0.3), TypeError, "g must be"),
    "energy": (lambda r: LEBM(MLP(2), 3, d=2, sigma=0.3), TypeError, "energy must be"),
    "sigma": (lambda r: LEBM(MLP(2), MLPEnergy(2), d=2, sigma=0.0), ValueError, "sigma must"),
    "s": (lambda r: small(s=2.0), ValueError, "s must lie in"),
    "K": (lambda r: small(K=-1), ValueError, "K must be at least 0"),
    "rate": (lambda r: small(energy_rate=0.0), ValueError, "energy_rate must"),
    "hidden": (lambda r: MLPEnergy(2, 5), TypeError, "hidden must be a list"),
    "x": (lambda r: small().infer(X.byte(), rng=r), TypeError, "x must have a floating"),
    "steps": (lambda r: small().infer(X, rng=r, K=-1), ValueError, "K must be at least 0"),
    "shape": (lambda r: small().infer(X[:, :, :2], rng=r), ValueError, "shape of x"),
    "rng": (lambda r: small().reconstruct(X), TypeError, "rng must be"),
    "n": (lambda r: small().sample(0, rng=r), ValueError, "n must be at least 1"),
    "numbers": (
        lambda r: LEBM(MLP(2, SHAPE), Many(), d=2, sigma=0.3).infer(X, rng=r),
        TypeError,
        "energy must return one number",
    ),
    "latents": (
        lambda r: LEBM(MLP(2, SHAPE), MLPEnergy(3), d=2, sigma=0.3).infer(X, rng=r),
        ValueError,
        r"z must have shape \(any, 3\)",
    ),
}


@pytest.mark.parametrize(("call", "kind", "text"), BAD.values(), ids=BAD.keys())
def test_bad_input_draws_nothing(call, kind, text):
    rng = seeded()
    with pytest.raises(kind, match=text):
        call(rng)
    assert torch.equal(rng.get_state(), seeded().get_state())
