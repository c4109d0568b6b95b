"""Figure 2: latents over the iterations of Algorithm 1, in two and in three dimensions."""

from __future__ import annotations

from typing import Any

import torch

from experiments.figure3 import SHOWN, rounded
from experiments.pairs import PAIRS, PairTask
from experiments.sizes import Size, settings
from mcmcot_lite import distance_to_prior
from mcmcot_lite.baselines import Corrected
from mcmcot_lite.schedules import Iteration

TITLE = "Figure 2: inferred latents over the iterations of Algorithm 1, before each correction"


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's two rows."""
    return [{"dataset": pair} for pair in PAIRS]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The pair's dimension."""
    return {"d": PAIRS[case["dataset"]].d}


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """One run; a frame at every correction, the first seed keeps its latents."""
    task = PairTask(case["dataset"], size)
    rng = torch.Generator().manual_seed(seed)
    st = settings(size, d=task.d)
    frames: list[dict[str, Any]] = []

    def look(step: Iteration) -> None:
        if step.k > 1 and step.T is None:
            return
        n = min(len(step.inferred), size.points)
        draws = task.rng(10_000 + seed)
        w = distance_to_prior(step.inferred, rng=draws, draws=2, n=n)
        frame = {"k": step.k, "w2": w.value, "w2_floor": w.floor, "excess": w.excess}
        if seed == 0:
            frame["z"] = rounded(step.inferred[:SHOWN])
        frames.append(frame)

    model = Corrected(task.generator(task.d, rng), st)
    rng = task.placed(model, rng, seed)
    done = model.train_by(task.x, rng=rng, progress=False, callbacks=[look])
    found: dict[str, Any] = {"seconds": done.seconds, "frames": frames}
    if seed == 0:
        found["y"] = task.labels[:SHOWN].tolist()
    return found
