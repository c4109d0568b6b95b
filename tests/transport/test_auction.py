"""The auction: within its gap of SciPy's optimum, with a bound that holds."""

from __future__ import annotations

import pytest
import torch

from mcmcot_lite.transport import auction_map, certify, exact_map


def test_bounds_hold_on_every_kind_of_cloud(pair):
    T = auction_map(pair.z_hat, pair.z, gap=1e-2)
    assert torch.equal(T.index.sort().values, torch.arange(len(pair.z)))
    assert T.dual <= pair.optimum + pair.tol
    assert T.primal >= pair.optimum - pair.tol
    assert T.certified == (T.status == "gap reached")
    assert certify(pair.z_hat, pair.z, T).certified == T.certified


@pytest.mark.parametrize("gap", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize(("n", "d"), [(200, 2), (400, 30)])
def test_reaches_its_gap(gap, n, d, rng):
    a, b = torch.randn(2, n, d, generator=rng)
    T, best = auction_map(0.5 * a, b, gap=gap), exact_map(0.5 * a, b)
    assert T.status == "gap reached"
    assert best.primal * (1 - 1e-9) <= T.primal <= best.primal * (1 + gap)
    assert T.history[-1] <= gap
    assert list(T.seconds) == ["bids", "bound"]


def test_good_potentials_shorten_it(rng):
    """The first phases of a cold start only find what h0 already knows."""
    a, b = torch.randn(2, 500, 8, generator=rng)
    h = exact_map(a, b).h
    cold, warm = auction_map(a, b), auction_map(a, b, h0=h)
    assert warm.certified
    assert cold.certified
    assert len(warm.history) <= len(cold.history)


def test_gap_zero_ends_and_says_that_float32_is_exhausted(rng):
    a, b = torch.randn(2, 100, 3, generator=rng)
    T = auction_map(a, b, gap=0.0)
    assert T.status in {"gap reached", "float32 exhausted"}
    assert T.relative_gap < 1e-4
    assert T.certified == (T.status == "gap reached")


def test_a_single_point(rng):
    a, b = torch.randn(2, 1, 4, generator=rng)
    T = auction_map(a, b)
    assert T.index.tolist() == [0]
    assert T.certified
