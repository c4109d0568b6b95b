"""Table 4: the dimension of the latents (the paper: SVHN; here MNIST)."""

from __future__ import annotations

from typing import Any

from experiments import methods
from experiments.measure import measure
from experiments.methods import train
from experiments.sizes import Size
from experiments.task import Task

TITLE = "Table 4: latent dimension, with and without the correction"


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's three, and the size's own."""
    return [
        {"dataset": "mnist", "d": d, "method": m}
        for d in sorted({size.d, 20, 40, 64})
        for m in ("ABP", "MCMC-OT")
    ]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of a method's settings."""
    return methods.changes(case["method"])


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Trains and measures one."""
    task = Task(case["dataset"], size)
    return measure(train(case["method"], task, case["d"], seed), task, seed)
