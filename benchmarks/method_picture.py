"""Draws the picture of the welcome page: one real iteration of Algorithm 1, from images to images.

    python benchmarks/method_picture.py

Writes `results/method.png`: 1,000 real zeros and ones, d = 2, seed 0, a few seconds on a CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyArrowPatch
from torch import Tensor

from mcmcot_lite import MLP, Settings, data, figures, fit
from mcmcot_lite.schedules import Iteration

RESULTS = Path(__file__).resolve().parent.parent / "results"
TITLES = ("images x", "infer ẑ", "correct ẑ", "learn g")
BELOW = (
    "1,000 real digits",
    "Langevin steps",
    "optimal transport",
    "g(z), z from the prior",
)


def tiles(images: Tensor, side: int) -> Tensor:
    """(side * side, 1, h, w) as one picture."""
    grid = images[: side * side, 0].unflatten(0, (side, side))
    return grid.permute(0, 2, 1, 3).flatten(0, 1).flatten(1, 2)


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    digits = data.mnist5k().classes(0, 1)
    x, labels = digits.images(), digits.y
    g = MLP(2, (1, 28, 28), (64, 64), rng=torch.Generator().manual_seed(0))
    kept: list[Iteration] = []
    rng = torch.Generator().manual_seed(0)
    st = Settings(d=2, K=20, L=5, L2=3, iterations=30, batch_size=100, alpha=1.0)
    fit(g, x, st, rng=rng, callbacks=[kept.append], progress=False)
    step = kept[4]  # the first correction
    drawn = g(torch.randn(16, 2, generator=rng)).detach()

    figures.style()
    fig, grid = plt.subplots(2, 2, figsize=(5.6, 5.9), layout="none")
    fig.subplots_adjust(left=0.01, right=0.99, top=0.94, bottom=0.06, wspace=0.3, hspace=0.36)
    axes = [grid[0, 0], grid[0, 1], grid[1, 1], grid[1, 0]]  # clockwise
    for ax, title, below in zip(axes, TITLES, BELOW, strict=True):
        ax.set_title(title, fontsize=14)
        ax.text(0.5, -0.04, below, transform=ax.transAxes, ha="center", va="top", fontsize=12)
    pick = torch.randperm(len(x), generator=rng)
    axes[0].imshow(tiles(x[pick], 4), cmap="gray_r")
    axes[3].imshow(tiles(drawn, 4), cmap="gray_r")
    for ax, cloud in ((axes[1], step.inferred), (axes[2], step.z_hat)):
        for k, colour in ((0, figures.BLUE), (1, figures.RED)):
            points = cloud[labels == k]
            ax.scatter(points[:, 0], points[:, 1], s=4, color=colour, alpha=0.6, lw=0)
        for r in (1, 2, 3):
            ax.add_patch(plt.Circle((0, 0), r, fill=False, color="0.35", lw=0.8, ls=":", zorder=3))
        ax.set(xlim=(-4.3, 4.3), ylim=(-4.3, 4.3), aspect="equal")
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(True)
    look = {"arrowstyle": "-|>", "mutation_scale": 20, "color": figures.GREY, "lw": 2.5}
    a, b, c, d = (ax.get_position() for ax in axes)
    right, low = (a.y0 + a.y1) / 2, (c.y0 + c.y1) / 2
    across, gap = (b.x0 + b.x1) / 2 + 0.15, 0.01
    ways = (
        ((a.x1 + gap, right), (b.x0 - gap, right)),
        ((across, b.y0 - gap), (across, c.y1 + gap)),
        ((c.x0 - gap, low), (d.x1 + gap, low)),
        ((d.x1 - 0.06, d.y1 + gap), (b.x0 + 0.02, b.y0 - gap)),  # once more
    )
    for start, end in ways:
        fig.add_artist(FancyArrowPatch(start, end, **look))
    fig.text(0.5, 0.5, "again", ha="center", va="center", fontsize=12, backgroundcolor="white")
    versions = f"torch {torch.__version__}, matplotlib {mpl.__version__}, seed 0"
    fig.savefig(RESULTS / "method.png", dpi=160, metadata={"Description": versions})


if __name__ == "__main__":
    main()
