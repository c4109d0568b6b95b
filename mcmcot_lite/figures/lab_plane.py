"""A latent to move, and what a generator draws there."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.labs import SIDE, SVG, Explorer, axes, explorer, place, png
from mcmcot_lite.figures.theme import COLOURS

__all__ = ["explore_plane"]

MOST = 1681  # pictures, 41 x 41: a page must stay light


def explore_plane(
    images: Tensor,
    *,
    alt: str,
    limit: float = 3.0,
    latents: Tensor | None = None,
    labels: Tensor | None = None,
    names: Sequence[str] = (),
    levels: int = 16,
    width: int = 640,
) -> Explorer:
    """The latent plane: move a point, and see what the generator draws there.

    The pictures are those of a grid; the nearest to the point is shown.

    Args:
        images: (m, m, c, h, w), of c = 1 or 3 channels, shown clipped to [0, 1];
            ``images[i, j]`` is g(z) at z1 = axis[j], z2 = axis[i], axis from -limit to limit.
        alt: what a reader who cannot see the figure should know.
        limit: both axes run from -limit to limit.
        latents: dots on the plane, (n, 2); those outside are not drawn.
        labels: class of each, (n,), for colour; at most ten classes.
        names: one for each class in ``labels``, in increasing order, for the legend.
        levels: of grey that are stored: the page stays light.
        width: in pixels; narrower where the page is.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.tensor("images", images, ndim=5)
    m, other, c, h, w = images.shape
    rule, remedy = "must have shape (m, m, c, h, w), m > 1, c = 1 or 3", "Decode a square grid."
    fits = m == other and m > 1 and c in (1, 3) and m * m <= MOST
    rule += f", and at most {MOST} pictures"
    checks.require(fits, "images", rule, f"shape {tuple(images.shape)}", remedy)
    inputs.text("alt", alt)
    limit, width = inputs.reach(limit), checks.integer("width", width, 100, maximum=10_000)
    levels = checks.integer("levels", levels, 2, maximum=256)
    dots = [] if latents is None else inputs.points("latents", latents, 3)
    kinds, which = inputs.classes(labels, len(dots))
    titles = inputs.strings("names", names)
    rule = f"must hold one name for each of the {len(kinds)} classes in labels"
    checks.require(len(titles) in (0, len(kinds)), "names", rule, len(titles), "Name each class.")
    drawn = [SVG]
    for radius in (1, 2, 3):
        r = radius / (2 * limit) * SIDE
        circle = f'cx="{SIDE / 2:g}" cy="{SIDE / 2:g}" r="{r:.1f}" fill="none" stroke="#555"'
        drawn.append(f'<circle {circle} stroke-dasharray="4 4"/>')
    drawn.append(axes(limit))
    for p, kind in zip(dots, cast("list[int]", which.tolist()), strict=True):
        if max(map(abs, p)) <= limit:
            a, b = place(p, limit)
            fill = COLOURS[kinds.index(kind)]
            drawn.append(f'<circle cx="{a}" cy="{b}" r="2.5" fill="{fill}" fill-opacity="0.6"/>')
    a, b = place((0.0, 0.0), limit)
    drawn.append(
        '<g data-point tabindex="0" role="button" aria-roledescription="movable point" '
        f'aria-label="latent" transform="translate({a} {b})"><circle r="16" fill="transparent"/>'
        '<circle r="8" fill="#fff" fill-opacity="0.7" stroke="#000" stroke-width="3"/></g></svg>'
    )
    tones = (images.detach().cpu().double().clamp(0, 1) * (levels - 1)).round() / (levels - 1)
    sheet = (255 * tones).round().to(torch.uint8).permute(0, 3, 1, 4, 2).reshape(m * h, m * w, c)
    quoted = html.escape(alt, quote=True)
    share = 100 * ((m - 1) // 2) / (m - 1)
    box = (
        f"width:100%;aspect-ratio:{w}/{h};image-rendering:pixelated;border:1px solid #888;"
        f"background-image:url(data:image/png;base64,{png(sheet[:, :, 0] if c == 1 else sheet)});"
        f"background-size:{100 * m}% {100 * m}%;background-position:{share:g}% {share:g}%"
    )
    dot = '<span aria-hidden="true" style="color:{}">&#9679;</span>'
    legend = "".join(
        f'<span style="white-space:nowrap;margin-right:0.7em">{dot.format(colour)}'
        f"{html.escape(title)}</span>"
        for title, colour in zip(titles, COLOURS, strict=False)
    )
    stage = (
        '<div style="display:flex;flex-wrap:wrap;gap:0.8em;align-items:flex-start">'
        f'<div style="flex:3 1 240px;min-width:0">{"".join(drawn)}<div>{legend}</div></div>'
        f'<div style="flex:1 1 130px;max-width:240px;margin:0 auto"><div data-picture role="img" '
        f'aria-label="{quoted}" style="{box}"></div></div></div>'
    )
    begin = [((m - 1) // 2) * 2 * limit / (m - 1) - limit] * 2
    data = {"limit": limit, "side": SIDE, "cells": m, "start": begin}
    return explorer(
        "plane", alt=alt, stage=stage, controls=[], data=data, said="z = (0, 0)", width=width
    )
