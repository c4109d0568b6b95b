"""What the paper leaves open: one run for each reading, everything else as in the base."""

from __future__ import annotations

from typing import Any

import torch

from experiments.measure import measure
from experiments.methods import judged
from experiments.sizes import Size, settings
from experiments.task import Task
from mcmcot_lite.baselines import Corrected

TITLE = "Readings of what the paper leaves open (MNIST)"

# The released script's order: each batch infers and learns at once, L passes to a correction, then
# as many passes of regression, BatchNorm by the batch. Its Adam has a rate of 2e-4.
RELEASED = {"schedule": "released", "batchnorm": "batch", "lr": 2e-4}
READINGS: dict[str, dict[str, Any]] = {
    "printed": {},
    "released": RELEASED,
    "s = 0.3 (Section 7.1)": {"s": 0.3},
    "chains from noise": {"chains": "noise"},
    "fresh targets": {"targets": "fresh"},
    "BatchNorm by the batch": {"batchnorm": "batch"},
    "Algorithm 2, 5 % removed": {"transport": "semidual"},
    "no correction (ABP)": {"alpha": 0.0},
}


def cases(size: Size) -> list[dict[str, Any]]:
    """One for each reading."""
    return [{"reading": name} for name in READINGS]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Trains and measures one, as in Table 2."""
    changes = dict(READINGS[case["reading"]])
    if changes.get("schedule") == "released":
        outer = max(2, size.iterations // size.L // 2)  # as many passes of learning in all
        changes |= {"iterations": outer, "regression": size.L, "L": size.L}
    task, rng = Task("mnist", size), torch.Generator().manual_seed(seed)
    st = settings(size, **changes)
    model = Corrected(task.generator(st.d, rng), st)
    rng = task.placed(model, rng, seed)
    return measure(judged(model, task, rng), task, seed)
