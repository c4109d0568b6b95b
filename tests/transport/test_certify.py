"""certify never agrees with a map that is not what it says; certified is never true without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mcmcot_lite.transport import auction_map, certify, exact_map, semidual_map
from mcmcot_lite.transport import exact as exact_module

SOLVERS = {
    "exact": lambda a, b: exact_map(a, b),
    "gap": lambda a, b: exact_map(a, b, gap=1e-3),
    "auction": lambda a, b: auction_map(a, b, gap=1e-3),
    "semidual": lambda a, b: semidual_map(a, b, rng=torch.Generator().manual_seed(0)),
    "no time": lambda a, b: exact_map(a, b, time_limit=0.0),
}


@pytest.fixture(params=[(60, 2), (300, 2), (300, 20)], ids=str)
def clouds(request, rng):
    n, d = request.param
    a, b = torch.randn(2, n, d, generator=rng, dtype=torch.float64)
    return 0.5 * a + 1, b


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS.keys())
def test_agrees_with_every_solver(solve, clouds, monkeypatch):
    monkeypatch.setattr(exact_module, "DENSE", 0)
    T = solve(*clouds)
    found = certify(*clouds, T)
    assert found.one_to_one
    assert found.agrees
    assert found.certified == T.certified
    assert found.primal == pytest.approx(T.primal, rel=1e-12)
    assert found.dual >= T.dual - 1e-12
    assert found.gap == pytest.approx(found.primal - found.dual, abs=1e-12)


def test_two_targets_exchanged(clouds):
    """Any exchange costs more: the pairs of an optimal map are the cheapest for their points."""
    T = exact_map(*clouds)
    n = len(clouds[0])
    for i, k in torch.randint(n, (40, 2), generator=torch.Generator().manual_seed(1)).tolist():
        if i == k:
            continue
        wrong = T.bijection.clone()
        wrong[[i, k]] = wrong[[k, i]]
        assert not certify(*clouds, replace(T, index=wrong, bijection=wrong)).certified
        honest = float((clouds[0] - clouds[1][wrong]).square().sum(1).mean())
        lie = replace(T, index=wrong, bijection=wrong, primal=honest)
        assert not certify(*clouds, lie).agrees  # its numbers are right, its "certified" is not
        assert certify(*clouds, replace(lie, certified=False)).agrees
        assert not certify(*clouds, lie).certified


def test_other_perturbations(clouds):
    T = exact_map(*clouds)
    assert certify(*clouds, T).certified
    twice = T.bijection.clone()
    twice[0] = twice[1]
    none = T.index.clone()
    none[0] = -1
    beyond = T.bijection.clone()
    beyond[0] = len(beyond)
    bent = T.h.clone()
    bent[0] += 0.1
    for wrong in (
        replace(T, bijection=twice, index=twice),
        replace(T, bijection=beyond, index=beyond),
        replace(T, index=none),  # removed still says 0
        replace(T, index=T.index.roll(1)),
        replace(T, h=bent),
        replace(T, h=-T.h),
        replace(T, h=torch.zeros_like(T.h)),
        replace(T, primal=T.primal * 0.999),
        replace(T, dual=T.dual * 1.001),
        replace(T, removed=0.1),
    ):
        assert not certify(*clouds, wrong).certified
    assert not certify(clouds[0] + 0.1 * clouds[1], clouds[1], T).certified
    assert certify(*clouds, replace(T, h=T.h + 7)).certified  # a constant is free


def test_a_near_optimal_map_is_certified_for_its_goal_alone(clouds, monkeypatch):
    monkeypatch.setattr(exact_module, "DENSE", 0)
    T = exact_map(*clouds, gap=0.3)
    assert T.certified
    assert certify(*clouds, T).certified
    if T.relative_gap > 1e-6:
        assert not certify(*clouds, replace(T, goal=0.0)).certified


def test_constant_clouds_certify_any_bijection(rng):
    a = torch.zeros(50, 3)
    T = exact_map(a, a + 1)
    assert T.certified
    assert certify(
        a, a + 1, replace(T, index=T.index.roll(3), bijection=T.bijection.roll(3))
    ).certified
