"""Table 2's order of methods, asked again with three times the passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments import methods
from experiments.measure import measure
from experiments.methods import train
from experiments.sizes import Size
from experiments.task import Task

TITLE = "Table 2 with three times the passes (MNIST)"
TIMES = 3


def cases(size: Size) -> list[dict[str, Any]]:
    """ABP and ours, and two of those before ours in Table 2; LEBM takes half an hour a run."""
    return [{"method": name} for name in ("VAE", "RAE", "ABP", "MCMC-OT")]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The passes, and the method's own."""
    return {"iterations": TIMES * size.iterations} | methods.changes(case["method"])


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    longer = replace(size, iterations=TIMES * size.iterations)
    task = Task("mnist", longer)
    return measure(train(case["method"], task, size.d, seed), task, seed)
