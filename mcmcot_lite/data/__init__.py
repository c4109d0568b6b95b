"""Real images, from where you have them.

    >>> from mcmcot_lite import data
    >>> digits = data.mnist5k().classes(0, 1)        # in a wheel: needs no network
    >>> x = digits.take(1000).images()               # (1000, 1, 28, 28), float32 in [0, 1]

``load("mnist")`` and its short form ``mnist()`` look into the folder ``root``, into MCMCOT_DATA and
into the user's cache, and otherwise download into the cache: checked by a checksum, atomic, and
resumed where it stopped. What is not to be had raises FileNotFoundError with what to put where;
what is damaged raises ValueError with the file's name. ``first_available("fashion_mnist",
"mnist5k")`` takes the first that is there and says so in one line when that is not the first.

An ``ImageSet`` keeps pixels as bytes, with their labels, their source and their licence.
"""

from mcmcot_lite.data._faces import image_folder
from mcmcot_lite.data._imageset import ImageSet
from mcmcot_lite.data._load import (
    celeba,
    fashion_mnist,
    first_available,
    load,
    mnist,
    mnist5k,
    svhn,
)
from mcmcot_lite.data._places import cache_folder

__all__ = [
    "ImageSet",
    "cache_folder",
    "celeba",
    "fashion_mnist",
    "first_available",
    "image_folder",
    "load",
    "mnist",
    "mnist5k",
    "svhn",
]
