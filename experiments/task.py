"""A data set as the experiments use it: images, the generator for them, features."""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from experiments.sizes import Size
from mcmcot_lite import data
from mcmcot_lite.features import digit_features, effnet_features, fashion_features
from mcmcot_lite.generators import Table1, celeba_generator, mnist_generator, svhn_generator

__all__ = ["DATASETS", "FACES", "Task"]

MAKERS = {
    "mnist": mnist_generator,
    "fashion_mnist": mnist_generator,
    "svhn": svhn_generator,
    "celeba": celeba_generator,
    "faces_32": svhn_generator,  # the same faces, 2 x 2 pixels in one
}
DATASETS = tuple(MAKERS)
FACES = ("celeba", "faces_32")  # their licence: no picture of them is stored
FEATURES = {
    "mnist": ("FD-MNIST", digit_features),
    "fashion_mnist": ("FD-Fashion", fashion_features),
}
EFFNET = ("FD-EffNet", effnet_features)
HELD_OF_CELEBA = 2000  # its archive of 10,000 faces has no test split: the last ones


@lru_cache(maxsize=1)
def _faces() -> Tensor:
    """The archive of CelebA, decoded once a process: that takes longer than some rows."""
    return data.celeba(progress=False).images()


@lru_cache(maxsize=1)
def _real_faces(size: Size) -> Tensor:
    """Features of the held-out faces, once a process too."""
    task = Task("celeba", size)
    return task.features(task.held)


class Task:
    """Images of one data set at one size."""

    def __init__(self, name: str, size: Size) -> None:
        self.name, self.size = name, size

    @cached_property
    def _images(self) -> tuple[Tensor, Tensor]:
        if self.name in FACES:
            x = _faces() if self.name == "celeba" else avg_pool2d(_faces(), 2)
            return x[:-HELD_OF_CELEBA], x[-HELD_OF_CELEBA:]
        return tuple(data.load(self.name, split=s).images() for s in ("train", "test"))

    @cached_property
    def x(self) -> Tensor:
        """Training images."""
        return self._images[0][: self.size.n].to(self.size.device)

    @property
    def all_held(self) -> Tensor:
        """All images that no model has seen."""
        return self._images[1].to(self.size.device)

    @property
    def held(self) -> Tensor:
        """The first of them: those that are measured against."""
        return self._images[1][: self.size.held].to(self.size.device)

    @property
    def features_name(self) -> str:
        """What a Frechet distance here is called."""
        return FEATURES.get(self.name, EFFNET)[0]

    def features(self, x: Tensor) -> Tensor:
        """The features behind it."""
        return FEATURES.get(self.name, EFFNET)[1](x)

    @cached_property
    def real(self) -> Tensor:
        """Features of the held-out images."""
        return _real_faces(self.size) if self.name == "celeba" else self.features(self.held)

    def rng(self, seed: int) -> torch.Generator:
        """Random numbers where the images are."""
        return torch.Generator(self.size.device).manual_seed(seed)

    def placed(self, model: nn.Module, rng: torch.Generator, seed: int) -> torch.Generator:
        """Moves a model built with rng, on the CPU, to the images; the numbers for what follows."""
        if self.size.device == "cpu":
            return rng
        model.to(self.size.device)
        return self.rng(seed)

    def generator(self, d: int, rng: torch.Generator, output: str = "unit") -> Table1:
        """The network of Table 1, at this size."""
        return MAKERS[self.name](d, width=self.size.width, output=output, rng=rng)
