"""Section 7.4: new images completed by trained generators, under the paper's six masks.

The paper shows pictures of faces (Figures 6 and 7), no numbers. Here digits and clothes at the cpu
size, with the error on hidden pixels and the spread between completions. Every generator infers by
the same chains: the VAE's encoder has not learned to read images that are hidden in part.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from experiments import table2_celeba
from experiments.methods import METHODS, corrected, learning
from experiments.pictures import packed
from experiments.sizes import Size, settings
from experiments.task import FACES, Task
from mcmcot_lite import fills, inpaint, masks, mse
from mcmcot_lite.baselines import Model, fit_model

TITLE = "Inpainting of new images (Section 7.4)"
STEP = 0.1  # of all chains, in training and after
STEPS = 200  # of a completion: it starts at the prior, where an iteration of training goes on
COMPLETIONS = 6
SHOWN = 6  # images that the page shows, of the first seed
CHAINS = ("ABP", "MCMC-OT")


def budget(size: Size) -> Size:
    """At the full width faces, as many as Table 2 learns from."""
    return table2_celeba.budget(size) if size.width >= 1 else size


def cases(size: Size) -> list[dict[str, Any]]:
    """Each data set, each generator."""
    sets = ("celeba",) if size.width >= 1 else ("mnist", "fashion_mnist")
    return [{"dataset": data, "method": m} for data in sets for m in ("VAE", *CHAINS)]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of the settings; the weight that of Table 2's images."""
    if case["method"] == "ABP":
        return {"s": STEP, "alpha": 0.0}
    return {"s": STEP} | (table2_celeba.changes(case, size) if size.width >= 1 else {})


def filled(x: Tensor, mask: Tensor, train: Tensor) -> dict[str, Tensor]:
    """Without a model."""
    return {
        "mean": fills.fill_mean(x, mask, train),
        "nearest image": fills.fill_nearest_image(x, mask, train),
        "nearest pixel": fills.fill_nearest_pixel(x, mask),
    }


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Trains on whole images; completes others."""
    task = Task(case["dataset"], size)
    st = settings(size, **changes(case, size))
    begin = time.perf_counter()
    if case["method"] in CHAINS:
        model: Model = corrected(task, st, seed).model
    else:
        rng = torch.Generator().manual_seed(seed)
        model = METHODS[case["method"]](task, size.d, rng)
        rng = task.placed(model, rng, seed)
        fit_model(model, task.x, rng=rng, **learning(st))
    found: dict[str, Any] = {"seconds": time.perf_counter() - begin}
    x = task.held[: max(10, size.n // 20)]
    for kind in masks.KINDS:
        rng = task.rng(40_000 + seed)
        mask = masks.of_paper(kind, len(x), tuple(x.shape[1:]), rng=rng)
        how = {"d": size.d, "sigma": st.sigma, "s": st.s, "K": STEPS, "rng": rng}
        done = inpaint(model.g, x, mask, completions=COMPLETIONS, **how)
        each = [mse(x, y, ~mask) for y in done.images]
        found[kind] = {
            "one": sum(each) / len(each),
            "mean of them": mse(x, done.images.mean(0), ~mask),
            "diversity": float(done.diversity.mean()),
        } | {name: mse(x, y, ~mask) for name, y in filled(x, mask, task.x).items()}
        if seed == 0 and case["method"] == "MCMC-OT" and case["dataset"] not in FACES:
            views = [x, torch.where(mask, x, 0.5), *done.images, done.images.mean(0)]
            found[kind]["views"] = packed(torch.stack([view[:SHOWN] for view in views]))
    return found
