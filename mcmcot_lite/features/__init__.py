"""Image features for Frechet distances.

A Frechet distance is one of certain features: say which. FD-EffNet has those of EfficientNet-Lite0
(any images), FD-MNIST and FD-Fashion those of small networks that tell digits, or clothes, apart;
none of them needs a download.
The FID of the literature has those of its Inception network, which is fetched.
"""

from mcmcot_lite.features.digits import DIGIT_FEATURES, digit_features, fashion_features
from mcmcot_lite.features.effnet import FEATURES, effnet_features
from mcmcot_lite.features.inception import INCEPTION_FEATURES, inception_features

__all__ = [
    "DIGIT_FEATURES",
    "FEATURES",
    "INCEPTION_FEATURES",
    "digit_features",
    "effnet_features",
    "fashion_features",
    "inception_features",
]
