"""The linear model with missing values: dense normal laws, gradients, the closed form."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import F64, normal, randn, seeded
from scipy.stats import multivariate_normal

from mcmcot_lite import LinearGenerator, Settings, factor_analysis, fit, incomplete, linear, recover
from mcmcot_lite.factor_analysis import FactorAnalysis

D, d = 8, 2


def model(seed=0):
    return normal(seed, D, d), 0.5, normal(seed + 1, D)


def data(n=60, share=0.4, seed=2):
    theta, sigma, mu = model()
    rng = seeded(seed)
    x = randn(n, d, rng=rng) @ theta.mT + mu + sigma * randn(n, D, rng=rng)
    return x, torch.rand(n, D, generator=rng) > share


def test_likelihood_and_posterior_are_those_of_dense_normal_laws():
    theta, sigma, mu = model()
    x, m = data(20)
    m[3] = False
    spoiled = x.masked_fill(~m, math.nan)
    law = incomplete.posterior(spoiled, m, theta, sigma, mu)
    value = incomplete.log_marginal(spoiled, m, theta, sigma, mu)
    joint = theta @ theta.mT + sigma**2 * torch.eye(D, dtype=F64)
    for i in range(len(x)):
        v = m[i]
        if not v.any():
            assert float(value[i]) == 0
            assert torch.equal(law.mean[i], torch.zeros(d, dtype=F64))
            assert torch.allclose(law.cov[i], torch.eye(d, dtype=F64))
            continue
        cov = joint[v][:, v]
        want = multivariate_normal.logpdf(x[i, v].numpy(), mu[v].numpy(), cov.numpy())
        assert float(value[i]) == pytest.approx(float(want), rel=1e-9)
        gain = theta[v].mT @ torch.linalg.inv(cov)
        assert torch.allclose(law.mean[i], gain @ (x[i, v] - mu[v]))
        assert torch.allclose(law.cov[i], torch.eye(d, dtype=F64) - gain @ theta[v])


def test_with_all_visible_it_is_the_complete_model():
    theta, sigma, mu = model()
    x, m = data(20, share=-1.0)
    whole = linear.posterior(x, theta, sigma, mu)
    law = incomplete.posterior(x, m, theta, sigma, mu)
    assert torch.allclose(law.mean, whole.mean)
    assert torch.allclose(law.cov, whole.cov.expand_as(law.cov))
    full = linear.log_marginal(x, theta, sigma, mu)
    assert torch.allclose(incomplete.log_marginal(x, m, theta, sigma, mu), full)


def test_em_with_all_visible_ends_at_the_closed_form():
    x, m = data(200, share=-1.0)
    want = factor_analysis.ppca(x, d)
    found = incomplete.em(x, m, d, tol=1e-13, steps=20_000, rng=seeded())
    assert found.history[-1] == pytest.approx(want.history[-1], abs=1e-8)
    assert float(found.sigma) == pytest.approx(float(want.sigma), rel=1e-4)
    assert torch.allclose(found.theta @ found.theta.mT, want.theta @ want.theta.mT, atol=1e-3)
    assert torch.allclose(found.mu, want.mu, atol=1e-4)


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_em_climbs_to_where_the_gradient_is_zero(sigma):
    x, m = data(300)
    found = incomplete.em(
        x.masked_fill(~m, math.nan), m, d, sigma=sigma, tol=1e-13, steps=20_000, rng=seeded()
    )
    assert found.converged
    assert min(np.diff(found.history)) > -1e-10
    leaves = [t.clone().requires_grad_(True) for t in (found.theta, found.mu, found.sigma)]
    incomplete.log_marginal(x, m, leaves[0], leaves[2], leaves[1]).mean().backward()
    for leaf in leaves[: 2 if sigma else 3]:
        assert float(leaf.grad.abs().max()) < 1e-5
    assert sigma is None or float(found.sigma) == sigma
    other = incomplete.em(x, m, d, sigma=sigma, tol=1e-13, steps=20_000, rng=seeded(5))
    assert other.history[-1] == pytest.approx(found.history[-1], abs=1e-7)


def test_complete_is_the_mean_of_hidden_given_visible():
    x, m = data(20)
    found = incomplete.em(x, m, d, rng=seeded(), steps=50)
    y = incomplete.complete(x.masked_fill(~m, math.nan), m, found)
    joint = found.theta @ found.theta.mT + found.sigma**2 * torch.eye(D, dtype=F64)
    for i in range(len(x)):
        v, h = m[i], ~m[i]
        if not v.any():
            continue
        gain = joint[h][:, v] @ torch.linalg.inv(joint[v][:, v])
        assert torch.allclose(y[i, h], found.mu[h] + gain @ (x[i, v] - found.mu[v]))
        assert torch.equal(y[i, v], x[i, v])


def test_it_refuses():
    x, m = data(20)
    theta, sigma, mu = model()
    good = {"rng": seeded()}
    for change, kind, says in [
        ({"mask": None}, TypeError, "mask must be a torch.Tensor"),
        ({"mask": m[:5]}, ValueError, "mask must have the shape"),
        ({"mask": m & (torch.arange(D) != 3)}, ValueError, r"pixel \[3\]"),
        ({"x": x[:, :, None], "mask": m[:, :, None]}, ValueError, "x must have 2 axes"),
        ({"x": x.half()}, TypeError, "x must be float32 or float64"),
        ({"x": x.masked_fill(m, math.nan)}, ValueError, "NaN or infinity in image 0"),
        ({"d": D}, ValueError, "d must be smaller than D"),
        ({"d": 0}, ValueError, "d must be at least 1"),
        ({"sigma": 0.0}, ValueError, "sigma must"),
        ({"steps": 0}, ValueError, "steps must"),
        ({"tol": -1.0}, ValueError, "tol must"),
        ({"rng": None}, TypeError, "rng must be a torch.Generator"),
    ]:
        values = {"x": x, "mask": m, "d": d} | good | change
        with pytest.raises(kind, match=says):
            incomplete.em(values.pop("x"), values.pop("mask"), values.pop("d"), **values)
    with pytest.raises(ValueError, match="theta"):
        incomplete.posterior(x, m, theta[:3], sigma, mu[:3])
    with pytest.raises(TypeError, match="model must be a FactorAnalysis"):
        incomplete.complete(x, m, theta)


@pytest.mark.parametrize(
    ("n", "D", "rank", "d", "hidden"), [(200, 30, 3, 5, 0.5), (50, 30, 4, 4, 0.6)]
)
def test_a_matrix_without_noise_is_completed_in_single_precision(n, D, rank, d, hidden):
    """The noise runs to its floor; numbers of half the digits would not carry it."""
    rng = seeded()
    x = torch.randn(n, rank, generator=rng) @ torch.randn(rank, D, generator=rng)
    m = torch.rand(n, D, generator=rng) > hidden
    found = incomplete.em(x, m, d, rng=rng)
    assert found.theta.dtype == found.sigma.dtype == found.mu.dtype == torch.float32
    assert min(b - a for a, b in pairwise(found.history)) > -1e-3
    y = incomplete.complete(x, m, found)
    assert torch.equal(y[m], x[m])
    assert torch.allclose(y, x, atol=1e-4)
    exact = incomplete.posterior(
        x.double(), m, found.theta.double(), found.sigma.double(), found.mu.double()
    )
    law = incomplete.posterior(x, m, found.theta, found.sigma, found.mu)
    assert torch.allclose(law.mean, exact.mean.float())
    assert law.cov.dtype == torch.float32


def test_numbers_that_overflow_are_refused_with_the_random_state_put_back():
    rng = seeded()
    x, m = torch.randn(50, 10, generator=rng).double() * 1e200, torch.ones(50, 10)
    before = rng.get_state()
    with pytest.raises(FloatingPointError, match=r"x must have squares that fit.*Divide x"):
        incomplete.em(x, m, 2, rng=rng)
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_algorithm_3_on_a_linear_generator_ends_where_em_ends(alpha):
    """It gains over the model that drew the images what EM gains, but for a fifth of that.

    What a maximum of the likelihood gains is, in the mean, half a nat for each parameter: a fit to
    these images, which the true model does not have. So the limit tells a maximum from a model that
    is merely good.
    """
    n, D, d, sigma = 600, 20, 3, 0.3
    rng = seeded(0)
    theta, mu = 0.4 * randn(D, d, rng=rng), 0.3 * randn(D, rng=rng)
    x = randn(n, d, rng=rng) @ theta.mT + mu + sigma * randn(n, D, rng=rng)
    m = torch.rand(n, D, generator=rng) > 0.4
    best = incomplete.em(x, m, d, sigma=sigma, rng=rng)
    g = LinearGenerator(0.1 * normal(1, D, d), torch.zeros(D, dtype=F64)).requires_grad_(True)
    st = Settings(
        d=d,
        sigma=sigma,
        s=0.1,
        K=20,
        L=10,
        L2=1,
        iterations=300,
        batch_size=n,
        lr=1e-2,
        alpha=alpha,
        transport="exact",
        x_range=None,
    )
    run = fit(g, x.masked_fill(~m, math.nan), st, mask=m, rng=seeded(2), progress=False)
    A, b = g.theta.detach(), g.mu.detach()
    truth, found, limit = (
        float(incomplete.log_marginal(x, m, *each).mean())
        for each in ((theta, sigma, mu), (A, sigma, b), (best.theta, sigma, best.mu))
    )
    assert truth < found <= limit + 1e-9
    assert limit - found < 0.2 * (limit - truth)
    ours = FactorAnalysis(A, torch.tensor(sigma, dtype=F64), b)
    by_em, by_fit = (
        (incomplete.complete(x, m, each) - x)[~m].square().mean() for each in (best, ours)
    )
    assert float(by_fit) == pytest.approx(float(by_em), rel=0.02)
    # A chain's end is a draw, its error that of the mean and the spread around it
    drawn = (recover(g, run.z_hat, x, m) - x)[~m].square().mean()
    cov = incomplete.posterior(x, m, A, sigma, b).cov
    spread = torch.einsum("Dd,nde,De->nD", A, cov, A)[~m].mean()
    assert float(drawn) == pytest.approx(float(by_fit + spread), rel=0.1)
