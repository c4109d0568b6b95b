"""Figure 3: latents of the VAE, of ABP and of Algorithm 1, in two and in three dimensions."""

from __future__ import annotations

from typing import Any

import torch

from experiments import methods
from experiments.measure import measure
from experiments.methods import train
from experiments.pairs import PAIRS, PairTask
from experiments.sizes import Size

TITLE = "Figure 3: inferred latents of three methods, two classes"
SHOWN = 600  # latents kept for the picture


def cases(size: Size) -> list[dict[str, Any]]:
    """The paper's six panels."""
    return [{"dataset": p, "method": m} for p in PAIRS for m in ("VAE", "ABP", "MCMC-OT")]


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """The pair's dimension, and the method's own."""
    return {"d": PAIRS[case["dataset"]].d} | methods.changes(case["method"])


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Trains and measures one; the first seed keeps latents to draw."""
    task = PairTask(case["dataset"], size)
    trained = train(case["method"], task, task.d, seed)
    found: dict[str, Any] = measure(trained, task, seed)
    if seed == 0:
        found["z"] = rounded(trained.z[:SHOWN])
        found["y"] = task.labels[:SHOWN].tolist()
    return found


def rounded(z: torch.Tensor) -> list[list[float]]:
    """Latents for a picture."""
    return [[round(v, 3) for v in row] for row in z.tolist()]
