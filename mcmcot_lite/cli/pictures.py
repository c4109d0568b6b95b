"""Pictures of a run: samples, reconstructions, latents. Drawing one changes nothing of the run."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.checkpoint import expanded, write_whole
from mcmcot_lite.engine import as_float
from mcmcot_lite.freezing import frozen
from mcmcot_lite.schedules import Iteration
from mcmcot_lite.settings import Settings

__all__ = [
    "decoded",
    "have_matplotlib",
    "pairs",
    "png_path",
    "prior_latents",
    "save",
    "summary",
    "tiles",
    "unit",
]

SEED = 1  # of the latents that are shown: the same at every correction
ROWS, COLUMNS = 8, 8  # of samples and of pairs
SHORT_SIDE = 512  # pixels that a saved grid has at least
PAPER = 255  # white lines between the images


def have_matplotlib() -> bool:
    """Whether the extra ``figures`` is installed."""
    return find_spec("matplotlib") is not None


def prior_latents(n: int, d: int, seed: int = SEED) -> Tensor:
    """Latents of the prior, (n, d), on the CPU, from a generator of their own."""
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def decoded(g: nn.Module, z: Tensor) -> Tensor:
    """Images of latents, on the CPU; BatchNorm by its stored averages, as each is drawn alone."""
    like = next(g.parameters())
    with torch.no_grad(), frozen(g):
        return g(z.to(like.device, like.dtype)).float().cpu()


def tiles(x: Tensor, columns: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images in [0, 1], (n, 1 or 3, h, w), row by row in one array (height, width, 1 or 3)."""
    n, c, h, w = x.shape
    rows = -(-n // columns)
    wide = torch.full((rows * columns, c, h + 1, w + 1), PAPER, dtype=torch.uint8)
    wide[:n, :, :h, :w] = (x.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    grid = wide.view(rows, columns, c, h + 1, w + 1).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * (h + 1), columns * (w + 1), c)[:-1, :-1].numpy()


def pairs(x: Tensor, y: Tensor) -> Tensor:
    """Each image before its reconstruction."""
    return torch.stack([x.cpu(), y.cpu()], 1).flatten(0, 1)


def save(x: Tensor, columns: int, path: Path) -> None:
    """Writes a grid of images as a PNG, each pixel a square large enough to be seen."""
    grid = tiles(x, columns)
    times = max(1, math.ceil(SHORT_SIDE / min(grid.shape[:2])))
    grid = grid.repeat(times, 0).repeat(times, 1)
    with write_whole(path) as file:
        Image.fromarray(grid.squeeze(-1) if grid.shape[2] == 1 else grid).save(file, "PNG")


def png_path(name: str, value: str) -> Path:
    """A path that ends in .png."""
    path = expanded(name, value)
    ok = path.suffix.lower() == ".png" and not path.is_dir()
    checks.require(ok, name, "must name a file that ends in .png", repr(value), "Try out.png.")
    return path


def unit(x: Tensor, x_range: tuple[float, float] | None) -> Tensor:
    """Images of a run's range as numbers in [0, 1]."""
    low, high = x_range or (0.0, 1.0)
    return (x - low) / (high - low)


def summary(g: nn.Module, x: Tensor, step: Iteration, st: Settings, path: Path) -> None:
    """One picture of an iteration: samples of the prior, reconstructions, all latents.

    Args:
        g: the generator; left as it was.
        x: images, the first of the run, as bytes.
        step: the iteration.
        st: settings of the run.
        path: the PNG to write.
    """
    figure: Any = cast(Any, import_module("matplotlib.figure")).Figure(
        figsize=(13.5, 4.9), dpi=100, layout="constrained"
    )
    left, middle, right = figure.subplots(1, 3)
    samples = decoded(g, prior_latents(ROWS * COLUMNS, step.z_hat.shape[1]))
    x = as_float(x[: ROWS * COLUMNS // 2], st.x_range, torch.float32)
    shown = pairs(x, decoded(g, step.inferred[: len(x)]))
    _grid(left, unit(samples, st.x_range), "samples of the prior")
    _grid(middle, unit(shown, st.x_range), "images, each before g of its inferred latents")
    _histogram(right, step)
    title = f"iteration {step.k}: mse {step.mse:.4f}"
    figure.suptitle(f"{title}, transport cost {step.T.primal:.3g}" if step.T else title)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as file:
        figure.savefig(file, format="png")


def _grid(ax: Any, x: Tensor, title: str) -> None:
    grid = tiles(x, COLUMNS)
    ax.imshow(grid.repeat(3, -1) if grid.shape[2] == 1 else grid, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def _histogram(ax: Any, step: Iteration) -> None:
    """All coordinates of the latents, inferred and corrected, against N(0, 1)."""
    v = np.linspace(-4, 4, 201)
    clouds = {"inferred": step.inferred} | ({"corrected": step.z_hat} if step.T else {})
    styles: list[dict[str, Any]] = [{"color": "#56B4E9"}, {"color": "#D55E00", "histtype": "step"}]
    told: list[str] = []
    for (name, z), style in zip(clouds.items(), styles, strict=False):
        values = z.detach().flatten().float().cpu().numpy()
        outside = float((np.abs(values) > 4).mean())
        ax.hist(values, bins=80, range=(-4, 4), density=True, label=name, **style)
        told.append(f"{name}: variance {values.var():.2f}, {outside:.1%} beyond 4")
    ax.plot(v, np.exp(-(v**2) / 2) / math.sqrt(2 * math.pi), color="black", lw=1.5, label="N(0, 1)")
    ax.set(xlim=(-4, 4), xlabel="latent coordinates", ylabel="density")
    ax.set_title("\n".join(told))
    ax.legend(frameon=False)
