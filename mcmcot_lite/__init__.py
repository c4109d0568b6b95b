"""mcmcot-lite: top-down generative models by short-run MCMC inference with OT correction.

    >>> import torch
    >>> from mcmcot_lite import MLP, Settings, data, fit
    >>> x = data.mnist5k().classes(0, 1).images()
    >>> rng = torch.Generator().manual_seed(0)
    >>> g = MLP(2, rng=rng)
    >>> result = fit(g, x, Settings(d=2, iterations=5, batch_size=100), rng=rng, progress=False)

Layers, each importing only from those above it: checks; freezing, density, generators, masks, data,
transport; linear, fills; factor_analysis; langevin, incomplete; anomaly, inpainting; short_run,
settings; schedules; train; baselines, metrics, features; figures; widgets. A name is loaded when it
is first used, and PyTorch with it: the import alone takes milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; :data:`_FROM` says the same to Python
    from mcmcot_lite import (
        baselines,
        check,
        data,
        factor_analysis,
        features,
        figures,
        fills,
        incomplete,
        masks,
        metrics,
        presets,
        short_run,
        transport,
        widgets,
    )
    from mcmcot_lite.anomaly import Score, anomaly_score, score_of_latents
    from mcmcot_lite.density import grad_z, learning_gradient, log_joint
    from mcmcot_lite.engine import Compute
    from mcmcot_lite.freezing import frozen
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
    "metrics",
    "mix",
    "mnist_generator",
    "mse",
    "predict_memory",
    "presets",
    "reconstruct",
    "recover",
    "score_of_latents",
    "semidual_map",
    "short_run",
    "svhn_generator",
    "transport",
    "widgets",
]

_FROM = {
    "": "baselines check data factor_analysis features figures fills incomplete masks metrics "
    "presets short_run transport widgets",
    "anomaly": "Score anomaly_score score_of_latents",
    "density": "grad_z learning_gradient log_joint",
    "engine": "Compute",
    "freezing": "frozen",
    "generators": "MLP LinearGenerator celeba_generator mnist_generator svhn_generator",
    "inpainting": "Inpainting inpaint recover",
    "langevin": "Inference infer langevin_step",
    "learning": "learn",
    "memory": "Memory predict_memory",
    "metrics": "distance_to_prior frechet_distance mse",
    "schedules": "Iteration",
    "settings": "Settings",
    "signals": "Stopped",
    "train": "Fit fit reconstruct",
    "transport": "TransportMap certify exact_map mix semidual_map",
}
"""Module -> the public names that it gives; the names of "" are modules."""
_HOME = {name: module for module, names in _FROM.items() for name in names.split()}


if not TYPE_CHECKING:  # to a type checker a name that is not imported above is an error

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'mcmcot_lite' has no attribute {name!r}")
        module = import_module(f"mcmcot_lite.{_HOME[name] or name}")
        thing = getattr(module, name) if _HOME[name] else module
        globals()[name] = thing  # from now on without this function
        return thing


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
