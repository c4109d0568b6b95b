"""Numbers that judge a model: its latents against the prior, its images, its ranking of images."""

from mcmcot_lite.metrics.images import bootstrap_stderr, frechet_distance, mse, recovery_error
from mcmcot_lite.metrics.prior import (
    EnergyTest,
    PriorDistance,
    SlicedDistance,
    distance_to_prior,
    energy_test,
    sliced_to_prior,
)
from mcmcot_lite.metrics.ranking import auprc

__all__ = [
    "EnergyTest",
    "PriorDistance",
    "SlicedDistance",
    "auprc",
    "bootstrap_stderr",
    "distance_to_prior",
    "energy_test",
    "frechet_distance",
    "mse",
    "recovery_error",
    "sliced_to_prior",
]
