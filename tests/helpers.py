"""What several test files share: seeded draws, a small network with its images, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from mcmcot_lite import MLP, Settings

F64 = torch.float64
SHAPE = (1, 3, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def randn(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=F64)


def net(d: int = 2, seed: int = 0) -> MLP:
    return MLP(d, SHAPE, (5,), rng=seeded(seed))


def images(n: int = 23, seed: int = 1) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(seed))


def settings(**values: Any) -> Settings:
    base = {"d": 2, "K": 3, "L": 2, "L2": 2, "batch_size": 6, "iterations": 4, "s": 0.1}
    return Settings(**(base | values))


def same(g: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(g.parameters(), other.parameters(), strict=True))


def history(run: Any) -> list[dict[str, float]]:
    """The history of a run without what a clock says."""
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in run.history]


def same_runs(a: Any, b: Any) -> bool:
    """Two results of fit, to the bit."""
    weights = zip(a.g.state_dict().values(), b.g.state_dict().values(), strict=True)
    return (
        all(torch.equal(v, w) for v, w in weights)
        and torch.equal(a.z_hat, b.z_hat)
        and torch.equal(a.z, b.z)
        and history(a) == history(b)
    )


def check_gaussian(z: Tensor, mean: Tensor, cov: Tensor, alarm: float = 1e-3) -> None:
    """Means and covariances of independent rows of N(mean, cov), by standard errors."""
    n, d = z.shape
    factor = torch.linalg.cholesky(cov)
    white = torch.linalg.solve_triangular(factor, (z - mean).mT, upper=False).detach()
    limit = stats.norm.isf(alarm / (2 * d * (d + 1))) / n**0.5
    assert white.mean(1).abs().max() < limit
    spread = white @ white.mT / n - torch.eye(d, dtype=white.dtype)
    assert spread.abs().max() < limit * 2**0.5


def check_gradients(
    value: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    every: int,
    step: float,
    **close: float,
) -> None:
    """The .grad of the parameters against central differences of value(), every few entries."""
    for p in parameters:
        flat, grad = p.data.view(-1), p.grad.view(-1)
        for i in range(0, len(flat), every):
            start, ends = float(flat[i]), []
            for sign in (1, -1):
                flat[i] = start + sign * step
                ends.append(float(value().detach()))
            flat[i] = start
            found = (ends[0] - ends[1]) / (2 * step)
            assert found == pytest.approx(float(grad[i]), **close)
