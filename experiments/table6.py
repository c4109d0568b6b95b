"""Table 6: the number of Langevin steps."""

from __future__ import annotations

from typing import Any

from experiments.ablation import before_and_after
from experiments.sizes import Size

TITLE = "Table 6: Langevin steps K an inference, before and after a correction (MNIST)"


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's three."""
    return [{"K": K} for K in (30, 50, 100)]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run of Algorithm 1."""
    return before_and_after(size, seed, **case)
