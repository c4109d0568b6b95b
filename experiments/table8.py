"""Table 8 and Figure 10: learning from incomplete images, two families of masks, 14 levels.

Faces of CelebA there, 64 x 64. Departs at the cpu size: articles of Fashion-MNIST, and squares of
the same share of the image; the salt and pepper is made of 3 x 3 patches in both.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from experiments import methods
from experiments.methods import JUDGED, METHODS, learning
from experiments.pictures import packed
from experiments.sizes import Size, settings
from experiments.table2_celeba import ALPHA
from experiments.task import FACES, Task
from mcmcot_lite import fills, masks, mse, recover
from mcmcot_lite.baselines import Corrected, fit_model
from mcmcot_lite.metrics import recovery_error

TITLE = "Table 8: recovery of hidden pixels, learned from incomplete images"
SIDES, SHARES, OF = (15, 20, 25, 30, 35, 40, 45), (50, 60, 70, 75, 80, 85, 90), 64
LEVELS = [("square", side) for side in SIDES] + [("salt", share) for share in SHARES]
NAMES = ("VAE", "ABP", "MCMC-OT")
SETTLED = "MCMC-OT, settled"  # the same with its last correction well before the end of the run
SHOWN = 4  # images of each run of the first seed, for the page
STEP = 0.1  # of the chains: with 0.03 they have hardly moved by the end of a run of this length


def budget(size: Size) -> Size:
    """Faces at the full width; 42 runs a seed have to be small elsewhere."""
    if size.width >= 1:
        return replace(size, n=10_000, d=64, batch=500, iterations=200)
    return size if size.n < 1000 else replace(size, n=1000)


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of the settings. Departs at the cpu size: the weight of the other tables, 0.5.

    A run of any size here ends with a correction, and what is learned last is learned from latents
    that it has just moved. Settled runs correct twice and have a quarter of their iterations left.
    """
    name = case["method"]
    found = {"s": STEP} | methods.changes(name)
    if name not in NAMES[:2] and size.width >= 1:
        found["alpha"] = ALPHA
    if name == SETTLED:
        found["L"] = max(3, 3 * size.iterations // 8)
    return found


def cases(size: Size) -> list[dict[str, Any]]:
    """Each method on each mask."""
    data = "celeba" if size.width >= 1 else "fashion_mnist"
    return [
        {"dataset": data, "mask": kind, "level": level, "method": name}
        for kind, level in LEVELS
        for name in (*NAMES, SETTLED)
    ]


def hidden_by(case: dict[str, Any], x: Tensor, seed: int) -> Tensor:
    """The masks of the training images: the same for every method, on x's device."""
    rng = torch.Generator(x.device).manual_seed(20_000 + seed)
    n, shape = len(x), tuple(x.shape[1:])
    if case["mask"] == "square":
        side = max(1, round(case["level"] / OF * shape[-1]))
        return masks.patches(n, shape, size=side, rng=rng)
    return masks.salt_and_pepper(n, shape, share=case["level"] / 100, rng=rng)


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Learns from what the masks show; the errors on what they hide."""
    task = Task(case["dataset"], size)
    x = task.x
    if case["dataset"] == "celeba":  # all of the archive, as the paper: no image is held out
        x = torch.cat([x, task.all_held])[: size.n]
    mask = hidden_by(case, x, seed)
    rng = torch.Generator().manual_seed(seed)
    model = METHODS[case["method"].partition(",")[0]](task, size.d, rng)
    rng = task.placed(model, rng, seed)
    st = settings(size, **changes(case, size))
    history: list[dict[str, float]] = []
    begin = time.perf_counter()
    if isinstance(model, Corrected):
        model.settings = st
        fit = model.train_by(x, rng=rng, mask=mask, progress=False)
        history = [dict(row) for row in fit.history]
        seconds = time.perf_counter() - begin
        z = model.infer(x, rng=rng, z0=fit.z_hat, K=JUDGED, mask=mask)
        y = recover(model.g, z, x, mask, batch_size=st.batch_size)
    else:
        fit_model(model, x, mask=mask, rng=rng, **learning(st))
        seconds = time.perf_counter() - begin
        y = torch.where(mask, x, model.reconstruct(x, mask=mask))
    simple = {"mean": fills.fill_mean(x, mask), "pixel": fills.fill_nearest_pixel(x, mask)}
    found: dict[str, Any] = {"seconds": seconds, "hidden": float((~mask).double().mean())}
    for name, filled in {"": y, "_mean": simple["mean"], "_pixel": simple["pixel"]}.items():
        found[f"mse{name}"] = mse(x, filled, ~mask)
        found[f"error{name}"] = recovery_error(x, filled, mask)
    if case["mask"] == "square" and case["level"] == 20 and seed == 0:  # Figure 10
        keys = ("k", "mse", "ot_cost")
        found["history"] = [{k: row[k] for k in keys if k in row} for row in history]
    if seed == 0 and case["dataset"] not in FACES:
        found["recovered"] = packed(y[:SHOWN])
        if case["method"] == NAMES[0]:
            found["shown"] = packed(torch.where(mask, x, 0.5)[:SHOWN])
            found["whole"] = packed(x[:SHOWN])
    return found
