"""What several test files share: seeded draws, a small network with its images, comparisons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mcmcot_lite import MLP, Settings

F64 = torch.float64
SHAPE = (1, 3, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
