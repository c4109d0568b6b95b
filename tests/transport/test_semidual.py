"""Algorithm 2: what it promises for any clouds, and the details of its Adam."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mcmcot_lite.transport import dual_value, laguerre_cells, semidual_map, transport
from mcmcot_lite.transport.semidual import repair

F64 = torch.float64


def normal(seed, *shape, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ---- for any clouds


def test_promises(pair, rng):
    n = len(pair.z)
    eps = (0.0, 0.05, 0.5)[n % 3]
    T = semidual_map(pair.z_hat, pair.z, eps=eps, rng=rng, max_steps=100)
    assert T.converged == (T.removed <= eps)
    assert T.dual <= pair.optimum + pair.tol  # weak duality
    assert T.primal >= pair.optimum - pair.tol
    assert T.gap >= -4 * pair.tol
    kept = T.index[T.kept]
    assert len(kept.unique()) == len(kept)  # T-hat is injective
    assert len(kept) == round((1 - T.removed) * n)
    assert torch.equal(T.bijection.sort().values, torch.arange(n))
    assert torch.equal(T.bijection[T.kept], kept)
    assert T.index.dtype == T.bijection.dtype == torch.long
    assert T.index.min() >= -1
    assert T.steps == len(T.history) <= 100
    assert (T.h.dtype, T.h.shape, T.method) == (F64, (n,), "semidual")
    # the bound returned is the bound of the h returned, whoever computes it
    assert dual_value(pair.z_hat, pair.z, T.h) == pytest.approx(T.dual, abs=4 * pair.tol)
    # every kept source holds its best score, by scores that were never centred
    a, b = pair.z_hat.double(), pair.z.double()
    scores = a @ b.mT + T.h
    loss = (scores.max(1).values - scores.gather(1, T.bijection[:, None])[:, 0])[T.kept]
    size = float((a.norm(dim=1).max() * b.norm(dim=1).max()) + T.h.abs().max())
    assert loss.max() <= 64 * np.finfo(float).eps * size


@pytest.mark.parametrize("kind", [normal(0, 300, 2), normal(0, 300, 5), normal(0, 300, 30)])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("seed", [1, 2])
def test_converges_on_generic_clouds(kind, dtype, seed, rng):
    mixing = normal(seed, kind.shape[1], kind.shape[1])
    z_hat = (kind @ mixing + 1).to(dtype)
    T = semidual_map(z_hat, normal(seed + 10, *kind.shape).to(dtype), rng=rng)
    assert T.converged
    assert T.removed <= 0.05
    assert T.history[-1] == T.removed <= 0.05 < T.history[0]
    cells = laguerre_cells(z_hat, normal(seed + 10, *kind.shape).to(dtype), T.h)
    assert len(cells.unique()) == round(300 * (1 - T.removed))  # cells filled = sources kept
    assert torch.equal(cells[T.kept], T.index[T.kept])


def test_a_single_point_and_a_single_place():
    one = semidual_map(torch.ones(1, 3), torch.zeros(1, 3), eps=0.0, rng=torch.Generator())
    assert (one.primal, one.dual, one.removed, one.steps) == (3.0, 3.0, 0.0, 2)
    assert one.converged
    same = semidual_map(torch.ones(9, 2), normal(0, 9, 2).float(), rng=torch.Generator())
    assert not same.converged  # one place can fill one cell only
    assert same.removed == pytest.approx(8 / 9)
    assert same.steps < 5000  # gave up because the step had shrunk to nothing
    assert same.gap == pytest.approx(0, abs=1e-12)  # yet every bijection is optimal, and it knows


def test_eps_zero_can_be_met(rng):
    T = semidual_map(normal(0, 12, 3), normal(1, 12, 3), eps=0.0, rng=rng)
    assert T.converged
    assert T.removed == 0
    assert torch.equal(T.index, T.bijection)
    assert T.gap == pytest.approx(0, abs=1e-12)


# ---- Adam


def reference(a, b, steps, elementwise=False, step=None, decay=1.0):
    """Lines 3 to 8 in NumPy, with real units; returns the best h, and the empty share by step."""
    n, d = a.shape
    x, y = a - a.mean(0), b - b.mean(0)
    step = (math.sqrt(n * d) / 100 if step is None else step) * x.std() * y.std()
    h, m, v = np.zeros(n), np.zeros(n), np.zeros(n) if elementwise else 0.0
    empties, best = [], (2.0, h)
    for _ in range(steps):
        count = np.bincount((x @ y.T + h).argmax(1), minlength=n)
        empties.append((count == 0).mean())
        best = min(best, (empties[-1], h), key=lambda pair: pair[0])
        grad = count / n - 1 / n
        m = 0.9 * m + 0.1 * grad
        v = 0.5 * v + 0.5 * (grad**2 if elementwise else (grad**2).sum())
        h = h - step * m / (np.sqrt(v) + 1e-16)
        step *= decay
    return best[1] - y @ a.mean(0), empties


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 50])
@pytest.mark.parametrize(("n", "d"), [(30, 1), (80, 3)])
def test_update_is_the_scalar_adam_of_the_released_script(steps, n, d, rng):
    a, b = 2 * normal(3, n, d) + 1, 0.5 * normal(4, n, d) - 2
    T = semidual_map(a, b, eps=0.0, rng=rng, max_steps=steps)
    h, empties = reference(a.numpy(), b.numpy(), steps)
    assert T.history == pytest.approx(empties, abs=1e-15)
    difference = T.h.numpy() - h
    assert np.ptp(difference) <= 1e-12 * np.abs(h).max()  # h is defined up to a constant


def test_elementwise_adam_sticks_where_the_scalar_one_converges(rng):
    a, b = normal(5, 200, 5), normal(6, 200, 5)
    assert semidual_map(a, b, rng=rng).removed <= 0.05
    for step in (1.0, 0.1, 0.01, 0.001):
        _, empties = reference(a.numpy(), b.numpy(), 800, True, step, decay=0.99)
        assert min(empties) > 0.15


def test_gradient_is_the_count_of_each_cell():
    """Central differences of E, which is linear between the points where a cell changes."""
    a, b, h = normal(7, 40, 3), normal(8, 40, 3), 0.1 * normal(9, 40)
    n, top = len(a), (a @ b.mT + h).topk(2).values
    delta = float((top[:, 0] - top[:, 1]).min()) / 4  # no source changes its cell within it
    base = float(a.square().sum(1).mean() + b.square().sum(1).mean())
    energy = lambda h: (base - dual_value(a, b, h)) / 2  # noqa: E731
    count = torch.bincount(laguerre_cells(a, b, h), minlength=n)
    assert energy(h) == pytest.approx(float(top[:, 0].mean() - h.mean()), rel=1e-12)
    for j in range(n):
        bump = torch.zeros(n, dtype=F64).index_fill(0, torch.tensor(j), delta)
        slope = (energy(h + bump) - energy(h - bump)) / (2 * delta)
        assert slope == pytest.approx(float(count[j] - 1) / n, abs=1e-13 * base / delta)


@pytest.mark.parametrize("seed", range(5))
def test_half_the_l1_norm_of_the_gradient_is_the_removed_share(seed):
    n = 50
    cell = torch.randint(0, n, (n,), generator=torch.Generator().manual_seed(seed))
    grad = (torch.bincount(cell, minlength=n).double() - 1) / n
    index = repair(cell, n, torch.Generator().manual_seed(seed))
    assert float(grad.abs().sum()) / 2 == pytest.approx(float((index < 0).double().mean()))
    assert float(grad.sum()) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("c", [2.0**-60, 0.25, 8.0, 2.0**55])
def test_scaling_by_c_scales_h_by_c_squared(dtype, c):
    a, b = normal(10, 60, 3, dtype=dtype), normal(11, 60, 3, dtype=dtype)
    T = semidual_map(a, b, rng=torch.Generator().manual_seed(0))
    S = semidual_map(c * a, c * b, rng=torch.Generator().manual_seed(0))
    assert S.history == T.history  # c is a power of two: every rounding is the same
    assert torch.equal(S.h, c**2 * T.h)
    assert torch.equal(S.index, T.index)
    assert (S.primal, S.dual) == (c**2 * T.primal, c**2 * T.dual)


def test_moving_the_clouds_keeps_the_map():
    a, b = normal(12, 60, 3).float(), normal(13, 60, 3).float()
    T = semidual_map(a.double(), b.double(), rng=torch.Generator().manual_seed(0))
    S = semidual_map(a.double() + 1e5, b.double() - 3e5, rng=torch.Generator().manual_seed(0))
    assert S.history[:50] == T.history[:50]
    assert S.converged


# ---- start, limits, repair


def test_a_warm_start_begins_where_the_last_one_ended(rng):
    a, b = normal(14, 100, 3) + 5, normal(15, 100, 3) - 2
    T = semidual_map(a, b, rng=rng)
    for h0 in (T.h, T.h + 7, T.h.float()):
        again = semidual_map(a, b, rng=rng, h0=h0)
        assert again.converged
        assert again.steps <= (2 if h0.dtype == F64 else 60)
    cold = semidual_map(a, b, rng=rng, h0=torch.zeros(100), max_steps=1)
    assert cold.history[0] == pytest.approx(
        1 - len(laguerre_cells(a, b, torch.zeros(100)).unique()) / 100
    )


def test_max_steps_ends_the_run_and_says_so(rng):
    T = semidual_map(normal(0, 50, 1), normal(1, 50, 1), eps=0.0, rng=rng, max_steps=3)
    assert T.steps == 3
    assert not T.converged
    assert T.removed > 0


def test_faster_decay_gives_up_sooner(rng):
    a, b = normal(0, 40, 2)[torch.arange(40) // 2], normal(1, 40, 2)  # twins: eps is out of reach
    fast = semidual_map(a, b, rng=rng, decay=0.5)
    slow = semidual_map(a, b, rng=rng, decay=0.95)
    assert not fast.converged
    assert fast.steps < slow.steps < 5000


def test_repair_keeps_each_source_of_a_cell_with_equal_chance():
    cell = torch.tensor([0, 2, 2, 2, 1, 2, 4])
    rng, runs = torch.Generator().manual_seed(1), 4000
    index = torch.stack([repair(cell, 6, rng) for _ in range(runs)])
    kept = (index >= 0).double().mean(0)
    assert kept[[0, 4, 6]].tolist() == [1, 1, 1]
    assert set(index[:, 0].tolist()) == {0}
    share = [1, 2, 3, 5]
    assert kept[share].sum() == pytest.approx(1)
    z = stats.norm.isf(1e-3 / (2 * 4))  # four components, both sides, one false alarm in 1,000
    assert (kept[share] - 0.25).abs().max() < z * math.sqrt(0.25 * 0.75 / runs)


def test_rng_decides_the_repair_and_nothing_else():
    a, b = normal(0, 60, 2), normal(1, 60, 2)
    run = lambda seed: semidual_map(a, b, eps=0.3, rng=torch.Generator().manual_seed(seed))  # noqa: E731
    T, same, other = run(0), run(0), run(1)
    assert torch.equal(T.index, same.index)
    assert torch.equal(T.bijection, same.bijection)
    assert torch.equal(T.h, other.h)
    assert not torch.equal(T.index, other.index)
    assert T.removed == other.removed


def test_transport_calls_by_name(rng):
    a, b = normal(0, 40, 2), normal(1, 40, 2)
    approximate, exact = (
        transport(a, b, method="semidual", rng=rng),
        transport(a, b, method="exact", rng=rng),
    )
    assert approximate.method == "semidual"
    assert exact.method == "exact"
    assert approximate.dual <= exact.primal + 1e-12 <= approximate.primal + 2e-12
    coarse = transport(a, b, method="semidual", eps=0.5, rng=rng)
    assert 0.05 < coarse.removed <= 0.5
    assert transport(a, b, method="semidual", rng=rng, h0=approximate.h).steps == 1


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_under_no_grad_inference_mode_and_with_gradients(context):
    a, b = normal(0, 30, 2, dtype=torch.float32), normal(1, 30, 2, dtype=torch.float32)
    T = semidual_map(a, b, rng=torch.Generator().manual_seed(0))
    with context():
        S = semidual_map(a.clone(), b.clone(), rng=torch.Generator().manual_seed(0))
    leaf = a.clone().requires_grad_(True)
    R = semidual_map(leaf, b, rng=torch.Generator().manual_seed(0))
    for other in (S, R):
        assert torch.equal(T.index, other.index)
        assert torch.equal(T.h, other.h)
        assert not other.h.requires_grad
    assert leaf.grad is None


def test_strided_views_and_inputs_untouched(rng):
    whole = normal(0, 80, 6)
    a, b = whole[::2, ::3], whole[1::2, 1::3]
    before = whole.clone()
    h0 = torch.zeros(80, dtype=F64)[::2]
    T = semidual_map(a, b, rng=torch.Generator().manual_seed(0), h0=h0)
    S = semidual_map(
        a.contiguous(), b.contiguous(), rng=torch.Generator().manual_seed(0), h0=h0.clone()
    )
    assert torch.equal(T.index, S.index)
    T.h.zero_()
    T.index.zero_()
    assert torch.equal(whole, before)
    assert not h0.any()
    assert torch.equal(T.bijection, S.bijection)
