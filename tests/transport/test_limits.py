"""Time limits end in a named, usable result; progress is shown; failures are handed over."""

from __future__ import annotations

import time

import pytest
import torch
from scipy.sparse import issparse

from mcmcot_lite.transport import auction_map, certify, exact_map, simplex, transport
from mcmcot_lite.transport.clock import Clock, TimeUp


@pytest.fixture
def clouds(rng):
    a, b = torch.randn(2, 3000, 5, generator=rng)
    return 0.5 * a, b


@pytest.mark.parametrize("solve", [exact_map, auction_map, transport])
@pytest.mark.parametrize("limit", [0.0, 1e-3, 0.03, 0.1])
def test_time_limit(solve, limit, clouds):
    """The bounds of what was reached hold, and the work ended soon after the limit."""
    before = [c.clone() for c in clouds]
    begin = time.perf_counter()
    T = solve(*clouds, time_limit=limit)
    assert time.perf_counter() - begin < limit + 30  # not a hang: the whole problem takes 1 s
    assert torch.equal(T.index.sort().values, torch.arange(3000))
    found = certify(*clouds, T)
    assert found.one_to_one
    assert found.agrees
    assert found.certified == T.certified
    best = exact_map(*clouds).primal
    assert T.dual <= best * (1 + 1e-6)
    assert T.primal >= best * (1 - 1e-6)
    if limit == 0.0:
        assert (T.status, T.certified, T.converged) == ("time limit", False, False)
    for now, was in zip(clouds, before, strict=True):
        assert torch.equal(now, was)


@pytest.mark.parametrize("solve", [exact_map, auction_map, transport])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (50, 1), (50, 3), (300, 1)])
def test_no_time_at_all_for_small_problems(solve, n, d, rng):
    a, b = torch.randn(2, n, d, generator=rng)
    T = solve(a, b, time_limit=0.0)
    assert T.status == "time limit"
    found = certify(a, b, T)
    assert found.one_to_one
    assert found.agrees
    assert found.certified == T.certified


def test_the_network_simplex_is_left_behind(clouds, monkeypatch):
    """POT knows no time limit: here it sleeps."""
    real = simplex._emd

    def slow(a, b, cost, pivots):
        return time.sleep(5) if issparse(cost) else real(a, b, cost, pivots)

    monkeypatch.setattr(simplex, "_emd", slow)
    begin = time.perf_counter()
    T = exact_map(*clouds, time_limit=0.5)
    assert time.perf_counter() - begin < 4
    assert T.status == "time limit"
    assert torch.equal(T.index.sort().values, torch.arange(3000))


def test_a_failing_simplex_is_reported_or_replaced(clouds, monkeypatch):
    """method="auto" goes on with the auction and says so."""
    real = simplex._emd

    def tired(a, b, cost, pivots):
        return real(a, b, cost, 1 if issparse(cost) else pivots)

    monkeypatch.setattr(simplex, "_emd", tired)
    with pytest.warns(UserWarning, match="numItermax"), pytest.raises(RuntimeError, match="POT"):
        exact_map(*clouds)
    with pytest.warns(UserWarning, match="numItermax"), pytest.raises(RuntimeError, match="POT"):
        transport(*clouds, method="exact")
    with pytest.warns(UserWarning, match="numItermax"):
        T = transport(*clouds, gap=1e-1)
    assert T.method == "auction"
    assert "failed" in T.reason
    assert T.certified


def test_errors_inside_the_thread_come_out(clouds, monkeypatch):
    def broken(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(simplex, "_emd", broken)
    with pytest.raises(MemoryError, match="no room"):
        exact_map(*clouds)


@pytest.mark.parametrize("solve", [exact_map, auction_map])
def test_progress_goes_to_stderr(solve, clouds, capsys):
    solve(*clouds, gap=0.1, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "n = 3,000" in shown.err
    assert "gap=" in shown.err
    solve(*clouds, gap=0.1)
    assert capsys.readouterr().err == ""


def test_phases_add_up(clouds):
    begin = time.perf_counter()
    T = exact_map(*clouds)
    spent = time.perf_counter() - begin
    assert set(T.seconds) == {"start", "graph", "assign", "prices", "scan"}
    assert 0 < sum(T.seconds.values()) <= spent
    assert T.edges >= 3000 * 8  # a row lists its eight best
    assert T.rounds == T.steps == len(T.history)


def test_clock():
    clock = Clock(None)
    assert clock.left is None
    clock.check()
    with clock.phase("a"):
        pass
    with clock.phase("a"):
        pass
    assert list(clock.seconds) == ["a"]
    over = Clock(0.0)
    with pytest.raises(TimeUp):
        over.check()
    with pytest.raises(TimeUp), over.phase("b"):
        raise AssertionError("unreachable")
    assert over.seconds == {}


def test_the_choice_and_its_reason(clouds):
    T = transport(*clouds, gap=0.01)
    assert (T.method, T.goal) == ("exact", 0.01)
    assert "n = 3,000, d = 5 on cpu" in T.reason
    assert "gap of 0.01" in T.reason
    for method in ("exact", "auction"):
        T = transport(*clouds, method=method, gap=0.1)
        assert T.method == method
        assert method in T.reason
    T = transport(*(c[:100] for c in clouds), method="semidual", rng=torch.Generator())
    assert T.method == "semidual"
