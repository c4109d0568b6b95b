"""Laguerre cells to drag, computed in the page."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.labs import SIDE, SVG, Explorer, axes, button, explorer, place, slider
from mcmcot_lite.figures.polygons import laguerre_polygons
from mcmcot_lite.figures.theme import BLUE, PASTEL, RED
from mcmcot_lite.transport import laguerre_cells

__all__ = ["explore_cells"]

MOST = 60  # points: the script compares every pair of cells
DARK = "#333333"


def explore_cells(
    sources: Tensor, targets: Tensor, *, alt: str, limit: float = 2.0, width: int = 520
) -> Explorer:
    """Laguerre cells to drag: the descent on E of Eq. (14), step by step, in the page.

    Diamonds are targets, in the colour of their cell, with the number of their sources; dots are
    sources, with a line to the target that each chooses.

    Args:
        sources: (n, 2), n at most 60.
        targets: (n, 2).
        alt: what a reader who cannot see the figure should know.
        limit: both axes run from -limit to limit.
        width: in pixels; narrower where the page is.

    Raises:
        TypeError, ValueError: on bad input.
    """
    x, y = inputs.points("sources", sources), inputs.points("targets", targets)
    rule, remedy = f"must hold 1 to {MOST} points", "Draw fewer of them."
    checks.require(0 < len(x) <= MOST, "sources", rule, len(x), remedy)
    rule, remedy = f"must hold as many points as sources, {len(x)}", "The map is one to one."
    checks.require(len(x) == len(y), "targets", rule, len(y), remedy)
    inputs.text("alt", alt)
    limit, width = inputs.reach(limit), checks.integer("width", width, 100, maximum=10_000)
    for name, points in (("sources", x), ("targets", y)):
        furthest = max(abs(v) for p in points for v in p)
        rule = f"must lie between -limit and limit, {limit:g}"
        checks.require(furthest <= limit, name, rule, furthest, "Pass a larger limit.")
    own = _chosen(sources, targets)
    count = [own.count(j) for j in range(len(y))]
    fills = [PASTEL[j % len(PASTEL)] for j in range(len(y))]
    drawn = [SVG]
    rings = laguerre_polygons(targets, torch.zeros(len(y)), limit)
    for ring, fill in zip(rings, fills, strict=True):
        corners = " ".join(f"{a},{b}" for a, b in (place(corner, limit) for corner in ring))
        drawn.append(f'<polygon data-area points="{corners}" fill="{fill}" stroke="#fff"/>')
    drawn.append(axes(limit))
    for p, j in zip(x, own, strict=True):
        (a, b), (c, d) = place(p, limit), place(y[j], limit)
        line = f'x1="{a}" y1="{b}" x2="{c}" y2="{d}"'
        drawn.append(f'<line data-way {line} stroke="{DARK}"/>')
        drawn.append(f'<circle cx="{a}" cy="{b}" r="4" fill="{DARK}"/>')
    for j, p in enumerate(y):
        a, b = place(p, limit)
        rim = BLUE if count[j] == 1 else RED
        drawn.append(
            f'<g data-target tabindex="0" role="button" aria-roledescription="movable point" '
            f'aria-label="target {j + 1}" transform="translate({a} {b})">'
            f'<rect x="-11" y="-11" width="22" height="22" transform="rotate(45)" '
            f'fill="{fills[j]}" stroke="{rim}" stroke-width="3"/>'
            f'<text data-count text-anchor="middle" dy="5.5" font-size="16" fill="#000" '
            f'style="pointer-events:none;user-select:none">{count[j]}</text></g>'
        )
    right = count.count(1)
    controls = [
        button("step", "Step"),
        button("play", "Play"),
        button("reset", "Reset"),
        slider("step size", -2.3, -0.3, -1.3, 0.1, log=True),
    ]
    data = {"sources": x, "targets": y, "limit": limit, "side": SIDE, "rims": [BLUE, RED]}
    said = f"Step 0. Cells with one source: {right} of {len(y)}."
    stage = "".join(drawn) + "</svg>"
    return explorer(
        "cells", alt=alt, stage=stage, controls=controls, data=data, said=said, width=width
    )


def _chosen(sources: Tensor, targets: Tensor) -> list[int]:
    x, y = sources.detach().double().cpu(), targets.detach().double().cpu()
    return cast("list[int]", laguerre_cells(x, y, torch.zeros(len(y)).double()).tolist())
