"""Algorithm 2 under each reading, on the latents that a run of ABP has inferred."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from experiments.ascent import Choices, ascend
from experiments.sizes import Size, settings
from experiments.task import Task
from mcmcot_lite import exact_map
from mcmcot_lite.baselines import ABP
from mcmcot_lite.transport import dual_value, laguerre_cells
from mcmcot_lite.transport.semidual import repair

TITLE = "Algorithm 2: readings of what the paper leaves open"
EPS = 0.05


@dataclass(frozen=True)
class Reading:
    """The choices, and what becomes of the latents before."""

    choices: Choices = field(default_factory=Choices)
    times: float = 1.0
    plus: float = 0.0


READINGS = {
    "ours": Reading(),
    "a second moment for each h_j, rate 0.1": Reading(Choices(scalar=False, rate=0.1)),
    "a second moment for each h_j, rate 0.01": Reading(Choices(scalar=False, rate=0.01)),
    "a second moment for each h_j, rate 0.001": Reading(Choices(scalar=False, rate=0.001)),
    "stops at the L1 norm": Reading(Choices(norm="L1")),
    "stops at the L2 norm": Reading(Choices(norm="L2")),
    "step decays by 0.995": Reading(Choices(decay=0.995)),
    "latents x 10": Reading(times=10.0),
    "latents x 10, step not scaled": Reading(Choices(scaled=False), times=10.0),
    "latents + 10": Reading(plus=10.0),
    "latents + 10, not centred": Reading(Choices(centred=False), plus=10.0),
}


def cases(size: Size) -> list[dict[str, Any]]:
    """One for each reading."""
    return [{"reading": name} for name in READINGS]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The short run of ABP whose latents are transported, and the reading of the ascent."""
    told = {"alpha": 0.0, "iterations": _few(size), "transport": "semidual", "eps": EPS}
    return told | {"reading": asdict(READINGS[case["reading"]])}


def _few(size: Size) -> int:
    return max(2, size.iterations // 3)


@cache
def clouds(size: Size, seed: int) -> tuple[Tensor, Tensor]:
    """Sources and targets."""
    task, rng = Task("mnist", size), torch.Generator().manual_seed(seed)
    model = ABP(task.generator(size.d, rng), settings(size, iterations=_few(size)))
    rng = task.placed(model, rng, seed)
    z_hat = model.train_by(task.x, rng=rng, progress=False).z_hat.cpu().double()
    draws = torch.Generator().manual_seed(10_000 + seed)
    z = torch.randn(z_hat.shape, generator=draws, dtype=z_hat.dtype)
    return z_hat, z


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One ascent: empty cells, steps, how near its bound is to the optimum, its repaired pairs."""
    reading = READINGS[case["reading"]]
    z_hat, z = clouds(size, seed)
    moved = z_hat * reading.times + reading.plus
    begin = time.perf_counter()
    found = ascend(moved, z, reading.choices, EPS)
    seconds = time.perf_counter() - begin
    # The bound in the units of the latents as they were: <x, z> is what the map changes.
    base = float(moved.square().sum(1).mean() + z.square().sum(1).mean())
    optimum = exact_map(moved, z).primal
    score = (base - optimum) / 2
    cell = laguerre_cells(moved, z, found.h)
    index = repair(cell, len(z), torch.Generator().manual_seed(seed))
    u = int((index >= 0).sum())
    return {
        "empty": found.empty,
        "steps": float(found.steps),
        "converged": float(found.converged),
        "missing": (optimum - dual_value(moved, z, found.h)) / (2 * abs(score)),
        "kept": u / len(z),
        # The script keeps u sources too, but the first u of them: targets that these reach.
        "kept_distinct_script": len(cell[:u].unique()) / len(z),
        "seconds": seconds,
    }
