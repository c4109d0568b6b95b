"""The two-stage VAE, learned pixel noise, and Algorithm 1's models with a baseline's methods."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from helpers import check_gaussian, normal, seeded
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from mcmcot_lite import MLP, LinearGenerator, Settings, fit, infer
from mcmcot_lite.baselines import ABP, VAE, Corrected, MLPEncoder, TwoStageVAE, fit_model
from mcmcot_lite.short_run import k_step_law

SHAPE = (1, 3, 4)
F64 = torch.float64


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


# ---- learned noise


def test_learned_noise_finds_the_residual():
    """With a constant generator the bound is highest at sigma^2 = mean squared residual."""
    g = LinearGenerator(torch.zeros(12, 2, dtype=F64), torch.zeros(12, dtype=F64))
    g.requires_grad_(False)
    vae = VAE(g, MLPEncoder(2, 12, (), rng=seeded()).double(), sigma=0.3, learn_sigma=True)
    x = 0.7 * normal(0, 200, 12)
    for lr in (0.1, 0.01, 0.001):
        fit_model(vae, x, rng=seeded(), epochs=30, lr=lr, progress=False, x_range=None)
    assert vae.sigma == pytest.approx(float(x.square().mean().sqrt()), rel=1e-3)


def test_the_learned_noise_is_the_bounds_own():
    g = MLP(2, SHAPE, (5,), rng=seeded())
    fixed, learned = (
        VAE(g, MLPEncoder(2, 12, (4,), rng=seeded()), sigma=0.4, learn_sigma=v)
        for v in (False, True)
    )
    x = torch.rand(5, *SHAPE, generator=seeded())
    with torch.no_grad():
        assert torch.allclose(fixed.elbo(x, rng=seeded(1)), learned.elbo(x, rng=seeded(1)))
        learned.log_sigma.fill_(math.log(0.9))
        fixed = VAE(g, learned.encoder, sigma=0.9)
        assert torch.allclose(fixed.elbo(x, rng=seeded(1)), learned.elbo(x, rng=seeded(1)))
    assert learned.sigma == pytest.approx(0.9)


# ---- two stages


def linear_stage(D, d, seed, sigma):
    theta, mu = normal(seed, D, d), normal(seed + 1, D)
    encoder = MLPEncoder(d, D, (), rng=seeded(seed)).double()
    return VAE(LinearGenerator(theta, mu), encoder, sigma=sigma, learn_sigma=True)


def two_stages(seed=0):
    return TwoStageVAE(linear_stage(7, 3, seed, 0.5), linear_stage(3, 3, seed + 5, 0.4))


def test_each_stage_raises_its_own_bound():
    model, x = two_stages(), normal(9, 30, 7)
    assert torch.equal(model.elbo(x, rng=seeded(1)), model.first.elbo(x, rng=seeded(1)))
    assert torch.equal(model.raw_objective(x, seeded(1)), model.first.raw_objective(x, seeded(1)))
    model.stage = 2
    rng = seeded(1)
    z = model.first.infer(x, rng=rng)
    want = model.second.elbo(z, rng=rng)
    assert torch.equal(model.elbo(x, rng=seeded(1)), want)
    assert torch.equal(model.raw_objective(x, seeded(1)), want)


@pytest.mark.parametrize("stage", [1, 2])
def test_training_a_stage_leaves_the_other_as_it_is(stage):
    model, x = two_stages(), normal(9, 30, 7)
    model.stage = stage
    first, second = weights(model.first), weights(model.second)
    run = fit_model(model, x, rng=seeded(), epochs=30, lr=1e-2, progress=False, x_range=None)
    assert torch.equal(weights(model.first), first) == (stage == 2)
    assert torch.equal(weights(model.second), second) == (stage == 1)
    assert run.objective[-1] > run.objective[0]


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_that_is_frozen_is_named(stage):
    model = two_stages()
    model.stage = stage
    (model.first if stage == 1 else model.second).requires_grad_(False)
    with pytest.raises(ValueError, match=r"^model must have parameters that learn now; got frozen"):
        fit_model(model, normal(9, 30, 7), rng=seeded(), epochs=1, progress=False, x_range=None)


def test_new_latents_follow_the_second_stage():
    """Linear: z ~ N(mu_2, theta_2 theta_2' + gamma_2^2 I) exactly."""
    model, n = two_stages(), 40_000
    z = model.sample_prior(n, rng=seeded(2))
    g = model.second.g
    cov = g.theta @ g.theta.mT + 0.4**2 * torch.eye(3, dtype=F64)
    check_gaussian(z, g.mu.detach(), cov.detach())
    assert torch.equal(
        model.sample(4, rng=seeded(2)), model.first.g(model.sample_prior(4, rng=seeded(2))).detach()
    )


def test_two_stages_reach_latents_that_are_not_normal():
    """The second stage brings the prior to the latents: closer in mean and spread than N(0, I)."""
    g = LinearGenerator(torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)).requires_grad_(False)
    encoder = MLPEncoder(2, 2, (), rng=seeded()).double()
    with torch.no_grad():
        encoder.net[0].weight.copy_(torch.cat([torch.eye(2), torch.zeros(2, 2)]))
        encoder.net[0].bias.copy_(torch.tensor([0.0, 0.0, -8.0, -8.0]))
    second = VAE(
        LinearGenerator(normal(3, 2, 2), normal(4, 2)),
        MLPEncoder(2, 2, (), rng=seeded(2)).double(),
        sigma=0.5,
        learn_sigma=True,
    )
    model = TwoStageVAE(VAE(g, encoder, sigma=0.5), second)
    mix = torch.tensor([[0.5, 0.4], [0.0, 0.3]], dtype=F64)
    x = normal(1, 600, 2) @ mix.mT + torch.tensor([2.0, -1.0], dtype=F64)
    model.stage = 2
    for lr in (0.05, 0.005):
        fit_model(model, x, rng=seeded(), epochs=80, lr=lr, progress=False, x_range=None)
    z = model.sample_prior(20_000, rng=seeded(5))
    assert (z.mean(0) - x.mean(0)).abs().max() < 0.05
    assert (torch.cov(z.mT) - torch.cov(x.mT)).abs().max() < 0.05


# ---- ABP and Algorithm 1


SETTINGS = Settings(d=2, K=3, L=2, L2=2, batch_size=6, iterations=4, s=0.1, alpha=0.5)


def images(n=23):
    return torch.rand(n, *SHAPE, generator=seeded(1))


def test_trained_by_fit():
    nets = [MLP(2, SHAPE, (5,), rng=seeded(2)) for _ in range(3)]
    ours, abp = Corrected(nets[0], SETTINGS), ABP(nets[1], SETTINGS)
    run = ours.train_by(images(), rng=seeded(3), progress=False)
    assert torch.equal(ours.z_hat, run.z_hat)
    assert abp.settings.alpha == 0
    abp.train_by(images(), rng=seeded(3), progress=False)
    by_hand = fit(nets[2], images(), abp.settings, rng=seeded(3), progress=False)
    assert torch.equal(weights(abp), weights(nets[2]))
    assert torch.equal(abp.z_hat, by_hand.z_hat)
    assert not torch.equal(weights(abp), weights(ours))


def test_abp_on_the_linear_model_is_exact():
    """Its log joint is the density of a Gaussian; its inference has the law of K steps."""
    theta, mu = normal(0, 7, 3), normal(1, 7)
    st = Settings(d=3, K=6, s=0.2, sigma=0.5, x_range=None)
    model = ABP(LinearGenerator(theta, mu), st)
    x, z = normal(2, 4, 7), normal(3, 4, 3)
    pixels = Independent(Normal(z @ theta.mT + mu, 0.5), 1)
    prior = MultivariateNormal(torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))
    assert torch.allclose(model.log_joint(x, z), pixels.log_prob(x) + prior.log_prob(z), rtol=1e-10)
    many = x[:1].expand(20_000, 7)
    got = model.infer(many, rng=seeded(4))
    law = k_step_law(x[:1], theta, 0.5, s=0.2, K=6, mu=mu)
    check_gaussian(got, law.mean, law.cov)


@pytest.mark.parametrize("kind", [ABP, Corrected])
def test_the_objective_of_abp_is_its_log_joint(kind):
    """Eq. (7), at the latents of a run from N(0, I): value, and gradient with the latents fixed."""
    model = kind(MLP(2, SHAPE, (5,), rng=seeded(2)).double(), SETTINGS)
    x = images().double()
    z = model.infer(x, rng=seeded(3))
    assert z.shape == (23, 2)
    got = model.raw_objective(x, seeded(3))
    want = -(x - model.g(z)).square().flatten(1).sum(1) / (2 * 0.3**2) - z.square().sum(1) / 2
    assert torch.allclose(got, want, rtol=1e-10)
    gradients = (torch.autograd.grad(v.mean(), list(model.parameters())) for v in (got, want))
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-10)


def test_inference_from_given_chains():
    model, x = Corrected(MLP(2, SHAPE, (5,), rng=seeded(2)), SETTINGS), images()
    z0 = torch.randn(23, 2, generator=seeded(5))
    got = model.infer(x, rng=seeded(6), z0=z0, K=7)
    want = infer(model.g, x, z0, sigma=0.3, s=0.1, K=7, batch_size=6, rng=seeded(6)).z
    assert torch.equal(got, want)
    y = model.reconstruct(x, rng=seeded(6), z0=z0, K=7)
    assert torch.equal(y, model.g(want).detach())
    rng = seeded(6)
    start = torch.randn(23, 2, generator=rng)
    want = infer(model.g, x, start, sigma=0.3, s=0.1, K=3, batch_size=6, rng=rng).z
    assert torch.equal(model.infer(x, rng=seeded(6)), want)
    assert torch.equal(model.sample_prior(5, rng=seeded(7)), torch.randn(5, 2, generator=seeded(7)))


def small():
    first = VAE(MLP(2, SHAPE, (5,), rng=seeded()), MLPEncoder(2, 12, (4,), rng=seeded()), sigma=0.4)
    second = VAE(
        LinearGenerator(torch.eye(2), torch.zeros(2)), MLPEncoder(2, 2, (), rng=seeded()), sigma=0.4
    )
    return TwoStageVAE(first, second), Corrected(MLP(2, SHAPE, (5,), rng=seeded()), SETTINGS)


X = images()
OTHER = VAE(MLP(3, SHAPE, (5,), rng=seeded()), MLPEncoder(3, 12, (4,), rng=seeded()), sigma=0.4)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda t, c: TwoStageVAE(t.first, None), TypeError, "second must be a VAE"),
        (lambda t, c: TwoStageVAE(t.first.g, t.second), TypeError, "first must be a VAE"),
        (lambda t, c: setattr(t, "stage", 3), ValueError, "stage must be at most 2"),
        (lambda t, c: setattr(t, "stage", "2"), TypeError, "stage"),
        (
            lambda t, c: TwoStageVAE(OTHER, t.second).infer(X, rng=seeded()),
            ValueError,
            "second must",
        ),
        (
            lambda t, c: fit_model(TwoStageVAE(OTHER, t.second), X, rng=seeded()),
            ValueError,
            "second",
        ),
        (lambda t, c: t.infer(X[:, :, :2], rng=seeded()), ValueError, "x must"),
        (lambda t, c: t.elbo(X, rng=4), TypeError, "rng"),
        (lambda t, c: t.sample(0, rng=seeded()), ValueError, "n must"),
        (lambda t, c: t.decode(torch.zeros(2, 3)), ValueError, "z must have shape"),
        (lambda t, c: VAE(t.g, t.first.encoder, sigma=1, learn_sigma=1), TypeError, "learn_sigma"),
        (lambda t, c: VAE(t.g, nn.Flatten(), sigma=1).sample(2, rng=seeded()), TypeError, "d must"),
        (lambda t, c: Corrected(c.g, None), TypeError, "settings"),
        (lambda t, c: Corrected(lambda z: z, SETTINGS), TypeError, "g must"),
        (lambda t, c: ABP(c.g, {"d": 2}), TypeError, "settings"),
        (lambda t, c: c.infer(X, rng=None), TypeError, "rng"),
        (lambda t, c: c.infer(X, rng=seeded(), K=-1), ValueError, "K must"),
        (lambda t, c: c.infer(X, rng=seeded(), z0=torch.zeros(2, 2)), ValueError, "z"),
        (lambda t, c: c.reconstruct(X), TypeError, "rng"),
        (lambda t, c: c.reconstruct(None, rng=seeded()), TypeError, "x must be a torch.Tensor"),
        (lambda t, c: c.infer(X[0, 0, 0, 0], rng=seeded()), ValueError, "x must have a batch axis"),
        (
            lambda t, c: fit_model(c, X, rng=seeded()),
            ValueError,
            "model must be one that fit_model",
        ),
        (lambda t, c: fit_model(ABP(c.g, SETTINGS), X, rng=seeded()), ValueError, "model must be"),
        (lambda t, c: c.log_joint(X, torch.zeros(3, 2)), ValueError, "z must"),
        (lambda t, c: c.sample_prior(2.0, rng=seeded()), TypeError, "n must"),
    ],
)
def test_refusals(call, kind, words):
    two, one = small()
    before = copy.deepcopy((two.state_dict(), one.state_dict()))
    with pytest.raises(kind, match=f"^{words}"):
        call(two, one)
    for now, was in zip((two.state_dict(), one.state_dict()), before, strict=True):
        assert all(torch.equal(v, was[k]) for k, v in now.items())
