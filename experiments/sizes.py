"""What quick, cpu and gpu mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcmcot_lite import Settings

__all__ = ["SIZES", "Size", "settings"]


@dataclass(frozen=True)
class Size:
    """The budget of a run, the same for every method.

    Attributes:
        n: training images, the first ones.
        d: dimension of the latents; the paper's 30 at its 60,000 images. Departs: fewer images
            leave 30 dimensions so empty that a map between samples pairs almost at random; how the
            tables hang on d is Table 4.
        held: held-out images: the real ones of a Frechet distance, the new ones of an MSE.
        samples: images drawn for a Frechet distance.
        width: of the generator, as a share of Table 1's.
        iterations: of Algorithm 1; times L2, the passes over the images that all methods learn in.
        batch: images a step.
        K: Langevin steps an inference.
        L: iterations between corrections.
        points: latents in an exact distance.
        hidden: widths of the encoders.
        device: where it runs.
    """

    n: int
    d: int
    held: int
    samples: int
    width: float
    iterations: int
    batch: int
    K: int
    L: int
    points: int
    hidden: tuple[int, ...]
    device: str = "cpu"


SIZES = {
    "quick": Size(200, 4, 200, 200, 0.0625, 4, 50, 3, 2, 100, (32,)),
    "cpu": Size(2000, 10, 5000, 5000, 0.25, 30, 250, 20, 5, 2000, (256, 128)),
    "gpu": Size(60_000, 30, 10_000, 10_000, 1.0, 600, 2000, 50, 50, 2000, (1024, 512)),
}


def settings(size: Size, **changes: Any) -> Settings:
    """Algorithm 1 as the tables run it, at a size; changes by a table."""
    base: dict[str, Any] = {
        "d": size.d,
        "sigma": 0.3,
        "s": 0.03,
        "K": size.K,
        "L": size.L,
        "L2": 3,
        "alpha": 0.5,
        "iterations": size.iterations,
        "batch_size": size.batch,
        "lr": 1e-3,
        "transport": "exact",
    }
    return Settings(**(base | changes))
