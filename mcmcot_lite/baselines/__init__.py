"""Models to compare with, one file each, around the same generator.

Each has ``infer``, ``reconstruct`` and ``sample``, and ``log_joint`` or a bound.
ABP needs no file: it is :func:`mcmcot_lite.fit` with ``alpha=0``.
"""

from mcmcot_lite.baselines.encoder import MLPEncoder
from mcmcot_lite.baselines.vae import VAE, VAEFit, fit_vae

__all__ = ["VAE", "MLPEncoder", "VAEFit", "fit_vae"]
