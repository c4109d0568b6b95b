"""The two numbers of the book against closed forms and against POT."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from scipy import linalg, stats

from mcmcot_lite import distance_to_prior, exact_map, frechet_distance, mse


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


# ---- distance to the prior


def test_value_floor_and_error_are_those_of_pot():
    """The same draws, the costs by POT from distances that nothing expands."""
    z_hat, rng = 0.5 * normal(0, 40, 3) + 1, seeded(1)
    found = distance_to_prior(z_hat, rng=seeded(1), draws=3)
    cost = lambda a, b: float(ot.emd2([], [], ot.dist(a.numpy(), b.numpy())))  # noqa: E731
    values, floors = [], []
    for _ in range(3):
        order = torch.randperm(40, generator=rng)
        z = torch.randn(40, 3, generator=rng, dtype=torch.float64)
        values.append(cost(z_hat[order], z))
        floors.append(cost(torch.randn(40, 3, generator=rng, dtype=torch.float64), z))
    assert found.value == pytest.approx(np.mean(values), rel=1e-12)
    assert found.floor == pytest.approx(np.mean(floors), rel=1e-12)
    assert found.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(3), rel=1e-9)
    assert found.n == 40


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (2.0, 1.0), (0.0, 0.2), (-1.0, 3.0)])
def test_gaussian_in_one_dimension(mean, std):
    """W2^2 of N(m, s^2) to N(0, 1) is m^2 + (s - 1)^2; the estimate is a little above it.

    Latents are m + s q with n quantiles q, so only the sorted prior samples y are random, and
    E value = m^2 + s^2 v + 1 - 2 s <q, E y>, v = mean q^2. By Cauchy and Schwarz <q, E y> is at
    most 1; and 2 - 2 <E y, E y> is the floor, with E y close to q.
    """
    n = 300
    quantiles = torch.from_numpy(stats.norm.ppf((np.arange(n) + 0.5) / n))[:, None]
    found = distance_to_prior(mean + std * quantiles, rng=seeded(), draws=10)
    truth = mean**2 + (std - 1) ** 2
    missed = std**2 * (1 - float(quantiles.square().mean()))
    slack = stats.t.isf(1e-4, 9) * found.stderr
    assert truth - missed - slack <= found.value <= truth + 2 * std * found.floor + slack


def test_of_a_prior_sample_is_the_floor():
    found = [distance_to_prior(normal(k, 150, 2), rng=seeded(k), draws=4) for k in range(12)]
    excess = np.array([f.value - f.floor for f in found])  # expectation 0
    assert abs(excess.mean()) < stats.t.isf(5e-4, 11) * excess.std(ddof=1) / math.sqrt(12)


@pytest.mark.parametrize("c", [0.0, 0.5, 1.7])
def test_a_scaled_sample_keeps_its_pairs_so_its_value_is_known(c):
    """W(c x, y) = c W(x, y) + (c^2 - c) |x|^2 + (1 - c) |y|^2; mean d (c - 1)^2 + c floor."""
    rng = torch.Generator().manual_seed(3)
    x, y = torch.randn(2, 300, 6, generator=rng, dtype=torch.float64)
    a, b = (float(v.square().sum(1).mean()) for v in (x, y))
    want = c * exact_map(x, y).primal + (c * c - c) * a + (1 - c) * b
    assert exact_map(c * x, y).primal == pytest.approx(want, rel=1e-9)


def test_against_a_prior_of_your_own():
    """Scaled by 3 and shifted, latents and prior: all is 9 times that of N(0, I)."""
    z_hat = normal(0, 80, 3) + 0.5
    plain = distance_to_prior(z_hat, rng=seeded(1))

    def prior(n, rng):
        return 3 * torch.randn(n, 3, generator=rng, dtype=torch.float64) - 1

    own = distance_to_prior(3 * z_hat - 1, rng=seeded(1), prior=prior)
    assert own.value == pytest.approx(9 * plain.value, rel=1e-9)
    assert own.floor == pytest.approx(9 * plain.floor, rel=1e-9)
    assert own.stderr == pytest.approx(9 * plain.stderr, rel=1e-6)


@pytest.mark.parametrize(
    ("prior", "kind", "words"),
    [
        (3, TypeError, "prior must be a function"),
        (lambda n: None, TypeError, "prior must take 2 arguments"),
        (
            lambda n, rng: torch.zeros(n + 1, 3).double(),
            ValueError,
            "prior's latents must have shape",
        ),
        (lambda n, rng: torch.zeros(n, 3), ValueError, "prior's latents must have the dtype"),
        (lambda n, rng: None, TypeError, "prior's latents"),
    ],
)
def test_a_prior_that_is_none(prior, kind, words):
    rng = seeded()
    with pytest.raises(kind, match=f"^{words}"):
        distance_to_prior(normal(0, 8, 3), rng=rng, prior=prior)


def test_the_floor_grows_with_the_dimension_and_falls_with_n():
    floor = lambda n, d: distance_to_prior(normal(0, n, d), rng=seeded(1)).floor  # noqa: E731
    assert floor(50, 1) < floor(50, 2) < floor(50, 8) < floor(50, 30)
    assert floor(400, 2) < floor(50, 2)


def test_far_clouds_give_the_squared_distance_of_the_means():
    shift = 1e4
    found = distance_to_prior(normal(0, 100, 2) + shift, rng=seeded())
    assert found.value == pytest.approx(2 * shift**2, rel=1e-4)


def test_subset_dtype_and_limits():
    z_hat = normal(0, 2100, 2, dtype=torch.float32)
    assert distance_to_prior(z_hat, rng=seeded(), n=50, draws=2).n == 50
    assert distance_to_prior(z_hat[:1], rng=seeded(), draws=2).n == 1
    leaf = z_hat[:30].clone().requires_grad_(True)
    a = distance_to_prior(leaf, rng=seeded())
    with torch.inference_mode():
        assert distance_to_prior(z_hat[:30], rng=seeded()) == a
    assert leaf.grad is None
    assert a == distance_to_prior(z_hat[:30], rng=seeded())
    assert a != distance_to_prior(z_hat[:30], rng=seeded(1))


Z = normal(0, 20, 2)


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        ({"z_hat": None}, TypeError, "z_hat"),
        ({"z_hat": Z.long()}, TypeError, "z_hat"),
        ({"z_hat": Z[:, 0]}, ValueError, "z_hat"),
        ({"z_hat": Z[:0]}, ValueError, "z_hat"),
        ({"z_hat": Z * math.nan}, ValueError, "z_hat"),
        ({"z_hat": Z.to("meta")}, ValueError, "z_hat"),
        ({"rng": None}, TypeError, "rng"),
        ({"draws": 1}, ValueError, "draws"),
        ({"draws": 2.0}, TypeError, "draws"),
        ({"n": 0}, ValueError, "n"),
        ({"n": 21}, ValueError, "n must be at most 20"),
        ({"n": True}, TypeError, "n"),
    ],
)
def test_distance_refuses_and_draws_nothing(change, kind, name):
    rng = seeded()
    with pytest.raises(kind) as caught:
        distance_to_prior(**({"z_hat": Z, "rng": rng} | change))
    assert str(caught.value).startswith(name)
    assert torch.equal(rng.get_state(), seeded().get_state())


def test_two_thousand_points_unless_more_are_asked_for():
    z_hat = normal(0, 2100, 1)
    assert distance_to_prior(z_hat, rng=seeded()).n == 2000
    assert distance_to_prior(z_hat, rng=seeded(), n=2100).n == 2100
    with pytest.raises(ValueError, match=r"n must be at most 2100.*got 2101"):
        distance_to_prior(z_hat, rng=seeded(), n=2101)


# ---- MSE


def test_mse_is_the_mean_square():
    x, y = normal(0, 4, 3, 2), normal(1, 4, 3, 2)
    assert mse(x, y) == pytest.approx(float(((x - y) ** 2).mean()), rel=1e-14)
    assert mse(x, x) == 0
    mask = normal(2, 4, 3, 2) > 0
    assert mse(x, y, mask) == pytest.approx(float(((x - y) ** 2)[mask].mean()), rel=1e-14)
    shared = torch.tensor([[1, 0], [0, 0], [1, 1]])
    want = ((x - y) ** 2)[:, shared.bool()].mean()
    assert mse(x, y, shared) == pytest.approx(float(want), rel=1e-14)


def test_mse_never_reads_hidden_pixels():
    x, y = normal(0, 4, 3), normal(1, 4, 3)
    mask = normal(2, 4, 3) > 0
    want = mse(x, y, mask)
    for junk in (math.nan, math.inf, 1e300):
        assert mse(x.masked_fill(~mask, junk), y.masked_fill(~mask, -junk), mask) == want


def test_mse_is_exact_in_float32_too():
    x = torch.zeros(1000, 1000)
    x[0, 0] = 1.0
    assert mse(x, torch.full_like(x, 1e-4).requires_grad_(True)) == pytest.approx(
        (0.9999**2 + (1e6 - 1) * 1e-8) / 1e6, rel=1e-6
    )


X = normal(0, 4, 3)


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        ({"x": None}, TypeError, "x"),
        ({"x": X.long()}, TypeError, "x"),
        ({"x": X[0]}, ValueError, "x"),
        ({"x": X[:0]}, ValueError, "x"),
        ({"x": X * math.nan}, ValueError, "x"),
        ({"x": X.to("meta")}, ValueError, "x"),
        ({"y": None}, TypeError, "y"),
        ({"y": X[:2]}, ValueError, "y"),
        ({"y": X[:1]}, ValueError, "y"),  # no broadcasting
        ({"y": X.float()}, ValueError, "y"),
        ({"y": X.to("meta")}, ValueError, "y"),
        ({"y": X * math.inf}, ValueError, "y"),
        ({"y": X * math.nan, "mask": torch.ones(4, 3)}, ValueError, "y"),
        ({"mask": torch.ones(2)}, ValueError, "mask"),
        ({"mask": torch.zeros(4, 3)}, ValueError, "mask must leave"),
        ({"mask": 3}, TypeError, "mask"),
    ],
)
def test_mse_refuses(change, kind, name):
    with pytest.raises(kind) as caught:
        mse(**({"x": X, "y": X + 1} | change))
    assert str(caught.value).startswith(name)


# ---- Frechet distance


def test_frechet_is_scipys_formula():
    """With scipy's matrix square root and numpy's covariances, for correlated features."""
    a = normal(0, 300, 5) @ normal(1, 5, 5) + 1
    b = normal(2, 200, 5) @ normal(3, 5, 5) - normal(4, 5)
    A, B = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = linalg.sqrtm(A @ B).real
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(float(means + np.trace(A + B - 2 * root)))
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))


def test_frechet_closed_forms():
    a = normal(0, 500, 3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(12)  # a shift by 2 in each of 3 directions
    C = np.cov(a.numpy(), rowvar=False)
    assert frechet_distance(a, 3 * a) == pytest.approx(  # (3 - 1)^2 tr C, and the means move
        4 * np.trace(C) + 4 * float(a.mean(0).square().sum())
    )
    flat = a.clone()
    flat[:, 0] = 1.0  # a feature that never changes has no inverse, and needs none
    assert frechet_distance(flat, flat + 1) == pytest.approx(3, rel=1e-6)
    one = normal(1, 2000, 1)
    mean, std = one.mean(), one.std()
    other = normal(2, 1000, 1)
    want = (mean - other.mean()) ** 2 + (std - other.std()) ** 2  # in one dimension
    assert frechet_distance(one, other) == pytest.approx(float(want))


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        (normal(0, 1, 3), normal(0, 5, 3), "a must hold 2 samples"),
        (normal(0, 5, 3), normal(0, 1, 3), "b must hold 2 samples"),
        (normal(0, 5, 3), normal(0, 5, 2), "b must have shape"),
        (normal(0, 5, 3), normal(0, 5, 3).float(), "b must"),
        (normal(0, 5, 3) / 0, normal(0, 5, 3), "a must be finite"),
        (normal(0, 5), normal(0, 5, 3), "a must"),
    ],
)
def test_frechet_refuses(a, b, match):
    with pytest.raises((TypeError, ValueError), match=match):
        frechet_distance(a, b)
