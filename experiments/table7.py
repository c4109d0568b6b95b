"""Table 7: the number of learning steps on each batch."""

from __future__ import annotations

from typing import Any

from experiments.ablation import before_and_after
from experiments.sizes import Size

TITLE = "Table 7: learning steps L2 on each batch, before and after a correction (MNIST)"


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's three."""
    return [{"L2": L2} for L2 in (1, 2, 3)]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run of Algorithm 1."""
    return before_and_after(size, seed, **case)
