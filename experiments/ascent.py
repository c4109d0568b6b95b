"""Algorithm 2 with its open choices as switches, small enough to read; clouds of float64.

With the switches as they stand it takes the very steps of :func:`mcmcot_lite.semidual_map`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Ascent", "Choices", "ascend"]

ROWS = 500  # of the scores at once
WARMUP, SMALLEST = 50, 1e-7


@dataclass(frozen=True)
class Choices:
    """What the paper leaves open.

    Attributes:
        scalar: one second moment for all of h; else one for each entry, as Adam has it.
        rate: with one for each entry, Adam's rate in units of the scores.
        norm: of the gradient, that must fall to eps: "half L1" (the share of empty cells), "L1"
            or "L2".
        decay: of the step at a plateau.
        centred: both clouds are centred first.
        scaled: the step is in units of the scores; else of latents with unit variance.
        max_steps: most iterations.
    """

    scalar: bool = True
    rate: float = 0.01
    norm: str = "half L1"
    decay: float = 0.9
    centred: bool = True
    scaled: bool = True
    max_steps: int = 5_000


class Ascent(NamedTuple):
    """Potentials for the clouds as given, (n,); share of empty cells there; steps; converged."""

    h: Tensor
    empty: float
    steps: int
    converged: bool


def _cells(x: Tensor, y: Tensor, h: Tensor) -> tuple[float, Tensor]:
    """E(h) of Eq. (14), and how many sources each cell holds."""
    total, count = 0.0, torch.zeros(len(y), dtype=torch.long)
    for rows in x.split(ROWS):
        best = (rows @ y.T + h).max(1)
        total += float(best.values.sum())
        count += torch.bincount(best.indices, minlength=len(y))
    return total / len(x) - float(h.mean()), count


def _stalled(values: list[float]) -> bool:
    return values[-1] + values[-2] >= values[-4] + values[-5]


def ascend(z_hat: Tensor, z: Tensor, choices: Choices, eps: float = 0.05) -> Ascent:
    """Adam on h from 0, lines 3 to 8.

    Args:
        z_hat: sources, (n, d).
        z: targets, (n, d).
        choices: the switches.
        eps: what the norm of the gradient must reach.
    """
    n, d = z.shape
    x, y, tilt = z_hat, z, torch.zeros(n, dtype=z.dtype)
    if choices.centred:
        x, y = z_hat - z_hat.mean(0), z - z.mean(0)
        tilt = y @ z_hat.mean(0)
    unit = float(x.square().mean().sqrt() * y.square().mean().sqrt()) if choices.scaled else 1.0
    step = math.sqrt(n * d) / 100 * unit
    h = m = v = torch.zeros(n, dtype=z.dtype)
    best, least, converged = h, math.inf, False
    energies: list[float] = []
    norms: list[float] = []
    for t in range(1, choices.max_steps + 1):
        energy, count = _cells(x, y, h)
        grad = (count.to(h.dtype) - 1) / n
        norm = float(grad.norm() if choices.norm == "L2" else grad.abs().sum())
        norm = norm / 2 if choices.norm == "half L1" else norm
        energies.append(energy)
        norms.append(norm)
        if norm < least:
            best, least = h, norm
        if norm <= eps:
            converged = True
            break
        if choices.scalar and t > WARMUP and _stalled(energies) and _stalled(norms):
            step *= choices.decay
            if step < SMALLEST * unit:
                break
        m = 0.9 * m + 0.1 * grad
        if choices.scalar:
            v = 0.5 * v + 0.5 * grad.square().sum()
            move = step / (v.sqrt() + 1e-16) * m
        else:  # Adam as it is known, with its correction for the start
            v = 0.5 * v + 0.5 * grad.square()
            move = choices.rate * unit * (m / (1 - 0.9**t)) / ((v / (1 - 0.5**t)).sqrt() + 1e-8)
        h = h - (move - move.mean())
    empty = float((_cells(x, y, best)[1] == 0).double().mean())
    return Ascent(best - tilt, empty, t, converged)
