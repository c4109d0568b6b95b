"""The regularised auto-encoder against ridge regression, its own formula, and its mixture."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from helpers import normal, seeded
from scipy import stats
from torch import nn

from mcmcot_lite import MLP, LinearGenerator
from mcmcot_lite.baselines import RAE, MLPEmbedding, fit_model

SHAPE = (1, 3, 4)
F64 = torch.float64


def small(**values):
    rng = seeded()
    return RAE(MLP(2, SHAPE, (5,), rng=rng), MLPEmbedding(2, 12, (6,), rng=rng), **values)


def images(n=20):
    return torch.rand(n, *SHAPE, generator=seeded(4))


def linear(beta, D=7, d=3):
    """G(z) = A z + mu, and the best encoder for it: ridge regression of x on the columns of A."""
    A, mu = normal(0, D, d), normal(1, D)
    encoder = MLPEmbedding(d, D, ()).double()
    W = torch.linalg.solve(A.mT @ A + beta / 2 * torch.eye(d, dtype=F64), A.mT)
    with torch.no_grad():
        encoder.net[0].weight.copy_(W)
        encoder.net[0].bias.copy_(-W @ mu)
    return RAE(LinearGenerator(A, mu), encoder, beta=beta, decay=0.0)


@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_the_best_linear_encoder_is_ridge_regression(beta):
    """At every image the objective is at its maximum over z there: the gradient is zero.

    A penalty of another size (beta for beta/2) has its maximum elsewhere.
    """
    rae, x = linear(beta), normal(2, 50, 7)
    rae.raw_objective(x, seeded()).mean().backward()
    for p in rae.encoder.parameters():
        assert float(p.grad.abs().max()) < 1e-12
    z = rae.infer(x)
    best = rae.raw_objective(x, seeded())
    for e in (1e-3 * normal(3, 50, 3), -1e-3 * normal(4, 50, 3)):
        y = rae.g(z + e)
        moved = -(x - y).square().sum(1) - beta / 2 * (z + e).square().sum(1)
        assert (moved < best).all()


def test_the_objective_by_hand():
    rae, x = small(beta=0.7, decay=0.01), images()
    z = rae.infer(x)
    weights = sum(float(p.detach().square().sum()) for p in rae.g.parameters())
    want = -(x - rae.g(z)).square().flatten(1).sum(1) - 0.35 * z.square().sum(1) - 0.01 * weights
    assert torch.allclose(rae.raw_objective(x, seeded()), want, rtol=1e-5)


def test_training_raises_it_and_a_larger_beta_draws_latents_in():
    spread = []
    for beta in (0.01, 1.0):
        rae = small(beta=beta)
        run = fit_model(rae, images(100), rng=seeded(), epochs=60, lr=1e-2, progress=False)
        assert run.objective[-1] > run.objective[0]
        assert run.model is rae
        spread.append(float(rae.infer(images(100)).square().mean()))
    assert spread[1] < spread[0]


def test_one_gaussian_is_the_moments_of_the_latents():
    rae, x = small(), images(60)
    rae.fit_density(x, components=1)
    z = rae.infer(x).double()
    shares, means, factors = rae.density
    assert torch.equal(shares, torch.ones(1))
    assert torch.allclose(means[0].double(), z.mean(0), atol=1e-6)
    covariance = factors[0].double() @ factors[0].double().mT
    assert torch.allclose(covariance, torch.cov(z.mT), rtol=1e-4, atol=3e-6)


def test_samples_have_the_law_of_the_mixture():
    """An identity for a generator: samples are the latents that were drawn."""
    rae = RAE(nn.Identity(), nn.Identity())
    shares = torch.tensor([0.3, 0.7], dtype=F64)
    means = torch.tensor([[0.0, 4.0], [10.0, 0.0]], dtype=F64)
    factors = torch.tensor([[[1.0, 0.0], [0.5, 2.0]], [[0.1, 0.0], [0.0, 0.1]]], dtype=F64)
    rae.density = shares, means, factors
    n = 4000
    z = rae.sample(n, rng=seeded(1))
    first = z[:, 0] < 6
    assert abs(float(first.double().mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / n)
    ours, want = z[first], factors[0] @ factors[0].mT
    m = len(ours)
    error = stats.norm.isf(1e-4) / math.sqrt(m)
    assert ((ours.mean(0) - means[0]).abs() < error * want.diagonal().sqrt()).all()
    spread = (want.diagonal()[:, None] * want.diagonal() + want.square()).sqrt()
    assert ((torch.cov(ours.mT) - want).abs() < error * spread).all()


def test_several_gaussians_find_two_clusters():
    pytest.importorskip("sklearn")
    x = torch.cat([0.1 * normal(0, 200, 2), 0.1 * normal(1, 100, 2) + 5])
    rae = RAE(nn.Identity(), nn.Identity())
    state = torch.get_rng_state()
    rae.fit_density(x, components=2)
    shares, means, _ = rae.density
    order = means[:, 0].argsort()
    assert torch.allclose(shares[order], torch.tensor([2 / 3, 1 / 3], dtype=F64), atol=1e-3)
    assert torch.allclose(means[order], torch.stack([x[:200].mean(0), x[200:].mean(0)]), atol=1e-2)
    assert torch.equal(torch.get_rng_state(), state)
    for k, part in zip(order, (x[:200], x[200:]), strict=True):
        factor = rae.density[2][k]
        assert torch.allclose(factor @ factor.mT, torch.cov(part.mT), rtol=0.02, atol=1e-4)
    first = rae.density
    rae.fit_density(x, components=2)
    assert all(torch.equal(a, b) for a, b in zip(first, rae.density, strict=True))


def test_without_scikit_learn_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ImportError, match="components=1"):
        small().fit_density(images(), components=3)


X = images()
BAD = {
    "beta": (lambda: small(beta=-1.0), ValueError, "beta must be at least 0"),
    "decay": (lambda: small(decay=math.nan), ValueError, "decay"),
    "g": (lambda: RAE(len, nn.Identity()), TypeError, "g must be a torch.nn.Module"),
    "encoder": (lambda: RAE(nn.Identity(), 3), TypeError, "encoder must be"),
    "law": (lambda: RAE(MLP(2, SHAPE), _pair()).infer(X), TypeError, "encoder must return"),
    "x": (lambda: small().infer(X[:, :, :2]), ValueError, "x must have 12 values"),
    "x nan": (lambda: small().reconstruct(X / 0), ValueError, "x must be finite"),
    "early": (lambda: small().sample(3, rng=seeded()), ValueError, "density must be estimated"),
    "n": (lambda: small().sample(0, rng=seeded()), ValueError, "n must be at least 1"),
    "components": (lambda: small().fit_density(X, components=0), ValueError, "components"),
    "few": (lambda: small().fit_density(X[:2], components=1), ValueError, "more than 2 images"),
    "model": (lambda: fit_model(3, X, rng=seeded()), TypeError, "model must be a baseline"),
}


class _pair(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :2], x.flatten(1)[:, :2]


@pytest.mark.parametrize(("call", "kind", "text"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_a_state_dict_holds_the_density_and_training_makes_it_void():
    rae, x = small(), images(30)
    rae.fit_density(x, components=1)
    other = small()
    other.load_state_dict(rae.state_dict())
    assert torch.equal(other.sample(5, rng=seeded(1)), rae.sample(5, rng=seeded(1)))
    other.double()  # the density goes where the model goes
    assert other.sample_prior(3, rng=seeded()).dtype == F64
    fit_model(rae, x, rng=seeded(), epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"^density must be estimated .* Call fit_density"):
        rae.sample(5, rng=seeded())
