"""Clouds and settings that a solver meets once a year: no wrong claim, no crash, no hang."""

from __future__ import annotations

import time
from dataclasses import replace

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
