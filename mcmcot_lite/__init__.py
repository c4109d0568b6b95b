"""mcmcot-lite: top-down generative models by short-run MCMC inference with OT correction.

    >>> import torch
    >>> from mcmcot_lite import MLP, Settings, data, fit
    >>> x = data.mnist5k().classes(0, 1).images()
    >>> rng = torch.Generator().manual_seed(0)
    >>> g = MLP(2, rng=rng)
    >>> result = fit(g, x, Settings(d=2, iterations=5, batch_size=100), rng=rng, progress=False)

Layers, each importing only from those above it: checks; frozen, density, generators, masks, data,
transport; linear, fills; factor_analysis; langevin, incomplete; anomaly, inpainting; short_run,
settings; schedules; train; baselines, metrics, features; figures; widgets. Plotting, features and
data are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mcmcot_lite import factor_analysis, fills, incomplete, masks, short_run, transport
from mcmcot_lite.anomaly import Score, anomaly_score, score_of_latents
from mcmcot_lite.density import grad_z, learning_gradient, log_joint
from mcmcot_lite.engine import Compute
from mcmcot_lite.frozen import frozen
from mcmcot_lite.generators import (
    MLP,
    LinearGenerator,
    celeba_generator,
    mnist_generator,
    svhn_generator,
)
from mcmcot_lite.inpainting import Inpainting, inpaint, recover
from mcmcot_lite.langevin import Inference, infer, langevin_step
from mcmcot_lite.learning import learn
from mcmcot_lite.memory import Memory, predict_memory
from mcmcot_lite.metrics import distance_to_prior, frechet_distance, mse
from mcmcot_lite.schedules import Iteration
from mcmcot_lite.settings import Settings
from mcmcot_lite.signals import Stopped
from mcmcot_lite.train import Fit, fit, reconstruct
from mcmcot_lite.transport import TransportMap, certify, exact_map, mix, semidual_map

if TYPE_CHECKING:
    from mcmcot_lite import baselines, check, data, features, figures, widgets

__version__ = "0.1.0"
__all__ = [
    "MLP",
    "Compute",
    "Fit",
    "Inference",
    "Inpainting",
    "Iteration",
    "LinearGenerator",
    "Memory",
    "Score",
    "Settings",
    "Stopped",
    "TransportMap",
    "anomaly_score",
    "baselines",
    "celeba_generator",
    "certify",
    "check",
    "data",
    "distance_to_prior",
    "exact_map",
    "factor_analysis",
    "features",
    "figures",
    "fills",
    "fit",
    "frechet_distance",
    "frozen",
    "grad_z",
    "incomplete",
    "infer",
    "inpaint",
    "langevin_step",
    "learn",
    "learning_gradient",
    "log_joint",
    "masks",
    "mix",
    "mnist_generator",
    "mse",
    "predict_memory",
    "reconstruct",
    "recover",
    "score_of_latents",
    "semidual_map",
    "short_run",
    "svhn_generator",
    "transport",
    "widgets",
]

_LAZY = ("baselines", "check", "data", "features", "figures", "widgets")


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return import_module(f"mcmcot_lite.{name}")
    raise AttributeError(f"module 'mcmcot_lite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
