"""The Frechet distance of real images to other real ones: a level to read the others against."""

from __future__ import annotations

from typing import Any

import torch

from experiments.sizes import Size
from experiments.task import Task
from mcmcot_lite import frechet_distance

TITLE = "Real images against other real images"


def cases(size: Size) -> list[dict[str, Any]]:
    """Data sets of Table 2, but SVHN, whose files few have."""
    return [{"dataset": name} for name in ("mnist", "fashion_mnist", "celeba")]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, float]:
    """Two halves of the held-out images, drawn anew for each seed, of at most ``size.held``."""
    task = Task(case["dataset"], size)
    x = task.all_held
    which = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    n = min(size.held, len(x) // 2)
    a, b = (task.features(x[i]) for i in (which[:n], which[n : 2 * n]))
    return {"images": float(n), "fd": frechet_distance(a, b)}
