"""What is measured of a trained model, the same for all."""

from __future__ import annotations

import torch
from torch import Tensor

from experiments.methods import Trained
from experiments.task import Task
from mcmcot_lite import distance_to_prior, frechet_distance, mse
from mcmcot_lite.baselines import Corrected, Model
from mcmcot_lite.metrics import bootstrap_stderr, energy_test

__all__ = ["measure", "of_samples", "to_prior"]

NEW = 500  # held-out images that are reconstructed
TESTED = 1000  # latents in the test against the prior


def measure(run: Trained, task: Task, seed: int) -> dict[str, float]:
    """Reconstruction, samples, latents against the model's own prior."""
    rng = task.rng(10_000 + seed)
    found = {"seconds": run.seconds, "mse": mse(task.x, run.y)}
    found["mse_new"] = _mse_new(run.model, task.held[:NEW], rng)
    found |= of_samples(run.model.sample(task.size.samples, rng=rng), task, rng)
    return found | to_prior(run.z, run.model, task, rng)


def _mse_new(model: Model, x: Tensor, rng: torch.Generator) -> float:
    """Images never seen: chains have to find their latents from N(0, I), ten times as long."""
    if isinstance(model, Corrected):
        return mse(x, model.reconstruct(x, rng=rng, K=10 * model.settings.K))
    return mse(x, model.reconstruct(x, rng=rng))


def of_samples(y: Tensor, task: Task, rng: torch.Generator) -> dict[str, float]:
    """Frechet distance of images to the held-out ones, its bootstrap error."""
    fake = task.features(y.clamp(0, 1))
    fd = frechet_distance(fake, task.real)
    return {
        "fd": fd,
        "fd_stderr": bootstrap_stderr(frechet_distance, fake, task.real, rng=rng, repeats=10),
    }


def to_prior(z: Tensor, model: Model, task: Task, rng: torch.Generator) -> dict[str, float]:
    """Distance of latents to the model's prior, learned or not, with its floor; and a test."""

    def prior(n: int, rng: torch.Generator) -> Tensor:
        return model.sample_prior(n, rng=rng)

    n = min(len(z), task.size.points)
    w = distance_to_prior(z, rng=rng, draws=2, n=n, prior=prior)
    few = min(len(z), TESTED)
    which = torch.randperm(len(z), generator=rng, device=z.device)[:few]
    test = energy_test(z[which], prior(few, rng), rng=rng, permutations=199)
    return {
        "w2": w.value,
        "w2_floor": w.floor,
        "w2_stderr": w.stderr,
        "excess": w.excess,
        "energy": test.value,
        "energy_p": test.p,
        "latent_var": float(z.var(0).mean()),
    }
