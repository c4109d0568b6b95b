"""Never an n x n matrix above n = 2,000: every tensor made on the way is counted.

NumPy and POT only see blocks that were tensors before.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mcmcot_lite.transport import (
    SMALL,
    auction_map,
    certify,
    dual_value,
    exact_map,
    laguerre_cells,
    limits,
    memory_needed,
    mix,
    semidual_map,
    transport,
)
from mcmcot_lite.transport import auction as auction_module

LIMIT = 2000 * 2000
ROOT = Path(__file__).resolve().parents[2]


class Largest(TorchDispatchMode):
    """Remembers the most elements that any tensor returned by any operation had."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_flatten(out)[0]:
            if isinstance(leaf, torch.Tensor):
                self.numel = max(self.numel, leaf.numel())
        return out


def clouds(n, d, dtype=torch.float32):
    rng = torch.Generator().manual_seed(n + d)
    return torch.randn(2, n, d, generator=rng, dtype=dtype)


def test_the_counter_sees_a_matrix():
    x, _ = clouds(2001, 2)
    with Largest() as largest:
        x @ x.mT
    assert largest.numel == 2001**2 > LIMIT == SMALL**2


@pytest.mark.parametrize(
    ("n", "d", "max_steps", "dtype"),
    [
        (2001, 30, 30, torch.float32),
        (3000, 2, 30, torch.float64),
        (3000, 30, 40, torch.float32),
        (5000, 2, 1, torch.float32),  # most sources are removed: completion by sorting
        (5000, 64, 8, torch.float32),
    ],
)
def test_semidual_and_its_completion(n, d, max_steps, dtype):
    z_hat, z = clouds(n, d, dtype)
    rng = torch.Generator().manual_seed(0)
    with Largest() as largest:
        T = semidual_map(z_hat, z, rng=rng, max_steps=max_steps)
        mix(z_hat, z, T, 0.5)
    assert n < largest.numel <= LIMIT
    assert torch.equal(T.bijection.sort().values, torch.arange(n))
    assert T.dual <= T.primal


def test_removing_more_than_the_limit_completes_by_sorting():
    z_hat, z = clouds(4500, 1)
    T = semidual_map(z_hat, z, rng=torch.Generator().manual_seed(0), max_steps=1)
    assert T.removed * 4500 > SMALL
    assert torch.equal(T.bijection.sort().values, torch.arange(4500))


@pytest.mark.parametrize("n", [3000, 5000])
def test_dual_and_cells(n):
    z_hat, z = clouds(n, 5)
    h = torch.zeros(n)
    with Largest() as largest:
        dual_value(z_hat, z, h)
        laguerre_cells(z_hat, z, h)
        laguerre_cells(z_hat[:10], z, h)
    assert largest.numel <= LIMIT


@pytest.mark.parametrize(
    ("solve", "n", "d"), [(exact_map, 3000, 2), (exact_map, 5000, 30), (auction_map, 3000, 30)]
)
def test_exact_map_and_auction(solve, n, d):
    """Apart from the lists of a few dozen columns a row, which grow with n alone."""
    z_hat, z = clouds(n, d)
    with Largest() as largest:
        T = solve(z_hat, z, gap=1e-2)
        certify(z_hat, z, T)
    assert T.certified
    assert largest.numel <= max(LIMIT, auction_module.ROWS)


def test_a_budget_of_memory_is_kept_before_the_work():
    z_hat, z = clouds(3000, 20)
    need = memory_needed(3000, 20)
    with Largest() as largest, pytest.raises(ValueError, match="memory must be at least"):
        exact_map(z_hat, z, memory=need - 1)
    assert largest.numel <= 2 * 3000 * 20
    T = transport(z_hat, z, gap=1e-1, memory=need - 1)
    assert T.method == "auction"
    assert "needs" in T.reason
    assert exact_map(z_hat, z, gap=0.5, memory=need + 1).certified


@pytest.mark.parametrize("solve", [exact_map, transport])
def test_a_graph_that_outgrows_the_budget_ends_the_work(solve, rng):
    """Sources on ten points: their graph grows round after round."""
    z = torch.randn(1500, 20, generator=rng)
    z_hat = z[torch.arange(1500) % 10] * 0.5
    kept = z_hat.clone()
    whole = exact_map(z_hat, z)
    assert whole.edges > limits.FIRST * 1500, "not the case this test is about"
    T = solve(z_hat, z, memory=memory_needed(1500, 20) + 0.01)
    assert (T.method, T.status, T.certified) == ("exact", "memory limit", False)
    assert T.edges < whole.edges
    found = certify(z_hat, z, T)
    assert found.one_to_one
    assert found.agrees
    assert T.dual <= whole.primal * (1 + 1e-9)
    assert T.primal >= whole.primal * (1 - 1e-9)
    assert torch.equal(z_hat, kept)


def test_memory_needed_was_never_exceeded():
    """In any solve of the benchmark."""
    record = json.loads((ROOT / "results" / "transport.json").read_text())["groups"]
    rows = [r for group in record.values() for r in group["rows"] if "edges" in r and "MiB" in r]
    rows = [r for r in rows if r["solver"].startswith("exact")]
    assert len(rows) > 50
    for r in rows:
        edges = max(limits.FIRST, r["edges"]) * r["n"]
        assert r["MiB"] <= memory_needed(r["n"], r["d"], edges), r
