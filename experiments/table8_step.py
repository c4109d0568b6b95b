"""Table 8's step from 35 to 45 pixels: is ABP's 0.00107 at 40 a misprint for 0.0107?

Faces there, of 64 x 64 pixels; articles of Fashion-MNIST here, with squares of the same share of
the image. Learning from incomplete data (Section 6) by ABP, Eqs. (15) to (19).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from experiments.sizes import Size, settings
from experiments.task import Task
from mcmcot_lite import fit
from mcmcot_lite.baselines import ABP

TITLE = "Table 8: error on hidden pixels against the side of the hidden square (ABP, Fashion-MNIST)"
SIDES, OF = (30, 35, 40, 45), 64


def cases(size: Size) -> list[dict[str, Any]]:
    """The neighbours of the value in question."""
    return [{"side": side} for side in SIDES]


def squares(x: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """A mask for each image, (n, 1, h, w): 0 in a square of this side at a random place, else 1."""
    n, _, h, w = x.shape
    top = torch.randint(h - side + 1, (n, 1, 1, 1), generator=rng, device=x.device)
    left = torch.randint(w - side + 1, (n, 1, 1, 1), generator=rng, device=x.device)
    i = torch.arange(h, device=x.device)[:, None]
    j = torch.arange(w, device=x.device)[None, :]
    hidden = (i >= top) & (i < top + side) & (j >= left) & (j < left + side)
    return (~hidden).to(x.dtype)


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """ABP's."""
    return {"alpha": 0.0}


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Learns from the visible pixels; the error on the hidden ones, and with the mean image."""
    task = Task("fashion_mnist", size)
    side = round(case["side"] / OF * task.x.shape[-1])
    mask = squares(task.x, side, task.rng(20_000 + seed))
    rng = torch.Generator().manual_seed(seed)
    model = ABP(task.generator(size.d, rng), settings(size))
    rng = task.placed(model, rng, seed)
    run = fit(model.g, task.x, model.settings, rng=rng, mask=mask, progress=False)
    hidden = mask.expand_as(task.x) == 0
    mean = (task.x * mask).sum(0) / mask.sum(0).clamp_min(1)
    errors = (model.decode(run.z_hat) - task.x).square()
    return {
        "side": float(side),
        "hidden": float(hidden.double().mean()),
        "mse_hidden": float(errors[hidden].mean()),
        "mse_visible": float(errors[~hidden].mean()),
        "mse_hidden_mean_image": float((mean - task.x).square()[hidden].mean()),
        "seconds": run.seconds,
    }
