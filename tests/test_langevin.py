"""Langevin inference against exact laws: K steps on a linear g, and MALA's invariant posterior.

Statistical tests compare a sample of independent chains with an exact law. Each component must lie
within q standard errors, where q is Bonferroni's quantile for a false alarm of 1e-6 a test.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers import F64, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor, nn

from mcmcot_lite import MLP, LinearGenerator, grad_z, infer, langevin_step, log_joint
from mcmcot_lite.factor_analysis import Gaussian, posterior
from mcmcot_lite.short_run import k_step_law, largest_stable_step

torch.set_num_threads(1)
quick = settings(derandomize=True, deadline=None, max_examples=15, database=None)


@pytest.fixture(autouse=True)
def fixed_draws() -> Iterator[None]:
    """PyTorch's own generator starts alike in every test, whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def clone(rng: torch.Generator) -> torch.Generator:
    return torch.Generator().set_state(rng.get_state())


def randn(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=F64)


def quantile(components: int, level: float = 1e-6) -> float:
    return float(norm.isf(level / (2 * components)))


def scores(z: Tensor, law: Gaussian) -> Tensor:
    """Standard scores of the sample means, of their slopes on the exact means, and covariances.

    Row i of z is one draw from N(mean_i, cov); all rows are independent.
    """
    n, d = z.shape
    m, C = law
    r = z - m
    var = C.diagonal()
    means = r.mean(0) / (var / n).sqrt()
    spread = m - m.mean(0)
    slopes = (spread.mT @ r) / (spread.square().sum(0)[:, None] * var).sqrt()
    se = ((var[:, None] * var + C.square()) / n).sqrt()  # of E[r r'], Isserlis
    covs = ((r.mT @ r / n - C) / se)[torch.tril_indices(d, d).unbind()]
    slopes = slopes[spread.square().sum(0) > 0]  # K = 0 has no slope
    return torch.cat([means, slopes.flatten(), covs]).abs()


def assert_law(z: Tensor, law: Gaussian) -> None:
    got = scores(z.double(), Gaussian(law.mean.double(), law.cov.double()))
    assert float(got.max()) < quantile(len(got)), got


def linear(
    D: int, d: int, sigma: float, n: int, rng: torch.Generator
) -> tuple[LinearGenerator, Tensor]:
    """A random linear generator, and images from another law than its own."""
    g = LinearGenerator(randn(D, d, rng=rng) / D**0.5, randn(D, rng=rng))
    return g, 1.5 * randn(n, D, rng=rng) + sigma


# --- plain Langevin ----------------------------------------------------------------------------

LAWS = [  # D, d, sigma, s, K; the last three beyond the stability limit, where the law is as exact
    (5, 2, 0.3, 0.05, 1),
    (5, 2, 0.3, 0.05, 20),
    (7, 3, 0.5, 0.3, 5),
    (4, 1, 1.0, 1.0, 7),
    (6, 4, 0.2, 0.1, 50),
    (3, 2, 3.0, 1.5, 10),
    (3, 5, 0.7, 0.4, 3),
    (5, 2, 0.3, 0.9, 3),
    (6, 3, 0.1, 0.3, 2),
    (4, 2, 1.0, 1.95, 6),
]


@pytest.mark.parametrize(("D", "d", "sigma", "s", "K"), LAWS)
@pytest.mark.parametrize("start", ["noise", "persistent"])
@pytest.mark.parametrize("masked", [False, True])
def test_k_steps_follow_the_exact_law(
    D: int, d: int, sigma: float, s: float, K: int, start: str, masked: bool
) -> None:
    n, rng = 20_000, seeded()
    g, x = linear(D, d, sigma, n, rng)
    seen = torch.arange(D) % 3 != 1 if masked else torch.ones(D).bool()
    z0 = 2 * randn(n, d, rng=rng) if start == "persistent" else None
    z = infer(g, x, z0, d=d, sigma=sigma, s=s, K=K, rng=rng, mask=seen if masked else None).z
    begin = None if z0 is None else Gaussian(z0, torch.zeros(d, d, dtype=F64))
    theta, mu = g.theta.detach()[seen], g.mu.detach()[seen]
    assert_law(z, k_step_law(x[:, seen], theta, sigma, s=s, K=K, mu=mu, start=begin))


def test_the_statistics_would_see_a_small_error() -> None:
    """Positive control: a step 10% too long, or noise 10% too strong, fails the test above."""
    n, rng = 20_000, seeded()
    g, x = linear(7, 3, 0.5, n, rng)
    z = infer(g, x, d=3, sigma=0.5, s=0.3, K=5, rng=rng).z
    for s, sigma in [(0.33, 0.5), (0.3, 0.55)]:
        got = scores(z, k_step_law(x, g.theta.detach(), sigma, s=s, K=5, mu=g.mu.detach()))
        assert float(got.max()) > quantile(len(got))


def test_each_image_has_its_own_mask() -> None:
    rng, sigma, s, K = seeded(), 0.5, 0.3, 5
    g, x = linear(6, 2, sigma, 15_000, rng)
    masks = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0]]).bool()
    z = infer(g, x, d=2, sigma=sigma, s=s, K=K, rng=rng, mask=masks.repeat(5_000, 1)).z
    for i, seen in enumerate(masks):
        theta, mu = g.theta.detach()[seen], g.mu.detach()[seen]
        assert_law(z[i::3], k_step_law(x[i::3, seen], theta, sigma, s=s, K=K, mu=mu))


def test_float32_follows_the_same_law() -> None:
    rng = seeded()
    g, x = linear(5, 2, 0.3, 20_000, rng)
    law = k_step_law(x, g.theta.detach(), 0.3, s=0.1, K=10, mu=g.mu.detach())
    z = infer(g.float(), x.float(), d=2, sigma=0.3, s=0.1, K=10, rng=rng).z
    assert z.dtype == torch.float32
    assert_law(z, law)


@quick
@given(
    n=st.integers(1, 4),
    d=st.integers(1, 4),
    D=st.integers(1, 5),
    K=st.integers(0, 6),
    s=st.floats(0.01, 1.9),
    sigma=st.floats(0.5, 3.0),
    noise=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_step_is_equation_8(
    n: int, d: int, D: int, K: int, s: float, sigma: float, noise: bool, masked: bool, seed: int
) -> None:
    """The same draws through the recursion written by hand, in float64."""
    rng = seeded(seed)
    g, x = linear(D, d, sigma, n, rng)
    mask = torch.rand(n, D, generator=rng) < 0.5 if masked else None
    z = z0 = randn(n, d, rng=rng)
    same = clone(rng)
    got = infer(
        g, x, None if noise else z0, d=d, sigma=sigma, s=s, K=K, rng=rng, mask=mask, trace=True
    )
    if noise:
        z = randn(n, d, rng=same)
    theta, mu = g.theta.detach(), g.mu.detach()
    states = [z]
    for _ in range(K):
        left = (x - mu - z @ theta.T) * (1 if mask is None else mask)
        z = z + s**2 / 2 * (left @ theta / sigma**2 - z) + s * randn(n, d, rng=same)
        states.append(z)
    assert got.trace is not None
    torch.testing.assert_close(got.trace, torch.stack(states), rtol=1e-9, atol=1e-9)
    assert torch.equal(got.trace[-1], got.z)
    assert got.acceptance is None
    assert torch.equal(rng.get_state(), same.get_state())  # and no draw more


def test_steps_compose_and_one_step_is_langevin_step() -> None:
    rng = seeded()
    g, x = linear(4, 2, 0.5, 6, rng)
    z0, kind = randn(6, 2, rng=rng), {"sigma": 0.5, "s": 0.2}
    a, b, c = clone(rng), clone(rng), clone(rng)
    whole = infer(g, x, z0, K=5, rng=a, **kind).z
    first = infer(g, x, z0, K=2, rng=b, **kind).z
    assert torch.equal(infer(g, x, first, K=3, rng=b, **kind).z, whole)
    z = z0
    for _ in range(5):
        z = langevin_step(g, z, x, rng=c, **kind)
    assert torch.equal(z, whole)


# --- Metropolis-Hastings -----------------------------------------------------------------------


@pytest.mark.parametrize(("D", "d", "sigma"), [(5, 2, 0.3), (6, 3, 0.7), (3, 1, 1.0)])
@pytest.mark.parametrize("relative", [0.3, 0.9, 1.3])  # step over the stability limit
@pytest.mark.parametrize("masked", [False, True])
def test_mala_leaves_the_linear_posterior_invariant(
    D: int, d: int, sigma: float, relative: float, masked: bool
) -> None:
    n, rng = 20_000, seeded()
    g, x = linear(D, d, sigma, n, rng)
    seen = torch.arange(D) % 3 != 1 if masked else torch.ones(D).bool()
    theta, mu = g.theta.detach()[seen], g.mu.detach()[seen]
    law = posterior(x[:, seen], theta, sigma, mu)
    z0 = law.mean + randn(n, d, rng=rng) @ torch.linalg.cholesky(law.cov).mT
    s = min(relative * largest_stable_step(theta, sigma), 1.99)
    kind = {"sigma": sigma, "s": s, "rng": rng, "mask": seen if masked else None}
    got = infer(g, x, z0, K=4, metropolis=True, **kind)
    assert_law(got.z, law)
    assert got.acceptance is not None
    assert got.acceptance.min() >= 0
    assert got.acceptance.max() <= 1
    moved = (got.z != z0).any(1).double().mean()
    assert moved > 0.1  # the chains do not stand still
    if relative >= 0.9:  # without the test the same steps are far off
        plain = scores(infer(g, x, z0, K=4, **kind).z, law)
        assert float(plain.max()) > 3 * quantile(len(plain))


def test_mala_reaches_the_posterior_from_noise() -> None:
    n, rng, sigma = 10_000, seeded(), 0.5
    g, x = linear(5, 2, sigma, n, rng)
    s = 0.7 * largest_stable_step(g.theta.detach(), sigma)
    z = infer(g, x, d=2, sigma=sigma, s=s, K=150, rng=rng, metropolis=True).z
    assert_law(z, posterior(x, g.theta.detach(), sigma, g.mu.detach()))


def two_wells(z: Tensor) -> Tensor:
    """Non-linear, one latent: two unequal modes, with a ripple."""
    return torch.stack([z[:, 0] ** 2 - 1 + 0.2 * z[:, 0], torch.sin(3 * z[:, 0])], 1)


def banana(z: Tensor) -> Tensor:
    """Non-linear, two latents: a curved ridge with two ends."""
    return torch.stack([z[:, 0] ** 2 + z[:, 1], z[:, 0] * z[:, 1]], 1)


def log_posterior_on_grid(
    g: Callable[[Tensor], Tensor], x: Tensor, grid: Tensor, sigma: float
) -> Tensor:
    """Probabilities of the points of a regular grid: the trapezoidal rule, exact to rounding."""
    return torch.softmax(log_joint(g, grid, x.expand(len(grid), -1), sigma=sigma), 0)


def test_mala_leaves_a_non_linear_posterior_invariant_1d() -> None:
    n, rng, sigma, bins = 40_000, seeded(), 0.4, 16
    x = torch.tensor([[0.2, 0.1]], dtype=F64)
    grid = torch.linspace(-5, 5, 100_001, dtype=F64)
    cdf = log_posterior_on_grid(two_wells, x, grid[:, None], sigma).cumsum(0)
    u = torch.rand(n, generator=rng, dtype=F64)
    z0 = grid[torch.searchsorted(cdf, u).clamp_max(len(grid) - 1)][:, None]  # exact to 1e-4
    edges = torch.searchsorted(cdf, torch.arange(1, bins, dtype=F64) / bins)
    share = torch.diff(cdf[edges], prepend=cdf.new_zeros(1), append=cdf.new_ones(1))

    def worst(z: Tensor) -> float:
        count = torch.bincount(torch.searchsorted(grid[edges], z[:, 0]), minlength=bins)
        return float(((count / n - share) / (share * (1 - share) / n).sqrt()).abs().max())

    kind = {"sigma": sigma, "s": 0.3, "K": 5, "rng": rng}
    got = infer(two_wells, x.expand(n, -1), z0, metropolis=True, **kind)
    assert got.acceptance is not None
    assert 0.1 < float(got.acceptance.mean()) < 0.9
    assert worst(got.z) < quantile(bins)
    assert worst(infer(two_wells, x.expand(n, -1), z0, **kind).z) > 3 * quantile(bins)


@pytest.mark.parametrize("hidden", [False, True])
def test_mala_leaves_a_non_linear_posterior_invariant_2d(hidden: bool) -> None:
    """Starts are exact: prior draws, accepted with the likelihood (at most 1)."""
    rng, sigma = seeded(), 0.5
    x = torch.tensor([[1.0, 0.3]], dtype=F64)
    mask = torch.tensor([True, not hidden])
    side = torch.linspace(-6, 6, 401, dtype=F64)
    grid = torch.cartesian_prod(side, side)
    p = torch.softmax(log_joint(banana, grid, x.expand(len(grid), -1), sigma=sigma, mask=mask), 0)

    def features(z: Tensor) -> Tensor:
        a, b = z.unbind(1)
        return torch.stack([a, b, a * a, a * b, b * b, (3 * a).sin(), (3 * b).cos(), a**3 * b], 1)

    exact = p @ features(grid)
    var = p @ features(grid).square() - exact.square()
    prior = randn(200_000, 2, rng=rng)
    fit = log_joint(banana, prior, x.expand(len(prior), -1), sigma=sigma, mask=mask)
    likelihood = (fit + prior.square().sum(1) / 2).exp()
    z0 = prior[torch.rand(len(prior), generator=rng, dtype=F64) < likelihood]

    def worst(z: Tensor) -> float:
        return float(((features(z).mean(0) - exact) / (var / len(z)).sqrt()).abs().max())

    kind = {"sigma": sigma, "s": 0.7, "K": 5, "rng": rng, "mask": mask}
    images = x.expand(len(z0), -1)
    assert len(z0) > 10_000
    assert worst(z0) < quantile(8)
    got = infer(banana, images, z0, metropolis=True, **kind)
    assert got.acceptance is not None
    assert 0.1 < float(got.acceptance.mean()) < 0.95
    assert worst(got.z) < quantile(8)
    assert worst(infer(banana, images, z0, **kind).z) > 3 * quantile(8)


def test_mala_is_reversible() -> None:
    """Detailed balance: under the posterior, (z, z') and (z', z) have the same law."""
    n, rng, sigma = 40_000, seeded(), 0.4
    x = torch.tensor([[0.2, 0.1]], dtype=F64)
    grid = torch.linspace(-5, 5, 100_001, dtype=F64)
    cdf = log_posterior_on_grid(two_wells, x, grid[:, None], sigma).cumsum(0)
    u = torch.rand(n, generator=rng, dtype=F64)
    z0 = grid[torch.searchsorted(cdf, u).clamp_max(len(grid) - 1)][:, None]
    z1 = infer(two_wells, x.expand(n, -1), z0, sigma=sigma, s=0.5, K=1, rng=rng, metropolis=True).z
    pairs = [(torch.sin, torch.cos), (torch.tanh, torch.square), (torch.abs, torch.sign)]
    for f, h in pairs:
        flow = (f(z0) * h(z1) - f(z1) * h(z0))[:, 0]
        assert abs(float(flow.mean() / (flow.std() / n**0.5))) < quantile(len(pairs))


def test_acceptance_counts_the_moves_and_tends_to_one() -> None:
    n, rng, sigma, K = 400, seeded(), 0.5, 8
    g, x = linear(5, 2, sigma, n, rng)
    z0 = posterior(x, g.theta.detach(), sigma, g.mu.detach()).mean
    limit, means = largest_stable_step(g.theta.detach(), sigma), []
    for relative in (1.0, 0.3, 0.1, 0.03):
        got = infer(
            g, x, z0, sigma=sigma, s=relative * limit, K=K, rng=rng, metropolis=True, trace=True
        )
        assert got.acceptance is not None
        assert got.trace is not None
        moves = (got.trace[1:] != got.trace[:-1]).any(2).double().mean(0)
        assert torch.equal(got.acceptance, moves)
        assert got.acceptance.shape == (n,)
        means.append(float(got.acceptance.mean()))
    assert means == sorted(means)
    assert means[-1] > 0.995  # 1 - acceptance falls like s^3
    none = infer(g, x, z0, sigma=sigma, s=0.1, K=0, rng=rng, metropolis=True)
    assert none.acceptance is None


def test_mala_refuses_proposals_that_are_not_numbers() -> None:
    """g overflows away from 0: such proposals are refused, the chains stay finite."""
    g = lambda z: torch.where(z.abs() < 0.5, z, math.inf) * 1.0  # noqa: E731
    z0, x = torch.zeros(200, 1), torch.zeros(200, 1)
    got = infer(g, x, z0, sigma=1.0, s=0.8, K=20, rng=seeded(), metropolis=True)
    assert got.acceptance is not None
    assert got.z.abs().max() < 0.5
    assert 0 < float(got.acceptance.mean()) < 1


# --- nothing but z is differentiated, nothing but rng moves ------------------------------------


class Watched(torch.autograd.Function):
    """z @ weight', noting for which inputs a gradient was asked."""

    asked: list[tuple[bool, ...]]

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(z, weight)
        return z @ weight.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        Watched.asked.append(tuple(ctx.needs_input_grad))
        z, weight = ctx.saved_tensors
        to_z, to_weight = ctx.needs_input_grad
        return grads[0] @ weight if to_z else None, grads[0].mT @ z if to_weight else None


class WatchedLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, z: Tensor) -> Tensor:
        return Watched.apply(z, self.weight)


@pytest.mark.parametrize("metropolis", [False, True])
def test_no_gradient_is_computed_for_parameters(metropolis: bool) -> None:
    g, x, z = WatchedLinear(), torch.ones(4, 3), torch.zeros(4, 2)
    Watched.asked = []
    log_joint(g, z.requires_grad_(), x, sigma=0.5).sum().backward()
    assert Watched.asked == [(True, True)]  # the watch works
    g.weight.grad = None

    Watched.asked = []
    infer(g, x, d=2, sigma=0.5, s=0.1, K=3, rng=seeded(), metropolis=metropolis)
    langevin_step(g, z, x, sigma=0.5, s=0.1, rng=seeded())
    grad_z(g, z, x, sigma=0.5)
    assert Watched.asked == [(True, False)] * (3 + metropolis + 2)
    assert g.weight.grad is None
    assert g.weight.requires_grad

    marker = torch.full_like(g.weight, 7)
    g.weight.grad = marker
    infer(g, x, d=2, sigma=0.5, s=0.1, K=2, rng=seeded(), metropolis=metropolis)
    assert g.weight.grad is marker
    assert bool((marker == 7).all())

    g.weight.grad = None  # a plain function around a module stores nothing either
    infer(lambda z: g(z), x, d=2, sigma=0.5, s=0.1, K=2, rng=seeded(), metropolis=metropolis)
    assert g.weight.grad is None


def batch_normed(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        g = nn.Sequential(
            nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)
        )
        g(torch.randn(50, 2))  # leave the initial averages
    return g


class Snapshot:
    """Everything that a call must leave as it was."""

    def __init__(self, g: object, *others: object) -> None:
        self.g, self.others = g, others
        self.was = self.state()

    def state(self) -> list[Any]:
        rows: list[Any] = [torch.get_rng_state()]
        for v in self.others:
            if isinstance(v, torch.Generator):
                rows.append(v.get_state())
            elif isinstance(v, Tensor) and not v.is_meta:
                rows.append(v.detach().clone().nan_to_num(7.0))
        if isinstance(self.g, nn.Module):
            rows += [v.clone() for v in self.g.state_dict().values()]
            rows += [p.requires_grad for p in self.g.parameters()]
            rows += [p.grad for p in self.g.parameters()]
            rows += [m.training for m in self.g.modules()]
            rows += [getattr(m, "track_running_stats", None) for m in self.g.modules()]
        return rows

    def unchanged(self) -> bool:
        return len(self.was) == len(now := self.state()) and all(
            torch.equal(a, b) if isinstance(a, Tensor) else a is b
            for a, b in zip(self.was, now, strict=True)
        )


@pytest.mark.parametrize("batchnorm", ["running", "batch"])
@pytest.mark.parametrize("metropolis", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_inference_changes_nothing_of_g_and_its_inputs(
    batchnorm: str, metropolis: bool, training: bool
) -> None:
    g, x, z0 = batch_normed().train(training), torch.randn(5, 3), torch.randn(5, 2)
    g[4].bias.requires_grad_(False)
    before = Snapshot(g, x, z0)
    kind = {"sigma": 0.5, "s": 0.1, "K": 3, "rng": seeded()}
    infer(g, x, z0, batchnorm=batchnorm, metropolis=metropolis, **kind)
    infer(g, x, d=2, batchnorm=batchnorm, metropolis=metropolis, trace=True, **kind)
    langevin_step(g, z0, x, sigma=0.5, s=0.1, rng=seeded())
    assert before.unchanged()


def test_the_mode_of_g_does_not_matter_but_that_of_batchnorm_does() -> None:
    g, rng = batch_normed(), seeded()
    x = torch.randn(6, 3, generator=rng)
    z0 = torch.randn(6, 2, generator=rng)
    kind = {"sigma": 0.5, "s": 0.3, "K": 4}
    running = infer(g.train(), x, z0, rng=seeded(), **kind).z
    assert torch.equal(running, infer(g.eval(), x, z0, rng=seeded(), **kind).z)
    batch = infer(g, x, z0, rng=seeded(), batchnorm="batch", **kind).z
    assert torch.equal(batch, infer(g.train(), x, z0, rng=seeded(), batchnorm="batch", **kind).z)
    assert not torch.allclose(running, batch)

    def by_hand(z: Tensor) -> Tensor:
        hidden = nn.functional.batch_norm(
            nn.functional.linear(z, g[0].weight, g[0].bias),
            None, None, g[1].weight, g[1].bias, training=True,
        )  # fmt: skip
        return g[4](hidden.tanh())

    torch.testing.assert_close(batch, infer(by_hand, x, z0, rng=seeded(), **kind).z)
    other = torch.cat([x[:1], -x[1:]])  # other neighbours for image 0
    assert torch.equal(infer(g, other, z0, rng=seeded(), **kind).z[0], running[0])
    coupled = infer(g, other, z0, rng=seeded(), batchnorm="batch", **kind).z
    assert not torch.allclose(coupled[0], batch[0])


@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("metropolis", [False, True])
def test_hidden_pixels_are_never_read(garbage: float, metropolis: bool) -> None:
    rng = seeded()
    g = MLP(2, (1, 3, 3), hidden=(8,), rng=rng)
    x = torch.rand(5, 1, 3, 3, generator=rng)
    mask = torch.rand(5, 1, 3, 3, generator=rng) < 0.6
    spoilt = torch.where(mask, x, garbage)
    kind = {"d": 2, "sigma": 0.3, "s": 0.1, "K": 6, "mask": mask, "trace": True}
    a, b = (infer(g, v, rng=seeded(), metropolis=metropolis, **kind) for v in (x, spoilt))
    for want, got in zip(a, b, strict=True):
        assert (want is None) == (got is None)
        assert want is None or torch.equal(want, got)
    z = torch.randn(5, 2)
    one = {"sigma": 0.3, "s": 0.1, "mask": mask}
    a, b = (langevin_step(g, z, v, rng=seeded(), **one) for v in (x, spoilt))
    assert torch.equal(a, b)


# --- batches, trace, contexts ------------------------------------------------------------------


@pytest.mark.parametrize("metropolis", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 7, 100])
def test_batches_are_separate_calls_in_a_row(metropolis: bool, size: int) -> None:
    n, rng = 7, seeded()
    g, x = linear(4, 2, 0.5, n, rng)
    mask, z0 = torch.rand(n, 4, generator=rng) < 0.7, randn(n, 2, rng=rng)
    kind = {"sigma": 0.5, "s": 0.4, "K": 3, "metropolis": metropolis, "trace": True}
    a, b = clone(rng), clone(rng)
    got = infer(g, x, z0, rng=a, mask=mask, batch_size=size, **kind)
    cut = torch.arange(n).tensor_split(math.ceil(n / size))
    assert max(map(len, cut)) <= size
    parts = [infer(g, x[i], z0[i], rng=b, mask=mask[i], **kind) for i in cut]
    torch.testing.assert_close(got.z, torch.cat([p.z for p in parts]))
    torch.testing.assert_close(got.trace, torch.cat([p.trace for p in parts], 1))
    if metropolis:
        assert torch.equal(got.acceptance, torch.cat([p.acceptance for p in parts]))
    assert torch.equal(a.get_state(), b.get_state())


def test_batches_follow_the_same_law() -> None:
    n, rng = 20_000, seeded()
    g, x = linear(5, 2, 0.4, n, rng)
    z = infer(g, x, d=2, sigma=0.4, s=0.2, K=5, rng=rng, batch_size=999).z
    assert_law(z, k_step_law(x, g.theta.detach(), 0.4, s=0.2, K=5, mu=g.mu.detach()))


def test_the_start_is_the_prior_and_the_same_seed_gives_the_same_run() -> None:
    g, x = linear(3, 4, 0.5, 5, seeded(1))
    kind = {"d": 4, "sigma": 0.5, "s": 0.2}
    start = infer(g, x, K=0, rng=seeded(), **kind)
    assert torch.equal(start.z, randn(5, 4, rng=seeded()))
    a, b, c = (infer(g, x, K=3, rng=seeded(i), **kind).z for i in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("K", [0, 1, 3])
@pytest.mark.parametrize("metropolis", [False, True])
def test_results_share_no_memory(K: int, metropolis: bool) -> None:
    g, x = linear(3, 2, 0.5, 4, seeded())
    z0 = randn(4, 2, rng=seeded())
    kind = {"sigma": 0.5, "s": 0.2, "K": K, "metropolis": metropolis}
    got = infer(g, x, z0, rng=seeded(), trace=True, **kind)
    assert got.trace is not None
    assert got.trace.shape == (K + 1, 4, 2)
    assert torch.equal(got.trace[0], z0)
    assert torch.equal(got.trace[-1], got.z)
    kept = got.trace.clone()
    got.z.fill_(99)
    assert torch.equal(got.trace, kept)
    got.trace.fill_(99)
    assert torch.equal(z0, randn(4, 2, rng=seeded()))
    assert infer(g, x, z0, rng=seeded(), **kind).trace is None


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("metropolis", [False, True])
def test_any_context(context: Callable[[], Any], metropolis: bool) -> None:
    rng = seeded()
    g = MLP(2, (3,), hidden=(8,), rng=rng)
    x, z0 = torch.rand(5, 3, generator=rng), torch.randn(5, 2, generator=rng)
    mask = torch.rand(5, 3, generator=rng) < 0.6
    kind = {"sigma": 0.3, "s": 0.1, "K": 3, "metropolis": metropolis}
    want = infer(g, x, z0, mask=mask, rng=seeded(), **kind).z
    with context():
        got = infer(g, x.clone(), z0.clone(), mask=mask.clone(), rng=seeded(), **kind).z
        noise = infer(g, x.clone(), d=2, mask=mask.clone(), rng=seeded(), **kind).z
        step = langevin_step(g, z0.clone(), x.clone(), sigma=0.3, s=0.1, rng=seeded())
        outside = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    assert outside == (context is torch.enable_grad, context is torch.inference_mode)
    assert torch.equal(got, want)
    for z in (got, noise, step):
        assert not z.requires_grad
        assert not z.is_inference()  # usable for learning


def test_inputs_that_require_grad_or_are_not_contiguous() -> None:
    rng = seeded()
    g, x = linear(4, 2, 0.5, 6, rng)
    z0, kind = randn(6, 2, rng=rng), {"sigma": 0.5, "s": 0.2, "K": 4}
    want = infer(g, x, z0, rng=seeded(), **kind).z
    x_r, z_r = x.clone().requires_grad_(), z0.clone().requires_grad_()
    got = infer(g, x_r, z_r, rng=seeded(), **kind).z
    assert torch.equal(got, want)
    assert not got.requires_grad
    assert x_r.grad is None
    assert z_r.grad is None
    x_t, z_t = x.mT.contiguous().mT, z0.mT.contiguous().mT
    torch.testing.assert_close(infer(g, x_t, z_t, rng=seeded(), **kind).z, want)
    one = infer(g, x[:1], z0[:1], rng=seeded(), **kind).z
    assert one.shape == (1, 2)


def test_numbers_of_any_kind() -> None:
    g, x = linear(3, 2, 0.5, 4, seeded())
    want = infer(g, x, d=2, sigma=1.0, s=1.0, K=2, rng=seeded(), batch_size=3).z
    for kind, whole in ((np.float32, np.int64), (torch.tensor, torch.tensor), (int, int)):
        two, three, one = whole(2), whole(3), kind(1)
        got = infer(g, x, d=two, sigma=one, s=one, K=two, rng=seeded(), batch_size=three)
        assert torch.equal(got.z, want)


# --- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [None, 2])
def test_divergence_is_an_error_that_changes_nothing(d: int | None) -> None:
    g, x = linear(5, 2, 0.1, 4, seeded())
    z0, rng = (randn(4, 2, rng=seeded()) if d is None else None), seeded()
    before = Snapshot(g, x, z0, rng)
    with pytest.raises(
        FloatingPointError, match=r"z must stay finite; got 4 of 4 chains.*smaller s"
    ):
        infer(g, x, z0, d=d, sigma=0.1, s=1.0, K=300, rng=rng)
    assert before.unchanged()


def test_a_step_to_infinity_is_an_error_too() -> None:
    g = lambda z: 1e30 * z  # noqa: E731
    rng = seeded()
    before = Snapshot(None, rng)
    with pytest.raises(FloatingPointError, match="1 of 1 chains that diverged within 1 steps"):
        langevin_step(g, torch.ones(1, 1), torch.ones(1, 1), sigma=0.3, s=1.0, rng=rng)
    assert before.unchanged()


def test_an_error_inside_g_changes_nothing() -> None:
    class Fragile(nn.Linear):
        calls = 0

        def forward(self, z: Tensor) -> Tensor:
            Fragile.calls += 1
            if Fragile.calls == 4:
                raise KeyboardInterrupt
            return super().forward(z)

    g, rng, x = Fragile(2, 3), seeded(), torch.zeros(4, 3)
    before = Snapshot(g, rng, x)
    with pytest.raises(KeyboardInterrupt):
        infer(g, x, d=2, sigma=0.3, s=0.1, K=10, rng=rng)
    assert before.unchanged()


X, Z0 = torch.zeros(4, 3), torch.zeros(4, 2)
NAN_X = torch.tensor([[0.0, 0.0, 0.0], [0.0, math.nan, 0.0]]).repeat(2, 1)
SHARED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"g": None}, TypeError, "g must be callable"),
    ({"g": "g"}, TypeError, "g must be callable"),
    ({"x": None}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.int()}, TypeError, "x must have a floating-point dtype"),
    ({"x": X[:0]}, ValueError, "x must not be empty"),
    ({"x": X[0]}, ValueError, "x must have a batch axis first"),
    ({"x": torch.zeros(4, 4)}, ValueError, "g(z) must have the shape of x"),
    ({"x": NAN_X}, ValueError, "wherever it is visible; got NaN or infinity in image 1"),
    ({"x": X.to("meta")}, ValueError, "x must hold values"),
    ({"sigma": 0}, ValueError, "sigma must be greater than 0"),
    ({"sigma": -1.0}, ValueError, "sigma must be greater than 0"),
    ({"sigma": math.nan}, ValueError, "sigma"),
    ({"sigma": "1"}, TypeError, "sigma must be a real number"),
    ({"s": 0.0}, ValueError, "s must lie in (0, 2): Eq. (8) multiplies z by 1 - s^2/2"),
    ({"s": 2.0}, ValueError, "s must lie in (0, 2)"),
    ({"s": 3.0}, ValueError, "under the prior; got 3.0. Try 0.03."),
    ({"s": -0.1}, ValueError, "s must lie in (0, 2)"),
    ({"s": math.nan}, ValueError, "s must lie in (0, 2)"),
    ({"s": None}, TypeError, "s must be a real number"),
    ({"s": True}, TypeError, "s must be a real number"),
    ({"rng": None}, TypeError, "rng must be a torch.Generator"),
    ({"rng": 0}, TypeError, "rng must be a torch.Generator"),
    ({"rng": np.random.default_rng(0)}, TypeError, "rng must be a torch.Generator"),
    ({"mask": [1, 1, 1]}, TypeError, "mask must be a torch.Tensor or None"),
    ({"mask": torch.ones(2, 3)}, ValueError, "mask must have the shape of x"),
    ({"mask": torch.full((3,), 0.5)}, ValueError, "mask must hold only 0"),
    ({"mask": torch.ones(3, device="meta")}, ValueError, "mask must be on the device of x"),
]  # fmt: skip


def start_cases(name: str) -> list[tuple[dict[str, Any], type[Exception], str]]:
    """Wrong starting points, called z0 by one function and z by the other."""
    return [
        ({name: Z0.numpy()}, TypeError, f"{name} must be a torch.Tensor"),
        ({name: "zeros"}, TypeError, f"{name} must be a torch.Tensor"),
        ({name: Z0.long()}, TypeError, f"{name} must have a floating-point dtype"),
        ({name: Z0[:0]}, ValueError, f"{name} must not be empty"),
        ({name: Z0[0]}, ValueError, f"{name} must have 2 axes"),
        ({name: Z0[:3]}, ValueError, f"{name} must have one row for each of the 4 images"),
        ({name: torch.zeros(4, 7)}, ValueError, "g must accept latents of shape (n, 7)"),
        ({name: Z0.double()}, ValueError, f"x must have the dtype of {name}"),
        ({name: Z0.to("meta")}, ValueError, f"{name} must hold values"),
        ({name: Z0 + math.nan}, ValueError, f"{name} must be finite"),
        ({name: Z0.double(), "x": X.double()}, ValueError, "g must accept latents"),
    ]


INFER: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"K": -1}, ValueError, "K must be at least 0; got -1."),
    ({"K": 2.0}, TypeError, "K must be a whole number"),
    ({"K": True}, TypeError, "K must be a whole number"),
    ({"K": None}, TypeError, "K must be a whole number"),
    ({"z0": None}, TypeError, "d must be a whole number; got None (NoneType). Pass the dimension"),
    ({"z0": None, "d": 0}, ValueError, "d must be at least 1; got 0."),
    ({"z0": None, "d": 2.0}, TypeError, "d must be a whole number"),
    ({"z0": None, "d": 3}, ValueError, "g must accept latents of shape (n, 3)"),
    ({"z0": None, "d": 2, "x": X.double()}, ValueError, "x must have the dtype of the parameters"),
    ({"z0": None, "d": 2, "x": NAN_X}, ValueError, "x must be finite"),
    ({"z0": None, "d": 2, "x": X.to("meta")}, ValueError, "x must hold values"),
    ({"z0": None, "d": 2, "s": 5}, ValueError, "s must lie in"),
    ({"z0": None, "d": 2, "batchnorm": "eval"}, ValueError, "batchnorm must be one of"),
    ({"d": 3}, ValueError, "d must be the number of columns of z0, 2; got 3. Leave d out."),
    ({"d": 2.0}, TypeError, "d must be a whole number"),
    ({"metropolis": 1}, TypeError, "metropolis must be a bool"),
    ({"trace": "yes"}, TypeError, "trace must be a bool"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"batch_size": 2.5}, TypeError, "batch_size must be a whole number"),
    ({"batchnorm": "train"}, ValueError, "batchnorm must be one of 'running', 'batch'"),
    ({"batchnorm": None}, TypeError, "batchnorm must be one of"),
    ({"batchnorm": "batch", "batch_size": 1}, ValueError, "'batch' needs 2 images in every batch"),
    ({"batchnorm": "batch", "batch_size": 3, "x": X[:1], "z0": Z0[:1]}, ValueError, "2 images"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    SHARED + start_cases("z0") + INFER,
    ids=lambda v: str(v).split(" at 0x")[0][:50],
)
def test_bad_input_to_infer(change: dict[str, Any], kind: type[Exception], says: str) -> None:
    g, rng = batch_normed(), seeded()
    call = {"g": g, "x": X, "z0": Z0, "sigma": 0.3, "s": 0.1, "K": 2, "rng": rng} | change
    before = Snapshot(g, rng, *call.values())
    with pytest.raises(kind) as error:
        infer(call.pop("g"), call.pop("x"), call.pop("z0"), **call)
    assert says in str(error.value)
    assert before.unchanged()


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    SHARED + start_cases("z"),
    ids=lambda v: str(v).split(" at 0x")[0][:50],
)
def test_bad_input_to_langevin_step(
    change: dict[str, Any], kind: type[Exception], says: str
) -> None:
    g, rng = batch_normed(), seeded()
    call = {"g": g, "z": Z0, "x": X, "sigma": 0.3, "s": 0.1, "rng": rng} | change
    before = Snapshot(g, rng, *call.values())
    with pytest.raises(kind) as error:
        langevin_step(call.pop("g"), call.pop("z"), call.pop("x"), **call)
    assert says in str(error.value)
    assert before.unchanged()


def test_k_0_checks_its_arguments_too() -> None:
    with pytest.raises(ValueError, match="g must accept latents"):
        infer(batch_normed(), X, d=9, sigma=0.3, s=0.1, K=0, rng=seeded())
