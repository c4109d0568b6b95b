"""The authors' released script, each of its departures from the printed equations a switch.

What it does is told by the facts that the book lists (page "What the paper leaves open"); no line
of it is here. The order of work is that of :func:`mcmcot_lite.schedules.released`. With all
switches off this loop is :func:`mcmcot_lite.fit` in that order, up to rounding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from experiments.methods import JUDGED, Trained
from experiments.task import Task
from mcmcot_lite import Settings
from mcmcot_lite.baselines import Corrected
from mcmcot_lite.density import raw_score
from mcmcot_lite.freezing import frozen
from mcmcot_lite.langevin import walk
from mcmcot_lite.learning import raw_learn
from mcmcot_lite.schedules import normal
from mcmcot_lite.transport import TransportMap, laguerre_cells, mix, transport

__all__ = ["Script", "chains_of", "trained"]


@dataclass(frozen=True)
class Script:
    """The switches.

    Attributes:
        noise: multiplies the noise of Eq. (8); 1 is that equation, 0 plain ascent.
        decay: multiplies the noise once more after each outer iteration.
        at_targets: the chains start at the targets z_j, not at draws of their own.
        cells: a correction moves every chain towards the target of its cell, whoever else goes
            there; else along the repaired map.
        first: the regression takes the first u pairs of the list, u the number of filled cells,
            which is the script's slip for one pair a cell; else all.
    """

    noise: float = 1.0
    decay: float = 1.0
    at_targets: bool = False
    cells: bool = False
    first: bool = False


def _shuffled(n: int, st: Settings, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Batches of about st.batch_size, sizes differing by at most 1."""
    order = torch.randperm(n, generator=rng, device=rng.device)
    return order.tensor_split(-(-n // st.batch_size))


def _move(
    g: nn.Module, x: Tensor, z: Tensor, st: Settings, scale: float, K: int, rng: torch.Generator
) -> Tensor:
    """K Langevin steps with scaled noise, BatchNorm as the settings have it."""
    noise = (scale * normal(*z.shape, like=z, rng=rng) for _ in range(K))
    with frozen(g, st.batchnorm):
        z = walk(partial(raw_score, g, x=x, sigma=st.sigma, mask=None), z, st.s, noise)
    if not torch.isfinite(z).all():
        raise FloatingPointError(f"chains diverged with s = {st.s:g}, noise {scale:g}")
    return z


def _correct(
    z_hat: Tensor, z: Tensor, h: Tensor | None, st: Settings, script: Script, rng: torch.Generator
) -> tuple[Tensor, TransportMap]:
    """Lines 9 and 10 of Algorithm 1: the chains after a correction, and the map."""
    T = transport(z_hat, z, method=st.transport, eps=st.eps, rng=rng, h0=h)
    if script.cells:
        return st.alpha * z[laguerre_cells(z_hat, z, T.h)] + (1 - st.alpha) * z_hat, T
    return mix(z_hat, z, T, st.alpha), T


def chains_of(
    g: nn.Module, x: Tensor, st: Settings, script: Script, rng: torch.Generator
) -> Tensor:
    """Trains g; returns the chains, (n, d)."""
    n, h = len(x), None
    z = normal(n, st.d, like=x, rng=rng)
    z_hat = normal(n, st.d, like=x, rng=rng)
    if script.at_targets:
        z_hat = z.clone()
    adam = torch.optim.Adam(g.parameters(), lr=st.lr, betas=st.betas)

    def learn(i: Tensor) -> None:
        raw_learn(g, x[i], z_hat[i], adam, st.sigma, None)

    for k in range(st.iterations):
        scale = script.noise * script.decay**k
        for _ in range(st.L):
            for i in _shuffled(n, st, rng):
                z_hat[i] = _move(g, x[i], z_hat[i], st, scale, st.K, rng)
                for _ in range(st.L2):
                    learn(i)
        z_hat, T = _correct(z_hat, z, h, st, script, rng)
        h = T.h if st.transport == "semidual" else None
        for _ in range(st.regression):
            for i in _shuffled(int(T.kept.sum()) if script.first else n, st, rng):
                learn(i)
    g.eval()
    return z_hat


def trained(task: Task, st: Settings, script: Script, seed: int) -> Trained:
    """Trains by it; the chains then go on by its own rule, without a correction."""
    rng = torch.Generator().manual_seed(seed)
    model = Corrected(task.generator(st.d, rng), st)
    rng = task.placed(model, rng, seed)
    begin = time.perf_counter()
    z_hat = chains_of(model.g, task.x, st, script, rng)
    seconds = time.perf_counter() - begin
    scale = script.noise * script.decay ** (st.iterations - 1)
    batches = torch.arange(len(z_hat), device=task.x.device).split(st.batch_size)
    z = torch.cat([_move(model.g, task.x[i], z_hat[i], st, scale, JUDGED, rng) for i in batches])
    return Trained(model, z, model.decode(z), seconds)
