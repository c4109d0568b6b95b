"""Clouds and settings that a solver meets once a year: no wrong claim, no crash, no hang."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from mcmcot_lite.transport import auction_map, certify, exact_map, memory_needed, transport

SOLVERS = [exact_map, auction_map]


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("limit", [0.0, None])
@pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("d", [1, 2])
def test_clouds_in_perpendicular_spaces(solve, limit, gap, d, rng):
    """All inner products are 0, so every map is optimal: covariances have no inverse."""
    x, y = torch.zeros(2, 400, 2 * d, dtype=torch.float64)
    x[:, :d] = torch.randn(400, d, generator=rng, dtype=torch.float64)
    y[:, d:] = torch.randn(400, d, generator=rng, dtype=torch.float64)
    T = solve(x, y, gap=gap, time_limit=limit)
    found = certify(x, y, T)
    assert found.agrees
    assert not T.certified or found.certified
    if solve is exact_map and limit is None:
        assert T.certified


@pytest.mark.parametrize(("n", "d", "limit"), [(2, 5000, 2.0), (150, 3072, 5.0), (300, 1500, 1.0)])
def test_more_dimensions_than_points(n, d, limit, rng):
    """Pictures as points: the work before the limit grows with n, not with the cube of d."""
    x, y = torch.randn(2, n, d, generator=rng)
    begin = time.perf_counter()
    T = exact_map(x, y, time_limit=limit, memory=memory_needed(n, d))
    assert time.perf_counter() - begin < limit + 30
    found = certify(x, y, T)
    assert found.agrees
    assert found.certified == T.certified
    if n <= 200:
        assert T.certified


@pytest.mark.parametrize("scale", [1e-150, 1e-170, 1e-300])
@pytest.mark.parametrize("solve", SOLVERS)
def test_clouds_too_small_for_squares(solve, scale, rng):
    x, y = scale * torch.randn(2, 300, 3, generator=rng, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"float64 can hold.*Scale both clouds up"):
        solve(x, y)


@pytest.mark.parametrize("method", ["auto", "exact", "auction", "semidual"])
@pytest.mark.parametrize("memory", ["500", float("nan"), -5, 0, True, [5]])
def test_memory_is_checked_for_every_method(method, memory, rng):
    x, y = torch.randn(2, 300, 3, generator=rng)
    with pytest.raises((TypeError, ValueError), match=r"^memory must be"):
        transport(x, y, method=method, memory=memory, rng=rng)


@pytest.fixture
def proven(rng):
    x, y = torch.randn(2, 300, 3, generator=rng, dtype=torch.float64)
    return x, y, exact_map(x, y)


@pytest.mark.parametrize("dual", [float("-inf"), -1e9, float("nan"), 0.0])
def test_a_certified_map_must_bring_its_bound(dual, proven):
    x, y, T = proven
    assert not certify(x, y, replace(T, dual=dual)).agrees


@pytest.mark.parametrize("goal", [1e30, float("inf"), float("nan"), -1.0, 1.0])
def test_a_forged_goal_is_refused(goal, proven):
    x, y, T = proven
    with pytest.raises(ValueError, match=r"^T\.goal must"):
        certify(x, y, replace(T, goal=goal, primal=-5.0))


def test_the_verifier_may_name_the_goal(proven):
    x, y, T = proven
    swapped = T.index.clone()
    swapped[[0, 1]] = swapped[[1, 0]]
    primal = float((x - y[swapped]).square().sum(1).mean())
    loose = replace(T, index=swapped, bijection=swapped, primal=primal, goal=0.99)
    assert certify(x, y, loose).certified  # within the 99 % it claims
    assert not certify(x, y, loose, gap=0.0).certified
    assert certify(x, y, T, gap=0.0).certified


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("T.h", lambda T: replace(T, h=T.h[:-1])),
        ("T.h", lambda T: replace(T, h=T.h[:, None])),
        ("T.h", lambda T: replace(T, h=T.h.numpy())),
        ("T.h", lambda T: replace(T, h=T.h.long())),
        ("T.bijection", lambda T: replace(T, bijection=T.bijection[:-1])),
        ("T.bijection", lambda T: replace(T, bijection=T.bijection.double())),
        ("T.index", lambda T: replace(T, index=T.index.int())),
    ],
)
def test_a_malformed_map_is_refused(name, change, proven):
    x, y, T = proven
    with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
        certify(x, y, change(T))


@pytest.mark.parametrize("solve", SOLVERS)
def test_settings_of_pytorch_do_not_matter(solve, rng):
    x, y = torch.randn(2, 500, 4, generator=rng)
    best = solve(x, y).primal
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert solve(x, y).primal == best
    try:
        torch.set_default_dtype(torch.float64)
        assert solve(x, y).primal == best
    finally:
        torch.set_default_dtype(torch.float32)
    try:
        torch.set_default_device("meta")
        assert solve(x, y).primal == best
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("c", [0.3, 1 / 3, 1e9 / 7, -2e-5])
@pytest.mark.parametrize(("n", "d"), [(60, 2), (201, 2), (400, 8)])
def test_both_clouds_in_one_point(c, n, d):
    """Whose mean float64 cannot hold: rounding dust is no spread."""
    x = torch.full((n, d), c, dtype=torch.float64)
    T = exact_map(x, x)
    assert T.certified
    assert T.primal == 0
    assert certify(x, x, T).certified


def test_a_constant_coordinate_stays_constant(rng):
    x = torch.randn(300, 3, generator=rng)
    x[:, 1] = 1 / 3
    order = torch.randperm(300, generator=rng)
    T = exact_map(x, x[order])
    assert torch.equal(order[T.index], torch.arange(300))


@pytest.mark.parametrize("size", [10.0, 1e6, 1e12, 1e200])
def test_an_auction_ends_from_wild_potentials(size, rng):
    x, y = torch.randn(2, 200, 3, generator=rng, dtype=torch.float64)
    T = auction_map(x, y, h0=size * torch.randn(200, generator=rng, dtype=torch.float64))
    assert T.certified
    assert certify(x, y, T).certified


def test_a_goal_that_was_loosened_is_named(rng):
    x, y = torch.randn(2, 100, 3, generator=rng)
    T = transport(x, y, memory=1.0)
    assert (T.method, T.goal) == ("auction", 1e-3)
    assert "to a gap of 0.001" in T.reason
    assert "to a gap" not in transport(x, y, gap=0.01, method="auction").reason


def test_unequal_counts_name_the_rule(rng):
    x = torch.randn(7, 2, generator=rng)
    for solver in (exact_map, auction_map, transport):
        with pytest.raises(ValueError, match=r"^z must have shape \(5, 2\).*one-to-one"):
            solver(x[:5], x)


@pytest.mark.parametrize("d", [70, 300])
def test_no_time_at_all_in_many_dimensions(d, rng):
    x, y = torch.randn(2, 500, d, generator=rng, dtype=torch.float64)
    T = exact_map(x, y, time_limit=0.0)
    proof = certify(x, y, T, gap=0.999999)
    assert proof.one_to_one
    assert T.status == "time limit"
    assert T.dual <= exact_map(x, y).primal <= T.primal
    assert T.dual <= proof.dual + 1e-9 * abs(proof.dual)


@pytest.mark.parametrize("field", ["primal", "dual"])
def test_a_cost_that_is_no_number_is_refused(field, proven):
    x, y, T = proven
    with pytest.raises((TypeError, ValueError), match=rf"^T\.{field} must be a number"):
        certify(x, y, replace(T, **{field: "5"}))


def test_underflow_is_no_error(rng):
    x, y = torch.randn(2, 400, 3, generator=rng, dtype=torch.float64)
    with np.errstate(all="raise"):
        assert exact_map(x, y).certified
