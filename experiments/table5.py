"""Table 5: the step size of the Langevin dynamics."""

from __future__ import annotations

from typing import Any

from experiments.ablation import before_and_after
from experiments.sizes import Size

TITLE = "Table 5: Langevin step size s, before and after a correction (MNIST)"


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's four."""
    return [{"s": s} for s in (0.003, 0.015, 0.03, 0.06)]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run of Algorithm 1."""
    return before_and_after(size, seed, **case)
