"""The first run of ``js/chains.js``, in Python: what the still of the chains shows."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

__all__ = ["fixed", "normals", "run", "words"]

SEED = 1  # the script's first
WORD = 0xFFFFFFFF  # 32 bits
AWAY = 1e6  # a chain beyond stops


def normals(seed: int, n: int) -> Tensor:
    """The first n draws of ``lab.normals(seed)`` in ``js/lab.js``, (n,), float64."""
    state = seed * 2654435761 + torch.arange(1, 2 * n + 1) * 0x6D2B79F5 & WORD
    t = (state ^ state >> 15) * (state | 1) & WORD
    t = t + (t ^ t >> 7) * (t | 61) & WORD ^ t
    uniform = (t ^ t >> 14).double() / 2**32
    return (-2 * (1 - uniform[::2]).log()).sqrt() * (2 * math.pi * uniform[1::2]).cos()


def run(grid: Tensor, limit: float, start: list[float], *, s: float, K: int, chains: int) -> Tensor:
    """Langevin chains at temperature 1, (chains, K + 1, 2), with the script's first noise.

    They are the script's as long as none runs away.

    Args:
        grid: log density, (m, m), over [-limit, limit]^2.
        limit: of both axes.
        start: of all chains.
        s: step size.
        K: steps.
        chains: their number.
    """
    noise = normals(SEED, chains * K * 2).view(chains, K, 2)
    z = torch.tensor(start, dtype=torch.float64).expand(chains, 2)
    path = [z]
    for k in range(K):
        near = (z.abs() < AWAY).all(1, keepdim=True)
        z = torch.where(near, z + s**2 / 2 * _slope(grid, limit, z) + s * noise[:, k], z)
        path.append(z)
    return torch.stack(path, 1)


def words(ends: Tensor, limit: float, mean: list[float], spread: list[float]) -> str:
    """What the script says of the ends, (chains, 2), and of the posterior's moments."""
    middle = cast("list[float]", ends.mean(0).tolist())
    width = cast("list[float]", ends.std(0, correction=0).tolist())
    if max(*map(abs, middle), *width) > 5 * limit:
        return "The chains have run away: this step is beyond the stability limit."
    return (
        f"Ends of {len(ends)} chains: mean ({fixed(middle)}), deviation ({fixed(width)}). "
        f"Posterior: mean ({fixed(mean)}), deviation ({fixed(spread)})."
    )


def fixed(values: list[float]) -> str:
    """Numbers with two digits, as ``lab.fixed`` in ``js/lab.js`` writes them: no negative zero."""
    shown = (f"{v if abs(v) >= 0.005 else 0.0:.2f}" for v in values)
    return ", ".join(shown).replace("-", "\N{MINUS SIGN}")


def _slope(grid: Tensor, limit: float, z: Tensor) -> Tensor:
    """Gradient of the log density; outside it goes on straight, at least as steep as the prior."""
    h = 2 * limit / (len(grid) - 1)
    near = z.clamp(h - limit, limit - h)
    beyond = z - near
    g = _inside(grid, limit, near)
    found = g.clone()
    for i in (0, 1):
        step = beyond[:, i].sign() * h
        before = near.clone()
        before[:, i] -= step
        bend = (g[:, i] - _inside(grid, limit, before)[:, i]) / step
        straight = g[:, i] + bend.clamp(max=-1) * beyond[:, i]
        found[:, i] = torch.where(step == 0, g[:, i], straight)
    return found


def _inside(grid: Tensor, limit: float, z: Tensor) -> Tensor:
    """Gradient of the grid's bicubic (Catmull and Rom), at points inside, (n, 2)."""
    m = len(grid)
    h = 2 * limit / (m - 1)
    at = (z + limit) / h
    corner = at.floor().clamp(1, m - 3)
    value, slope = _cubic(at - corner)
    around = corner.long()[..., None] + torch.arange(-1, 3)
    part = grid[around[:, 1, :, None], around[:, 0, None, :]]
    across = torch.einsum("nb,na,nba->n", value[:, 1], slope[:, 0], part)
    up = torch.einsum("nb,na,nba->n", slope[:, 1], value[:, 0], part)
    return torch.stack((across, up), 1) / h


def _cubic(f: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of four neighbours for value and slope at f in [0, 1], each (..., 4)."""
    value = (
        ((2 - f) * f - 1) * f,
        (3 * f - 5) * f * f + 2,
        ((4 - 3 * f) * f + 1) * f,
        (f - 1) * f * f,
    )
    slope = ((4 - 3 * f) * f - 1, (9 * f - 10) * f, (8 - 9 * f) * f + 1, (3 * f - 2) * f)
    return torch.stack(value, -1) / 2, torch.stack(slope, -1) / 2
