"""Every method of Table 2, built and trained at an equal budget.

Equal: the images, the generator, the pixel noise, Adam's rate, and the number of Adam steps, which
is iterations x L2 passes over the images. Not equal, so stated beside every row: the seconds; and
the parameters, as an encoder or a second stage is more of them. Flows have no generator; their
networks are of a width that takes about as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiments.sizes import settings
from experiments.task import Task
from mcmcot_lite import MLP, Settings
from mcmcot_lite.baselines import (
    ABP,
    LEBM,
    RAE,
    SRI,
    VAE,
    Corrected,
    Glow,
    LadderEncoder,
    LadderVAE,
    MLPEmbedding,
    MLPEncoder,
    MLPEnergy,
    Model,
    RealNVP,
    TopDown,
    TwoStageVAE,
    fit_model,
)

__all__ = ["JUDGED", "METHODS", "Trained", "changes", "corrected", "learning", "train"]

COLD = 0.1  # step of runs that start at the prior each time: LEBM's own; 0.03 would go nowhere
JUDGED = 100  # Langevin steps, without a correction, between a run's end and its measurement


@dataclass(frozen=True)
class Trained:
    """A trained model, its latents of the training images, their reconstructions, its cost."""

    model: Model
    z: Tensor
    y: Tensor
    seconds: float


Maker = Callable[[Task, int, torch.Generator], Model]


def _vae(task: Task, d: int, rng: torch.Generator, learn_sigma: bool = False) -> VAE:
    encoder = MLPEncoder(d, task.x[0].numel(), task.size.hidden, rng)
    return VAE(task.generator(d, rng), encoder, sigma=0.3, learn_sigma=learn_sigma)


def _two_stage(task: Task, d: int, rng: torch.Generator) -> TwoStageVAE:
    second = VAE(
        MLP(d, (d,), task.size.hidden, output="none", rng=rng),
        MLPEncoder(d, d, task.size.hidden, rng),
        sigma=1.0,
        learn_sigma=True,
    )
    return TwoStageVAE(_vae(task, d, rng, learn_sigma=True), second)


def _rae(task: Task, d: int, rng: torch.Generator) -> RAE:
    encoder = MLPEmbedding(d, task.x[0].numel(), task.size.hidden, rng)
    return RAE(task.generator(d, rng), encoder)


def _ladder(task: Task, d: int, rng: torch.Generator) -> LadderVAE:
    dims, widths = (d, max(1, d // 2)), (task.size.hidden[0], task.size.hidden[-1])
    prior = TopDown(dims, hidden=(64,), rng=rng)
    encoder = LadderEncoder(dims, task.x[0].numel(), widths, rng)
    passes = task.size.iterations * 3
    g = task.generator(d, rng)
    return LadderVAE(g, prior, encoder, sigma=0.3, warm_up=passes // 4)


def _sri(task: Task, d: int, rng: torch.Generator, layers: int = 1) -> SRI:
    dims = tuple(max(1, d // 2**i) for i in range(layers))
    prior = TopDown(dims, hidden=(64,), rng=rng)
    return SRI(task.generator(d, rng), prior, sigma=0.3, K=task.size.K, s=COLD)


def _lebm(task: Task, d: int, rng: torch.Generator) -> LEBM:
    energy = MLPEnergy(d, rng=rng)
    K = task.size.K
    return LEBM(task.generator(d, rng), energy, d=d, sigma=0.3, K=K, s=COLD, K_prior=3 * K)


def _abp(task: Task, d: int, rng: torch.Generator) -> ABP:
    return ABP(task.generator(d, rng), settings(task.size, d=d))


def _ours(task: Task, d: int, rng: torch.Generator) -> Corrected:
    return Corrected(task.generator(d, rng), settings(task.size, d=d))


def _flow_width(task: Task) -> int:
    return max(4, round(64 * task.size.width))


METHODS: dict[str, Maker] = {
    "VAE": _vae,
    "2sVAE": _two_stage,
    "RAE": _rae,
    "Ladder-VAE": _ladder,
    "RealNVP": lambda task, d, rng: RealNVP(task.x.shape[1:], width=_flow_width(task), rng=rng),
    "GLOW": lambda task, d, rng: Glow(task.x.shape[1:], width=_flow_width(task), rng=rng),
    "ABP": _abp,
    "SRI": _sri,
    "SRI (L=5)": lambda task, d, rng: _sri(task, d, rng, layers=5),
    "LEBM": _lebm,
    "MCMC-OT": _ours,
}


def changes(name: str) -> dict[str, float]:
    """Settings of a method that are not the tables' own, of those that it has."""
    own = {"ABP": {"alpha": 0.0}, "SRI": {"s": COLD}, "SRI (L=5)": {"s": COLD}, "LEBM": {"s": COLD}}
    return own.get(name, {})


def learning(st: Settings) -> dict[str, Any]:
    """What fit_model takes for as many Adam steps as Algorithm 1 makes with these settings."""
    return {
        "epochs": st.iterations * st.L2,
        "batch_size": st.batch_size,
        "lr": st.lr,
        "betas": st.betas,
        "progress": False,
    }


def train(name: str, task: Task, d: int, seed: int) -> Trained:
    """Builds and trains a method."""
    rng = torch.Generator().manual_seed(seed)
    model = METHODS[name](task, d, rng)
    rng = task.placed(model, rng, seed)
    begin = time.perf_counter()
    if isinstance(model, Corrected):
        return _judged(model, task, rng)
    how = learning(settings(task.size, d=d))
    fit_model(model, task.x, rng=rng, **how)
    if isinstance(model, TwoStageVAE):
        model.stage = 2
        fit_model(model, task.x, rng=rng, **how)
    if isinstance(model, RAE):
        model.fit_density(task.x, seed=seed)
    seconds = time.perf_counter() - begin
    z = model.infer(task.x, rng=rng)
    return Trained(model, z, model.reconstruct(task.x, rng=rng), seconds)


def corrected(task: Task, st: Settings, seed: int, output: str = "unit") -> Trained:
    """Builds and trains Algorithm 1 with these settings, as :func:`train` does with its own."""
    rng = torch.Generator().manual_seed(seed)
    model = Corrected(task.generator(st.d, rng, output), st)
    return _judged(model, task, task.placed(model, rng, seed))


def _judged(model: Corrected, task: Task, rng: torch.Generator) -> Trained:
    """Trains by Algorithm 1, then lets the chains run on: what a correction moved must stay."""
    run = model.train_by(task.x, rng=rng, progress=False)
    z = model.infer(task.x, rng=rng, z0=run.z_hat, K=JUDGED)
    return Trained(model, z, model.decode(z), run.seconds)
