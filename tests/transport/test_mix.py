"""T-hat as a function, and Eq. (12)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcmcot_lite.transport import TransportMap, exact_map, mix, semidual_map


def made(index, h=None, n=None):
    """A map with the given index, -1 for removed."""
    index = torch.tensor(index)
    return TransportMap(
        index=index,
        bijection=index,
        h=torch.zeros(len(index)),
        primal=0.0,
        dual=0.0,
        removed=float((index < 0).double().mean()),
        converged=True,
        steps=1,
        method="by hand",
    )


Z_HAT = torch.tensor([[0.0, 0.0], [1.0, 0.5], [2.0, -1.0], [0.1, 0.7]])
Z = torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0], [40.0, 4.0]])
T_HAT = made([2, -1, 0, 3])


def test_the_map_moves_kept_sources_and_leaves_removed_ones():
    want = torch.stack([Z[2], Z_HAT[1], Z[0], Z[3]])
    assert torch.equal(T_HAT(Z_HAT, Z), want)
    assert T_HAT.kept.tolist() == [True, False, True, True]


def test_equation_12():
    alpha = 0.25
    mixed = mix(Z_HAT, Z, T_HAT, alpha)
    for i, j in ((0, 2), (2, 0), (3, 3)):
        assert torch.allclose(mixed[i], alpha * Z[j] + (1 - alpha) * Z_HAT[i], rtol=1e-7)
    assert torch.equal(mixed[1], Z_HAT[1])


def test_ends_of_alpha():
    zero, one = mix(Z_HAT, Z, T_HAT, 0.0), mix(Z_HAT, Z, T_HAT, 1.0)
    assert torch.equal(zero, Z_HAT)
    assert zero.data_ptr() != Z_HAT.data_ptr()
    assert torch.equal(one, T_HAT(Z_HAT, Z))
    assert torch.equal(mix(Z_HAT, Z, T_HAT, 1), one)
    assert torch.equal(mix(Z_HAT, Z, T_HAT, torch.tensor(1.0)), one)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 5), st.floats(0, 1), st.integers(0, 10**6))
def test_mixing_is_the_printed_formula_for_every_kept_source(n, d, alpha, seed):
    rng = torch.Generator().manual_seed(seed)
    z_hat, z = torch.randn(2, n, d, generator=rng, dtype=torch.float64)
    before = z_hat.clone(), z.clone()
    T = semidual_map(z_hat, z, eps=0.5, rng=rng)
    mixed = mix(z_hat, z, T, alpha)
    for i in range(n):
        j = int(T.index[i])
        want = z_hat[i] if j < 0 else alpha * z[j] + (1 - alpha) * z_hat[i]
        assert torch.allclose(mixed[i], want, rtol=1e-14, atol=1e-14)
    assert torch.equal(mixed[~T.kept], z_hat[~T.kept])
    assert torch.equal(z_hat, before[0])
    assert torch.equal(z, before[1])


def test_mixing_along_the_optimal_map_is_a_geodesic():
    """Displacement interpolation: the cost left after mixing is (1 - alpha)^2 of the cost."""
    rng = torch.Generator().manual_seed(0)
    z_hat, z = torch.randn(2, 60, 3, generator=rng, dtype=torch.float64)
    T = exact_map(z_hat, z)
    for alpha in (0.0, 0.3, 0.9, 1.0):
        left = exact_map(mix(z_hat, z, T, alpha), z)
        assert left.primal == pytest.approx((1 - alpha) ** 2 * T.primal, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    assert mix(Z_HAT.to(dtype), Z.to(dtype), T_HAT, 0.3).dtype == dtype


def test_result_is_frozen_and_compared_by_identity():
    with pytest.raises(FrozenInstanceError):
        T_HAT.primal = 1.0
    assert T_HAT == T_HAT
    assert made([2, -1, 0, 3]) != T_HAT
    assert len({T_HAT, T_HAT}) == 1


def test_gap_is_primal_minus_dual():
    rng = torch.Generator().manual_seed(0)
    T = semidual_map(*torch.randn(2, 50, 2, generator=rng), rng=rng)
    assert T.gap == T.primal - T.dual
    assert "history" not in repr(T)
