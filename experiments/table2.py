"""Table 2: reconstruction and generation, eleven methods, MNIST."""

from __future__ import annotations

from typing import Any

from experiments import methods
from experiments.measure import measure
from experiments.methods import METHODS, train
from experiments.sizes import Size
from experiments.task import Task

TITLE = "Table 2: MSE and Frechet distance of eleven methods at an equal budget"


def cases(size: Size) -> list[dict[str, Any]]:
    """One for each method."""
    return [{"dataset": "mnist", "method": method} for method in METHODS]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of a method's settings."""
    return methods.changes(case["method"])


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    task = Task(case["dataset"], size)
    return measure(train(case["method"], task, size.d, seed), task, seed)
