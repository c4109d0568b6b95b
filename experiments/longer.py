"""Table 2's order of methods, asked again: three times the passes; chains at every Adam step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.measure import measure
from experiments.methods import corrected, train
from experiments.sizes import Size, settings
from experiments.task import Task

TITLE = "Table 2 with three times the passes (MNIST)"
TIMES = 3
# Three times the iterations with L2 = 1: as many chains as SRI and LEBM, as many Adam steps as
# Table 2.
OFTEN = "MCMC-OT, L2 = 1"
OFTEN_FAST = "MCMC-OT, L2 = 1, s = 0.06"


def cases(size: Size) -> list[dict[str, Any]]:
    """Those that Table 2 puts before ours and that can be paid for, and ours in two more ways."""
    names = ("VAE", "RAE", "ABP", "MCMC-OT", OFTEN, OFTEN_FAST, "LEBM")
    return [{"method": name} for name in names]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    longer = replace(size, iterations=TIMES * size.iterations)
    task = Task("mnist", longer)
    if case["method"] not in (OFTEN, OFTEN_FAST):
        return measure(train(case["method"], task, size.d, seed), task, seed)
    changes = {"s": 0.06} if case["method"] == OFTEN_FAST else {}
    return measure(corrected(task, settings(longer, L2=1, **changes), seed), task, seed)
