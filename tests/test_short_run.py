"""The K-step law: against simulation, against its own limits, and at the edge of stability."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import F64, randn, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor

from mcmcot_lite import LinearGenerator, infer
from mcmcot_lite.factor_analysis import Gaussian, posterior
from mcmcot_lite.short_run import aggregate, k_step_law, largest_stable_step, stationary_law

torch.set_num_threads(1)
quick = settings(derandomize=True, deadline=None, max_examples=20, database=None)


def problem(
    n: int = 5, D: int = 6, d: int = 3, diagonal: bool = False, offset: int = 0
) -> tuple[Tensor, Tensor, float | Tensor, Tensor]:
    """x, theta, sigma, mu."""
    rng = seeded(offset)
    theta, mu, x = randn(D, d, rng=rng), randn(D, rng=rng), 2 * randn(n, D, rng=rng)
    sigma = 0.5 + torch.rand(D, generator=rng, dtype=F64) if diagonal else 0.8
    return x, theta, sigma, mu


def random_law(n: int, d: int, rng: torch.Generator) -> Gaussian:
    root = randn(d, d, rng=rng)
    return Gaussian(randn(n, d, rng=rng), root @ root.T)


# --- the recursion -----------------------------------------------------------------------------


@quick
@given(
    n=st.integers(1, 4),
    D=st.integers(1, 6),
    d=st.integers(1, 4),
    K=st.integers(0, 8),
    s=st.floats(0.01, 1.99),
    diagonal=st.booleans(),
    begin=st.sampled_from(["noise", "one", "each"]),
    offset=st.integers(0, 99),
)
def test_closed_form_in_the_eigenbasis(
    n: int, D: int, d: int, K: int, s: float, diagonal: bool, begin: str, offset: int
) -> None:
    """m_K = T^K m_0 + (I - T^K) P^-1 c, C_K = T^K C_0 T^K + s^2 (I + T^2 + ... + T^2(K-1))."""
    x, theta, sigma, mu = problem(n, D, d, diagonal, offset)
    rows = {"noise": 0, "one": 1, "each": n}[begin]
    start = random_law(rows, d, seeded(offset + 1)) if rows else None
    law = k_step_law(x, theta, sigma, s=s, K=K, mu=mu, start=start)
    noise = torch.as_tensor(sigma, dtype=F64).expand(D)
    P = theta.T @ torch.diag(1 / noise**2) @ theta + torch.eye(d, dtype=F64)
    values, Q = torch.linalg.eigh(P)
    t = 1 - s**2 / 2 * values
    limit = torch.linalg.solve(P, ((x - mu) / noise**2 @ theta).T).T
    m0, C0 = start or Gaussian(torch.zeros(1, d, dtype=F64), torch.eye(d, dtype=F64))
    power = Q @ torch.diag(t**K) @ Q.T
    series = torch.stack([t ** (2 * k) for k in range(K)]).sum(0) if K else torch.zeros_like(t)
    want_m = m0 @ power + limit @ (torch.eye(d, dtype=F64) - power)
    want_C = power @ C0 @ power + s**2 * Q @ torch.diag(series) @ Q.T
    torch.testing.assert_close(law.mean, want_m, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(law.cov, want_C, rtol=1e-7, atol=1e-7)
    assert law.mean.shape == (n, d)


def test_laws_compose() -> None:
    x, theta, sigma, mu = problem()
    kind = {"s": 0.3, "mu": mu}
    whole = k_step_law(x, theta, sigma, K=7, **kind)
    first = k_step_law(x, theta, sigma, K=3, **kind)
    both = k_step_law(x, theta, sigma, K=4, start=first, **kind)
    torch.testing.assert_close(both.mean, whole.mean)
    torch.testing.assert_close(both.cov, whole.cov)


@pytest.mark.parametrize("K", [1, 4, 25])
@pytest.mark.parametrize("diagonal", [False, True])
def test_against_simulation_by_hand(K: int, diagonal: bool) -> None:
    """Chains of Eq. (8) written out, also with one noise level a pixel (infer has one for all)."""
    n, s = 30_000, 0.35
    x, theta, sigma, mu = problem(1, 5, 2, diagonal)
    rng = seeded(3)
    start = random_law(1, 2, seeded(4))
    z = start.mean + randn(n, 2, rng=rng) @ torch.linalg.cholesky(start.cov).T
    for _ in range(K):
        grad = ((x - mu - z @ theta.T) / torch.as_tensor(sigma) ** 2) @ theta - z
        z = z + s**2 / 2 * grad + s * randn(n, 2, rng=rng)
    m, C = k_step_law(x, theta, sigma, s=s, K=K, mu=mu, start=start)
    var, r = C.diagonal(), z - m
    scores = torch.cat([
        (r.mean(0) / (var / n).sqrt()),
        ((r.T @ r / n - C) / ((var[:, None] * var + C**2) / n).sqrt()).flatten(),
    ])  # fmt: skip
    assert float(scores.abs().max()) < float(norm.isf(1e-6 / (2 * 5)))


# --- its limits --------------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("relative", [0.1, 0.5, 0.97])
def test_many_steps_reach_the_stationary_law(diagonal: bool, relative: float) -> None:
    x, theta, sigma, mu = problem(diagonal=diagonal)
    s = relative * largest_stable_step(theta, sigma)
    far = Gaussian(torch.full((1, 3), 5.0, dtype=F64), 9 * torch.eye(3, dtype=F64))
    want = stationary_law(x, theta, sigma, s=s, mu=mu)
    P = torch.linalg.inv(posterior(x, theta, sigma, mu).cov)
    radius = float((1 - s**2 / 2 * torch.linalg.eigvalsh(P)).abs().max())
    K = math.ceil(math.log(1e-12) / math.log(radius))  # until the start has faded
    law = k_step_law(x, theta, sigma, s=s, K=K, mu=mu, start=far)
    torch.testing.assert_close(law.mean, want.mean)
    torch.testing.assert_close(law.cov, want.cov)
    again = k_step_law(x, theta, sigma, s=s, K=1, mu=mu, start=want)  # a fixed point
    torch.testing.assert_close(again.mean, want.mean)
    torch.testing.assert_close(again.cov, want.cov)


def test_the_bias_vanishes_with_the_square_of_the_step() -> None:
    """Means are exact for any s; the covariance is too large by s^2/4 I + O(s^4)."""
    x, theta, sigma, mu = problem()
    exact = posterior(x, theta, sigma, mu)
    eye = torch.eye(3, dtype=F64)
    for s in (0.1, 0.03, 0.01):
        law = stationary_law(x, theta, sigma, s=s, mu=mu)
        torch.testing.assert_close(law.mean, exact.mean)
        excess = (law.cov - exact.cov) / s**2
        assert float(torch.linalg.eigvalsh(excess)[0]) > 0
        lam = float(torch.linalg.eigvalsh(torch.linalg.inv(exact.cov))[-1])
        bound = lam * s**2 / 16 / (1 - lam * s**2 / 4)  # the rest of the geometric series
        assert float((excess - eye / 4).abs().max()) <= bound * (1 + 1e-6)


def test_tiny_steps_are_no_division_by_zero() -> None:
    x, theta, sigma, mu = problem()
    exact = posterior(x, theta, sigma, mu)
    law = stationary_law(x, theta, sigma, s=1e-200, mu=mu)
    torch.testing.assert_close(law.mean, exact.mean)
    torch.testing.assert_close(law.cov, exact.cov)
    still = k_step_law(x, theta, sigma, s=1e-200, K=3, mu=mu)
    assert torch.equal(still.cov, torch.eye(3, dtype=F64))
    assert not still.mean.any()


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_stability_limit_is_sharp(diagonal: bool) -> None:
    x, theta, sigma, mu = problem(diagonal=diagonal)
    limit = largest_stable_step(theta, sigma)
    assert 0 < limit <= 2
    below, above = (1 - 1e-6) * limit, (1 + 1e-6) * limit
    sizes = []
    for s in (below, above):
        T = 1 - s**2 / 2 * torch.linalg.eigvalsh(
            theta.T @ torch.diag(1 / torch.as_tensor(sigma, dtype=F64).expand(6) ** 2) @ theta
            + torch.eye(3, dtype=F64)
        )
        sizes.append(float(T.abs().max()))
    assert sizes[0] < 1 < sizes[1]
    assert stationary_law(x, theta, sigma, s=below, mu=mu).cov.isfinite().all()
    for s in (limit, above):
        with pytest.raises(ValueError, match=r"s must be below the stability limit .* diverge"):
            stationary_law(x, theta, sigma, s=s, mu=mu)
    spread = [
        float(k_step_law(x, theta, sigma, s=relative * limit, K=3000, mu=mu).cov.diagonal().max())
        for relative in (0.99, 1.01)
    ]
    assert spread[0] < 100
    assert spread[1] > 1e20


def test_the_limit_is_2_without_a_likelihood_and_falls_with_sigma() -> None:
    theta = torch.zeros(4, 2, dtype=F64)
    assert largest_stable_step(theta, 0.3) == 2.0
    _, theta, _, _ = problem()
    limits = [largest_stable_step(theta, sigma) for sigma in (3.0, 1.0, 0.3, 0.1)]
    assert limits == sorted(limits, reverse=True)
    top = float(torch.linalg.matrix_norm(theta, 2)) ** 2
    assert limits[2] == pytest.approx(2 / math.sqrt(top / 0.09 + 1))


def test_infer_diverges_beyond_the_limit_and_not_below() -> None:
    x, theta, sigma, mu = problem()
    assert isinstance(sigma, float)
    g, limit = LinearGenerator(theta, mu), largest_stable_step(theta, sigma)
    infer(g, x, d=3, sigma=sigma, s=0.98 * limit, K=300, rng=seeded())
    with pytest.raises(FloatingPointError, match="diverged"):
        infer(g, x, d=3, sigma=sigma, s=1.4 * limit, K=800, rng=seeded())


# --- the aggregated law ------------------------------------------------------------------------


def test_aggregate_is_the_mixture() -> None:
    """Mean and covariance of a uniform choice of image, then a draw: exact, and by simulation."""
    law = random_law(5, 2, seeded())
    centre, cov = aggregate(law)
    assert centre.shape == (1, 2)
    m = law.mean
    second = sum((law.cov + torch.outer(v, v) for v in m), torch.zeros(2, 2, dtype=F64)) / 5
    torch.testing.assert_close(cov, second - torch.outer(m.mean(0), m.mean(0)))
    n, rng = 40_000, seeded(1)
    root = torch.linalg.cholesky(law.cov)
    z = m.repeat(n // 5, 1) + randn(n, 2, rng=rng) @ root.T
    r = z - centre
    products = torch.stack([r[:, 0], r[:, 1], r[:, 0] ** 2, r[:, 0] * r[:, 1], r[:, 1] ** 2], 1)
    want = torch.stack([cov[0, 0] * 0, cov[0, 0] * 0, cov[0, 0], cov[0, 1], cov[1, 1]])
    scores = (products.mean(0) - want) / (products.std(0) / n**0.5)
    assert float(scores.abs().max()) < float(norm.isf(1e-6 / (2 * 5)))


def test_one_image_aggregates_to_its_own_law() -> None:
    law = random_law(1, 3, seeded())
    both = aggregate(law)
    torch.testing.assert_close(both.mean, law.mean)
    torch.testing.assert_close(both.cov, law.cov)


def test_results_share_no_memory_and_inputs_stay() -> None:
    x, theta, sigma, mu = problem()
    start = random_law(5, 3, seeded())
    kept = [t.clone() for t in (x, theta, mu, *start)]
    laws = [
        k_step_law(x, theta, sigma, s=0.1, K=0, mu=mu, start=start),
        k_step_law(x, theta, sigma, s=0.1, K=2, mu=mu, start=Gaussian(start.mean[:1], start.cov)),
        stationary_law(x, theta, sigma, s=0.1, mu=mu),
        aggregate(start),
        aggregate(Gaussian(start.mean[:1], start.cov)),
    ]
    torch.testing.assert_close(laws[0].mean, start.mean)
    for law in laws:
        law.mean.fill_(99)
        law.cov.fill_(99)
    assert all(torch.equal(a, b) for a, b in zip(kept, (x, theta, mu, *start), strict=True))


def test_parameters_of_a_generator_can_be_passed_as_they_are() -> None:
    x, theta, sigma, mu = problem()
    g = LinearGenerator(theta, mu)
    kind = {"s": 0.1, "mu": g.mu}
    a, b = (k_step_law(x, t, sigma, K=3, s=0.1, mu=m) for t, m in [(g.theta, g.mu), (theta, mu)])
    torch.testing.assert_close(a.mean, b.mean)
    limit = largest_stable_step(theta, sigma)
    assert largest_stable_step(g.theta, sigma) == pytest.approx(limit)
    law = stationary_law(x, g.theta, sigma, **kind)
    torch.testing.assert_close(aggregate(law).cov, aggregate(stationary_law(
        x, theta, sigma, s=0.1, mu=mu)).cov)  # fmt: skip
    assert k_step_law(x, g.theta, sigma, K=1, start=law, **kind).mean.shape == (5, 3)


def test_single_precision() -> None:
    x, theta, sigma, mu = problem()
    law = k_step_law(x.float(), theta.float(), sigma, s=0.3, K=5, mu=mu.float())
    assert law.mean.dtype == law.cov.dtype == torch.float32
    exact = k_step_law(x, theta, sigma, s=0.3, K=5, mu=mu)
    torch.testing.assert_close(law.mean.double(), exact.mean, rtol=1e-4, atol=1e-5)


# --- bad input ---------------------------------------------------------------------------------

X, THETA = torch.zeros(3, 5), torch.ones(5, 2)
MEAN, COV = torch.zeros(3, 2), torch.eye(2)
MODEL: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"theta": None}, TypeError, "theta must be a torch.Tensor"),
    ({"theta": THETA[0]}, ValueError, "theta must have 2 axes"),
    ({"theta": THETA * math.nan}, ValueError, "theta must be finite"),
    ({"theta": THETA.to("meta")}, ValueError, "theta must hold values"),
    ({"sigma": 0.0}, ValueError, "sigma must be greater than 0"),
    ({"sigma": None}, TypeError, "sigma must be a real number"),
    ({"sigma": -torch.ones(5)}, ValueError, "sigma must be positive in every pixel"),
]
IMAGES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"x": None}, TypeError, "x must be a torch.Tensor"),
    ({"x": X[:, :4]}, ValueError, "x must have shape (any, 5)"),
    ({"x": X.double()}, ValueError, "x must have the dtype of theta"),
    ({"x": X + math.inf}, ValueError, "x must be finite"),
    ({"x": X.to("meta")}, ValueError, "x must be on the device of theta"),
    ({"mu": torch.zeros(2)}, ValueError, "mu must have shape (5,)"),
    ({"s": 0.0}, ValueError, "s must lie in (0, 2)"),
    ({"s": 2.0}, ValueError, "s must lie in (0, 2)"),
    ({"s": "0.1"}, TypeError, "s must be a real number"),
]
STEPS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"K": -1}, ValueError, "K must be at least 0"),
    ({"K": 1.0}, TypeError, "K must be a whole number"),
    ({"K": None}, TypeError, "K must be a whole number"),
]


def law_cases(name: str) -> list[tuple[dict[str, Any], type[Exception], str]]:
    G = Gaussian
    return [
        ({name: (MEAN, COV)}, TypeError, f"{name} must be a Gaussian; got (tensor"),
        ({name: G(None, COV)}, TypeError, f"{name}.mean must be a torch.Tensor"),
        ({name: G(MEAN, None)}, TypeError, f"{name}.cov must be a torch.Tensor"),
        ({name: G(MEAN[0], COV)}, ValueError, f"{name}.mean must have 2 axes"),
        ({name: G(MEAN[:0], COV)}, ValueError, f"{name}.mean must not be empty"),
        ({name: G(MEAN * math.nan, COV)}, ValueError, f"{name}.mean must be finite"),
        ({name: G(MEAN.half(), COV.half())}, TypeError, f"{name}.mean must be float32 or float64"),
        ({name: G(MEAN, torch.eye(3))}, ValueError, f"{name}.cov must have shape (2, 2)"),
        ({name: G(MEAN, COV.double())}, ValueError, f"{name}.cov must have the dtype"),
        ({name: G(MEAN, COV.to("meta"))}, ValueError, f"{name}.cov must be on the device"),
        ({name: G(MEAN, COV * math.inf)}, ValueError, f"{name}.cov must be finite"),
        ({name: G(MEAN, -COV)}, ValueError, f"{name}.cov must be symmetric and positive"),
        ({name: G(MEAN, COV + COV[[1, 1]])}, ValueError, f"{name}.cov must be symmetric"),
    ]


START: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"start": Gaussian(MEAN[:2], COV)}, ValueError, "must have shape (3, 2) or (1, 2)"),
    ({"start": Gaussian(torch.zeros(3, 4), torch.eye(4))}, ValueError, "or (1, 2); got shape (3,"),
    ({"start": Gaussian(MEAN.double(), COV.double())}, ValueError, "start.mean must have the"),
]  # fmt: skip


def refuses(f: Callable[[], object], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=r"^[\w.]+ must .*; got .*\. .*\.$") as error:
        f()
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    MODEL + IMAGES + STEPS + START + law_cases("start"),
    ids=lambda v: str(v)[:40],
)
def test_bad_input_to_the_laws(change: dict[str, Any], kind: type[Exception], says: str) -> None:
    call = {"x": X, "theta": THETA, "sigma": 0.3, "s": 0.1} | change
    refuses(lambda: k_step_law(**({"K": 2} | call)), kind, says)
    if not {"K", "start"} & set(change):
        refuses(lambda: stationary_law(**call), kind, says)
    if {"theta", "sigma"} & set(change):
        refuses(lambda: largest_stable_step(call["theta"], call["sigma"]), kind, says)


@pytest.mark.parametrize(("change", "kind", "says"), law_cases("law"), ids=lambda v: str(v)[:40])
def test_bad_input_to_aggregate(change: dict[str, Any], kind: type[Exception], says: str) -> None:
    refuses(lambda: aggregate(change["law"]), kind, says)


def test_an_overflowing_law_is_an_error() -> None:
    x, theta, sigma, mu = problem()
    s = 1.9
    with pytest.raises(FloatingPointError, match=r"must stay finite; .*stability limit"):
        k_step_law(x, theta, sigma, s=s, K=5000, mu=mu)
