"""Table 2 on CelebA with a step of 0.1: does the correction help on faces then?"""

from __future__ import annotations

from typing import Any

from experiments.measure import measure
from experiments.methods import corrected
from experiments.sizes import Size, settings
from experiments.table2_celeba import ALPHA
from experiments.table2_celeba import budget as budget
from experiments.table4_step import STEP
from experiments.task import Task

TITLE = "Table 2 on CelebA with s = 0.1"


def cases(size: Size) -> list[dict[str, Any]]:
    """Without the correction and with it, the weight that of the other table."""
    return [{"alpha": alpha} for alpha in (0.0, ALPHA if size.width >= 1 else 0.5)]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The step of all cases."""
    return {"s": STEP}


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    task = Task("celeba", size)
    return measure(corrected(task, settings(size, s=STEP, **case), seed), task, seed)
