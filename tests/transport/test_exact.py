"""The exact map: against SciPy, POT, sorting, and maps known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from mcmcot_lite.transport import certify, exact_map
from mcmcot_lite.transport import exact as exact_module


@pytest.fixture(params=["dense", "sparse"])
def route(request, monkeypatch):
    """POT's dense solver for small n, or the sparse graph for every n."""
    if request.param == "sparse":
        monkeypatch.setattr(exact_module, "DENSE", 0)
    return request.param


@pytest.mark.usefixtures("route")
def test_equals_scipy_with_a_proof(pair):
    T = exact_map(pair.z_hat, pair.z)
    n = len(pair.z)
    assert abs(T.primal - pair.optimum) <= pair.tol
    assert abs(T.gap) <= 4 * pair.tol  # primal = dual: no map can be better
    assert T.dual <= pair.optimum + pair.tol
    assert torch.equal(T.bijection.sort().values, torch.arange(n))
    assert torch.equal(T.index, T.bijection)
    assert (T.removed, T.converged, T.method) == (0.0, True, "exact")
    assert (T.status, T.certified) == ("optimal", True)
    assert certify(pair.z_hat, pair.z, T).certified
    assert T.kept.all()
    assert T.h.shape == (n,)
    assert T.h.dtype == torch.float64


@pytest.mark.parametrize("d", [1, 2, 8, 64])
def test_equals_pot(d, rng):
    a = torch.randn(200, d, generator=rng, dtype=torch.float64) * 0.5 + 1
    b = torch.randn(200, d, generator=rng, dtype=torch.float64)
    want = ot.emd2([], [], ot.dist(a.numpy(), b.numpy(), metric="sqeuclidean"))
    assert exact_map(a, b).primal == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 100, 1000, 100_000])
def test_one_dimension_is_sorting(n, rng):
    a, b = torch.randn(2, n, 1, generator=rng, dtype=torch.float64)
    T = exact_map(a, b)
    want = torch.empty(n, dtype=torch.long)
    want[a[:, 0].argsort()] = b[:, 0].argsort()
    assert torch.equal(T.index, want)


def affine(x: Tensor, draw: Callable[..., Tensor]) -> Tensor:
    """Gradient of x'Ax/2 + b'x with A symmetric positive definite."""
    root = draw(x.shape[1], x.shape[1])
    return x @ (root @ root.mT + 0.1 * torch.eye(x.shape[1], dtype=x.dtype)) + draw(x.shape[1])


def radial(x: Tensor, draw: Callable[..., Tensor]) -> Tensor:
    """Gradient of f(|x|) with f' = r + r^3 increasing."""
    return x * (1 + x.square().sum(1, keepdim=True))


def coordinatewise(x: Tensor, draw: Callable[..., Tensor]) -> Tensor:
    """Gradient of a sum of convex functions of one coordinate each."""
    return torch.exp(x * draw(x.shape[1]).abs()) + x**3


@pytest.mark.parametrize("gradient", [affine, radial, coordinatewise])
@pytest.mark.parametrize(("n", "d"), [(300, 1), (300, 2), (300, 7), (200, 40)])
def test_finds_the_gradient_of_a_convex_function(gradient, n, d, rng):
    """Brenier: such a map is optimal onto its image, and here the only one."""
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    x = draw(n, d)
    order = torch.randperm(n, generator=rng)
    y = torch.empty_like(x)
    y[order] = gradient(x, draw)
    assert torch.equal(exact_map(x, y).index, order)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gradient", "d"),
    [
        *((affine, d) for d in (2, 3, 64)),
        *((radial, d) for d in (2, 8, 64)),
        *((coordinatewise, d) for d in (2, 8, 64)),
    ],
)
def test_finds_the_known_map_of_twenty_thousand_points(gradient, d, rng):
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    x = draw(20_000, d)
    order = torch.randperm(20_000, generator=rng)
    y = torch.empty_like(x)
    y[order] = gradient(x, draw)
    T = exact_map(x, y)
    assert torch.equal(T.index, order)
    assert T.certified


@pytest.mark.parametrize("c", [1e-12, 1e-3, 1e3, 1e12])
def test_scaling_and_translation_keep_the_map(c, rng):
    a, b = torch.randn(2, 80, 3, generator=rng, dtype=torch.float64)
    T, S = exact_map(a, b), exact_map(c * a + 5 * c, c * b - 7 * c)
    assert torch.equal(T.index, S.index)
    assert S.primal == pytest.approx(c**2 * (T.primal + 24 * (a.mean(0) - b.mean(0)).sum() + 432))


def test_result_owns_its_tensors_and_leaves_the_input_alone(rng):
    whole = torch.randn(60, 8, generator=rng)
    a, b = whole[::2, :4].requires_grad_(False), whole[1::2, 1::2]  # not contiguous
    before = whole.clone()
    T = exact_map(a, b)
    S = exact_map(a.clone().requires_grad_(True), b.contiguous())
    assert torch.equal(T.index, S.index)
    assert not S.h.requires_grad
    assert np.isfinite([T.primal, T.dual]).all()
    T.index.zero_()
    assert torch.equal(T.bijection, S.bijection)
    assert torch.equal(whole, before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_under_no_grad_and_inference_mode(context, rng):
    with context():
        a, b = torch.randn(2, 20, 3, generator=rng)
        inside = exact_map(a, b)
    outside = exact_map(a, b)
    assert torch.equal(inside.index, outside.index)
    assert inside.primal == outside.primal
