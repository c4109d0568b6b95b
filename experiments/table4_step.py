"""Table 4 with a step of 0.1: does the correction help in more dimensions then?"""

from __future__ import annotations

from typing import Any

from experiments.measure import measure
from experiments.methods import corrected
from experiments.sizes import Size, settings
from experiments.task import Task

TITLE = "Table 4 with s = 0.1 (MNIST)"
STEP = 0.1


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's three dimensions, without the correction and with it."""
    return [{"d": d, "alpha": alpha} for d in (20, 40, 64) for alpha in (0.0, 0.5)]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The step of all cases."""
    return {"s": STEP}


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    task = Task("mnist", size)
    return measure(corrected(task, settings(size, s=STEP, **case), seed), task, seed)
