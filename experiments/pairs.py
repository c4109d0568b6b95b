"""Two classes of a data set, as Section 7.2 takes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from experiments.sizes import Size
from experiments.task import Task
from mcmcot_lite import data

__all__ = ["PAIRS", "PairTask"]


@dataclass(frozen=True)
class Pair:
    """Which classes of which data set, and the dimension of their latents in the paper."""

    dataset: str
    classes: tuple[int, int]
    names: tuple[str, str]
    d: int


PAIRS = {
    "mnist": Pair("mnist", (0, 1), ("0", "1"), 2),
    "fashion_mnist": Pair("fashion_mnist", (0, 1), ("T-shirt", "Trouser"), 3),
}


class PairTask(Task):
    """A task of two classes."""

    def __init__(self, name: str, size: Size) -> None:
        super().__init__(PAIRS[name].dataset, size)
        self.pair = PAIRS[name]
        self.d = self.pair.d

    @cached_property
    def _sets(self) -> tuple[data.ImageSet, data.ImageSet]:
        sets = (data.load(self.name, split=s) for s in ("train", "test"))
        train, test = (one.classes(*self.pair.classes) for one in sets)
        return train, test

    @cached_property
    def _images(self) -> tuple[Tensor, Tensor]:
        train, test = self._sets
        return train.images(), test.images()

    @property
    def labels(self) -> Tensor:
        """Classes of the training images."""
        return self._sets[0].y[: self.size.n]
