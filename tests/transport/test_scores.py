"""Scores, the dual bound and Laguerre cells, against dense formulas that never centre."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcot_lite.transport import dual_value, laguerre_cells
from mcmcot_lite.transport.scores import Scores

F64 = torch.float64


def cloud(seed, *shape, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense_dual(a, b, h):
    """D(h) as the module's text prints it."""
    energy = (a @ b.mT + h).max(1).values.mean() - h.mean()
    return float(a.square().sum(1).mean() + b.square().sum(1).mean() - 2 * energy)


def test_dual_is_a_bound_for_any_h(pair):
    """Weak duality: for zero, random, huge and Brenier-like h."""
    n = len(pair.z)
    spread = float(pair.z_hat.double().std(correction=0) * pair.z.double().std(correction=0)) or 1.0
    for k, size in enumerate((0.0, 1.0, 1e3)):
        h = size * spread * cloud(k, n)
        tol = pair.tol + 64 * np.finfo(float).eps * float(h.abs().max())
        assert dual_value(pair.z_hat, pair.z, h) <= pair.optimum + tol


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 8), st.floats(-5, 5), st.integers(0, 10**6))
def test_dual_equals_the_dense_formula(n, d, shift, seed):
    a, b, h = cloud(seed, n, d) + shift, cloud(seed + 1, n, d), cloud(seed + 2, n)
    scale = float(a.square().sum(1).mean() + b.square().sum(1).mean() + h.abs().max())
    assert dual_value(a, b, h) == pytest.approx(dense_dual(a, b, h), abs=1e-13 * scale)
    assert dual_value(a, b, h + 7) == pytest.approx(dense_dual(a, b, h), abs=1e-13 * (scale + 7))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.floats(-5, 5), st.integers(0, 99)
)
def test_cells_hold_the_best_score(m, n, d, shift, seed):
    """The numbers of sources and targets may differ."""
    a, b, h = cloud(seed, m, d) + shift, cloud(seed + 1, n, d) - shift, cloud(seed + 2, n)
    cell = laguerre_cells(a, b, h)
    scores = a @ b.mT + h
    assert cell.shape == (m,)
    assert cell.dtype == torch.long
    best = scores.max(1).values
    assert torch.allclose(scores.gather(1, cell[:, None])[:, 0], best, rtol=0, atol=1e-11)


def test_cells_with_zero_h_on_a_sphere_are_voronoi_cells():
    """On the sphere the best inner product is the nearest point."""
    b = cloud(0, 20, 3)
    b = b / b.norm(dim=1, keepdim=True)
    a = cloud(1, 500, 3)
    assert torch.equal(laguerre_cells(a, b, torch.zeros(20)), torch.cdist(a, b).argmin(1))


def test_h_of_voronoi_weights_gives_the_nearest_target():
    """H_j = -|z_j|^2 / 2 turns Laguerre cells into Voronoi cells, wherever the clouds lie."""
    a, b = cloud(2, 500, 2) + 1e4, cloud(3, 30, 2) + 1e4
    h = -b.square().sum(1) / 2
    nearest = (a[:, None] - b).square().sum(-1).argmin(1)
    assert torch.equal(laguerre_cells(a, b, h), nearest)


@pytest.mark.parametrize("n", [1, 999, 1001, 2500])
def test_blocks_of_rows_give_what_one_block_gives(n):
    a, b, h = cloud(4, n, 3), cloud(5, n, 3), cloud(6, n)
    scores = Scores(a, b)
    h = scores.inner(h)
    whole = scores.x @ scores.y.mT + h
    value, column = scores.best(h)
    assert torch.allclose(value, whole.max(1).values, rtol=0, atol=1e-12)
    assert torch.equal(column, whole.argmax(1))
    low, _ = scores.best(h.float())
    assert low.dtype == torch.float32
    assert torch.allclose(low.double(), value, rtol=0, atol=1e-4)


def test_inner_and_outer_undo_each_other_up_to_a_constant():
    a, b, h = 3 * cloud(7, 50, 4) + 2, cloud(8, 50, 4) - 1, cloud(9, 50)
    scores = Scores(a, b)
    assert float(scores.inner(h).mean()) == pytest.approx(0, abs=1e-14)
    difference = scores.outer(scores.inner(h)) - h
    assert float(difference.max() - difference.min()) < 1e-13


def test_overflow_is_refused_by_name():
    far = torch.tensor([[1e200], [-1e200]], dtype=F64)
    with pytest.raises(
        ValueError, match=r"squared distances that float64 can hold.*1e\+200.*Scale"
    ):
        dual_value(far, far, torch.zeros(2))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_contexts_gradients_and_aliasing(context):
    a, b, h = cloud(0, 10, 2), cloud(1, 10, 2), cloud(2, 10)
    want = dual_value(a, b, h), laguerre_cells(a, b, h)
    with context():
        a2, b2, h2 = cloud(0, 10, 2), cloud(1, 10, 2), cloud(2, 10)
        assert dual_value(a2, b2, h2) == want[0]
        assert torch.equal(laguerre_cells(a2, b2, h2), want[1])
    leaves = [t.clone().requires_grad_(True) for t in (a, b, h)]
    assert dual_value(*leaves) == want[0]
    assert torch.equal(laguerre_cells(*leaves), want[1])
    assert all(leaf.grad is None for leaf in leaves)
    assert dual_value(a.float(), b.float(), h) == pytest.approx(want[0], rel=1e-6)
