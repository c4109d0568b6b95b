"""Pairs of clouds that a transport solver must survive, and independent references for them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

EPS = np.finfo(np.float64).eps


def _random(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d), draw(n, d)


def _correlated(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d) @ draw(d, d) / d**0.5 + 1, draw(n, d)


def _blobs(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return 0.3 * draw(n, d) + 3 * (draw(n, 1) > 0), draw(n, d)


def _duplicated(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    x, y = draw(n, d), draw(n, d)
    half = torch.arange(n) // 2
    return x[half], y[half]


def _lattice(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d).round(), draw(n, d).round()


def _shifted(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d) + 1e6, draw(n, d) + 1e6


def _apart(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d) + 1e3, draw(n, d)


def _tiny(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return 1e-25 * draw(n, d), 1e-25 * draw(n, d)


def _huge(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return 1e25 * draw(n, d), 1e25 * draw(n, d)


def _unequal(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return 1e-6 * draw(n, d), draw(n, d)


def _outlier(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    x, y = draw(n, d), draw(n, d)
    x[0] *= 1e6
    return x, y


def _identical(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    x = draw(n, d)
    return x, x.clone()


def _one_source(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(1, d).expand(n, d), draw(n, d)


def _one_target(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    return draw(n, d), draw(1, d).expand(n, d)


def _flat(n: int, d: int, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    x, y = draw(n, d), draw(n, d)
    x[:, -1], y[:, -1] = 3.0, -1.0
    return x, y


CLOUDS = {
    f.__name__.strip("_"): f
    for f in (
        *(_random, _correlated, _blobs, _duplicated, _lattice, _shifted, _apart, _tiny, _huge),
        *(_unequal, _outlier, _identical, _one_source, _one_target, _flat),
    )
}


@dataclass
class Pair:
    """Two clouds, their optimum by an independent route, and the rounding it may carry."""

    z_hat: Tensor
    z: Tensor
    optimum: float
    tol: float


def pair_of(kind: str, n: int, d: int, dtype: torch.dtype) -> Pair:
    seed = zlib.crc32(f"{kind} {n} {d}".encode())
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=dtype)

    z_hat, z = CLOUDS[kind](n, d, draw)
    a, b = z_hat.double().numpy(), z.double().numpy()
    cost = ((a[:, None] - b[None]) ** 2).sum(-1)  # no expansion of the square: nothing cancels
    rows, columns = linear_sum_assignment(cost)
    scale = float(((a - b.mean(0)) ** 2).sum(1).mean() + ((b - a.mean(0)) ** 2).sum(1).mean())
    offset = float(np.abs(a).max() + np.abs(b).max())
    # Sums over up to n terms of size `scale`; rounding of the coordinates before centring.
    tol = 4 * n * EPS * scale + 16 * EPS * offset * d * scale**0.5 + (16 * EPS * offset) ** 2 * d
    return Pair(z_hat, z, float(cost[rows, columns].mean()), tol)


SIZES = [(1, 1), (1, 5), (2, 3), (7, 2), (40, 1), (60, 2), (60, 5), (50, 64)]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["f32", "f64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(params=SIZES, ids=lambda size: f"n{size[0]}-d{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param


@pytest.fixture(params=CLOUDS)
def pair(request: pytest.FixtureRequest, size: tuple[int, int], dtype: torch.dtype) -> Pair:
    """Every kind of clouds in every size and dtype."""
    return pair_of(request.param, *size, dtype)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
