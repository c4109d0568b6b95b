"""Figure 8: alpha over the iterations: transport cost, MSE, Frechet distance."""

from __future__ import annotations

from typing import Any

from experiments.ablation import before_and_after
from experiments.sizes import Size

TITLE = "Figure 8: the weight alpha of the correction (MNIST)"


def cases(size: Size) -> list[dict[str, Any]]:
    """Alpha 0 is ABP."""
    return [{"alpha": a} for a in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run of Algorithm 1, looked at before every correction."""
    return before_and_after(size, seed, every=True, **case)
