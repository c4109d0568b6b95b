"""Models to compare with, one file each, around the same generator.

Each has ``infer``, ``reconstruct`` and ``sample``, and ``log_joint`` or a bound.
ABP needs no file: it is :func:`mcmcot_lite.fit` with ``alpha=0``.
"""

from mcmcot_lite.baselines.encoder import MLPEmbedding, MLPEncoder
from mcmcot_lite.baselines.lebm import LEBM, MLPEnergy
from mcmcot_lite.baselines.model import Model, ModelFit, fit_model
from mcmcot_lite.baselines.rae import RAE
from mcmcot_lite.baselines.vae import VAE, VAEFit, fit_vae

__all__ = [
    "LEBM",
    "RAE",
    "VAE",
    "MLPEmbedding",
    "MLPEncoder",
    "MLPEnergy",
    "Model",
    "ModelFit",
    "VAEFit",
    "fit_model",
    "fit_vae",
]
