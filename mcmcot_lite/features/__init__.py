"""Image features for Frechet distances, without a download.

A Frechet distance is one of certain features: say which. FD-EffNet has those of EfficientNet-Lite0
(any images), FD-MNIST those of a small network that tells digits apart. Neither is the FID of the
literature.
"""

from mcmcot_lite.features.digits import DIGIT_FEATURES, digit_features
from mcmcot_lite.features.effnet import FEATURES, effnet_features

__all__ = ["DIGIT_FEATURES", "FEATURES", "digit_features", "effnet_features"]
