"""Table 7 without corrections: what an iteration of learning changes by itself."""

from __future__ import annotations

from typing import Any

from experiments import table7
from experiments.ablation import before_and_after
from experiments.sizes import Size

TITLE = "Table 7 without corrections: the last iteration's change by learning alone (MNIST)"


def cases(size: Size) -> list[dict[str, Any]]:
    """One learning step; three, the tables' own, are Figure 8's run with a weight of 0."""
    return table7.cases(size)[:1]


def changes(case: dict[str, Any], size: Size) -> dict[str, float]:
    """No correction."""
    return {"alpha": 0.0}


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run of ABP."""
    return before_and_after(size, seed, **case, **changes(case, size))
