"""A VAE's own way to train: the loop of all baselines, its history called what it is, a bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.baselines.model import fit_model
from mcmcot_lite.baselines.vae import VAE

__all__ = ["VAEFit", "fit_vae"]


@dataclass(frozen=True, eq=False)
class VAEFit:
    """Result of :func:`fit_vae`: the model, the mean ELBO of each epoch, and wall time."""

    vae: VAE
    elbo: tuple[float, ...] = field(repr=False)
    seconds: float


def fit_vae(
    vae: VAE,
    x: Tensor,
    *,
    rng: torch.Generator,
    mask: Tensor | None = None,
    epochs: int = 60,
    batch_size: int = 100,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    progress: bool = True,
    callback: Callable[[int, float], None] | None = None,
    x_range: tuple[float, float] | None = (0.0, 1.0),
) -> VAEFit:
    """Trains encoder and generator together: :func:`fit_model`, whose arguments these are.

    Raises:
        TypeError, ValueError: on bad input, before vae or rng change.
        FloatingPointError: when the bound or a weight diverges; names the epoch.
    """
    if not isinstance(vae, VAE):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Pass VAE(g, encoder, sigma=0.3)."
        raise checks.fail("vae", "must be a VAE", checks.shown(vae), remedy, TypeError)
    run = fit_model(
        vae,
        x,
        rng=rng,
        mask=mask,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        betas=betas,
        progress=progress,
        callback=callback,
        x_range=x_range,
    )
    return VAEFit(vae, run.objective, run.seconds)
