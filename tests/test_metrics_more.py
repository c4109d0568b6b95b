"""Sliced distance, energy test, ranking and bootstrap against closed forms and second libraries."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from mcmcot_lite.metrics import (
    PriorDistance,
    auprc,
    bootstrap_stderr,
    distance_to_prior,
    energy_test,
    frechet_distance,
    mse,
    sliced_to_prior,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def test_excess_is_what_is_above_the_floor():
    assert PriorDistance(3.0, 0.1, 2.5, 10).excess == 0.5
    assert PriorDistance(2.0, 0.1, 2.5, 10).excess == 0.0
    far = distance_to_prior(normal(0, 60, 2) + 3, rng=seeded(1))
    assert far.excess == far.value - far.floor > 15


# ---- sliced distance


def test_one_direction_is_the_integral_over_quantiles():
    """d = 1: the integral of (F_n^-1(u) - Phi^-1(u))^2, by the midpoint rule on a fine grid."""
    x = 1.3 * normal(0, 37, 1) - 0.4
    found = sliced_to_prior(x, rng=seeded(), directions=2)  # u and -u alike, up to symmetry
    u = (np.arange(37 * 20_000) + 0.5) / (37 * 20_000)
    values = [
        np.mean((np.repeat(np.sort(sign * x[:, 0].numpy()), 20_000) - stats.norm.ppf(u)) ** 2)
        for sign in (1, -1)
    ]
    assert min(values) - 1e-4 <= found.value <= max(values) + 1e-4
    assert found.n == 37


@pytest.mark.parametrize("d", [2, 5])
def test_sliced_distance_of_shifted_and_scaled_normal(d):
    """N(m, s^2 I): |m|^2 / d + (s - 1)^2 in the mean over directions."""
    m, s, n = 0.7, 1.5, 20_000
    z = s * normal(1, n, d) + m
    found = sliced_to_prior(z, rng=seeded(2), directions=500)
    sampling = 4 * s * m / math.sqrt(n) + 4 * s / math.sqrt(n)  # of the cloud itself, two sigma
    assert abs(found.value - (m**2 + (s - 1) ** 2)) < 4 * found.stderr + sampling


def test_sliced_distance_against_pot_with_the_same_directions():
    z, prior = normal(3, 500, 4) * 0.8 + 0.2, normal(4, 40_000, 4)
    found = sliced_to_prior(z, rng=seeded(5), directions=400)
    pot = ot.sliced_wasserstein_distance(z.numpy(), prior.numpy(), n_projections=400, seed=1) ** 2
    assert abs(found.value - pot) < 5 * math.sqrt(2) * found.stderr + 0.002


def test_floor_is_what_a_perfect_sample_scores():
    scores = [sliced_to_prior(normal(s, 300, 6), rng=seeded(s)).value for s in range(40)]
    error = np.std(scores, ddof=1) / math.sqrt(40)
    floors = [sliced_to_prior(normal(s, 300, 6), rng=seeded(s)).floor for s in range(40)]
    both = math.hypot(error, np.std(floors, ddof=1) / math.sqrt(40))
    assert abs(np.mean(scores) - np.mean(floors)) < 4 * both


# ---- energy test


def test_energy_value_is_scipys_sums():
    a, b = normal(0, 30, 3), 1.5 * normal(1, 20, 3)
    d = lambda u, v: cdist(u.numpy(), v.numpy())  # noqa: E731
    want = 2 * d(a, b).mean() - d(a, a).sum() / (30 * 29) - d(b, b).sum() / (20 * 19)
    found = energy_test(a, b, rng=seeded(), permutations=9)
    assert found.value == pytest.approx(want, rel=1e-12)
    assert (found.n, found.m, found.permutations) == (30, 20, 9)


def test_p_is_the_share_of_relabellings(monkeypatch):
    """Every relabelling anew, by its sums; and blocks of rows change nothing."""
    a, b = normal(2, 12, 2), normal(3, 9, 2) + 0.5
    found = energy_test(a, b, rng=seeded(4), permutations=50)
    pool, rng = torch.cat([a, b]), seeded(4)
    values = [energy_test(a, b, rng=seeded(), permutations=1).value]
    for _ in range(50):
        order = torch.randperm(21, generator=rng)
        u, v = pool[order[:12]], pool[order[12:]]
        values.append(energy_test(u, v, rng=seeded(), permutations=1).value)
    assert found.p == pytest.approx(np.mean(np.array(values) >= values[0] - 1e-12))
    monkeypatch.setattr("mcmcot_lite.metrics.prior.BLOCK", 50)
    again = energy_test(a, b, rng=seeded(4), permutations=50)
    assert again.p == found.p
    assert again.value == pytest.approx(found.value, rel=1e-12)


def test_p_is_uniform_under_one_law_and_small_under_two():
    ps = [
        energy_test(normal(s, 20, 3), normal(1000 + s, 25, 3), rng=seeded(s), permutations=19).p
        for s in range(300)
    ]
    counts = np.bincount(np.round(np.array(ps) * 20).astype(int) - 1, minlength=20)
    assert stats.chisquare(counts).pvalue > 1e-4
    far = energy_test(normal(0, 50, 3), normal(1, 50, 3) + 1, rng=seeded(), permutations=99)
    assert far.p == 0.01


def test_equal_points_do_not_reject():
    same = torch.zeros(5, 2)
    assert energy_test(same, same, rng=seeded(), permutations=9).p == 1.0


# ---- ranking


@pytest.mark.parametrize("levels", [1, 3, 10, 10_000])
def test_average_precision_is_that_of_sklearn(levels):
    scores = (torch.rand(400, generator=seeded(1)) * levels).floor()
    positive = torch.rand(400, generator=seeded(2)) < 0.2
    want = average_precision_score(positive.numpy(), scores.numpy())
    assert auprc(scores, positive) == pytest.approx(want, rel=1e-12)


def test_perfect_worst_and_blind_ranking():
    scores, positive = torch.arange(10.0), torch.arange(10) >= 7
    assert auprc(scores, positive) == 1.0
    worst = sum((k + 1) / (8 + k) for k in range(3)) / 3
    assert auprc(-scores, positive) == pytest.approx(worst)
    assert auprc(torch.zeros(10), positive) == pytest.approx(0.3)
    assert auprc(scores, torch.ones(10)) == 1.0


# ---- bootstrap


def test_bootstrap_of_a_mean():
    x = normal(0, 200, 1)
    found = bootstrap_stderr(lambda t: float(t.mean()), x, rng=seeded(), repeats=2000)
    want = float(x.std(correction=0)) / math.sqrt(200)
    assert found == pytest.approx(want, rel=4 / math.sqrt(2 * 2000))


def test_bootstrap_of_a_frechet_distance():
    """d = 1: (m_a - m_b)^2 + (s_a - s_b)^2, with the sample's own moments, by the delta method."""
    a, b = normal(5, 2000, 1), 2 * normal(6, 2000, 1) + 1
    found = bootstrap_stderr(frechet_distance, a, b, rng=seeded(7), repeats=1000)
    mean, std = float(a.mean() - b.mean()), float(a.std() - b.std())

    def influence(x):  # of one point of x on the distance, up to sign
        away = x - x.mean()
        return 2 * mean * away + std * (away.square() / x.std() - x.std())

    variance = float(influence(a).var() + influence(b).var()) / 2000
    assert found == pytest.approx(math.sqrt(variance), rel=0.1)


# ---- bad input

z = normal(0, 6, 2)
BAD = {
    "sliced directions": (lambda r: sliced_to_prior(z, rng=r, directions=1), "directions must be"),
    "sliced shape": (lambda r: sliced_to_prior(z[0], rng=r), "z_hat must have 2 axes"),
    "sliced nan": (lambda r: sliced_to_prior(z / 0, rng=r), "z_hat must be finite"),
    "energy few": (lambda r: energy_test(z[:1], z, rng=r), "a must hold 2 points or more; got 1"),
    "energy width": (lambda r: energy_test(z, z[:, :1], rng=r), "b must have shape"),
    "energy count": (lambda r: energy_test(z, z, rng=r, permutations=0), "permutations must be"),
    "energy dtype": (lambda r: energy_test(z, z.float(), rng=r), "b must have the dtype of a"),
    "auprc shape": (lambda r: auprc(z, z), "scores must have shape"),
    "auprc labels": (lambda r: auprc(z[:, 0], z[:, 0]), "positive must be 0 or 1"),
    "auprc none": (lambda r: auprc(z[:, 0], torch.zeros(6)), "positive must mark a point"),
    "auprc list": (lambda r: auprc(z[:, 0], [1] * 6), "positive must be a torch.Tensor"),
    "auprc meta": (
        lambda r: auprc(z[:, 0], torch.ones(6, device="meta")),
        "positive must hold values",
    ),
    "auprc size": (lambda r: auprc(z[:, 0], torch.ones(5)), "positive must have the shape"),
    "bootstrap none": (lambda r: bootstrap_stderr(len, rng=r), "samples must be given"),
    "bootstrap one": (lambda r: bootstrap_stderr(len, z[:1], rng=r), r"samples\[0\] must have 2"),
    "bootstrap repeats": (lambda r: bootstrap_stderr(len, z, rng=r, repeats=1), "repeats must be"),
}


@pytest.mark.parametrize(("call", "text"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_and_draws_nothing(call, text):
    rng = seeded(3)
    before = rng.get_state()
    with pytest.raises((TypeError, ValueError), match=text):
        call(rng)
    assert torch.equal(rng.get_state(), before)


def test_overflow_is_an_error_not_a_number():
    z = normal(0, 20, 2)
    near = frechet_distance(1e60 * z, z)
    assert near == pytest.approx(1e120 * frechet_distance(z, 0 * z), rel=1e-6)
    for size in (1e80, 1e160, 1e300):
        for a, b in ((size * z, z), (z, size * z), (z + size, z)):
            with pytest.raises(FloatingPointError, match=r"^a must lie, with b, within 1e70"):
                frechet_distance(a, b)
    with pytest.raises(FloatingPointError, match=r"^energy_test must fit"):
        energy_test(1e200 * z, z, rng=seeded())
    with pytest.raises(FloatingPointError, match=r"^sliced_to_prior must fit"):
        sliced_to_prior(1e200 * z, rng=seeded())
    with pytest.raises(FloatingPointError, match=r"^mse must fit"):
        mse(1e200 * z, z)


def test_a_collapsed_cloud_has_no_excess_but_a_sliced_distance():
    """As the docstring of excess warns."""
    z = torch.zeros(300, 30, dtype=torch.float64)
    found = distance_to_prior(z, rng=seeded(), draws=2)
    assert found.excess == 0 > found.value - found.floor
    sliced = sliced_to_prior(z, rng=seeded())
    assert sliced.value == pytest.approx(1, abs=1e-12)
    assert sliced.floor < 0.05


@pytest.mark.parametrize(
    ("metric", "kind", "words"),
    [
        (3, TypeError, "metric must be a function"),
        (lambda: 1.0, TypeError, "metric must take 1 argument"),
        (lambda a: None, TypeError, "metric's result must be a real number"),
        (lambda a: math.nan, ValueError, "metric's result must be finite"),
        (lambda a: a, TypeError, "metric's result must be a real number"),
    ],
)
def test_metrics_that_a_bootstrap_cannot_use(metric, kind, words):
    rng = seeded()
    with pytest.raises(kind, match=f"^{words}"):
        bootstrap_stderr(metric, normal(0, 9, 2), rng=rng)
    assert torch.equal(rng.get_state(), seeded().get_state())


def test_the_sliced_error_is_that_of_the_mean_over_directions():
    """Of 200 estimates with other directions: their spread, against the one each of them tells."""
    z = normal(0, 50, 3) * torch.tensor([2.0, 1.0, 0.3], dtype=torch.float64)
    runs = [sliced_to_prior(z, rng=seeded(k), directions=64) for k in range(200)]
    spread = float(np.std([r.value for r in runs], ddof=1))
    told = float(np.mean([r.stderr for r in runs]))
    assert abs(spread / told - 1) < 4 / math.sqrt(2 * 199)  # relative error of a deviation
    floor = [
        sliced_to_prior(normal(1000 + k, 50, 3), rng=seeded(k), directions=8).value
        for k in range(200)
    ]
    error = math.hypot(np.std(floor), np.std([r.floor for r in runs])) / math.sqrt(200)
    assert abs(np.mean(floor) - np.mean([r.floor for r in runs])) < 4 * error
