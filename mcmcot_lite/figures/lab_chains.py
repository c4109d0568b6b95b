"""Langevin chains to start, computed in the page."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs, lab_runs
from mcmcot_lite.figures.labs import SIDE, SVG, Explorer, axes, button, explorer, place, png, slider
from mcmcot_lite.figures.theme import BLUE, GREY, RED

__all__ = ["explore_chains"]

MOST = 101  # points of an axis: a page must stay light
PATHS = 8  # chains whose way is drawn, not the end alone
LOW, HIGH, NOTCH = -2, 0.2, 0.02  # of the slider for s: logarithms to base 10


def explore_chains(
    axis: Tensor,
    log_density: Tensor,
    *,
    alt: str,
    start: tuple[float, float],
    s: float = 0.2,
    K: int = 20,
    most: int = 200,
    chains: int = 60,
    width: int = 520,
) -> Explorer:
    """Langevin chains in the page, Eq. (8) with a temperature: drag their start, set s and K.

    The log density is the bicubic interpolation of a grid, and so is its gradient. The plane is
    shaded by the density. The still is the script's first run.

    Args:
        axis: equally spaced from -limit to limit, (m,), the same on both axes.
        log_density: (m, m), up to a constant; ``[i, j]`` at z1 = axis[j], z2 = axis[i].
        alt: what a reader who cannot see the figure should know.
        start: of all chains.
        s: step size at first.
        K: steps at first.
        most: steps at the end of the slider.
        chains: their number; eight of their ways are drawn, and all ends.
        width: in pixels; narrower where the page is.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.tensor("axis", axis, ndim=1)
    m = len(axis)
    rule, remedy = f"must hold 8 to {MOST} numbers", "Try torch.linspace(-3, 3, 61)."
    checks.require(8 <= m <= MOST, "axis", rule, m, remedy)
    limit = inputs.reach(float(axis[-1]))
    even = torch.linspace(-limit, limit, m, dtype=torch.float64)
    ok = bool((axis.detach().cpu().double() - even).abs().max() < 1e-4 * limit)
    rule = "must run from -limit to limit in equal steps"
    checks.require(ok, "axis", rule, checks.shown(axis), remedy)
    checks.tensor("log_density", log_density, shape=(m, m))
    inputs.text("alt", alt)
    s = checks.number("s", s, above=0.0, below=2.0, remedy="Try 0.2.")
    most = checks.integer("most", most, 1, maximum=1000)
    K = checks.integer("K", K, 0, maximum=most)
    chains = checks.integer("chains", chains, 1, maximum=200)
    width = checks.integer("width", width, 100, maximum=10_000)
    begin = _start(start, limit)
    values = (log_density - log_density.max()).detach().cpu().double()
    listed = cast("list[list[float]]", values.clamp(min=-1e4).tolist())
    rows = [[round(v, 3) for v in row] for row in listed]
    notch = NOTCH * round((min(max(math.log10(s), LOW), HIGH) - LOW) / NOTCH) + LOW
    grid, shown = torch.tensor(rows, dtype=torch.float64), float(f"{10**notch:.2g}")
    found = lab_runs.run(grid, limit, begin, s=shown, K=K, chains=chains)
    drawn = [SVG, _shade(values.exp()), axes(limit), *_ways(found, limit)]
    a, b = place(begin, limit)
    drawn.append(
        '<g data-start tabindex="0" role="button" aria-roledescription="movable point" '
        f'aria-label="start of all chains, at {lab_runs.fixed(begin)}" '
        f'transform="translate({a} {b})">'
        '<circle r="16" fill="transparent"/>'
        '<path d="M-8,0H8M0,-8V8" stroke="#000" stroke-width="3"/></g></svg>'
    )
    controls = [
        button("play", "Play"),
        button("noise", "New noise"),
        slider("steps K", 0, most, K, 1),
        slider("step s", LOW, HIGH, notch, NOTCH, log=True),
        slider("temperature", 0, 4, 1, 0.05),
    ]
    mean, spread = _moments(even, values)
    data: dict[str, Any] = {
        "grid": rows,
        "limit": limit,
        "side": SIDE,
        "start": begin,
        "chains": chains,
        "exact": {"mean": mean, "spread": spread},
    }
    said = lab_runs.words(found[:, -1], limit, mean, spread)
    return explorer(
        "chains", alt=alt, stage="".join(drawn), controls=controls, data=data, said=said,
        width=width,
    )  # fmt: skip


def _start(start: object, limit: float) -> list[float]:
    """Two numbers inside the picture."""
    rule, remedy = "must be two numbers", "For example (1.0, 0.5)."
    pair = isinstance(start, (tuple, list)) and len(cast("list[Any]", start)) == 2
    got = checks.shown(cast(object, start))
    checks.require(pair, "start", rule, got, remedy, TypeError)
    below = math.nextafter(limit, math.inf)
    return [
        checks.number("start", v, above=-below, below=below, remedy=remedy)
        for v in cast("list[float]", start)
    ]


def _ways(found: Tensor, limit: float) -> list[str]:
    """Lines for some of the chains, (chains, K + 1, 2), and a dot for the end of each."""
    near = found.clamp(-9 * limit, 9 * limit)  # as in the script
    ways = cast("list[list[list[float]]]", near[:PATHS].tolist())
    drawn: list[str] = []
    for way in ways:
        points = " ".join(f"{a},{b}" for a, b in (place(p, limit) for p in way))
        look = f'fill="none" stroke="{GREY}" stroke-width="1"'
        drawn.append(f'<polyline data-path points="{points}" {look}/>')
    for p in cast("list[list[float]]", near[:, -1].tolist()):
        a, b = place(p, limit)
        look = f'r="3.5" fill="{RED}" fill-opacity="0.8"'
        drawn.append(f'<circle data-end cx="{a}" cy="{b}" {look}/>')
    return drawn


def _moments(axis: Tensor, log_density: Tensor) -> tuple[list[float], list[float]]:
    """Mean and deviation of each coordinate of a density on a grid."""
    weights = log_density.flatten().softmax(0).view_as(log_density)
    mean: list[float] = []
    spread: list[float] = []
    for marginal in (weights.sum(0), weights.sum(1)):
        middle = float(marginal @ axis)
        mean.append(round(middle, 4))
        spread.append(round(float(marginal @ (axis - middle).square()) ** 0.5, 4))
    return mean, spread


def _shade(density: Tensor) -> str:
    """A density, at most 1, as a picture behind the plane: white to blue."""
    blue = torch.tensor([int(BLUE[i : i + 2], 16) for i in (1, 3, 5)], dtype=torch.float64)
    mixed = 255 + 0.75 * density.flip(0).sqrt()[..., None] * (blue - 255)
    m = len(density)
    step = SIDE / (m - 1)  # pixels of the picture are centred on the grid's points
    where = f'x="{-step / 2:.2f}" y="{-step / 2:.2f}" width="{SIDE + step:.2f}"'
    return (
        f'<image {where} height="{SIDE + step:.2f}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{png(mixed.round().to(torch.uint8))}"/>'
    )
