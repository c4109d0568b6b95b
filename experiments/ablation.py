"""What Tables 5, 6 and 7 and Figure 8 share: Algorithm 1, measured before and after a correction.

Before: the generator and the chains as the last iteration without a correction left them. After:
the next iteration, which corrects, and learns from the corrected pairs.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from experiments.measure import of_samples, to_prior
from experiments.sizes import Size, settings
from experiments.task import Task
from mcmcot_lite import mse
from mcmcot_lite.baselines import Corrected
from mcmcot_lite.schedules import Iteration

__all__ = ["before_and_after"]


def before_and_after(
    size: Size, seed: int, *, dataset: str = "mnist", every: bool = False, **changes: Any
) -> dict[str, Any]:
    """One run; its numbers end in _before and _after.

    Args:
        size: the budget.
        seed: of the run.
        dataset: whose images.
        every: add curves, a number for each correction.
        changes: of the settings.
    """
    task = Task(dataset, size)
    st = settings(size, **changes)
    rng = torch.Generator().manual_seed(seed)
    model = Corrected(task.generator(st.d, rng), st)
    rng = task.placed(model, rng, seed)
    last = st.iterations // st.L * st.L
    found: dict[str, Any] = {"curve": []}

    def judge(step: Iteration) -> dict[str, float]:
        draws = task.rng(10_000 + seed)
        numbers = {"mse": mse(task.x, model.decode(step.z_hat))}
        numbers |= of_samples(model.sample(size.samples, rng=draws), task, draws)
        return numbers | to_prior(step.z_hat, model, task, draws)

    def look(step: Iteration) -> None:
        if step.k in (last - 1, last):
            when = "before" if step.k < last else "after"
            found.update({f"{key}_{when}": v for key, v in judge(step).items()})
        elif every and step.k % st.L == st.L - 1:
            found["curve"].append({"k": step.k, **judge(step)})

    run = model.train_by(task.x, rng=rng, progress=False, callbacks=[look])
    found |= {"seconds": run.seconds, "history": copy.deepcopy(list(run.history))}
    if not every:
        del found["curve"], found["history"]
    return found
