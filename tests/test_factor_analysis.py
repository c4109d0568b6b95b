"""The linear model against SciPy, scikit-learn and the closed form of Tipping and Bishop."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from helpers import F64, randn, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as SklearnFactorAnalysis
from torch import Tensor

from mcmcot_lite import factor_analysis as fa
from mcmcot_lite.factor_analysis import FactorAnalysis, Gaussian

torch.set_num_threads(1)
quick = settings(derandomize=True, deadline=None, max_examples=20, database=None)


def model(
    D: int = 6, d: int = 2, diagonal: bool = False, offset: int = 0
) -> tuple[Tensor, float | Tensor, Tensor]:
    """theta, sigma, mu."""
    rng = seeded(offset)
    theta, mu = randn(D, d, rng=rng), randn(D, rng=rng)
    sigma = 0.3 + torch.rand(D, generator=rng, dtype=F64) if diagonal else 0.6
    return theta, sigma, mu


def data(n: int = 300, D: int = 6, d: int = 2, diagonal: bool = False, offset: int = 0) -> Tensor:
    return fa.sample(n, *model(D, d, diagonal, offset), rng=seeded(offset + 1))[1]


def psi(sigma: float | Tensor, D: int) -> Tensor:
    return torch.as_tensor(sigma, dtype=F64).expand(D).square()


# --- exact laws --------------------------------------------------------------------------------


@quick
@given(
    D=st.integers(1, 8),
    d=st.integers(1, 5),
    n=st.integers(1, 4),
    diagonal=st.booleans(),
    centred=st.booleans(),
    offset=st.integers(0, 99),
)
def test_posterior_and_marginal_from_the_joint_normal(
    D: int, d: int, n: int, diagonal: bool, centred: bool, offset: int
) -> None:
    """Both follow from conditioning the (d + D)-dimensional normal law of (z, x)."""
    theta, sigma, mu = model(D, d, diagonal, offset)
    x = 2 * randn(n, D, rng=seeded(offset + 2))
    mean = torch.zeros(D, dtype=F64) if centred else mu
    cov = theta @ theta.T + torch.diag(psi(sigma, D))
    gain = torch.linalg.solve(cov, theta).T
    m, C = fa.posterior(x, theta, sigma, None if centred else mu)
    torch.testing.assert_close(m, (x - mean) @ gain.T, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(C, torch.eye(d, dtype=F64) - gain @ theta, rtol=1e-8, atol=1e-8)
    got = fa.log_marginal(x, theta, sigma, None if centred else mu)
    assert got.shape == (n,)
    want = np.atleast_1d(multivariate_normal.logpdf(x.numpy(), mean.numpy(), cov.numpy()))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-8)


def test_a_vector_of_equal_sigmas_is_the_scalar() -> None:
    theta, _, mu = model()
    x = data(5)
    for f in (fa.posterior, fa.log_marginal):
        a, b = f(x, theta, 0.6, mu), f(x, theta, torch.full((6,), 0.6, dtype=F64), mu)
        torch.testing.assert_close(a, b)


def test_small_noise_loses_no_digits() -> None:
    """x on the plane, sigma = 1e-6: log p(x) is a sum of squares, so nothing cancels."""
    theta, _, _ = model(20, 3)
    z, sigma = randn(4, 3, rng=seeded()), 1e-6
    got = fa.log_marginal(z @ theta.T, theta, sigma)
    # The plane holds x exactly: log N(z; 0, I + sigma^2 G^-1) - log det(G)/2 - noise off the plane.
    G = theta.T @ theta
    inner = torch.eye(3, dtype=F64) + sigma**2 * torch.linalg.inv(G)
    want = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=F64), inner).log_prob(z)
    want = want - torch.logdet(G) / 2 - 17 * math.log(sigma * math.sqrt(2 * math.pi))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)


def test_covariance_is_symmetric_and_positive() -> None:
    theta, _, _ = model(8, 5)
    for sigma in (1e-5, 0.3, 1e3):
        C = fa.posterior(torch.zeros(1, 8, dtype=F64), theta, sigma).cov
        assert torch.equal(C, C.mT)
        assert float(torch.linalg.eigvalsh(C)[0]) > 0


def test_log_marginal_is_differentiable() -> None:
    """Its gradients are what maximum likelihood sets to zero."""
    theta, sigma, mu = model(4, 2, diagonal=True)
    x = data(3, 4)
    inputs = (x, theta, sigma, mu)
    for t in inputs:
        t.requires_grad_(True)
    assert torch.autograd.gradcheck(fa.log_marginal, inputs)
    scalar = torch.tensor(0.6, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: fa.log_marginal(x, theta, s), (scalar,))
    assert torch.autograd.gradcheck(lambda *a: fa.posterior(*a).mean, inputs)


@pytest.mark.parametrize("diagonal", [False, True])
def test_samples_follow_the_model(diagonal: bool) -> None:
    """Means and covariances of (z, x), within Bonferroni-corrected standard errors."""
    n, (theta, sigma, mu) = 40_000, model(4, 2, diagonal)
    z, x = fa.sample(n, theta, sigma, mu, rng=seeded(7))
    r = torch.cat([z, x - mu], 1)
    eye = torch.eye(2, dtype=F64)
    xx = theta @ theta.T + torch.diag(psi(sigma, 4))
    cov = torch.cat([torch.cat([eye, theta.T], 1), torch.cat([theta, xx], 1)])
    var = cov.diagonal()
    means = r.mean(0) / (var / n).sqrt()
    covs = (r.T @ r / n - cov) / ((var[:, None] * var + cov.square()) / n).sqrt()
    q = float(norm.isf(1e-6 / (2 * (6 + 21))))
    assert float(means.abs().max()) < q
    assert float(covs.abs().max()) < q
    again = fa.sample(n, theta, sigma, mu, rng=seeded(7))
    assert torch.equal(again[0], z)
    assert torch.equal(again[1], x)
    assert fa.sample(1, theta.float(), 0.1, rng=seeded())[1].dtype == torch.float32


# --- the closed form ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "D", "d"), [(200, 6, 2), (50, 10, 1), (30, 5, 4), (12, 20, 3)])
def test_ppca_is_a_maximum_of_the_likelihood(n: int, D: int, d: int) -> None:
    x = data(n, D, min(d, D))
    fit = fa.ppca(x, d)
    theta, sigma = fit.theta.clone().requires_grad_(), fit.sigma.expand(D).clone().requires_grad_()
    mu = fit.mu.clone().requires_grad_()
    value = fa.log_marginal(x, theta, sigma, mu).mean()
    assert fit.history == (pytest.approx(float(value.detach())),)
    by_theta, by_sigma, by_mu = torch.autograd.grad(value, (theta, sigma, mu))
    scale = float(1 / fit.sigma)  # of the summands that cancel
    assert float(by_theta.abs().max()) < 1e-9 * scale
    assert abs(float(by_sigma.sum())) < 1e-9 * scale  # isotropic: the sum over pixels
    assert float(by_mu.abs().max()) < 1e-9 * scale
    for i in range(20):  # and no neighbour is better
        rng = seeded(i)
        moved = fit.theta + 0.03 * randn(D, d, rng=rng)
        other = fa.log_marginal(x, moved, float(fit.sigma) * (1 + 0.02 * (-1) ** i), fit.mu)
        assert float(other.mean()) < fit.history[0]


@pytest.mark.parametrize(("n", "D", "d"), [(200, 6, 2), (100, 10, 5)])
def test_ppca_equals_scikit_learn(n: int, D: int, d: int) -> None:
    """PCA divides by n - 1 where maximum likelihood divides by n; the rest is the same."""
    x = data(n, D, d)
    fit, pca = fa.ppca(x, d), PCA(d).fit(x.numpy())
    grow = n / (n - 1)
    assert float(fit.sigma**2) * grow == pytest.approx(pca.noise_variance_, rel=1e-10)
    cov = fit.theta @ fit.theta.T + fit.sigma**2 * torch.eye(D, dtype=F64)
    np.testing.assert_allclose(cov.numpy() * grow, pca.get_covariance(), rtol=1e-8, atol=1e-10)
    y = 3 * randn(7, D, rng=seeded(3))
    got = fa.log_marginal(y, fit.theta * grow**0.5, float(fit.sigma) * grow**0.5, fit.mu)
    np.testing.assert_allclose(got.numpy(), pca.score_samples(y.numpy()), rtol=1e-9)


@pytest.mark.parametrize("method", ["ppca", "isotropic", "diagonal"])
def test_at_the_maximum_the_aggregated_posterior_is_the_prior(method: str) -> None:
    """Mean 0, covariance exactly I over the training images: the theme of the book."""
    x = data(400, 10, 2, diagonal=method == "diagonal")
    if method == "ppca":
        fit = fa.ppca(x, 2)
    else:
        fit = fa.em(x, 2, noise=method, tol=0, steps=4000, rng=seeded())
    m, C = fa.posterior(x, fit.theta, fit.sigma, fit.mu)
    torch.testing.assert_close(m.mean(0), torch.zeros(2, dtype=F64), rtol=0, atol=1e-8)
    torch.testing.assert_close(m.T @ m / 400 + C, torch.eye(2, dtype=F64), rtol=0, atol=1e-6)


# --- EM ----------------------------------------------------------------------------------------


def assert_monotone(history: tuple[float, ...]) -> None:
    """Never falls, up to the rounding of a mean of n terms."""
    rounding = 1e-12 * max(1.0, *map(abs, history))
    assert all(b >= a - rounding for a, b in pairwise(history))


@quick
@given(
    n=st.integers(3, 40),
    D=st.integers(2, 7),
    d=st.integers(1, 5),
    noise=st.sampled_from(["isotropic", "diagonal"]),
    offset=st.integers(0, 99),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
)
def test_em_is_monotone_on_any_data(
    n: int, D: int, d: int, noise: str, offset: int, scale: float
) -> None:
    d = min(d, n - 1, D - 1)
    x = scale * data(n, D, d, offset=offset).exp()  # skewed: not from the model
    fit = fa.em(x, d, noise=noise, steps=30, rng=seeded(offset))
    assert_monotone(fit.history)
    assert fit.steps == len(fit.history) - 1
    assert fit.converged == (fit.history[-1] - fit.history[-2] <= 1e-8)
    assert fit.converged or fit.steps == 30
    final = fa.log_marginal(x, fit.theta, fit.sigma, fit.mu).mean()
    assert float(final) == pytest.approx(fit.history[-1], rel=1e-10)


@pytest.mark.parametrize(("n", "D", "d"), [(200, 6, 2), (60, 5, 3), (100, 8, 1)])
def test_em_reaches_the_closed_form(n: int, D: int, d: int) -> None:
    """Likelihood, noise, subspace and covariance of the exact solution, from random starts."""
    x = data(n, D, d)
    best = fa.ppca(x, d)
    for i in range(2):
        fit = fa.em(x, d, steps=3000, tol=1e-14, rng=seeded(i))
        assert_monotone(fit.history)
        assert fit.converged
        assert fit.history[-1] == pytest.approx(best.history[0], abs=1e-9)
        assert float(fit.sigma) == pytest.approx(float(best.sigma), rel=1e-4)
        assert torch.equal(fit.mu, best.mu)
        torch.testing.assert_close(
            fit.theta @ fit.theta.T, best.theta @ best.theta.T, rtol=1e-3, atol=1e-3
        )
        q1, q2 = torch.linalg.qr(fit.theta).Q, torch.linalg.qr(best.theta).Q
        angles = torch.linalg.svdvals(q1.T @ q2)  # cosines between the subspaces
        torch.testing.assert_close(angles, torch.ones(d, dtype=F64), rtol=0, atol=1e-6)


def test_the_closed_form_is_a_fixed_point_of_em() -> None:
    x = data(200, 6, 2)
    best = fa.ppca(x, 2)
    fit = fa.em(x, 2, start=best, steps=5)
    torch.testing.assert_close(fit.theta, best.theta)
    torch.testing.assert_close(fit.sigma, best.sigma)
    assert fit.converged
    assert fit.history[0] == pytest.approx(best.history[0], rel=1e-12)


@pytest.mark.parametrize(("n", "D", "d"), [(1000, 10, 2), (800, 12, 3)])  # well determined
def test_diagonal_em_equals_scikit_learn(n: int, D: int, d: int) -> None:
    x = data(n, D, d, diagonal=True)
    theirs = SklearnFactorAnalysis(d, tol=1e-12, max_iter=20_000, svd_method="lapack")
    theirs.fit(x.numpy())
    ours = fa.em(x, d, noise="diagonal", steps=6000, tol=1e-13, rng=seeded())
    assert_monotone(ours.history)
    assert ours.history[-1] >= float(theirs.score(x.numpy())) - 1e-8
    cov = ours.theta @ ours.theta.T + torch.diag(ours.sigma.square())
    np.testing.assert_allclose(cov.numpy(), theirs.get_covariance(), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(ours.mu.numpy(), theirs.mean_)


def test_em_on_data_of_another_likelihood_beats_isotropic_noise() -> None:
    x = data(300, 6, 2, diagonal=True)
    isotropic = fa.ppca(x, 2).history[0]
    start = fa.ppca(x, 2)
    diagonal = fa.em(x, 2, noise="diagonal", start=start, steps=200)
    assert diagonal.history[0] == pytest.approx(isotropic, rel=1e-12)  # the models are nested
    assert diagonal.history[-1] > isotropic


def test_em_is_equivariant() -> None:
    """Scaled, shifted images give the scaled, shifted model."""
    x = data(100, 5, 2)
    a = fa.em(x, 2, steps=10, rng=seeded())
    b = fa.em(7 * x + 3, 2, steps=10, rng=seeded())
    torch.testing.assert_close(b.theta, 7 * a.theta)
    torch.testing.assert_close(b.sigma, 7 * a.sigma)
    torch.testing.assert_close(b.mu, 7 * a.mu + 3)


@pytest.mark.parametrize("noise", ["isotropic", "diagonal"])
def test_constant_pixels_stop_at_the_floor(noise: str) -> None:
    x = data(50, 6, 2)
    x[:, [0, 3]] = 0.25
    fit = fa.em(x, 2, noise=noise, steps=50, floor=1e-4, rng=seeded())
    assert_monotone(fit.history)
    lowest = 1e-4 * float((x - x.mean(0)).square().mean())
    if noise == "diagonal":
        torch.testing.assert_close(
            fit.sigma[[0, 3]].square(), torch.full((2,), lowest, dtype=F64), rtol=1e-10, atol=0
        )
    assert float(fit.sigma.min()) ** 2 >= lowest * (1 - 1e-10)
    start = FactorAnalysis(torch.randn(6, 2, dtype=F64), torch.full((6,), 1e-9, dtype=F64), fit.mu)
    assert_monotone(fa.em(x, 2, noise=noise, steps=20, start=start, floor=1e-4).history)


def test_em_options() -> None:
    x = data(80, 5, 2)
    short = fa.em(x, 2, steps=3, tol=0, rng=seeded())
    assert short.steps == 3
    assert not short.converged
    assert short.sigma.ndim == 0
    longer = fa.em(x, 2, steps=3, tol=0, start=short)
    six = fa.em(x, 2, steps=6, tol=0, rng=seeded())
    torch.testing.assert_close(longer.theta, six.theta)
    assert longer.history[0] == pytest.approx(short.history[-1])
    loose = fa.em(x, 2, tol=1e9, rng=seeded())
    assert (loose.steps, loose.converged) == (1, True)
    mixed = FactorAnalysis(short.theta, torch.linspace(0.1, 1, 5, dtype=F64), short.mu)
    assert_monotone(fa.em(x, 2, start=mixed, steps=20).history)  # isotropic from diagonal
    assert fa.em(x.float(), 2, steps=20, rng=seeded()).theta.dtype == torch.float32
    same = fa.em(x.mT.contiguous().mT, 2, steps=3, tol=0, rng=seeded())
    torch.testing.assert_close(same.theta, short.theta)


def test_results_are_free_of_graphs_and_shared_memory() -> None:
    x = data(50, 5, 2).requires_grad_()
    kept = x.detach().clone()
    start = fa.ppca(x, 2)
    for fit in (start, fa.em(x, 2, steps=2, start=start), fa.em(x, 2, steps=2, rng=seeded())):
        for t in (fit.theta, fit.sigma, fit.mu):
            assert not t.requires_grad
    frozen_start = start.theta.clone()
    fit = fa.em(x, 2, steps=1, start=start)
    fit.theta.zero_()
    fit.sigma.zero_()
    fit.mu.zero_()
    assert torch.equal(start.theta, frozen_start)
    assert torch.equal(x.detach(), kept)
    with torch.inference_mode():
        y = kept.clone()
        assert fa.em(y, 2, steps=2, rng=seeded()).steps == 2
        assert fa.log_marginal(y, frozen_start, 0.5).shape == (50,)
    assert start != fa.ppca(x, 2)  # compared by identity: == on tensors would be ambiguous


# --- bad input ---------------------------------------------------------------------------------

THETA, X, MU = torch.ones(5, 2), torch.zeros(3, 5), torch.zeros(5)
META = torch.device("meta")
NAN = torch.tensor(math.nan)
LINEAR: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"theta": None}, TypeError, "theta must be a torch.Tensor"),
    ({"theta": THETA[0]}, ValueError, "theta must have 2 axes; got shape (2,). Pass loadings"),
    ({"theta": THETA.long()}, TypeError, "theta must have a floating-point dtype"),
    ({"theta": THETA.half()}, TypeError, "theta must be float32 or float64"),
    ({"theta": THETA[:0]}, ValueError, "theta must not be empty"),
    ({"theta": THETA * NAN}, ValueError, "theta must be finite"),
    ({"theta": THETA.to(META)}, ValueError, "theta must hold values"),
    ({"theta": THETA * 1e25}, ValueError, "theta must be small enough against sigma"),
    ({"sigma": 0.0}, ValueError, "sigma must be greater than 0"),
    ({"sigma": -1}, ValueError, "sigma must be greater than 0"),
    ({"sigma": math.inf}, ValueError, "sigma must be"),
    ({"sigma": "0.3"}, TypeError, "sigma must be a real number"),
    ({"sigma": None}, TypeError, "sigma must be a real number"),
    ({"sigma": True}, TypeError, "sigma must be a real number"),
    ({"sigma": [0.3] * 5}, TypeError, "sigma must be a real number"),
    ({"sigma": np.full(5, 0.3)}, TypeError, "sigma must be a real number"),
    ({"sigma": torch.ones(4)}, ValueError, "sigma must have shape (5,); got shape (4,)"),
    ({"sigma": torch.ones(5, 1)}, ValueError, "sigma must have shape (5,)"),
    ({"sigma": torch.ones(5).double()}, ValueError, "sigma must have the dtype of theta"),
    ({"sigma": torch.ones(5, device=META)}, ValueError, "sigma must be on the device of theta"),
    ({"sigma": torch.tensor([1.0, 1, 0, 1, 1])}, ValueError, "sigma must be positive in every"),
    ({"sigma": torch.ones(5) * NAN}, ValueError, "sigma must be finite"),
    ({"mu": [0] * 5}, TypeError, "mu must be a torch.Tensor"),
    ({"mu": torch.zeros(4)}, ValueError, "mu must have shape (5,)"),
    ({"mu": MU.double()}, ValueError, "mu must have the dtype of theta"),
    ({"mu": MU.to(META)}, ValueError, "mu must be on the device of theta"),
    ({"mu": MU + math.inf}, ValueError, "mu must be finite"),
]  # fmt: skip
IMAGES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": None}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.byte()}, TypeError, "x must have a floating-point dtype"),
    ({"x": X[0]}, ValueError, "x must have shape (any, 5)"),
    ({"x": torch.zeros(3, 1, 5)}, ValueError, "got shape (3, 1, 5). Pass flat images"),
    ({"x": torch.zeros(3, 4)}, ValueError, "x must have shape (any, 5)"),
    ({"x": X[:0]}, ValueError, "x must not be empty"),
    ({"x": X.double()}, ValueError, "x must have the dtype of theta"),
    ({"x": X.to(META)}, ValueError, "x must be on the device of theta"),
    ({"x": X + NAN}, ValueError, "x must be finite; got 15 NaN"),
]  # fmt: skip


@pytest.mark.parametrize("f", [fa.posterior, fa.log_marginal])
@pytest.mark.parametrize(("change", "kind", "says"), LINEAR + IMAGES, ids=lambda v: str(v)[:40])
def test_bad_input_to_exact_laws(
    f: Callable[..., Any], change: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=r"^\w+ must .*; got .*\. .*\.$") as error:
        f(**({"x": X, "theta": THETA, "sigma": 0.3, "mu": None} | change))
    assert says in str(error.value)


SAMPLE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"n": 0}, ValueError, "n must be at least 1"),
    ({"n": 2.0}, TypeError, "n must be a whole number"),
    ({"rng": None}, TypeError, "rng must be a torch.Generator"),
    ({"rng": 0}, TypeError, "rng must be a torch.Generator"),
]


@pytest.mark.parametrize(("change", "kind", "says"), LINEAR + SAMPLE, ids=lambda v: str(v)[:40])
def test_bad_input_to_sample(change: dict[str, Any], kind: type[Exception], says: str) -> None:
    rng = seeded()
    before = rng.get_state(), torch.get_rng_state()
    with pytest.raises(kind, match=r"^\w+ must .*; got .*\. .*\.$") as error:
        fa.sample(**({"n": 3, "theta": THETA, "sigma": 0.3, "mu": None, "rng": rng} | change))
    assert says in str(error.value)
    assert torch.equal(rng.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


DATA = torch.arange(40.0).reshape(8, 5).sin()
FIT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": None}, TypeError, "x must be a torch.Tensor"),
    ({"x": DATA.half()}, TypeError, "x must be float32 or float64"),
    ({"x": DATA.byte()}, TypeError, "x must have a floating-point dtype"),
    ({"x": DATA[0]}, ValueError, "x must have 2 axes"),
    ({"x": DATA[:, None]}, ValueError, "x must have 2 axes; got shape (8, 1, 5). Pass flat images"),
    ({"x": DATA[:0]}, ValueError, "x must not be empty"),
    ({"x": DATA[:1], "d": 1}, ValueError, "x must hold at least 2 images; got 1"),
    ({"x": DATA * NAN}, ValueError, "x must be finite"),
    ({"x": DATA.to(META)}, ValueError, "x must hold values"),
    ({"x": torch.ones(8, 5)}, ValueError, "x must vary"),
    ({"x": 1e30 * DATA}, ValueError, "x must vary, with a variance that fits into torch.float32"),
    ({"d": 0}, ValueError, "d must be at least 1"),
    ({"d": 5}, ValueError, "d must be smaller than n and D, (8, 5); got 5"),
    ({"x": DATA[:3], "d": 3}, ValueError, "d must be smaller than n and D, (3, 5)"),
    ({"d": 2.0}, TypeError, "d must be a whole number"),
    ({"d": True}, TypeError, "d must be a whole number"),
]
FA, F, ONE = FactorAnalysis, DATA[:5, :2], torch.tensor(1.0)
EM: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"noise": "none"}, ValueError, "noise must be one of 'isotropic', 'diagonal'"),
    ({"noise": None}, TypeError, "noise must be one of"),
    ({"steps": 0}, ValueError, "steps must be at least 1"),
    ({"steps": 1.5}, TypeError, "steps must be a whole number"),
    ({"tol": -1.0}, ValueError, "tol must be at least 0"),
    ({"tol": math.nan}, ValueError, "tol must be at least 0"),
    ({"tol": "0"}, TypeError, "tol must be a real number"),
    ({"floor": 0.0}, ValueError, "floor must be greater than 0"),
    ({"floor": math.inf}, ValueError, "floor must be greater than 0"),
    ({"rng": None}, TypeError, "rng must be a torch.Generator"),
    ({"rng": 0}, TypeError, "rng must be a torch.Generator"),
    ({"start": (F, 1.0)}, TypeError, "start must be a FactorAnalysis"),
    ({"start": FA(F[:, :1], ONE, MU)}, ValueError, "start.theta must have shape (5, 2)"),
    ({"start": FA(F.double(), ONE, MU)}, ValueError, "start.theta must have the dtype of x"),
    ({"start": FA(F * NAN, ONE, MU)}, ValueError, "start.theta must be finite"),
    ({"start": FA(0 * F, ONE, MU)}, ValueError, "start.theta must have rank d = 2"),
    ({"start": FA(F, torch.tensor(0.0), MU)}, ValueError, "sigma must be greater than 0"),
    ({"start": FA(F, torch.ones(4), MU)}, ValueError, "sigma must have shape (5,)"),
    ({"start": FA(F, torch.ones(5), MU[:3])}, ValueError, "mu must have shape (5,)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "says"), FIT + EM, ids=lambda v: str(v)[:40])
def test_bad_input_to_em_and_ppca(change: dict[str, Any], kind: type[Exception], says: str) -> None:
    rng = seeded()
    before = rng.get_state(), torch.get_rng_state()
    call = {"x": DATA, "d": 2, "rng": rng} | change
    with pytest.raises(kind, match=r"^[\w.]+ must .*; got .*\. .*\.$") as error:
        fa.em(**call)
    assert says in str(error.value)
    assert torch.equal(rng.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    if set(change) <= {"x", "d"}:
        with pytest.raises(kind) as error:
            fa.ppca(call["x"], call["d"])
        assert says in str(error.value)


def test_ppca_refuses_data_without_noise() -> None:
    plane = DATA[:, :2].double() @ torch.ones(2, 5, dtype=F64)
    with pytest.raises(ValueError, match="d must leave some variance to the noise; got 2"):
        fa.ppca(plane, 2)
    few = randn(4, 9, rng=seeded())
    with pytest.raises(ValueError, match="choose a smaller d, or more images"):
        fa.ppca(few, 3)
    assert math.isfinite(fa.em(plane, 2, rng=seeded(), steps=50).history[-1])  # the floor


def test_gaussian_is_a_pair() -> None:
    m, C = Gaussian(torch.zeros(1, 2), torch.eye(2))
    assert m.shape == (1, 2)
    assert C.shape == (2, 2)


def test_em_returns_the_model_before_a_fall_and_does_not_call_it_converged() -> None:
    z, theta = randn(50, 2, rng=seeded()), randn(2, 8, rng=seeded(3))
    x = z @ theta  # no noise: the likelihood has no upper bound
    fitted = fa.em(x, 2, rng=seeded(), steps=500, floor=1e-30)
    assert not fitted.converged
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(fitted.history))
    value = fa.log_marginal(x, fitted.theta, fitted.sigma, fitted.mu).mean()
    assert float(value) == pytest.approx(fitted.history[-1], rel=1e-9)


HUGE = torch.full((2, 3), 1e30)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: fa.posterior(HUGE, torch.full((3, 1), 1e8), 1e-3), "posterior"),
        (lambda: fa.log_marginal(HUGE, torch.ones(3, 1), 1.0), "log_marginal"),
    ],
)
def test_finite_input_that_overflows_is_an_error(call: Callable[[], object], name: str) -> None:
    with pytest.raises(FloatingPointError, match=rf"^{name} must fit into torch\.float32"):
        call()


def test_em_in_single_precision_converges_where_the_likelihood_is_near_zero() -> None:
    x = randn(200, 6, rng=seeded()).float()
    first = fa.em(x, 2, rng=seeded(), tol=1e-6)
    scale = math.exp(first.history[-1] / 6)  # log p(x / c) = log p(x) + D log c
    fitted = fa.em(x * scale, 2, rng=seeded(), tol=1e-6)
    assert abs(fitted.history[-1]) < 0.01
    assert fitted.converged
