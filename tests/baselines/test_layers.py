"""Ladder VAE, SRI and their prior of several layers against exact Gaussian answers."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import check_gaussian, check_gradients, normal, seeded
from scipy import stats
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from mcmcot_lite import MLP, LinearGenerator, infer, learning_gradient
from mcmcot_lite.baselines import SRI, LadderEncoder, LadderVAE, TopDown, fit_model
from mcmcot_lite.baselines.normals import drawn, kl_between, kl_to_prior, log_density
from mcmcot_lite.short_run import k_step_law

F64 = torch.float64
DIMS, D = (3, 2), 6
SHAPE = (1, 3, 4)


def laws(seed, n=4, d=3):
    return normal(seed, n, d), normal(seed + 1, n, d) / 2


def linear_prior(seed=0):
    """Two layers, affine means, constant variances; and the exact covariance of all of z."""
    prior = TopDown(DIMS, hidden=(), rng=seeded(seed)).double()
    head = prior.laws[0].net[0]
    with torch.no_grad():
        head.weight[3:] = 0.0  # log variances do not depend on what is above
        head.bias.copy_(normal(seed + 5, 6) / 2)
    A, b = head.weight[:3].detach(), head.bias[:3].detach()
    v = head.bias[3:].detach().exp()
    cov = torch.zeros(5, 5, dtype=F64)
    cov[:3, :3] = A @ A.mT + torch.diag(v)
    cov[:3, 3:] = A
    cov[3:, :3] = A.mT
    cov[3:, 3:] = torch.eye(2, dtype=F64)
    mean = torch.cat([b, torch.zeros(2, dtype=F64)])
    return prior, MultivariateNormal(mean, cov)


def linear_model(sigma=0.6, seed=0):
    prior, law = linear_prior(seed)
    theta, mu = normal(seed + 7, D, 3), normal(seed + 8, D)
    g = LinearGenerator(theta, mu)
    lift = torch.cat([theta, torch.zeros(D, 2, dtype=F64)], 1)
    cov = lift @ law.covariance_matrix @ lift.mT + sigma**2 * torch.eye(D, dtype=F64)
    marginal = MultivariateNormal(lift @ law.mean + mu, cov)
    return prior, law, g, lift, marginal


def posterior(x, law, lift, mu, sigma):
    """The exact law of all layers given x: means (n, 5), covariance."""
    precision = law.precision_matrix + lift.mT @ lift / sigma**2
    cov = torch.linalg.inv(precision)
    shift = law.precision_matrix @ law.mean + (x - mu) @ lift / sigma**2
    return shift @ cov, cov


# ---- diagonal normals


def test_kl_and_density_are_those_of_torch():
    q, p = laws(0), laws(2)
    as_torch = lambda law: Independent(Normal(law[0], (law[1] / 2).exp()), 1)  # noqa: E731
    standard = Independent(Normal(torch.zeros_like(q[0]), 1.0), 1)
    assert torch.allclose(kl_between(q, p), kl_divergence(as_torch(q), as_torch(p)), rtol=1e-12)
    assert torch.allclose(kl_to_prior(q), kl_divergence(as_torch(q), standard), rtol=1e-12)
    z = normal(5, 4, 3)
    assert torch.allclose(log_density(z, q), as_torch(q).log_prob(z), rtol=1e-12)
    rng = seeded(3)
    sample = torch.stack([drawn(q, rng) for _ in range(4000)])
    score = (sample.mean(0) - q[0]) / (q[1] / 2).exp() * math.sqrt(4000)
    assert score.abs().max() < stats.norm.isf(1e-3 / 24)


# ---- the prior


def test_density_of_the_layers():
    prior, law = linear_prior()
    z = normal(3, 7, 5)
    assert torch.allclose(prior.log_density(z), law.log_prob(z), rtol=1e-10)


def test_draws_of_the_layers():
    prior, law = linear_prior()
    n = 40_000
    with torch.no_grad():
        z = prior.draws(n, torch.zeros(1, dtype=F64), seeded(2))
    check_gaussian(z, law.mean, law.covariance_matrix)


def test_one_layer_is_the_standard_normal():
    prior = TopDown((4,))
    z = torch.randn(5, 4, generator=seeded())
    want = MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(z)
    assert torch.allclose(prior.log_density(z), want, rtol=1e-5)
    assert torch.equal(prior.draws(3, z, seeded(1)), torch.randn(3, 4, generator=seeded(1)))
    assert (prior.d, len(prior.laws)) == (4, 0)


# ---- ladder VAE


def ladder(seed=0, sigma=0.6):
    prior, law, g, lift, marginal = linear_model(sigma, seed)
    encoder = LadderEncoder(DIMS, D, (4, 4), seeded(seed + 3)).double()
    return LadderVAE(g, prior, encoder, sigma=sigma), law, lift, marginal


def test_the_bound_is_log_p_minus_kl():
    """For the q of each image, log p(x) - KL(q || p(z|x)) in closed form is the mean of the bound.

    Given x the ladder's q is Gaussian in (z_1, z_2): z_2 normal, z_1 affine in it.
    """
    vae, law, lift, marginal = ladder()
    x = marginal.loc + normal(4, 5, D) @ marginal.scale_tril.mT
    mean, cov = posterior(x, law, lift, vae.g.mu, 0.6)
    head = vae.prior.laws[0].net[0]
    A, b = head.weight[:3].detach(), head.bias[:3].detach()
    p_precision = (-head.bias[3:]).exp().detach()
    want = []
    with torch.no_grad():
        (m1, l1), (m2, l2) = vae.encoder(x)
    for i in range(len(x)):
        v1 = 1 / ((-l1[i]).exp() + p_precision)  # the weighing by precision
        slope = (v1 * p_precision)[:, None] * A
        offset = v1 * (m1[i] * (-l1[i]).exp() + b * p_precision)
        v2 = torch.diag(l2[i].exp())
        q_cov = torch.zeros(5, 5, dtype=F64)
        q_cov[:3, :3] = slope @ v2 @ slope.mT + torch.diag(v1)
        q_cov[:3, 3:], q_cov[3:, :3], q_cov[3:, 3:] = slope @ v2, v2 @ slope.mT, v2
        q = MultivariateNormal(torch.cat([offset + slope @ m2[i], m2[i]]), q_cov)
        gap = kl_divergence(q, MultivariateNormal(mean[i], cov))
        want.append(marginal.log_prob(x[i]) - gap)
    want = torch.stack(want).detach()
    runs = 600
    draws = torch.stack([vae.elbo(x, rng=seeded(k)).detach() for k in range(runs)])
    error = draws.std(0) / math.sqrt(runs)
    assert ((draws.mean(0) - want).abs() < stats.t.isf(1e-3 / 10, runs - 1) * error).all()
    assert (want < marginal.log_prob(x)).all()


class Exact(nn.Module):
    """What an image alone tells of each layer of a linear model, where that is the posterior.

    Z_1 from x: least squares, orthogonal columns. Z_2 from x: its exact law, diagonal where the
    columns of A share no row.
    """

    def __init__(self, g, A, b, v, sigma):
        super().__init__()
        square = g.theta.square().sum(0)
        self.g, self.hat_var = g, sigma**2 / square
        self.up = (g.theta / square).detach()
        self.A, self.b, seen = A, b, v + self.hat_var.detach()
        self.down = (A / seen[:, None]).mT
        self.top_var = 1 / (1 + (A.square() / seen[:, None]).sum(0))

    def forward(self, x):
        hat = (x - self.g.mu) @ self.up
        top = (hat - self.b) @ self.down.mT * self.top_var
        log = lambda v, like: v.detach().log().expand_as(like)  # noqa: E731
        return (hat, log(self.hat_var, hat)), (top, log(self.top_var, top))


def test_with_the_exact_posterior_the_bound_is_log_p():
    """In the mean: the KL of every layer counts once, in its own direction, its laws weighed."""
    prior, _ = linear_prior()
    A = torch.tensor([[1.5, 0.0], [0.0, -2.0], [0.7, 0.0]], dtype=F64)
    b, v = normal(1, 3), torch.tensor([0.3, 0.1, 0.5], dtype=F64)
    head = prior.laws[0].net[0]
    with torch.no_grad():
        head.weight.copy_(torch.cat([A, torch.zeros(3, 2, dtype=F64)]))
        head.bias.copy_(torch.cat([b, v.log()]))
    theta = torch.linalg.qr(normal(2, D, 3))[0] * torch.tensor([1.0, 0.5, 2.0], dtype=F64)
    mu, sigma, n = normal(3, D), 0.6, 20_000
    vae = LadderVAE(
        LinearGenerator(theta, mu),
        prior,
        Exact(LinearGenerator(theta, mu), A, b, v, sigma),
        sigma=sigma,
    )
    cov = theta @ (A @ A.mT + torch.diag(v)) @ theta.mT + sigma**2 * torch.eye(D, dtype=F64)
    marginal = MultivariateNormal(theta @ b + mu, cov)
    for x in marginal.loc + normal(4, 3, D) @ marginal.scale_tril.mT:
        bound = vae.elbo(x.expand(n, D), rng=seeded(5)).detach()
        error = float(bound.std()) / math.sqrt(n)
        assert error < 0.02
        want = float(marginal.log_prob(x))
        assert float(bound.mean()) == pytest.approx(want, abs=stats.norm.isf(1e-3 / 6) * error)


def test_warm_up_weighs_the_kl():
    vae, _, _, marginal = ladder()
    vae.warm_up = 4
    x = marginal.loc + normal(4, 5, D) @ marginal.scale_tril.mT
    values = {}
    for epoch in (1, 2, 4, 9):
        vae.begin(epoch, x, seeded())
        values[epoch] = vae.raw_objective(x, seeded(1)).detach()
    assert torch.equal(values[4], values[9])
    assert torch.equal(values[4], vae.elbo(x, rng=seeded(1)).detach())
    kl = (values[1] - values[4]) / 0.75
    assert (kl > 0).all()
    assert torch.allclose(values[2], values[4] + kl / 2, rtol=1e-10)


def test_ladder_infers_reconstructs_and_samples():
    vae, *_, marginal = ladder()
    x = marginal.sample((3,))
    z = vae.infer(x, rng=seeded(1))
    parts, _ = vae._down(x, seeded(1))
    assert torch.equal(z, torch.cat(parts, 1).detach())
    assert torch.equal(vae.decode(z), vae.g(z[:, :3]).detach())
    means, _ = vae._down(x, None)
    assert torch.equal(vae.reconstruct(x), vae.g(means[0]).detach())
    assert vae.sample(4, rng=seeded()).shape == (4, D)
    assert torch.equal(vae.sample(4, rng=seeded()), vae.decode(vae.sample_prior(4, rng=seeded())))


def test_one_layer_ladder_is_the_vae():
    from mcmcot_lite.baselines import VAE, MLPEncoder

    g = MLP(2, SHAPE, (5,), rng=seeded())
    encoder = LadderEncoder((2,), 12, (4,), seeded(1))
    flat = MLPEncoder(2, 12, (4,), seeded(2))
    flat.net[0].load_state_dict(encoder.ups[0][0][0].state_dict())
    flat.net[2].load_state_dict(encoder.heads[0].net[0].state_dict())
    x = torch.rand(6, *SHAPE, generator=seeded())
    one = LadderVAE(g, TopDown((2,)), encoder, sigma=0.4).elbo(x, rng=seeded(3))
    assert torch.allclose(one, VAE(g, flat, sigma=0.4).elbo(x, rng=seeded(3)), rtol=1e-6)


# ---- SRI


def sri(K=8, s=0.2, sigma=0.6):
    prior, law, g, lift, marginal = linear_model(sigma)
    return SRI(g, prior, sigma=sigma, K=K, s=s), law, lift, marginal


def test_log_joint_is_exact():
    model, law, lift, marginal = sri()
    x, z = marginal.sample((6,)), normal(2, 6, 5)
    pixels = Independent(Normal(z @ lift.mT + model.g.mu, 0.6), 1)
    want = law.log_prob(z) + pixels.log_prob(x)
    assert torch.allclose(model.log_joint(x, z), want, rtol=1e-10)
    mean, cov = posterior(x, law, lift, model.g.mu, 0.6)
    exact = marginal.log_prob(x) + MultivariateNormal(mean, cov).log_prob(z)
    assert torch.allclose(model.log_joint(x, z), exact, rtol=1e-9)


def run_law(x, law, lift, mu, sigma, K, s, noise=True):
    """Exact law after K steps on all layers from the prior: means (n, 5), covariance."""
    P = law.precision_matrix + lift.mT @ lift / sigma**2
    c = law.precision_matrix @ law.mean + (x - mu) @ lift / sigma**2
    T = torch.eye(5, dtype=F64) - s**2 / 2 * P
    m, cov = law.mean.expand(len(x), 5), law.covariance_matrix
    for _ in range(K):
        m = m @ T.mT + s**2 / 2 * c
        cov = T @ cov @ T.mT + noise * s**2 * torch.eye(5, dtype=F64)
    return m, cov


def test_a_run_has_the_exact_law():
    model, law, lift, marginal = sri()
    x = marginal.sample((1,)).expand(20_000, D)
    z = model.infer(x, rng=seeded(4))
    m, cov = run_law(x[:1], law, lift, model.g.mu, 0.6, 8, 0.2)
    check_gaussian(z, m, cov)


def test_one_layer_is_the_short_run_of_the_library():
    """From N(0, I): the law of chapter 3, in closed form."""
    theta, mu = normal(1, D, 3), normal(2, D)
    g = LinearGenerator(theta, mu)
    model = SRI(g, TopDown((3,)), sigma=0.7, K=5, s=0.3)
    x = normal(3, 1, D).expand(20_000, D)
    law = k_step_law(x[:1], theta, 0.7, s=0.3, K=5, mu=mu)
    z = model.infer(x, rng=seeded(5))
    check_gaussian(z, law.mean, law.cov)


def test_one_layer_learns_as_abp_with_fresh_chains():
    """Its gradient is that of Eq. (7) at the latents of the library's run from N(0, I)."""
    x = torch.rand(40, *SHAPE, generator=seeded()).double()
    model = SRI(MLP(2, SHAPE, (5,), rng=seeded(1)).double(), TopDown((2,)), sigma=0.5, K=4, s=0.1)
    model.raw_objective(x, seeded(2)).mean().backward()
    rng = seeded(2)
    z0 = torch.randn(40, 2, generator=rng, dtype=F64)
    z = infer(model.g, x, z0, sigma=0.5, s=0.1, K=4, rng=rng).z
    want = learning_gradient(model.g, z, x, sigma=0.5)
    for name, p in model.g.named_parameters():
        assert torch.allclose(p.grad, want[name], rtol=1e-9, atol=1e-12)


def test_bound_of_the_run_without_noise():
    """Linear: the run's end is Gaussian, and the bound log p(x) - KL(end || posterior), exactly."""
    model, law, lift, marginal = sri(K=6, s=0.15)
    x = marginal.sample((3,))
    m, cov = run_law(x, law, lift, model.g.mu, 0.6, 6, 0.15, noise=False)
    mean, exact = posterior(x, law, lift, model.g.mu, 0.6)
    gap = kl_divergence(MultivariateNormal(m, cov), MultivariateNormal(mean, exact))
    want = (marginal.log_prob(x) - gap).detach()
    runs = 300
    rng = seeded(1)
    draws = torch.stack([model.bound(x, rng=rng) for _ in range(runs)])
    error = draws.std(0) / math.sqrt(runs)
    assert ((draws.mean(0) - want).abs() < stats.t.isf(1e-3 / 6, runs - 1) * error).all()


def test_best_step_has_the_highest_bound():
    model, *_, marginal = sri(K=6)
    x = marginal.sample((20,))
    best, bounds = model.best_step(x, [0.01, 0.1, 0.15], rng=seeded())
    assert best == max(bounds, key=bounds.get) != 0.01
    assert bounds[best] < float(marginal.log_prob(x).mean())
    assert model.s == 0.2
    assert (model.bound(x, rng=seeded(), s=1.9) == -torch.inf).all()


def test_a_run_that_leaves_the_numbers_has_no_bound():
    """Minus infinity, never NaN or an error of the eigenvalues; images beside it keep theirs."""
    model = SRI(MLP(3, (D,), (5,), rng=seeded(1)), TopDown((3, 2)), sigma=0.01, K=40, s=1.9)
    x = torch.rand(4, D, generator=seeded(2))
    assert (model.bound(x, rng=seeded()) == -torch.inf).all()
    far = torch.cat([x, 1e30 * x[:1]])
    near = model.bound(far, rng=seeded(), s=1e-3)
    assert near[:4].isfinite().all()
    assert near[4] == -torch.inf
    best, bounds = model.best_step(x, [1.9, 1e-3], rng=seeded())
    assert best == 1e-3
    assert bounds[1.9] == -math.inf


def test_sri_objective_by_finite_differences():
    model, *_, marginal = sri(K=3)
    x = marginal.sample((4,))
    value = lambda: model.log_joint(x, z).mean()  # noqa: E731
    z = model.infer(x, rng=seeded(1))
    model.raw_objective(x, seeded(1)).mean().backward()
    check_gradients(value, model.parameters(), 5, 1e-5, rel=1e-5, abs=1e-7)


def small_models(seed=0):
    g = MLP(3, SHAPE, (5,), rng=seeded(seed))
    prior = TopDown(DIMS, hidden=(4,), rng=seeded(seed + 1))
    encoder = LadderEncoder(DIMS, 12, (5, 4), seeded(seed + 2))
    return (
        LadderVAE(g, prior, encoder, sigma=0.4, warm_up=2),
        SRI(MLP(3, SHAPE, (5,), rng=seeded(seed)), prior, sigma=0.4, K=10, s=0.1),
    )


@pytest.mark.parametrize("which", [0, 1])
def test_training_raises_the_objective_and_repeats(which):
    x = torch.rand(40, *SHAPE, generator=seeded(9))
    runs = []
    for _ in range(2):
        model = small_models()[which]
        runs.append(fit_model(model, x, rng=seeded(3), epochs=25, lr=1e-2, progress=False))
    assert runs[0].objective == runs[1].objective
    assert runs[0].objective[-1] > runs[0].objective[3 - 3 * which]
    assert not runs[0].model.training


X = torch.rand(6, *SHAPE, generator=seeded(2))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda v, m: TopDown([]), TypeError, "dims must be a list"),
        (lambda v, m: TopDown(3), TypeError, "dims must be a list"),
        (lambda v, m: TopDown((3, 0)), ValueError, "dims must be at least 1"),
        (lambda v, m: TopDown((3, 2), hidden=3), TypeError, "hidden"),
        (lambda v, m: TopDown((3, 2), rng=3), TypeError, "rng"),
        (lambda v, m: LadderEncoder((3, 2), 0), ValueError, "pixels"),
        (lambda v, m: LadderEncoder((3, 2), 12, (3,)), ValueError, "hidden must be 2 widths"),
        (lambda v, m: v.encoder(X[:, :, :2]), ValueError, "x must have 12 values"),
        (lambda v, m: LadderVAE(v.g, None, v.encoder, sigma=1), TypeError, "prior"),
        (lambda v, m: LadderVAE(v.g, v.prior, v.encoder, sigma=0), ValueError, "sigma"),
        (
            lambda v, m: LadderVAE(v.g, v.prior, v.encoder, sigma=1, warm_up=-1),
            ValueError,
            "warm_up",
        ),
        (
            lambda v, m: LadderVAE(v.g, TopDown((3,)), v.encoder, sigma=1).elbo(X, rng=seeded()),
            TypeError,
            "encoder must return 1 pairs",
        ),
        (
            lambda v, m: LadderVAE(v.g, v.prior, nn.Flatten(), sigma=1).elbo(X, rng=seeded()),
            TypeError,
            "encoder must return 2 pairs",
        ),
        (lambda v, m: v.elbo(X.double(), rng=seeded()), ValueError, "x"),
        (lambda v, m: v.elbo(X * math.nan, rng=seeded()), ValueError, "x must be finite"),
        (lambda v, m: v.infer(X, rng=None), TypeError, "rng"),
        (lambda v, m: v.decode(torch.zeros(2, 4)), ValueError, "z"),
        (lambda v, m: v.sample(0, rng=seeded()), ValueError, "n must"),
        (lambda v, m: SRI(v.g, v.prior, sigma=1, K=-1), ValueError, "K must"),
        (lambda v, m: SRI(v.g, v.prior, sigma=1, s=2.5), ValueError, "s must"),
        (lambda v, m: SRI(v.g, v.g, sigma=1), TypeError, "prior"),
        (lambda v, m: m.log_joint(X, torch.zeros(6, 4)), ValueError, "z"),
        (
            lambda v, m: m.infer(X[:, :, :2], rng=seeded()),
            ValueError,
            "g\\(z\\) must have the shape",
        ),
        (lambda v, m: m.reconstruct(X), TypeError, "rng"),
        (lambda v, m: m.reconstruct(None, rng=seeded()), TypeError, "x must be a torch.Tensor"),
        (lambda v, m: m.infer(X[0, 0, 0, 0], rng=seeded()), ValueError, "x must have a batch axis"),
        (
            lambda v, m: m.log_joint(1e30 * X, torch.zeros(6, 5)),
            FloatingPointError,
            "log_joint must fit",
        ),
        (lambda v, m: TopDown((3,), hidden=-1), TypeError, "hidden must be a list"),
        (lambda v, m: TopDown((3,), rng="0"), TypeError, "rng"),
        (lambda v, m: m.prior.log_density(torch.zeros(2, 4)), ValueError, "z must have shape"),
        (lambda v, m: m.prior.layers(None), TypeError, "z must be a torch.Tensor"),
        (lambda v, m: m.prior.law(2, torch.zeros(2, 2)), ValueError, "layer must be at most 1"),
        (lambda v, m: m.prior.draws(-1, X, seeded()), ValueError, "n must be at least 1"),
        (lambda v, m: m.prior.draws(2, X, 3), TypeError, "rng"),
        (lambda v, m: v.encoder(None), TypeError, "x must be a torch.Tensor"),
        (lambda v, m: v.encoder(X[0, 0, 0]), ValueError, "x must have a batch axis"),
        (lambda v, m: m.best_step(X, 0.1, rng=seeded()), TypeError, "steps"),
        (lambda v, m: m.best_step(X, [], rng=seeded()), TypeError, "steps"),
        (lambda v, m: m.best_step(X, [-1.0], rng=seeded()), ValueError, "s must"),
        (lambda v, m: m.bound(X, rng=3), TypeError, "rng"),
        (lambda v, m: fit_model(m, X[:, :, :2], rng=seeded()), ValueError, "g\\(z\\)"),
    ],
)
def test_refusals(call, kind, words):
    with pytest.raises(kind, match=f"^{words}"):
        call(*small_models())
