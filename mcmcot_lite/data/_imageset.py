"""A set of images as it is kept in memory: bytes and labels, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.checks import FLOATS, fail, integer, rng_on

__all__ = ["ImageSet"]


def _labels(y: Tensor) -> list[int]:
    return [int(k) for k in np.unique(y.cpu().numpy())]


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images of one split, with their labels where there are any.

    Pixels stay bytes, a quarter of the memory of float32; ``images`` converts when they are needed.
    The tensors are shared, not copied, by ``take`` without ``rng``: treat them as read-only.

    Attributes:
        x: the images, uint8, shape (n, c, h, w).
        y: the labels, int64, shape (n,); None for faces.
        name: name of the data set, as given to ``load``.
        split: "train", "test", ...; "all" for a folder of your own.
        source: the file or package the images were read from, in words (no path).
        licence: what may be done with the images.
    """

    x: Tensor
    y: Tensor | None
    name: str
    split: str
    source: str
    licence: str

    def __post_init__(self) -> None:
        for name in ("name", "split", "source", "licence"):
            if not isinstance(getattr(self, name), str):
                got = type(getattr(self, name)).__name__
                raise fail(name, "must be a string", got, "Say it in words.", TypeError)
        x, y = cast(object, self.x), cast(object, self.y)
        if not isinstance(x, Tensor) or x.dtype != torch.uint8:
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise fail(
                "x",
                "must be a torch.Tensor of dtype torch.uint8",
                got,
                "Pass the pixels as bytes, 0 to 255.",
                TypeError,
            )
        if x.ndim != 4 or x.numel() == 0:
            raise fail(
                "x",
                "must have shape (n, c, h, w) and hold at least one image",
                f"shape {tuple(x.shape)}",
                "Reshape it.",
            )
        if y is None:
            return
        if not isinstance(y, Tensor) or y.dtype != torch.int64:
            got = y.dtype if isinstance(y, Tensor) else type(y).__name__
            raise fail(
                "y",
                "must be a torch.Tensor of dtype torch.int64, or None",
                got,
                "Convert it with .long().",
                TypeError,
            )
        if y.shape != x.shape[:1]:
            raise fail(
                "y",
                f"must have shape ({len(x)},), one label for each image",
                f"shape {tuple(y.shape)}",
                "Give every image its label.",
            )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        n, c, h, w = self.x.shape
        labels = "no labels" if self.y is None else f"{len(_labels(self.y))} classes"
        return (
            f"ImageSet({self.name!r}, {self.split!r}: {n} images of {c} x {h} x {w}, {labels}, "
            f"from {self.source})"
        )

    def images(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """All images as floating point in [0, 1], shape (n, c, h, w)."""
        kind = cast(object, dtype)
        if not isinstance(kind, torch.dtype) or kind not in FLOATS:
            raise fail(
                "dtype",
                "must be a floating-point torch.dtype of 16, 32 or 64 bits",
                kind,
                "Pass torch.float32; the bytes themselves are in .x.",
                TypeError,
            )
        return self.x.to(kind) / 255

    def classes(self, *labels: int) -> ImageSet:
        """The images with one of these labels, in their order here."""
        if self.y is None:
            raise fail(
                "classes",
                f"needs labels, and {self.name} has none",
                f"labels {labels}",
                "Use the whole set, or take(n).",
            )
        there = _labels(self.y)
        if not labels:
            raise fail(
                "labels",
                "must name at least one class",
                "none",
                f"Pass some of {', '.join(map(str, there))}.",
            )
        for k in labels:
            if integer("labels", k, 0) not in there:
                raise fail(
                    "labels",
                    f"must be among the classes of {self.name} ({self.split}): "
                    f"{', '.join(map(str, there))}",
                    k,
                    "Choose from these.",
                )
        keep = torch.isin(self.y, torch.tensor(labels))
        return replace(self, x=self.x[keep], y=self.y[keep])

    def take(self, n: int, rng: torch.Generator | None = None) -> ImageSet:
        """The first n images, or n drawn without replacement (and in drawn order) with ``rng``."""
        n = integer("n", n, 1)
        if n > len(self):
            raise fail(
                "n",
                f"must be at most {len(self)}, the number of images here",
                n,
                "Take fewer images, or load a larger set.",
            )
        if rng is None:
            return replace(self, x=self.x[:n], y=None if self.y is None else self.y[:n])
        index = torch.randperm(len(self), generator=rng_on(rng, torch.device("cpu")))[:n]
        return replace(self, x=self.x[index], y=None if self.y is None else self.y[index])
