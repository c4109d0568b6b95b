"""Models to compare with, one file each, around the same generator.

Each has ``infer``, ``reconstruct`` and ``sample``, and ``log_joint`` or a bound. All are trained by
:func:`fit_model`, but ABP and Algorithm 1's own, which :func:`mcmcot_lite.fit` trains.
"""

from mcmcot_lite.baselines.abp import ABP, Corrected
from mcmcot_lite.baselines.encoder import MLPEmbedding, MLPEncoder
from mcmcot_lite.baselines.flow import Flow
from mcmcot_lite.baselines.glow import Glow
from mcmcot_lite.baselines.ladder import LadderEncoder, LadderVAE
from mcmcot_lite.baselines.lebm import LEBM, MLPEnergy
from mcmcot_lite.baselines.model import Model, ModelFit, fit_model
from mcmcot_lite.baselines.rae import RAE
from mcmcot_lite.baselines.realnvp import RealNVP
from mcmcot_lite.baselines.sri import SRI
from mcmcot_lite.baselines.top_down import TopDown
from mcmcot_lite.baselines.two_stage import TwoStageVAE
from mcmcot_lite.baselines.vae import VAE
from mcmcot_lite.baselines.vae_fit import VAEFit, fit_vae

__all__ = [
    "ABP",
    "LEBM",
    "RAE",
    "SRI",
    "VAE",
    "Corrected",
    "Flow",
    "Glow",
    "LadderEncoder",
    "LadderVAE",
    "MLPEmbedding",
    "MLPEncoder",
    "MLPEnergy",
    "Model",
    "ModelFit",
    "RealNVP",
    "TopDown",
    "TwoStageVAE",
    "VAEFit",
    "fit_model",
    "fit_vae",
]
